"""Stages of labels in which all lists are rejected. Ray's tasks run in the process of the test."""

import json

import pytest

from actors.data import streaming
from ranking.records import Rejection, TokenCounts
from ranking.runs.stages import REJECTED
from ray_jobs import label
from ray_jobs.common.run import open_run

REASONS = ["prompt has 700 tokens", "prompt has 65 tokens", "no candidates to rank"]


class InProcess:
    """Replacement for a Ray task."""

    def __init__(self, function):
        self.remote = function

    def options(self, **_):
        return self


@pytest.fixture
def stage_of(dataset, tmp_path, monkeypatch):
    """Return a function that makes a run and a stage of labels whose lists are all rejected."""
    monkeypatch.setattr(streaming, "_remote", InProcess)
    monkeypatch.setattr("ray.remote", InProcess)
    monkeypatch.setattr("ray.get", lambda value: value)
    (tmp_path / "run.trec").write_text("q0 Q0 d 1 1.0 run\n")

    def make(split, kind):
        teacher = {"kind": "recorded", "path": str(tmp_path / "run.trec")} if kind == "recorded" else {"kind": kind}
        source = ["--collection.source", f"beir:{dataset}", "--teacher", json.dumps(teacher)]
        run = open_run([str(dataset / "run.yaml"), "--storage", str(tmp_path / "runs"), *source])
        stage = run.plan.labels_of(split)
        stage.begin()
        rows = [Rejection(query_id=f"q{n}", stage="labels", reason=reason) for n, reason in enumerate(REASONS)]
        (run.folder / REJECTED).write_rows(f"{stage.rejected_prefix}a.parquet", rows)
        return run, stage

    return make


@pytest.mark.parametrize(("split", "kind"), [("log", "pointwise"), ("test", "pointwise"), ("log", "recorded")])
def test_stage_without_labels_stays_unfinished_and_has_its_reasons(split, kind, stage_of):
    run, stage = stage_of(split, kind)
    assert not label._finish(run, stage, 3, TokenCounts(), None, None)
    assert stage.manifest is None
    assert label._no_labels(stage) == (
        f"{stage.name}: no labels, because all 3 lists were rejected: prompt has 700 tokens (2); no candidates to rank "
        "(1). Correct the teacher's settings; its answers stay cached, and rejected/ lists all reasons"
    )


def test_recording_without_test_queries_is_finished(stage_of):
    run, stage = stage_of("test", "recorded")
    assert label._finish(run, stage, 3, TokenCounts(), None, None)
    assert (stage.manifest.rows_out, stage.manifest.rejected) == (0, 3)


def test_lost_lists_are_still_an_internal_error(stage_of):
    run, stage = stage_of("log", "pointwise")
    with pytest.raises(RuntimeError, match="4 queries in, but 0 rows and 3 rejections out"):
        label._finish(run, stage, 4, TokenCounts(), None, None)
