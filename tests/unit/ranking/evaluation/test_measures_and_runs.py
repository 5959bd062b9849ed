"""Tests of measures and of TREC run files."""

import math
import subprocess

import numpy as np
import pytest

from ranking.errors import InputError
from ranking.evaluation import measures
from ranking.evaluation.trec_runs import order_of, read_trec, to_trec


def test_ndcg_matches_hand_computed_value():
    qrels = {"q1": {"a": 3, "b": 1}, "q2": {"a": 1}}
    values = measures.per_query(qrels, {"q1": {"b": 2.0, "a": 1.0}}, ["nDCG@10", "RR@10"])
    expected = (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    assert values["nDCG@10"] == {"q1": pytest.approx(expected), "q2": 0.0}
    assert measures.mean(values["RR@10"]) == 0.5


@pytest.mark.parametrize("run", [{"q": {}}, {}, {"q": {}, "p": {"a": 1.0}}])
def test_empty_lists_count_as_zero(run):
    values = measures.per_query({"q": {"a": 1}, "p": {"a": 1}}, run, ["nDCG@10", measures.JUDGED])
    assert values["nDCG@10"]["q"] == values[measures.JUDGED]["q"] == 0.0
    assert values["nDCG@10"]["p"] == (1.0 if "p" in run else 0.0)


def test_unknown_measure_is_an_error():
    with pytest.raises(InputError, match="'nDGC@10' is not a measure"):
        measures.parse(["nDGC@10"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alpha_nDCG@10", "'alpha_nDCG@10' needs a package that is not installed: pyndeval"),
        ("BPM", "'BPM' needs the parameter cutoff"),
        ("RBP", "'RBP' needs a package that is not installed"),
    ],
)
def test_measures_that_cannot_be_computed_are_rejected(name, expected):
    with pytest.raises(InputError, match=expected):
        measures.parse([name])


def test_a_failed_external_program_is_an_error(monkeypatch):
    def fail(*_):
        raise subprocess.CalledProcessError(2, ["perl"])

    monkeypatch.setattr(measures.ir_measures, "iter_calc", fail)
    with pytest.raises(InputError, match=r"ERR@20: the external program perl failed .* \(exit code 2\)"):
        measures.per_query({"q1": {"a": 1}}, {"q1": {"a": 1.0}}, ["ERR@20"])


def test_ids_of_any_form_can_be_measured():
    """pytrec_eval takes ids that differ after a NUL character as duplicates, and crashes on lone surrogates."""
    qrels = {"q\0a": {"d\0a": 1, "d\0b": 0}, "q\0b": {"d\ud800": 1}, "": {" ": 1}}
    run = {"q\0a": {"d\0b": 2.0, "d\0a": 1.0}, "q\0b": {"d\ud800": 1.0}, "not judged": {"d": 1.0}}
    values = measures.per_query(qrels, run, ["RR@10", "ERR@20", "Judged@10"])
    assert values["RR@10"] == {"q\0a": 0.5, "q\0b": 1.0, "": 0.0}
    assert values["ERR@20"] == {"q\0a": 0.03125, "q\0b": 0.0625, "": 0.0}  # gdeval needs numeric query ids
    assert values["Judged@10"] == {"q\0a": 1.0, "q\0b": 1.0, "": 0.0}


def test_runs_round_trip_and_ties_follow_trec_eval(tmp_path):
    run = {"q1": {"a": 1.0, "c": 1.0, "b": 2.0}}
    path = tmp_path / "x.trec"
    path.write_text(to_trec(run, "x"))
    assert read_trec(path) == run
    assert order_of(run["q1"]) == ["b", "c", "a"]
    assert [line.split()[2] for line in path.read_text().splitlines()] == ["b", "c", "a"]


def test_msmarco_run_is_ordered_by_rank(tmp_path):
    (tmp_path / "x.tsv").write_text("\ufeffq1\tb\t2\nq1\ta\t1\nq1\tc\t10\nq2\tc\t1\n")
    run = read_trec(tmp_path / "x.tsv")
    assert {query_id: order_of(scores) for query_id, scores in run.items()} == {"q1": ["a", "b", "c"], "q2": ["c"]}


def test_white_space_in_ids_is_escaped(tmp_path):
    (tmp_path / "x.trec").write_text(to_trec({"q 1": {"New\tYork": 1.0}}, "bm25 top 100"))
    assert (tmp_path / "x.trec").read_text() == "q%201 Q0 New%20York 1 1 bm25%20top%20100\n"
    assert read_trec(tmp_path / "x.trec") == {"q%201": {"New%20York": 1.0}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q Q0 d 1 0.5\n", "line 1: expected 6 columns"),
        ("q Q0 d 1 nan t\n", "finite number"),
        ("q Q0 d 1 1 t\nq Q0 d 2 0 t\n", "line 2: document 'd' appears twice"),
        ("q a 1\nq b 0.5\n", "line 2: the third of 3 columns must be a rank, not '0.5'"),
        ("q a 1\nq b 1\n", "query 'q': the third of 3 columns must have ranks that begin with 1 and differ"),
        ("q a 97\nq b 95\n", "query 'q': the third of 3 columns must have ranks that begin with 1 and differ"),
        ("q a 1\nq Q0 b 2 1 t\n", "line 2: expected 6 columns .* or 3 .*, not 6"),
    ],
)
def test_malformed_runs_are_errors(tmp_path, text, expected):
    (tmp_path / "x.trec").write_text(text)
    with pytest.raises(InputError, match=expected):
        read_trec(tmp_path / "x.trec")


def test_all_measures_break_ties_as_trec_eval():
    qrels, tied = {"q": {"x": 1}}, {"q": {"x": 1.0, "y": 1.0}}
    values = measures.per_query(qrels, tied, ["RR@10", "RR", "nDCG@10", "P@1"])
    assert order_of(tied["q"]) == ["y", "x"]
    assert [values[name]["q"] for name in ("RR@10", "RR", "P@1")] == [0.5, 0.5, 0.0]
    assert values["nDCG@10"]["q"] == pytest.approx(1 / math.log2(3))


def test_runs_keep_single_precision(tmp_path):
    run = {"q": {f"d{n}": float(np.float32(10) + np.float32(n) * np.spacing(np.float32(10))) for n in range(300)}}
    (tmp_path / "x.trec").write_text(to_trec(run, "x"))
    assert len(set(read_trec(tmp_path / "x.trec")["q"].values())) == 300


def test_counts_are_summed_and_other_measures_averaged():
    values = measures.per_query(
        {"a": {"x": 1, "y": 0}, "b": {"x": 1}},
        {"a": {"x": 2.0, "y": 1.0, "z": 0.5}, "b": {"x": 1.0}},
        ["NumRet", "P@1"],
    )
    assert measures.overall("NumRet", values["NumRet"]) == 4
    assert measures.overall("P@1", values["P@1"]) == 1
    assert measures.overall("NumRet", {}) == measures.overall("P@1", {}) == 0
