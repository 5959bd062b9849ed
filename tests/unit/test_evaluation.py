"""Runs, measures, significance and the verdict."""

import math

import pytest

from ranking.errors import InputError
from ranking.evaluation import measures
from ranking.evaluation.results import ComparisonResult, SystemResult
from ranking.evaluation.runs import order_of, read_trec, to_trec
from ranking.evaluation.significance import compare
from ranking.evaluation.verdict import decide


def test_ndcg_by_hand_and_a_query_without_results_counts_zero():
    qrels = {"q1": {"a": 3, "b": 1}, "q2": {"a": 1}}
    values = measures.per_query(qrels, {"q1": {"b": 2.0, "a": 1.0}}, ["nDCG@10", "RR@10"])
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert values["nDCG@10"] == {"q1": pytest.approx(expected), "q2": 0.0}
    assert measures.mean(values["RR@10"]) == 0.5


@pytest.mark.parametrize("run", [{"q": {}}, {}, {"q": {}, "p": {"a": 1.0}}])
def test_empty_lists_are_measured_too(run):
    values = measures.per_query({"q": {"a": 1}, "p": {"a": 1}}, run, ["nDCG@10", measures.JUDGED])
    assert values["nDCG@10"]["q"] == values[measures.JUDGED]["q"] == 0.0
    assert values["nDCG@10"]["p"] == (1.0 if "p" in run else 0.0)


def test_unknown_measures_are_named():
    with pytest.raises(InputError, match="'nDGC@10' is no measure"):
        measures.parse(["nDGC@10"])


def test_runs_round_trip_and_ties_follow_trec_eval(tmp_path):
    run = {"q1": {"a": 1.0, "c": 1.0, "b": 2.0}}
    path = tmp_path / "x.trec"
    path.write_text(to_trec(run, "x"))
    assert read_trec(path) == run
    assert order_of(run["q1"]) == ["b", "c", "a"]
    assert [line.split()[2] for line in path.read_text().splitlines()] == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q Q0 d 1 0.5\n", "line 1: 6 columns"),
        ("q Q0 d 1 nan t\n", "finite number"),
        ("q Q0 d 1 1 t\nq Q0 d 2 0 t\n", "line 2: document 'd' stands twice"),
    ],
)
def test_malformed_runs(tmp_path, text, expected):
    (tmp_path / "x.trec").write_text(text)
    with pytest.raises(InputError, match=expected):
        read_trec(tmp_path / "x.trec")


def test_randomisation_test_agrees_with_all_sign_flips():
    system, control = {"a": 0.5, "b": 0.7, "c": 0.9, "d": 0.4}, {"a": 0.4, "b": 0.5, "c": 0.6, "d": 0.5}
    differences = [system[q] - control[q] for q in system]
    seen = abs(sum(differences))
    flips = [sum(d if i >> k & 1 else -d for k, d in enumerate(differences)) for i in range(16)]
    exact = sum(abs(flip) >= seen - 1e-9 for flip in flips) / 16
    found = compare(system, control, 20_000, seed=1)
    assert found.p == pytest.approx(exact, abs=0.015)
    assert found.delta == pytest.approx(sum(differences) / 4)
    assert found.interval[0] <= found.delta <= found.interval[1]


def test_no_difference_is_not_significant():
    same = {"a": 0.5, "b": 0.7}
    assert compare(same, same, 1000, seed=1).p == 1.0


@pytest.mark.parametrize(
    ("delta", "p", "promoted", "words"),
    [(0.1, 0.01, True, "beats"), (0.1, 0.2, False, "significantly"), (-0.1, 0.01, False, "does not beat")],
)
def test_only_a_significant_gain_is_promoted(delta, p, promoted, words):
    systems = {
        "bm25": SystemResult(kind="first_stage", system="bm25", candidates=None, measures={"nDCG@10": 0.5}),
        "s@bm25": SystemResult(kind="student", system="s", candidates="bm25", measures={"nDCG@10": 0.5 + delta}),
    }
    comparisons = [ComparisonResult(system="s@bm25", control="bm25", measure="nDCG@10", delta=delta, p=p, interval=(0, 0))]
    verdict = decide(systems, comparisons, "bm25", "bm25", 0.05)
    assert (verdict.champion, verdict.promoted) == ("s", promoted)
    assert words in verdict.reason
    assert decide({"bm25": systems["bm25"]}, [], "bm25", "bm25", 0.05).champion is None
