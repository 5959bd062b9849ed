"""Whole runs in a bucket, submitted as jobs: collection, recorded teacher, stages, training and registry are all there."""

import sys
import time

import pytest

from ranking.evaluation.trec_runs import to_trec
from ranking.records import Label
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.system.conftest import Submitted, arguments_of
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.programs import ran
from tools.s3_server import BUCKET, client_of
from tools.tiny_models import tiny_student

pytestmark = pytest.mark.timeout(900)
STAGES = (
    "queries",
    "index",
    "candidates",
    "test/candidates",
    "labels",
    "test/labels",
    "students/rra-bert",
    "evaluation",
)
ROOT_URI = f"s3://{BUCKET}/runs"
INPUT_URI = f"s3://{BUCKET}/input"


@pytest.fixture
def storage(s3, collection, monkeypatch):
    """The storage root, with a collection and a recorded run beside it."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    source = Folder(INPUT_URI)
    if not source.exists("recorded.trec"):
        Folder(collection).copy_to(source / "facts")
        order = {
            query: {doc: 1.0 if doc == answer else -float(i) for i, (doc, _) in enumerate(FACTS)}
            for query, _, answer in QUESTIONS
        }
        source.write_text("recorded.trec", to_trec(order, "elsewhere"))
    return Folder(ROOT_URI)


def submit(cluster, s3, module, run, **more):
    teacher = f'{{"kind": "recorded", "path": "{INPUT_URI}/recorded.trec"}}'
    changed = {
        "run": run,
        "storage": ROOT_URI,
        "collection.source": f"beir:{INPUT_URI}/facts",
        "teacher": teacher,
        **more,
    }
    return Submitted(cluster, module, arguments_of(changed), s3)


def objects(s3, run, *stages):
    """When each object of these stages was last written."""
    found = {}
    for stage in stages:
        listed = client_of(s3).list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{run}/{stage}/").get("Contents", [])
        found |= {item["Key"]: item["LastModified"] for item in listed}
    return found


def test_the_pipeline_runs_in_a_bucket_and_a_second_call_skips_it_all(cluster, s3, storage, tmp_path):
    students = tiny_student(tmp_path / "base")
    status, logs = submit(cluster, s3, "ray_jobs.pipeline", "whole", students=students).ended()
    assert status == "SUCCEEDED", logs[-3000:]
    run = storage / "whole"
    for stage in STAGES:
        manifest = Manifest.model_validate_json((run / stage).read_text("_manifest.json"))
        assert manifest.rows_in == manifest.rows_out + manifest.rejected
    labels = list((run / "labels").read_rows(Label))
    answers = {query: answer for query, _, answer in QUESTIONS}
    for label in labels:
        (first,) = [candidate.doc_id for candidate in label.candidates if candidate.position == 1]
        assert first == answers[label.query_id] or answers[label.query_id] not in {c.doc_id for c in label.candidates}
    assert "model.safetensors" in (run / "students/rra-bert/model").names()
    held = objects(s3, "whole", *STAGES)
    status, logs = submit(cluster, s3, "ray_jobs.pipeline", "whole", students=students).ended()
    assert status == "SUCCEEDED", logs[-3000:]
    assert logs.count("unchanged, skipped") == len(STAGES)
    assert objects(s3, "whole", *STAGES) == held


def test_a_run_that_was_killed_goes_on(cluster, s3, storage):
    first = submit(cluster, s3, "ray_jobs.label", "killed")
    deadline = time.monotonic() + 300
    while not (storage / "killed" / "candidates").exists("_started.json"):
        assert first.status in ("PENDING", "RUNNING"), first.logs
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.stop()
    run = storage / "killed"
    assert not run.exists("labels/_manifest.json")
    held = objects(s3, "killed", "queries", "index", "vectors")
    assert held
    status, logs = submit(cluster, s3, "ray_jobs.label", "killed").ended()
    assert status == "SUCCEEDED", logs[-3000:]
    assert logs.count("unchanged, skipped") == 2
    assert objects(s3, "killed", "queries", "index", "vectors") == held
    selected = {
        row["query_id"]
        for name in (run / "queries").names(".parquet")
        for row in (run / "queries").read_table(name).to_pylist()
    }
    rejected = Manifest.model_validate_json((run / "labels").read_text("_manifest.json")).rejected
    labelled = (run / "labels").read_column("query_id")
    assert len(labelled) == len(set(labelled)) == len(selected) - rejected > 0


def test_workers_without_credentials_are_told_in_one_line(cluster, s3, storage):
    call = [
        sys.executable,
        "-m",
        "ray_jobs.index",
        *arguments_of({"run": "alone", "storage": ROOT_URI, "collection.source": "pydoc"}),
    ]
    done = ran(call, {**cluster, **s3}, 300)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: on a worker of the cluster: s3://")
