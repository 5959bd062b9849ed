"""The listwise teacher on a real engine: a model of random weights, with and without structured output."""

import pytest

from actors.vllm.response_cache import CachedResponse
from ranking.records import Label, Rejection
from tests.system.conftest import label_facts
from tests.testing.facts import QUESTIONS
from tests.testing.metrics import settled
from tools.tiny_models import tiny_generator

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_generator(tmp_path_factory.mktemp("generator"))


def test_structured_output_makes_every_answer_of_any_model_usable(model, finished, settings, cluster):
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
    asked = [row for name in (folder / "teacher").names() for row in rows_of(folder / "teacher" / name)]
    assert len(asked) == 3 * len(labels)
    assert {row.finish_reason for row in asked} == {"stop"}
    assert len({row.raw for row in asked}) > len(labels)
    told = {
        "queries_total": len(labels),
        "seconds_count": len(labels),
        "prompt_tokens_total": sum(row.prompt_tokens for row in asked),
        "completion_tokens_total": sum(row.completion_tokens for row in asked),
    }
    assert told["prompt_tokens_total"] == manifest.tokens.prompt
    for name, wanted in told.items():
        assert settled(cluster["METRICS"], wanted, f"ray_rradistill_label_{name}", f'teacher="{model}"') == wanted, name


def test_without_it_every_bad_answer_is_asked_again_and_then_rejected_with_its_text(model, finished, settings, cluster):
    teacher = {"kind": "listwise", "model": str(model), "structured": False, "temperature": 1.0, "max_attempts": 2}
    teacher["engine"] = ENGINE
    folder, manifest = label_facts("unstructured", teacher, finished, settings, cluster)
    rejected = [row for row in (folder / "rejected").read_rows(Rejection) if row.stage == "labels"]
    assert len(rejected) == manifest.rejected == manifest.rows_in
    assert all(row.attempts == 2 and row.raw and row.reason.startswith("no usable answer: ") for row in rejected)


def test_the_own_model_answers_in_form_by_itself_and_lists_what_answers_first(finished, settings, cluster):
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
    first = [next(held.doc_id for held in row.candidates if held.position == 1) for row in labels]
    right = sum(answers[row.query] == doc_id for row, doc_id in zip(labels, first, strict=True))
    assert right >= 0.8 * len(labels)


def rows_of(folder):
    """The answers in a teacher's memory; another teacher's memory holds vectors."""
    return [
        row
        for name in folder.names(".parquet")
        if "raw" in folder.read_table(name).column_names
        for row in asked_in(folder, name)
    ]


def asked_in(folder, name):
    return [CachedResponse.model_validate(row) for row in folder.read_table(name).to_pylist()]
