"""From rankings to metrics: comparisons, corrections, classes, warnings; and what is odd about the files they came from."""

import json

import pytest

from ranking.collections.collection import Collection
from ranking.collections.splits import Judgements, assembled
from ranking.errors import InputError
from ranking.evaluation import judgement_checks
from ranking.evaluation.comparison import System, as_written, measure
from ranking.evaluation.query_slices import classified
from ranking.evaluation.results import Latency, Metrics, Parity, SystemResult
from ranking.evaluation.settings import EvaluationSettings
from ranking.records import Document, Query

QUERIES = {
    "q1": "how does bread rise in the oven and why",
    "q2": "bread yeast",
    "q3": "heat oven quickly please",
    "q4": "yeast?",
}
DOCUMENTS = {"d1": "Yeast makes bread rise in the oven", "d2": "An oven is heated by gas", "d3": "Cats sleep"}
QRELS = {"q1": {"d1": 2}, "q2": {"d1": 1, "d3": 0}, "q3": {"d2": 1}, "q4": {"d1": 1}}


@pytest.fixture
def collection():
    return Collection(
        name="kitchen",
        fingerprint="f",
        documents=[Document(doc_id=key, text=text) for key, text in DOCUMENTS.items()],
        log=[],
        test=[Query(query_id=key, text=text, frequency=4 if key == "q2" else 1) for key, text in QUERIES.items()],
        qrels=QRELS,
        notes=["a note"],
    )


def system(kind, name, order, candidates=None):
    run = {query_id: {doc_id: -float(place) for place, doc_id in enumerate(order)} for query_id in QUERIES}
    return System(SystemResult(kind=kind, system=name, candidates=candidates, measures={}), run)


SETTINGS = EvaluationSettings(measures=["RR@10", "nDCG@10"], first_stages=["bm25"], baseline="bm25", permutations=500)


def test_systems_are_measured_compared_and_decided_on(collection):
    systems = [
        system("first_stage", "bm25", ["d3", "d2", "d1"]),
        system("student", "s", ["d1", "d2", "d3"], "bm25"),
        system("student", "t", ["d2", "d1", "d3"], "bm25"),
        system("run", "other", ["d1", "d3", "d2"]),
    ]
    metrics, values = measure(collection, systems, SETTINGS)
    assert values["s@bm25"]["RR@10"] == {"q1": 1.0, "q2": 1.0, "q3": 0.5, "q4": 1.0}
    assert metrics.systems["bm25"].measures["RR@10"] == pytest.approx((3 / 3 + 1 / 2) / 4)
    found = {(one.system, one.measure): one for one in metrics.comparisons}
    assert set(found) == {(key, name) for key in ("s@bm25", "t@bm25", "other") for name in ("RR@10", "nDCG@10")}
    pair = sorted([found["s@bm25", "RR@10"].p, found["t@bm25", "RR@10"].p])
    assert sorted([found["s@bm25", "RR@10"].p_holm, found["t@bm25", "RR@10"].p_holm]) == pytest.approx(
        [min(1, 2 * pair[0]), max(min(1, 2 * pair[0]), pair[1])]
    )
    assert found["other", "RR@10"].p_holm is None
    assert [(duel.system, duel.control, duel.measure) for duel in metrics.duels] == [("s@bm25", "t@bm25", "RR@10")]
    assert metrics.verdict.champion == "s"
    assert not metrics.verdict.promoted  # four queries show nothing
    assert metrics.notes == ["a note"]
    (warning,) = metrics.warnings
    assert "4 queries show a difference of RR@10 from" in warning
    assert "for 0.03, which evaluation.min_difference asks for, some" in warning


def test_a_control_that_is_none_of_them_is_named(collection):
    with pytest.raises(InputError, match=r"'evaluation\.baseline': 'bm25' is none of s@bm25"):
        measure(collection, [system("student", "s", ["d1"], "bm25")], SETTINGS)


def test_queries_are_classified(collection):
    found = classified(collection)
    assert found["length", "1 to 3 terms"] == ["q2", "q4"]
    assert found["length", "4 to 6 terms"] == ["q3"]
    assert found["length", "7 terms or more"] == ["q1"]
    assert found["form", "questions"] == ["q1", "q4"]
    assert found["frequency", "2 to 9 times"] == ["q2"]
    assert found["relevant documents", "in other words (less than half)"] == ["q3"]
    metrics, _ = measure(collection, [system("first_stage", "bm25", ["d1"])], SETTINGS)
    assert sum(one.queries for one in metrics.classes if one.by == "length") == 4
    (oven,) = [one for one in metrics.classes if one.name == "4 to 6 terms"]
    assert oven.values == {"bm25": 0.0}


