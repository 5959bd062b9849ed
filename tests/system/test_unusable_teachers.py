"""Teachers without a usable answer end a job with the reasons; inputs that are too long for a model are truncated."""

import json

import pytest

from ranking.records import Label, Rejection
from ranking.storage.folder import Folder
from tests.testing.fact_runs import run_label_job
from tests.testing.facts import FACTS
from tests.testing.submitted_jobs import job_arguments
from tools.tiny_models import tiny_bert, tiny_generator

ENGINE = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def own_settings(collection, tmp_path_factory):
    """Return the storage folder and the job arguments of other runs."""
    storage = tmp_path_factory.mktemp("unusable")
    settings = {"storage": str(storage), "collection.source": f"beir:{collection}"}
    return storage, job_arguments(settings)


def assert_all_rejected(run, teacher, reason, own_settings, cluster):
    """Assert that labelling ends with exit code 2 and the reason, and that the stage is not finished."""
    done = run_label_job(run, teacher, own_settings, cluster)
    folder = Folder(own_settings[0]) / run
    rejected = [row for row in (folder / "rejected").read_rows(Rejection) if row.stage == "labels"]
    assert len(rejected) > 1
    assert done.returncode == 2, done.stderr
    expected = f"error: labels: no labels, because all {len(rejected)} lists were rejected: {reason}"
    assert done.stderr.startswith(expected), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "labels").exists("_manifest.json")
    return folder, len(rejected)


def test_recorded_teacher_without_entries_is_an_error_each_time(own_settings, cluster, tmp_path):
    (tmp_path / "other.trec").write_text(f"another-query Q0 {FACTS[0][0]} 1 1.0 run\n")
    teacher = {"kind": "recorded", "path": str(tmp_path / "other.trec")}
    reason = "the recorded file has no entry for this query"
    counts = [assert_all_rejected("recorded", teacher, reason, own_settings, cluster)[1] for _ in range(2)]
    assert counts[0] == counts[1]


def test_pointwise_teacher_with_too_short_a_context_is_an_error(own_settings, cluster, tmp_path):
    model = tiny_generator(tmp_path / "model")
    engine = {**ENGINE, "max_model_len": 32}
    teacher = {"kind": "pointwise", "form": "yes_no", "model": str(model), "engine": engine}
    assert_all_rejected("pointwise", teacher, "scores are missing for ", own_settings, cluster)


def test_pairs_that_are_too_long_for_the_model_are_truncated(own_settings, cluster, tmp_path):
    model = tiny_bert(tmp_path / "model", ["relevant"])
    config = json.loads((model / "config.json").read_text())
    tokens = 16
    (model / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": tokens}))
    assert config["max_position_embeddings"] > tokens
    teacher = {"kind": "pointwise", "form": "score", "model": str(model), "engine": ENGINE}
    done = run_label_job("truncated", teacher, own_settings, cluster)
    assert done.returncode == 0, done.stderr
    note = f"teacher.max_tokens is 256, but {model} reads {tokens}; longer inputs are truncated"
    assert " ".join(done.stdout.split()).count(note) == 1
    folder = Folder(own_settings[0]) / "truncated"
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) > 1
    assert not [row for row in (folder / "rejected").read_rows(Rejection) if row.stage == "labels"]
    assert max(label.usage.prompt_tokens / len(label.candidates) for label in labels) == tokens
