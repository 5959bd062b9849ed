"""Tests of metrics computed from rankings: comparisons, corrections, query slices, warnings and checks of runs."""

from dataclasses import replace

import pytest

from ranking.collections.splits import Judgements, assemble_collection
from ranking.errors import InputError
from ranking.evaluation import judgement_checks
from ranking.evaluation.comparison import as_written, measure
from ranking.evaluation.query_slices import slice_queries
from ranking.evaluation.results import SCHEMA_VERSION, Latency, Metrics, Parity
from ranking.records import Document, Query
from tests.testing.facts import ROOT
from tests.testing.kitchen_collection import DOCUMENTS, QRELS, SETTINGS, kitchen_collection, system


@pytest.fixture
def collection():
    return kitchen_collection()


def test_keys_and_schema_version_of_metrics_json_are_documented():
    text = (ROOT / "docs" / "evaluation.md").read_text()
    assert [key for key in Metrics.model_fields if f"`{key}`" not in text] == []
    assert f"`schema_version` {SCHEMA_VERSION}" in text


def test_measure_compares_systems_and_decides(collection):
    systems = [
        system("first_stage", "bm25", ["d3", "d2", "d1"]),
        system("student", "s", ["d1", "d2", "d3"], "bm25"),
        system("student", "t", ["d2", "d1", "d3"], "bm25"),
        system("run", "other", ["d1", "d3", "d2"]),
    ]
    metrics, values = measure(collection, systems, SETTINGS)
    assert values["s@bm25"]["RR@10"] == {"q1": 1.0, "q2": 1.0, "q3": 0.5, "q4": 1.0}
    assert metrics.systems["bm25"].measures["RR@10"] == pytest.approx((3 / 3 + 1 / 2) / 4)
    comparisons = {(one.system, one.measure): one for one in metrics.comparisons}
    assert set(comparisons) == {(key, name) for key in ("s@bm25", "t@bm25", "other") for name in ("RR@10", "nDCG@10")}
    pair = sorted([comparisons["s@bm25", "RR@10"].p, comparisons["t@bm25", "RR@10"].p])
    assert sorted([comparisons["s@bm25", "RR@10"].p_holm, comparisons["t@bm25", "RR@10"].p_holm]) == pytest.approx(
        [min(1, 2 * pair[0]), max(min(1, 2 * pair[0]), pair[1])]
    )
    assert comparisons["other", "RR@10"].p_holm is None
    assert [(one.system, one.baseline, one.measure) for one in metrics.pairwise_comparisons] == [
        ("s@bm25", "t@bm25", "RR@10")
    ]
    assert metrics.promotion.champion == "s"
    assert not metrics.promotion.promoted  # four queries are too few for significance
    assert metrics.notes == ["a note"]
    (warning,) = metrics.warnings
    assert "4 queries can detect a difference in RR@10 of" in warning
    assert "detecting 0.03 (evaluation.min_difference) needs about" in warning


def test_unknown_baseline_is_an_error(collection):
    with pytest.raises(InputError, match=r"'evaluation\.baseline': 'bm25' is not one of s@bm25"):
        measure(collection, [system("student", "s", ["d1"], "bm25")], SETTINGS)


def test_queries_are_assigned_to_slices(collection):
    slices = slice_queries(collection)
    assert slices["length", "1 to 3 terms"] == ["q2", "q4"]
    assert slices["length", "4 to 6 terms"] == ["q3"]
    assert slices["length", "7 terms or more"] == ["q1"]
    assert slices["form", "questions"] == ["q1", "q4"]
    assert slices["frequency", "2 to 9 times"] == ["q2"]
    assert slices["relevant documents", "low term overlap (less than half)"] == ["q3"]
    metrics, _ = measure(collection, [system("first_stage", "bm25", ["d1"])], SETTINGS)
    assert sum(one.queries for one in metrics.query_slices if one.by == "length") == 4
    (oven,) = [one for one in metrics.query_slices if one.name == "4 to 6 terms"]
    assert oven.values == {"bm25": 0.0}


def test_slices_follow_the_language(collection):
    texts = {"d1": "Die Häuser der Katzen", "d2": "Regen", "d3": "Wind"}
    collection.documents = [Document(doc_id=key, text=text) for key, text in texts.items()]
    collection.test = [Query(query_id="q1", text="warum steht ein Haus"), Query(query_id="q2", text="Katze")]
    slices = slice_queries(replace(collection, language="german"))
    assert slices["relevant documents", "low term overlap (less than half)"] == ["q1"]
    assert slices["relevant documents", "high term overlap (half or more)"] == ["q2"]
    assert slices["form", "questions"] == ["q1"]
    english = slice_queries(collection)
    assert english["relevant documents", "low term overlap (less than half)"] == ["q1", "q2"]
    assert ("form", "questions") not in english