def test_scores_are_measured_in_the_precision_in_which_they_are_written():
    assert as_written({"q": {"a": 0.1}}) == {"q": {"a": pytest.approx(0.1, abs=1e-8)}}
    assert as_written({"q": {"a": 1.0, "b": 1.0 + 1e-9}})["q"] == {"a": 1.0, "b": 1.0}


def test_what_is_odd_about_a_run_is_counted():
    run = {"q1": {"d1": 1.0, "x": 0.5}, "q9": {"d1": 1.0}}
    notes = judgement_checks.check_run("theirs", run, QRELS, set(DOCUMENTS))
    assert notes == [
        "run 'theirs': 1 of its 2 queries are not tested here, and left out",
        "run 'theirs': has nothing for 3 of 4 test queries ('q2', 'q3', 'q4'); they count 0",
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
def test_a_run_of_something_else_is_an_error(run, expected):
    with pytest.raises(InputError, match=expected):
        judgement_checks.check_run("theirs", run, QRELS, set(DOCUMENTS))


def test_judged_documents_without_a_text_are_not_unknown():
    assert judgement_checks.check_run("theirs", {q: {"lost": 1.0} for q in ("q1",)}, {"q1": {"lost": 1}}, set()) == []


def test_queries_without_a_relevant_document_are_counted_and_all_of_them_are_an_error():
    assert (
        "1 of 2 test queries have no relevant document ('b')"
        in judgement_checks.check_qrels({"a": {"d": 1}, "b": {"d": 0}})[0]
    )
    with pytest.raises(InputError, match="none of the 1 test queries has a relevant document"):
        judgement_checks.check_qrels({"b": {"d": 0}})


def test_ties_in_the_first_places_are_told():
    assert judgement_checks.check_ties("s", {"q": {"a": 1.0, "b": 0.5}}) == []
    (note,) = judgement_checks.check_ties("s", {"q": {"a": 1.0, "b": 1.0}, "r": {"a": 1.0, "b": 0.5}})
    assert "of 1 queries; as in trec_eval" in note
    deep = {"q": {**{f"d{n}": float(100 - n) for n in range(11)}, "x": 1.0, "y": 1.0}}
    assert judgement_checks.check_ties("s", deep) == []


def test_two_systems_of_one_name_are_an_error(collection):
    with pytest.raises(InputError, match="two systems have one name"):
        measure(collection, [system("first_stage", "bm25", ["d1"]), system("run", "bm25", ["d2"])], SETTINGS)


def test_p_values_are_corrected_on_each_list_apart(collection):
    systems = [
        system("first_stage", "bm25", ["d3", "d2", "d1"]),
        *(system("student", "s", ["d1"], stage) for stage in ("bm25", "fused")),
    ]
    metrics, _ = measure(collection, systems, SETTINGS)
    assert all(one.p_holm == one.p for one in metrics.comparisons)


def test_students_that_cannot_win_are_named(collection):
    systems = [
        system("first_stage", "bm25", ["d3"]),
        system("student", "s", ["d1"], "bm25"),
        system("student", "t", ["d2"], "bm25"),
    ]
    systems[1].result.parity = Parity(difference=None, passed=False)
    systems[2].result.latency_ms = Latency(p50=90, p95=120)
    metrics, _ = measure(collection, systems, SETTINGS.model_copy(update={"latency_budget_ms": 100}))
    assert metrics.warnings[:2] == [
        "s does not score as when it was saved (score parity failed), so it cannot be promoted",
        "t takes 120 ms (p95, 50 documents), more than the budget of 100 ms",
    ]


def test_judged_queries_without_a_text_are_left_out_and_counted():
    queries = [Query(query_id="q1", text="bread")]
    found = assembled(
        "x",
        "f",
        [Document(doc_id="d1", text="x")],
        queries,
        Judgements({"q1": {"d1": 1}, "gone": {"d1": 1}}, "x", True),
    )
    assert set(found.qrels) == {"q1"}
    assert found.notes == ["1 judged queries have no text and are left out"]


def test_metrics_of_an_older_version_are_read(collection):
    metrics, _ = measure(collection, [system("first_stage", "bm25", ["d1", "d2", "d3"])], SETTINGS)
    older = {**metrics.model_dump(), "label_cost": {"labels": 3}}
    assert Metrics.model_validate_json(json.dumps(older)) == metrics
