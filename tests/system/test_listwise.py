"""The listwise teacher on a real vLLM engine, with random weights and with minilm-list."""

import pytest

from actors.vllm.response_cache import CachedResponse
from ranking.records import Label, Rejection
from tests.testing.fact_runs import label_facts, run_label_job, run_with_labels
from tests.testing.facts import QUESTIONS
from tests.testing.metrics import wait_for_total
from tools.tiny_models import tiny_generator

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A decoder with random weights."""
    return tiny_generator(tmp_path_factory.mktemp("generator"))


def test_structured_output_makes_every_answer_usable(model, finished, settings, cluster):
    teacher = {"kind": "listwise", "model": str(model), "orders": 3, "temperature": 1.0, "max_attempts": 1}
    teacher["engine"] = ENGINE
    folder, manifest = label_facts("listwise", teacher, finished, settings, cluster)
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) == manifest.rows_in > 0
    for row in labels:
        assert row.answer.parse_status == "ok"
        assert row.answer.orders == 3
        assert 0 <= row.confidence <= 1
        assert len(row.provenance.prompt) == 16
        assert row.usage.prompt_tokens > 300
    responses = [row for name in (folder / "teacher").names() for row in rows_of(folder / "teacher" / name)]
    assert len(responses) == 3 * len(labels)
    assert {row.finish_reason for row in responses} == {"stop"}
    assert len({row.raw for row in responses}) > len(labels)
    expected = {
        "queries_total": len(labels),
        "seconds_count": len(labels),
        "prompt_tokens_total": sum(row.prompt_tokens for row in responses),
        "completion_tokens_total": sum(row.completion_tokens for row in responses),
    }
    assert expected["prompt_tokens_total"] == manifest.tokens.prompt
    for name, value in expected.items():
        metric = f"ray_rradistill_label_{name}"
        assert wait_for_total(cluster["METRICS"], value, metric, f'teacher="{model}"') == value, name


def test_unstructured_bad_answers_are_retried_then_rejected_with_text(model, finished, settings, cluster):
    teacher = {"kind": "listwise", "model": str(model), "structured": False, "temperature": 1.0, "max_attempts": 2}
    teacher["engine"] = ENGINE
    folder = run_with_labels("unstructured", finished)
    done = run_label_job("unstructured", teacher, settings, cluster)
    rejected = [row for row in (folder / "rejected").read_rows(Rejection) if row.stage == "labels"]
    lists = sum((folder / "candidates").count_rows(name) for name in (folder / "candidates").names(".parquet"))
    assert len(rejected) == lists > 0
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(
        f"error: labels: no labels, because all {lists} lists were rejected: no usable answer"
    )
    assert done.stderr.count("\n") == 1
    assert not (folder / "labels").exists("_manifest.json")
    responses = [row for name in (folder / "teacher").names() for row in rows_of(folder / "teacher" / name)]
    assert len(responses) == 2 * lists
    assert all(row.attempts == 2 and row.raw and row.reason.startswith("no usable answer: ") for row in rejected)


def test_minilm_list_answers_well_formed_and_ranks_answers_first(finished, settings, cluster):
    teacher = {
        "kind": "listwise",
        "model": "minilm-list",
        "structured": False,
        "max_attempts": 1,
        "max_document_tokens": 64,
    }
    teacher["engine"] = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16}
    folder, manifest = label_facts("minilm-list", teacher, finished, settings, cluster)
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) == manifest.rows_in > 0
    assert {row.answer.parse_status for row in labels} == {"ok"}
    answers = {query: doc_id for _, query, doc_id in QUESTIONS}
    first = [next(c.doc_id for c in row.candidates if c.position == 1) for row in labels]
    right = sum(answers[row.query] == doc_id for row, doc_id in zip(labels, first, strict=True))
    assert right >= 0.8 * len(labels)


def rows_of(folder):
    """Return the responses in a teacher's cache. Caches of embeddings have none."""
    return [
        row
        for name in folder.names(".parquet")
        if "raw" in folder.read_table(name).column_names
        for row in responses_in(folder, name)
    ]


def responses_in(folder, name):
    """Return the responses in one file of a cache."""
    return [CachedResponse.model_validate(row) for row in folder.read_table(name).to_pylist()]
