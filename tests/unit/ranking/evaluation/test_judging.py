"""A judge's grades in an evaluation: which pairs, which measures, and how tables show them."""

import io

import pytest
from pydantic import TypeAdapter, ValidationError
from rich.console import Console

from ranking.errors import InputError
from ranking.evaluation import summary_table
from ranking.evaluation.comparison import measure
from ranking.evaluation.grade_scale import scale_for
from ranking.evaluation.judge_results import JudgeResult
from ranking.evaluation.judge_settings import JudgeSettings
from ranking.evaluation.judging import Judgement, agreement_sample, fill_holes, holes_of
from ranking.evaluation.measures import overall, per_query
from ranking.evaluation.recorded_grades import read_recorded_grades
from ranking.evaluation.report import ReportData, html_of, markdown_of
from ranking.evaluation.report.judge_tables import agreement_line
from ranking.evaluation.results import Metrics
from ranking.records import PairGrade
from tests.testing.kitchen_collection import QRELS, SETTINGS, kitchen_collection, system

SCALE = scale_for(QRELS, None)
HOLES = [("q1", "d2"), ("q1", "d3"), ("q2", "d2"), ("q3", "d1"), ("q3", "d3"), ("q4", "d2"), ("q4", "d3")]


def answers_of(grades):
    """Return answers: an integer is a grade, a text the status of an unusable answer."""
    return [
        PairGrade(query_id=q, doc_id=d, status="ok", grade=grade)
        if isinstance(grade, int)
        else PairGrade(query_id=q, doc_id=d, status=grade)
        for (q, d), grade in grades.items()
    ]


def judged(grades, human=QRELS, **changes):
    """Evaluate two systems with a judge. Returns the metrics and the content of the report."""
    collection = kitchen_collection()
    systems = [system("first_stage", "bm25", ["d3", "d2", "d1"]), system("student", "s", ["d1", "d2", "d3"], "bm25")]
    holes = holes_of(human, [one.run for one in systems], 10)
    result = JudgeResult(kind="llm", name="a/judge", depth=10, scale=list(SCALE.grades), holes=0, filled=0, **changes)
    judgement = Judgement(result, human, holes, answers_of(grades), SCALE, 13)
    if result.alone:
        collection.qrels = judgement.filled
    metrics, values = measure(collection, systems, SETTINGS)
    judgement.add_to(metrics, systems)
    return metrics, ReportData("r", collection, metrics, {one.key: one.run for one in systems}, values)


ALL_ZERO = dict.fromkeys(HOLES, 0)
AGREEING = {("q1", "d1"): 3, ("q2", "d1"): 2, ("q2", "d3"): 0, ("q3", "d2"): 2, ("q4", "d1"): 1}


def table_of(metrics):
    """Return the table of the terminal as text."""
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(summary_table.of(metrics))
    return " ".join(console.export_text().split())


def test_holes_are_unjudged_documents_at_the_top_of_any_run():
    qrels = {"q": {"a": 0}, "p": {"x": 1}}
    runs = [{"q": {"a": 3.0, "b": 2.0, "c": 1.0}}, {"q": {"d": 9.0, "a": 1.0}, "other": {"z": 1.0}}]
    assert holes_of(qrels, runs, 2) == [("q", "b"), ("q", "d")]
    assert holes_of(qrels, runs, 1) == [("q", "d")]


def test_human_grades_are_never_replaced():
    grades = {("q1", "d1"): 0, ("q1", "d2"): 3, ("q2", "d2"): 1, ("other", "d1"): 3}
    assert fill_holes(QRELS, grades, SCALE) == {**QRELS, "q1": {"d1": 2, "d2": 2}, "q2": {"d1": 1, "d3": 0, "d2": 0}}
    assert QRELS["q1"] == {"d1": 2}


def test_sample_is_seeded_uniform_and_limited():
    pairs = [(f"q{n}", "d") for n in range(100)]
    one = agreement_sample(pairs, 30, 1)
    assert one == agreement_sample(reversed(pairs), 30, 1) == sorted(one)
    assert len(set(one)) == 30
    assert one != agreement_sample(pairs, 30, 2)
    assert agreement_sample(pairs, 100, 1) == sorted(pairs)


def test_judges_measures_are_beside_unchanged_human_ones():
    human, _ = measure(
        kitchen_collection(),
        [system("first_stage", "bm25", ["d3", "d2", "d1"]), system("student", "s", ["d1", "d2", "d3"], "bm25")],
        SETTINGS,
    )
    grades = {**ALL_ZERO, ("q1", "d3"): 3}
    metrics, _ = judged(grades)
    assert metrics.promotion == human.promotion
    assert metrics.comparisons == human.comparisons
    assert {key: one.measures for key, one in metrics.systems.items()} == {
        key: one.measures for key, one in human.systems.items()
    }
    filled = {**QRELS, "q1": {"d1": 2, "d3": 2}}
    run = system("first_stage", "bm25", ["d3", "d2", "d1"]).run
    expected = overall("nDCG@10", per_query(filled, run, ["nDCG@10"])["nDCG@10"])
    assert metrics.systems["bm25"].with_judge["nDCG@10"] == pytest.approx(expected)
    assert metrics.systems["bm25"].with_judge["Judged@10"] == 1
    assert metrics.systems["bm25"].measures["Judged@10"] < 1
    assert (metrics.judge.holes, metrics.judge.filled) == (7, 7)


