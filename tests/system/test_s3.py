"""Storage in a bucket: files, stages, the registry and errors, against an S3 server that checks signatures."""

import contextlib
import os
import socket
import sys
import time

import pyarrow as pa
import pytest

from ranking.errors import InputError
from ranking.records import Query, Rejection
from ranking.registry import CHAMPION, CHECKSUMS, Registry, check_whole
from ranking.runs.stages import REJECTED, STARTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched
from tests.testing.programs import ran
from tools.ports import free_ports
from tools.s3_server import BUCKET, client_of, new_user

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL_S3",
)


@pytest.fixture
def bucket(s3, monkeypatch, request):
    """A folder of its own in the bucket, with the user's keys in the environment."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Folder(f"s3://{BUCKET}/{request.node.originalname}")


def rows(*ids):
    return [Query(query_id=i, text=f"text of {i}") for i in ids]


def keys_of(s3, folder):
    """The objects under a folder, without the empty ones that stand for folders."""
    listed = (
        client_of(s3).list_objects_v2(Bucket=BUCKET, Prefix=folder.path.partition("/")[2] + "/").get("Contents", [])
    )
    return {item["Key"]: item["LastModified"] for item in listed if not item["Key"].endswith("/")}


def test_files_and_folders_round_trip(bucket, s3, tmp_path):
    bucket.check_writable()
    assert keys_of(s3, bucket) == {}
    assert not bucket.exists("a.txt")
    bucket.write_text("a.txt", "grüezi")
    (bucket / "sub").write_rows("part-1.parquet", rows("q1", "q2"))
    assert (bucket.exists("a.txt"), bucket.exists("sub"), bucket.read_text("a.txt")) == (True, True, "grüezi")
    assert (bucket.names(), bucket.names(".txt"), (bucket / "missing").names()) == (["a.txt", "sub"], ["a.txt"], [])
    assert (bucket / "sub").read_column("query_id") == ["q1", "q2"]
    bucket.copy_to(Folder(tmp_path / "down"))
    assert list(Folder(tmp_path / "down" / "sub").read_rows(Query)) == rows("q1", "q2")
    Folder(tmp_path / "down").copy_to(bucket / "up")
    assert (bucket / "up" / "sub").read_column("query_id") == ["q1", "q2"]
    (bucket / "up").move_file_to("a.txt", bucket / "else")
    assert ((bucket / "up").names(), (bucket / "else").read_text("a.txt")) == (["sub"], "grüezi")
    (bucket / "up").move_to(bucket / "deep" / "er")
    assert not (bucket / "up").exists()
    assert (bucket / "deep" / "er" / "sub").read_column("query_id") == ["q1", "q2"]
    bucket.remove("a.txt")
    bucket.delete()
    bucket.delete()
    assert not bucket.exists()
    assert keys_of(s3, bucket) == {}


def test_a_write_that_fails_leaves_no_object(bucket):
    def tear(stream):
        stream.write(b"half")
        raise RuntimeError("torn")

    bucket.write_text("whole", "before")
    for name in ("half", "whole"):
        with pytest.raises(RuntimeError):
            bucket._write(name, tear)
    assert bucket.names() == ["whole"]
    assert bucket.read_text("whole") == "before"


def test_a_file_of_many_megabytes_arrives_whole(bucket):
    values = pa.array(range(3_000_000), pa.int64())  # more than one part of an upload
    bucket.write_table("big.parquet", pa.table({"n": pa.compute.multiply(values, 7_919)}))
    assert bucket.filesystem.get_file_info(f"{bucket.path}/big.parquet").size > 12e6
    assert bucket.read_table("big.parquet")["n"].to_numpy()[-1] == 2_999_999 * 7_919


def test_stages_go_on_are_set_aside_and_come_back(bucket, s3):
    old, new = Stage(bucket, "labels", {"v": 1}, []), Stage(bucket, "labels", {"v": 2}, [])
    old.begin()
    old.folder.write_rows("part-1.parquet", rows("q1"))
    Stage(bucket, "labels", {"v": 1}, []).begin()
    assert old.folder.read_column("query_id") == ["q1"]
    (bucket / REJECTED).write_rows(
        old.rejected_prefix + "part-1.parquet", [Rejection(query_id="q2", stage="labels", reason="r")]
    )
    old.finish(rows_in=2, rows_out=1, rejected=1)
    before = keys_of(s3, old.folder)
    assert old.restore().rows_out == 1
    new.begin()
    assert new.folder.names() == [STARTED]
    assert old.rejected_parts() == []
    new.finish(rows_in=0, rows_out=0)
    assert old.restore().rows_out == 1
    assert set(keys_of(s3, old.folder)) == set(before)
    assert len(old.rejected_parts()) == 1
    assert new.restore().rows_out == 0


class CutOff:
    """The bucket's own filesystem, which dies before its n-th change of a file."""

    def __init__(self, filesystem, changes):
        self.filesystem = filesystem
        self.left = changes

    def __getattr__(self, name):
        found = getattr(self.filesystem, name)
        return (
            self._counted(found)
            if name in ("copy_file", "move", "delete_file", "delete_dir", "open_output_stream")
            else found
        )

    def _counted(self, change):
        if self.left == 0:
            raise ConnectionAbortedError
        self.left -= 1
        return change


CHANGES = 10  # a rejection moved; 3 files and 2 marks copied; 2 marks and the rest deleted; a mark written or a folder deleted


