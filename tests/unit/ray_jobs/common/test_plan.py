"""A changed setting changes the fingerprints of the stages that depend on it, and no others."""

import json

import pytest

from ray_jobs.common import plan as plan_module
from ray_jobs.common.run import open_run
from tests.testing.run_fingerprints import AFTER_LABELS, STAGES, fingerprints


def test_other_keys_of_metrics_json_only_repeat_the_evaluation(dataset, monkeypatch):
    before = fingerprints(dataset)
    monkeypatch.setattr(plan_module, "SCHEMA_VERSION", plan_module.SCHEMA_VERSION + 1)
    after = fingerprints(dataset)
    assert {name for name in before if before[name] != after[name]} == {"evaluation"}


@pytest.mark.parametrize(
    ("setting", "value", "changed"),
    [
        ("evaluation.seed", "14", {"evaluation"}),
        ("evaluation.first_stages", '["bm25"]', {"test/labels", "evaluation"}),
        ("training.validation_fraction", "0.2", {*AFTER_LABELS}),
        ("training.epochs", "3", {"student", "evaluation"}),
        ("training.confidence.min_confidence", "0.5", {"student", "evaluation"}),
        ("rationales.kind", "extractive", {"rationales"}),
        ("pre_ranker.top", "5", {*AFTER_LABELS}),
        ("passages", "{}", {*AFTER_LABELS, "test/labels"}),
        ("teacher.max_tokens", "64", {*AFTER_LABELS, "test/labels", "teacher cache"}),
        ("queries.long_tail.min_terms", "2", {"queries", "candidates", *AFTER_LABELS}),
        ("candidates.depth", "20", {"candidates", "test/candidates", "test/labels", *AFTER_LABELS}),
        ("collection.language", "german", set(STAGES) - {"teacher cache"}),
        ("collection.language", "english", set()),
        ("training.clicks", "null", set()),
        ("clicks.depth", "20", set()),
        ("serving.port", "9000", set()),
        ("serving.replicas", "3", {"evaluation"}),
        ("compute.engine_hour_price", "2", {"evaluation"}),
        ("compute.cpu_actors", "1", set()),
        ("storage", "elsewhere", {"teacher cache"}),
    ],
)
def test_setting_changes_only_dependent_stages(setting, value, changed, dataset, monkeypatch):
    monkeypatch.chdir(dataset)
    before, after = fingerprints(dataset), fingerprints(dataset, f"--{setting}", value)
    assert {name for name in before if before[name] != after[name]} == changed


def test_candidates_depend_on_the_engine_but_not_on_keys_or_retries(dataset, monkeypatch):
    def with_engine(**changes):
        engine = {"kind": "http_search", "url": "http://engine/search", "body": {"q": "{query}"}, **changes}
        return fingerprints(dataset, "--candidates.retrievers", json.dumps([engine]))

    before = with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"})
    monkeypatch.setenv("ENGINE_KEY", "another")
    assert with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"}, retries=1, concurrency=2) == before
    after = with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"}, body={"q": "{query}", "filter": "x"})
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"candidates", "test/candidates", "test/labels", *AFTER_LABELS}


def test_language_changes_a_student_of_other_labels(dataset, monkeypatch):
    monkeypatch.setattr(plan_module, "finished_manifest", lambda *_: None)
    monkeypatch.setattr(plan_module, "merged_fingerprint", lambda *_: "labels")
    arguments = [str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset / "r")]
    arguments += ["--training.labels", '["elsewhere"]']
    runs = [open_run([*arguments, "--collection.language", language]) for language in ("english", "german")]
    english, german = (run.plan.student(run.settings.students[0]) for run in runs)
    assert english.fingerprint != german.fingerprint
    assert "language" not in english.settings
    assert german.settings["language"] == "german"


def test_another_revision_of_a_hub_model_changes_the_stages_that_use_it(dataset):
    def changed(section, value):
        values = [{**value, "revision": revision} for revision in ("v1", "v2")]
        if section in ("students", "candidates.retrievers", "evaluation.models"):
            values = [[one] for one in values]
        before, after = (fingerprints(dataset, f"--{section}", json.dumps(one)) for one in values)
        return {name for name in before if before[name] != after[name]}

    test_lists = {"test/candidates", "test/labels"}
    assert changed("teacher", {"kind": "listwise", "model": "a/b"}) == {*AFTER_LABELS, "test/labels", "teacher cache"}
    assert changed("pre_ranker", {"model": "a/b"}) == AFTER_LABELS
    assert changed("candidates.retrievers", {"kind": "dense", "model": "a/b"}) == {
        "candidates",
        *test_lists,
        *AFTER_LABELS,
    }
    assert changed("rationales", {"kind": "llm", "model": "a/b"}) == {"rationales"}
    assert changed("students", {"kind": "rra_bert", "base": "a/b"}) == {"student", "evaluation"}
    assert changed("evaluation.models", {"name": "other", "model": "a/b"}) == {"evaluation"}


def test_preset_can_be_set_by_a_flag(dataset):
    run = open_run(
        [str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--teacher.preset", "bge-reranker-v2-m3"]
    )
    assert (run.settings.teacher.form, run.settings.teacher.max_tokens) == ("score", 1024)


def test_passages_are_in_no_fingerprint_if_they_are_off(dataset):
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset)])
    stages = [stage(run) for stage in STAGES.values() if stage] + [run.plan.audit]
    assert not any("passages" in stage.settings or "passage_encoder" in stage.settings for stage in stages)


def test_encoder_that_chooses_passages_changes_the_labels_of_test_queries(dataset):
    def test_labels(model, *overrides):
        pre_ranker = ("--pre_ranker", json.dumps({"model": model}))
        return fingerprints(dataset, *pre_ranker, *overrides)["test/labels"]

    assert test_labels("a/b") == test_labels("a/c")
    assert test_labels("a/b", "--passages", "{}") != test_labels("a/c", "--passages", "{}")
    shorter = test_labels("a/b", "--passages", '{"tokens": 100}')
    assert shorter != test_labels("a/b", "--passages", "{}")
    with_audit = [
        open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--passages", passages])
        for passages in ("null", "{}")
    ]
    assert len({run.plan.audit.fingerprint for run in with_audit}) == 2