def test_scores_are_rounded_to_single_precision():
    assert as_written({"q": {"a": 0.1}}) == {"q": {"a": pytest.approx(0.1, abs=1e-8)}}
    assert as_written({"q": {"a": 1.0, "b": 1.0 + 1e-9}})["q"] == {"a": 1.0, "b": 1.0}


def test_run_notes_count_missing_and_unknown_ids():
    run = {"q1": {"d1": 1.0, "x": 0.5}, "q9": {"d1": 1.0}}
    notes = judgement_checks.check_run("theirs", run, QRELS, set(DOCUMENTS))
    assert notes == [
        "run 'theirs': 1 of its 2 queries are not test queries and are ignored",
        "run 'theirs': has no results for 3 of 4 test queries ('q2', 'q3', 'q4'); they count as 0",
        "run 'theirs': 1 of its 2 documents are not in the collection ('x')",
    ]
    assert judgement_checks.check_run("whole", {q: {"d1": 1.0} for q in QRELS}, QRELS, set(DOCUMENTS)) == []


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (
            {"Q1": {"d1": 1.0}},
            r"run 'theirs': none of its 1 queries \('Q1'\) is among the 4 test queries \('q1', 'q2', 'q3', \.\.\.\)",
        ),
        ({"q1": {"D1": 1.0}}, r"run 'theirs': none of its 1 documents \('D1'\) is in the collection"),
    ],
)
def test_run_without_common_ids_is_an_error(run, expected):
    with pytest.raises(InputError, match=expected):
        judgement_checks.check_run("theirs", run, QRELS, set(DOCUMENTS))


def test_judged_documents_without_text_are_known():
    assert judgement_checks.check_run("theirs", {q: {"lost": 1.0} for q in ("q1",)}, {"q1": {"lost": 1}}, set()) == []


def test_queries_without_relevant_documents_are_a_note_or_an_error():
    assert (
        "1 of 2 test queries have no relevant document ('b')"
        in judgement_checks.check_qrels({"a": {"d": 1}, "b": {"d": 0}})[0]
    )
    with pytest.raises(InputError, match="none of the 1 test queries has a relevant document"):
        judgement_checks.check_qrels({"b": {"d": 0}})


def test_ties_in_the_top_ranks_are_noted():
    assert judgement_checks.check_ties("s", {"q": {"a": 1.0, "b": 0.5}}) == []
    (note,) = judgement_checks.check_ties("s", {"q": {"a": 1.0, "b": 1.0}, "r": {"a": 1.0, "b": 0.5}})
    assert note.startswith("s: 1 queries have tied scores in the top 11; ties are broken as in trec_eval")
    deep = {"q": {**{f"d{n}": float(100 - n) for n in range(11)}, "x": 1.0, "y": 1.0}}
    assert judgement_checks.check_ties("s", deep) == []


def test_duplicate_system_names_are_an_error(collection):
    with pytest.raises(InputError, match="system names must be unique"):
        measure(collection, [system("first_stage", "bm25", ["d1"]), system("run", "bm25", ["d2"])], SETTINGS)


def test_p_values_are_corrected_per_candidate_list(collection):
    systems = [
        system("first_stage", "bm25", ["d3", "d2", "d1"]),
        *(system("student", "s", ["d1"], stage) for stage in ("bm25", "fused")),
    ]
    metrics, _ = measure(collection, systems, SETTINGS)
    assert all(one.p_holm == one.p for one in metrics.comparisons)


def test_disqualified_students_are_warned_about(collection):
    systems = [
        system("first_stage", "bm25", ["d3"]),
        system("student", "s", ["d1"], "bm25"),
        system("student", "t", ["d2"], "bm25"),
    ]
    systems[1].result.parity = Parity(difference=None, passed=False)
    systems[2].result.latency_ms = Latency(p50=90, p95=120)
    metrics, _ = measure(collection, systems, SETTINGS.model_copy(update={"latency_budget_ms": 100}))
    assert metrics.warnings[:2] == [
        "s cannot be promoted: its scores differ from those recorded when it was saved (score parity failed)",
        "t takes 120 ms (p95, 50 documents), which exceeds the budget of 100 ms",
    ]


def test_judged_queries_without_text_are_skipped_and_counted():
    queries = [Query(query_id="q1", text="bread")]
    assembled_collection = assemble_collection(
        "x",
        "f",
        [Document(doc_id="d1", text="x")],
        queries,
        Judgements({"q1": {"d1": 1}, "gone": {"d1": 1}}, "x", True),
    )
    assert set(assembled_collection.qrels) == {"q1"}
    assert assembled_collection.notes == [
        "x: 1 judgements are left out; the queries file lacks their 1 queries, for example 'gone'"
    ]