def test_unusable_answers_leave_holes_and_are_counted():
    metrics, _ = judged({**ALL_ZERO, ("q1", "d2"): "malformed", ("q2", "d2"): "no_text"})
    assert metrics.judge.statuses == {"ok": 5, "malformed": 1, "no_text": 1}
    assert (metrics.judge.holes, metrics.judge.filled) == (7, 5)
    assert any("2 of 7 unjudged documents have no usable grade" in line for line in metrics.warnings)


def test_low_or_missing_agreement_is_a_warning():
    good, _ = judged({**ALL_ZERO, **AGREEING})
    assert good.judge.agreement.binary_kappa == pytest.approx(6 / 11)
    assert not [line for line in good.warnings if line.startswith("judge")]
    bad, _ = judged({**ALL_ZERO, ("q1", "d1"): 0, ("q2", "d1"): 0, ("q2", "d3"): 3})
    assert any("binary kappa with human grades is -" in line and "below 0.4" in line for line in bad.warnings)
    none, _ = judged(ALL_ZERO)
    assert any("no pair was graded by both" in line for line in none.warnings)
    one_sided, _ = judged({**ALL_ZERO, ("q1", "d1"): 3})
    assert any("binary kappa with human grades is undefined" in line for line in one_sided.warnings)


def test_agreement_is_shown_before_the_column():
    metrics, data = judged({**ALL_ZERO, **AGREEING})
    for text in (html_of(data), markdown_of(data)):
        places = [text.index(part) for part in ("Agreement of the judge", "Grades of the judge", "RR@10 with judge")]
        assert places == sorted(places)
        assert "Human grades are never replaced, and the promotion decision uses only them" in text
    assert "0.545" in markdown_of(data)
    assert "RR@10 with judge" in table_of(metrics)
    assert "binary 0.545" in agreement_line(metrics.judge)
    assert "on 5 pairs with human grades; 7 of 7 unjudged documents" in agreement_line(metrics.judge)


def test_a_forced_judge_is_marked_in_every_table():
    metrics, data = judged({**ALL_ZERO, **AGREEING}, same_as_teacher=True)
    for text in (html_of(data), markdown_of(data), table_of(metrics)):
        assert "RR@10 with judge (= teacher)" in text
    titles = [line for line in markdown_of(data).splitlines() if line.startswith("## ") and "judge" in line]
    assert len(titles) == 2
    assert all(title.endswith("(= teacher)") for title in titles)
    assert "(the teacher's own)" in agreement_line(metrics.judge)
    assert any("evaluation.judge.force" in line for line in metrics.warnings)


def test_without_a_judge_tables_do_not_mention_it():
    metrics, _ = measure(kitchen_collection(), [system("first_stage", "bm25", ["d1"])], SETTINGS)
    assert metrics.judge is None
    assert "judge" not in table_of(metrics).replace("judged only", "").replace("Judged", "")


def test_without_human_grades_the_decision_says_so():
    human = {query_id: {} for query_id in QRELS}
    grades = {(q, d): 3 if d == "d1" else 0 for q in QRELS for d in ("d1", "d2", "d3")}
    metrics, data = judged(grades, human, alone=True)
    assert metrics.promotion.reason.startswith("By the judge's grades only, without human ones: ")
    assert any(line.startswith("there are no human grades: all measures") for line in metrics.warnings)
    assert metrics.systems["s@bm25"].measures["RR@10"] == 1
    assert metrics.systems["s@bm25"].with_judge is None
    assert "## Systems, graded by the judge only" in markdown_of(data)
    assert "graded by the judge only" in table_of(metrics)
    assert "with judge" not in table_of(metrics)


def test_metrics_with_a_judge_are_read_back():
    metrics, _ = judged({**ALL_ZERO, **AGREEING})
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics


@pytest.mark.parametrize("scale", [[0, 1, 2], [3, 2, 1, 0], [0, 1, 1, 1]])
def test_invalid_scales_are_refused(scale):
    with pytest.raises(ValidationError, match="must be four grades in ascending order"):
        TypeAdapter(JudgeSettings).validate_python({"kind": "recorded", "path": "x", "scale": scale})


def test_recorded_grades_outside_the_scale_are_an_error(tmp_path):
    path = tmp_path / "grades.tsv"
    path.write_text("q1\t0\td1\t3\nq1\t0\td2\t4\n")
    with pytest.raises(InputError, match="query 'q1', document 'd2': a judge's grade must be from 0 to 3, not 4"):
        read_recorded_grades(str(path))
