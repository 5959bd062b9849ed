"""Storage in an S3 bucket: files, stages, the registry and errors, on a server that verifies signatures."""

import contextlib
import os
import socket
import sys
import time

import pyarrow as pa
import pytest

from ranking.errors import InputError
from ranking.records import Query, Rejection
from ranking.registry import CHAMPION, Registry
from ranking.registry_versions import verify_checksums
from ranking.runs.stages import REJECTED, STARTED, Stage
from ranking.storage.checksums import CHECKSUMS
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched
from tests.testing.programs import run_program
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
    """Return a folder in the bucket for this test. The environment contains the user's keys."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return Folder(f"s3://{BUCKET}/{request.node.originalname}")


def rows(*ids):
    """Return queries with these ids."""
    return [Query(query_id=i, text=f"text of {i}") for i in ids]


def keys_of(s3, folder):
    """Return the modification times of the objects in a folder, without the empty objects that represent folders."""
    prefix = folder.path.partition("/")[2] + "/"
    objects = client_of(s3).list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return {item["Key"]: item["LastModified"] for item in objects if not item["Key"].endswith("/")}


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


def test_failed_write_leaves_no_object(bucket):
    def fail_halfway(stream):
        stream.write(b"half")
        raise RuntimeError("failed")

    bucket.write_text("whole", "before")
    for name in ("half", "whole"):
        with pytest.raises(RuntimeError):
            bucket._write(name, fail_halfway)
    assert bucket.names() == ["whole"]
    assert bucket.read_text("whole") == "before"


def test_multipart_upload_stores_a_large_file_completely(bucket):
    values = pa.array(range(3_000_000), pa.int64())  # more than one part of a multipart upload
    bucket.write_table("big.parquet", pa.table({"n": pa.compute.multiply(values, 7_919)}))
    assert bucket.filesystem.get_file_info(f"{bucket.path}/big.parquet").size > 12e6
    assert bucket.read_table("big.parquet")["n"].to_numpy()[-1] == 2_999_999 * 7_919


def test_stages_resume_are_archived_and_restored(bucket, s3):
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


class FailingFilesystem:
    """A wrapper around the bucket's filesystem that fails after a number of changes to files."""

    def __init__(self, filesystem, changes):
        self.filesystem = filesystem
        self.remaining = changes

    def __getattr__(self, name):
        attribute = getattr(self.filesystem, name)
        changes = name in ("copy_file", "move", "delete_file", "delete_dir", "open_output_stream")
        return self._counted(attribute) if changes else attribute

    def _counted(self, change):
        if self.remaining == 0:
            raise ConnectionAbortedError
        self.remaining -= 1
        return change


CHANGES = 10
"""Number of file changes when one stage is moved: move 1 file of rejections, copy 3 files and 2 markers, delete the 2
markers and the remaining folder, then write 1 marker or delete 1 folder."""


@pytest.mark.parametrize("direction", ["aside", "back"])
@pytest.mark.parametrize("completed", range(CHANGES + 1))
def test_move_interrupted_at_any_point_loses_nothing(bucket, monkeypatch, completed, direction):
    run = bucket / f"{direction}-{completed}"
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
    failing = FailingFilesystem(bucket.filesystem, completed)
    with monkeypatch.context() as patch:
        patch.setattr("ranking.storage.uris.open_root", lambda _: (failing, BUCKET))
        stage = Stage(Folder(run.uri), "labels", {"v": 2} if direction == "aside" else {"v": 1}, [])
        with pytest.raises(ConnectionAbortedError) if completed < CHANGES else contextlib.nullcontext():
            stage.begin()
    again = Stage(run, "labels", {"v": 1}, [])
    assert again.restore().rejected == len(again.rejected_parts())
    assert again.folder.read_column("query_id") == ["q1", "q2"]
    assert (again.folder / REJECTED).names() == []


def test_registry_promotes_and_rolls_back_in_a_bucket(bucket, tmp_path):
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
    verify_checksums(folder, champion.checksum)
    assert registry.rollback("run").champion == "a-1"
    assert '"rollback"' in registry.folder.read_text(CHAMPION)


