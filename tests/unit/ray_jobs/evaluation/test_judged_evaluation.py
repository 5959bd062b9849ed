"""The evaluation job with a recorded judge and a run of another system. Retrieval and Ray are replaced."""

import json

import pytest

from ranking.collections.qrels import read_qrels
from ranking.evaluation.results import Metrics
from ray_jobs import evaluate
from ray_jobs.common.run import Run, open_run

RUN = "q1 Q0 d2 1 3 t\nq1 Q0 d1 2 2 t\nq2 Q0 d1 1 3 t\nq2 Q0 d2 2 2 t\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A BEIR folder with a run of another system and grades of a judge, and a job without Ray and index."""
    for module, name in ((evaluate.index, "main"), (evaluate.candidates, "retrieve_for_test")):
        monkeypatch.setattr(module, name, lambda run: None)
    monkeypatch.setattr(evaluate.index, "encode_candidates", lambda run, split: None)
    monkeypatch.setattr(evaluate.systems, "time_systems", lambda *_: None)
    monkeypatch.setattr(evaluate, "first_stages", lambda run, rows: [])
    monkeypatch.setattr(evaluate, "rerankers", lambda run, rows, bases: [])
    monkeypatch.setattr(Run, "start_ray", lambda run: None)
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": d, "text": f"text of {d}"}) + "\n" for d in ("d1", "d2"))
    )
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": q, "text": f"query {q}"}) + "\n" for q in ("q1", "q2"))
    )
    (tmp_path / "qrels.tsv").write_text("q1\td1\t1\nq2\td2\t1\n")
    (tmp_path / "grades.tsv").write_text("q1\td1\t3\nq1\td2\t3\nq2\td1\t2\nq2\td2\t0\n")
    (tmp_path / "theirs.trec").write_text(RUN)
    return tmp_path


def evaluated(folder):
    """Evaluate. Returns the run and its metrics."""
    evaluation = {
        "teacher": False,
        "measures": ["nDCG@10", "P@1"],
        "baseline": "theirs",
        "runs": [{"name": "theirs", "path": str(folder / "theirs.trec")}],
        "judge": {"kind": "recorded", "path": str(folder / "grades.tsv"), "model": "an/llm"},
    }
    settings = {"run": "x", "storage": str(folder / "runs"), "students": [], "pre_ranker": None}
    settings |= {"collection": {"source": f"beir:{folder}"}, "evaluation": evaluation}
    (folder / "run.yaml").write_text(json.dumps(settings))
    run = open_run([str(folder / "run.yaml")])
    evaluate.evaluate_alone(run)
    return run, run.plan.evaluation.folder.read_model("metrics.json", Metrics)


def test_evaluation_has_both_figures_agreement_and_qrels(folder, capsys):
    run, metrics = evaluated(folder)
    theirs = metrics.systems["theirs"]
    assert (theirs.measures["P@1"], theirs.with_judge["P@1"]) == (0, 1)
    assert theirs.with_judge["nDCG@10"] == 1
    assert metrics.judge.name == "an/llm"
    assert metrics.judge.agreement.confusion == {1: [1, 0, 0, 1]}
    output = " ".join(capsys.readouterr().out.split())
    assert output.index("pairs with human grades; 2 of 2 unjudged documents") < output.index("nDCG@10 with judge")
    report = run.plan.evaluation.folder.read_text("report.md")
    assert report.index("## Agreement of the judge with human grades") < report.index("nDCG@10 with judge")
    (folder / "exported").write_text(run.plan.evaluation.folder.read_text("judge.qrels"))
    assert read_qrels(folder / "exported") == {"q1": {"d2": 3, "d1": 3}, "q2": {"d1": 2, "d2": 0}}


def test_a_finished_evaluation_shows_the_judge_again(folder, capsys):
    evaluated(folder)
    capsys.readouterr()
    evaluated(folder)
    output = " ".join(capsys.readouterr().out.split())
    assert "unchanged, skipped" in output
    assert "2 of 2 unjudged documents of the top 10 graded" in output


def test_without_qrels_the_decision_uses_the_judge_and_says_so(folder, capsys):
    (folder / "qrels.tsv").unlink()
    _, metrics = evaluated(folder)
    assert metrics.judge.alone
    assert metrics.systems["theirs"].measures["P@1"] == 1
    assert metrics.systems["theirs"].with_judge is None
    assert metrics.promotion.reason.startswith("By the judge's grades only, without human ones: ")
    assert "graded by the judge only" in " ".join(capsys.readouterr().out.split())
