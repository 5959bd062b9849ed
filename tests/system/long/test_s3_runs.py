"""Complete runs in an S3 bucket, submitted as jobs. The collection and the recorded teacher are in the bucket too."""

import sys
import time

import pytest

from ranking.evaluation.trec_runs import to_trec
from ranking.records import Label
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.fact_runs import STAGES
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.programs import run_program
from tests.testing.submitted_jobs import SubmittedJob, job_arguments
from tools.s3_server import BUCKET, client_of
from tools.tiny_models import tiny_student

pytestmark = pytest.mark.timeout(900)
ROOT_URI = f"s3://{BUCKET}/runs"
INPUT_URI = f"s3://{BUCKET}/input"


@pytest.fixture
def storage(s3, collection, monkeypatch):
    """Return the storage root. Puts a collection and a recorded teacher into the same bucket."""
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


def submit(cluster, s3, module, run, **overrides):
    """Submit a job with storage, collection and recorded teacher in the bucket."""
    teacher = f'{{"kind": "recorded", "path": "{INPUT_URI}/recorded.trec"}}'
    settings = {
        "run": run,
        "storage": ROOT_URI,
        "collection.source": f"beir:{INPUT_URI}/facts",
        "teacher": teacher,
        **overrides,
    }
    return SubmittedJob(cluster, module, job_arguments(settings), s3)


def objects(s3, run, *stages):
    """Return the modification times of the S3 objects of these stages."""
    times = {}
    for stage in stages:
        contents = client_of(s3).list_objects_v2(Bucket=BUCKET, Prefix=f"runs/{run}/{stage}/").get("Contents", [])
        times |= {item["Key"]: item["LastModified"] for item in contents}
    return times


def test_pipeline_runs_in_a_bucket_and_a_second_run_skips_everything(cluster, s3, storage, tmp_path):
    students = tiny_student(tmp_path / "base")
    status, logs = submit(cluster, s3, "ray_jobs.pipeline", "whole", students=students).wait()
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
    before = objects(s3, "whole", *STAGES)
    status, logs = submit(cluster, s3, "ray_jobs.pipeline", "whole", students=students).wait()
    assert status == "SUCCEEDED", logs[-3000:]
    assert logs.count("unchanged, skipped") == len(STAGES)
    assert objects(s3, "whole", *STAGES) == before


def test_killed_run_resumes(cluster, s3, storage):
    first = submit(cluster, s3, "ray_jobs.label", "killed")
    deadline = time.monotonic() + 300
    while not (storage / "killed" / "candidates").exists("_started.json"):
        assert first.status in ("PENDING", "RUNNING"), first.logs
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.stop()
    run = storage / "killed"
    assert not run.exists("labels/_manifest.json")
    before = objects(s3, "killed", "queries", "index", "vectors")
    assert before
    status, logs = submit(cluster, s3, "ray_jobs.label", "killed").wait()
    assert status == "SUCCEEDED", logs[-3000:]
    assert logs.count("unchanged, skipped") == 2
    assert objects(s3, "killed", "queries", "index", "vectors") == before
    selected = {
        row["query_id"]
        for name in (run / "queries").names(".parquet")
        for row in (run / "queries").read_table(name).to_pylist()
    }
    rejected = Manifest.model_validate_json((run / "labels").read_text("_manifest.json")).rejected
    labelled = (run / "labels").read_column("query_id")
    assert len(labelled) == len(set(labelled)) == len(selected) - rejected > 0


def test_missing_credentials_on_workers_are_a_one_line_error(cluster, s3, storage):
    command = [
        sys.executable,
        "-m",
        "ray_jobs.index",
        *job_arguments({"run": "alone", "storage": ROOT_URI, "collection.source": "pydoc"}),
    ]
    done = run_program(command, {**cluster, **s3}, 300)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: on a worker of the cluster: s3://")