@pytest.mark.parametrize("direction", ["aside", "back"])
@pytest.mark.parametrize("cut_after", range(CHANGES + 1))
def test_a_move_cut_off_anywhere_loses_nothing(bucket, monkeypatch, cut_after, direction):
    run = bucket / f"{direction}-{cut_after}"
    old, new = Stage(run, "labels", {"v": 1}, []), Stage(run, "labels", {"v": 2}, [])
    old.begin()
    for name in ("q1", "q2"):
        old.folder.write_rows(f"part-{name}.parquet", rows(name))
    (run / REJECTED).write_rows(
        old.rejected_prefix + "part-1.parquet", [Rejection(query_id="q3", stage="labels", reason="r")]
    )
    old.finish(rows_in=3, rows_out=2, rejected=1)
    if direction == "back":
        new.begin()
        new.folder.delete()
    cut_off = CutOff(bucket.filesystem, cut_after)
    with monkeypatch.context() as patch:
        patch.setattr("ranking.storage.folder._opened", lambda _: (cut_off, BUCKET))
        stage = Stage(Folder(run.uri), "labels", {"v": 2} if direction == "aside" else {"v": 1}, [])
        with pytest.raises(ConnectionAbortedError) if cut_after < CHANGES else contextlib.nullcontext():
            stage.begin()
    again = Stage(run, "labels", {"v": 1}, [])
    assert again.restore().rejected == len(again.rejected_parts())
    assert again.folder.read_column("query_id") == ["q1", "q2"]
    assert (again.folder / REJECTED).names() == []


def test_the_registry_lives_in_the_bucket(bucket, tmp_path):
    registry = Registry(bucket)
    (bucket / "registry" / "b-2").write_text("left-of-a-copy-that-was-cut-off", "")
    for version in ("a-1", "b-2"):
        model = bucket / "models" / version
        model.write_text("weights", version)
        (model / "tokenizer").write_text("vocabulary", "words")
        registry.promote(model, version, "run", "better")
    champion, folder = registry.champion()
    assert (champion.champion, folder.names(), folder.read_text("weights")) == (
        "b-2",
        [CHECKSUMS, "tokenizer", "weights"],
        "b-2",
    )
    check_whole(folder, champion.checksum)
    assert registry.rollback("run").champion == "a-1"
    assert '"rollback"' in registry.folder.read_text(CHAMPION)


def test_inputs_are_read_by_uri_and_errors_name_the_uri(bucket, collection):
    from ranking.collections import read_collection
    from ranking.settings import CollectionSettings

    Folder(collection).copy_to(bucket / "facts")
    here = read_collection(CollectionSettings(source=f"beir:{collection}"), "test")
    there = read_collection(CollectionSettings(source=f"beir:{bucket.uri}/facts"), "test")
    assert there.fingerprint == here.fingerprint
    assert there.documents == here.documents
    with fetched(f"{bucket.uri}/facts/qrels.tsv") as path:
        assert path.read_text() == (collection / "qrels.tsv").read_text()
    (bucket / "bad").write_text("corpus.jsonl", "{}\n")
    with pytest.raises(InputError, match=rf"^{bucket.uri}/bad/corpus.jsonl, line 1: "):
        read_collection(CollectionSettings(source=f"beir:{bucket.uri}/bad"), "test")
    with pytest.raises(InputError, match="there is no such file or folder"):
        read_collection(CollectionSettings(source=f"beir:{bucket.uri}/none"), "test")


def refused(storage, variables):
    """Call a job with a storage root that is no good; returns its one line and how long it took."""
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES} | variables
    call = [sys.executable, "-m", "ray_jobs.select", "configs/quickstart.yaml", "--storage", storage]
    began = time.monotonic()
    done = ran(call, environment, 120)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line, time.monotonic() - began


@pytest.mark.parametrize(
    ("storage", "changed", "expected"),
    [
        ("s3://missing/x", {}, "there is no bucket 'missing' at http://127.0.0.1"),
        ("s3:///x", {}, "a bucket is missing, as in s3://bucket/folder"),
        ("s3://a!b/x", {}, "'a!b' is not a bucket's name"),
        (f"s3://{BUCKET}/x", {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "refused at http"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": ""}, "missing: AWS_SECRET_ACCESS_KEY"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, "there are no credentials"),
        (f"s3://{BUCKET}/x", {"AWS_ENDPOINT_URL": "localhost"}, "check the network, AWS_ENDPOINT_URL"),
        (f"s3://{BUCKET}/x?region=eu-north-1", {}, "belong in the environment"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_one_line(s3, storage, changed, expected):
    line, _ = refused(storage, {**s3, **changed, "AWS_EC2_METADATA_DISABLED": "true"})
    assert expected in line


@pytest.mark.parametrize("action", ["ListBucket", "GetObject", "PutObject", "DeleteObject"])
def test_a_permission_that_is_missing_is_named_with_the_path(s3, action):
    others = {"ListBucket", "GetObject", "PutObject", "DeleteObject"} - {action}
    user = new_user(s3, f"without-{action}", [f"s3:{other}" for other in others])
    line, _ = refused(f"s3://{BUCKET}/runs", {**s3, **user})
    assert f"s3://{BUCKET}/runs/quickstart: these credentials may not use it" in line
    assert f"(s3:{action} is denied" in line


def test_a_key_in_the_uri_is_refused_and_not_repeated(s3):
    line, _ = refused(f"s3://AKIAKEY:hush@{BUCKET}/x", s3)
    assert "belong in the environment" in line
    assert "hush" not in line


def test_a_dead_endpoint_and_a_silent_one_end_within_seconds(s3):
    line, seconds = refused(f"s3://{BUCKET}/x", {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"})
    assert "the service cannot be reached" in line
    assert seconds < 20
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line, seconds = refused(
            f"s3://{BUCKET}/x", {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        )
    assert "the service cannot be reached" in line
    assert seconds < 30