def test_inputs_are_read_by_uri_which_errors_name(bucket, collection):
    from ranking.collections import read_collection
    from ranking.settings import CollectionSettings

    Folder(collection).copy_to(bucket / "facts")
    local = read_collection(CollectionSettings(source=f"beir:{collection}"), "test")
    remote = read_collection(CollectionSettings(source=f"beir:{bucket.uri}/facts"), "test")
    assert remote.fingerprint == local.fingerprint
    assert remote.documents == local.documents
    with fetched(f"{bucket.uri}/facts/qrels.tsv") as path:
        assert path.read_text() == (collection / "qrels.tsv").read_text()
    for name in ("queries.jsonl", "qrels.tsv"):
        (bucket / "bad").write_text(name, (bucket / "facts").read_text(name))
    (bucket / "bad").write_text("corpus.jsonl", "{}\n")
    with pytest.raises(InputError, match=rf"^{bucket.uri}/bad/corpus.jsonl, line 1: "):
        read_collection(CollectionSettings(source=f"beir:{bucket.uri}/bad"), "test")
    with pytest.raises(InputError, match="no such file or folder"):
        read_collection(CollectionSettings(source=f"beir:{bucket.uri}/none"), "test")


def refused(storage, variables):
    """Run a job with an unusable storage root and return its one-line error and its duration in seconds."""
    environment = {key: value for key, value in os.environ.items() if key not in VARIABLES} | variables
    command = [sys.executable, "-m", "ray_jobs.select", "configs/quickstart.yaml", "--storage", storage]
    started = time.monotonic()
    done = run_program(command, environment, 120)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line, time.monotonic() - started


@pytest.mark.parametrize(
    ("storage", "changed", "expected"),
    [
        ("s3://missing/x", {}, "there is no bucket 'missing' at http://127.0.0.1"),
        ("s3:///x", {}, "the bucket is missing, expected s3://bucket/folder"),
        ("s3://a!b/x", {}, "'a!b' is not a valid bucket name"),
        (f"s3://{BUCKET}/x", {"AWS_ACCESS_KEY_ID": "AKIANOBODY"}, "rejected at http"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": ""}, "missing: AWS_SECRET_ACCESS_KEY"),
        (f"s3://{BUCKET}/x", {"AWS_SECRET_ACCESS_KEY": "", "AWS_ACCESS_KEY_ID": ""}, "no credentials"),
        (f"s3://{BUCKET}/x", {"AWS_ENDPOINT_URL": "localhost"}, "check the network, AWS_ENDPOINT_URL"),
        (f"s3://{BUCKET}/x?region=eu-north-1", {}, "set them as environment variables"),
    ],
)
def test_unusable_bucket_is_a_one_line_error(s3, storage, changed, expected):
    line, _ = refused(storage, {**s3, **changed, "AWS_EC2_METADATA_DISABLED": "true"})
    assert expected in line


@pytest.mark.parametrize("action", ["ListBucket", "GetObject", "PutObject", "DeleteObject"])
def test_error_names_missing_permission_and_path(s3, action):
    others = {"ListBucket", "GetObject", "PutObject", "DeleteObject"} - {action}
    user = new_user(s3, f"without-{action}", [f"s3:{other}" for other in others])
    line, _ = refused(f"s3://{BUCKET}/runs", {**s3, **user})
    assert f"s3://{BUCKET}/runs/quickstart: access denied" in line
    assert f"the credentials lack s3:{action}" in line


def test_key_in_the_uri_is_refused_and_not_printed(s3):
    line, _ = refused(f"s3://AKIAKEY:hush@{BUCKET}/x", s3)
    assert "set them as environment variables" in line
    assert "hush" not in line


def test_dead_and_silent_endpoints_fail_within_seconds(s3):
    line, seconds = refused(f"s3://{BUCKET}/x", {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{free_ports(1)[0]}"})
    assert "cannot reach the service" in line
    assert seconds < 20
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line, seconds = refused(
            f"s3://{BUCKET}/x", {**s3, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        )
    assert "cannot reach the service" in line
    assert seconds < 30
