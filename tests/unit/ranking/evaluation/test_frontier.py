"""The frontier of quality and latency, as a line of text and as a table of the report."""

from ranking.evaluation.comparison import measure
from ranking.evaluation.frontier import dominating, frontier_line, timed_students
from ranking.evaluation.report.frontier_table import frontier_table
from ranking.evaluation.results import Latency, Size
from tests.testing.kitchen_collection import SETTINGS, kitchen_collection, system

BEST, MIDDLE, WORST = ["d1", "d2", "d3"], ["d2", "d1", "d3"], ["d3", "d2", "d1"]


def metrics_of(*students):
    """Return the results of students given as (name, order of documents, median latency in ms)."""
    systems = [system("first_stage", "bm25", WORST)]
    for name, order, ms in students:
        one = system("student", name, order, "bm25")
        if ms is not None:
            one.result.latency_ms, one.result.documents_per_second = Latency(p50=ms, p95=2 * ms), 50_000 / ms
            one.result.size = Size(parameters=2_000_000, bytes=8_000_000)
        systems.append(one)
    return measure(kitchen_collection(), systems, SETTINGS)[0]


def dominated(metrics):
    students = timed_students(metrics, "bm25")
    return {key: dominating(key, students, metrics.measure) for key in students}


def test_slower_and_not_better_students_are_dominated():
    metrics = metrics_of(("large", BEST, 20.0), ("small", MIDDLE, 5.0), ("slow", MIDDLE, 9.0), ("untimed", BEST, None))
    assert dominated(metrics) == {"small@bm25": None, "slow@bm25": "small@bm25", "large@bm25": None}
    assert list(timed_students(metrics, "bm25")) == ["small@bm25", "slow@bm25", "large@bm25"]


def test_students_with_the_same_quality_and_latency_share_the_frontier():
    assert dominated(metrics_of(("a", BEST, 5.0), ("b", BEST, 5.0))) == {"a@bm25": None, "b@bm25": None}
    assert dominated(metrics_of(("a", BEST, 5.0), ("b", BEST, 6.0))) == {"a@bm25": None, "b@bm25": "a@bm25"}


def test_line_names_the_frontier_and_what_dominates_the_others():
    metrics = metrics_of(("large", BEST, 20.0), ("slow", MIDDLE, 30.0))
    quality = metrics.systems["large@bm25"].measures[metrics.measure]
    assert frontier_line(metrics, "bm25") == (
        f"large ({metrics.measure} {quality:.3f}, 20.0 ms); slow is dominated by large"
    )
    assert frontier_line(metrics_of(("large", BEST, 20.0)), "bm25") is None
    assert frontier_table(metrics_of(("large", BEST, 20.0), ("b", BEST, None)), "bm25", None, None) is None


def test_table_has_latency_throughput_size_and_budget():
    metrics = metrics_of(("large", BEST, 20.0), ("slow", MIDDLE, 30.0))
    table = frontier_table(metrics, "bm25", "large@bm25", 50.0)
    rows = [[cell.text for cell in row.cells] for row in table.rows]
    assert table.columns[2:] == ["p50 ms", "p95 ms", "documents/s", "parameters", "within 50 ms", "dominated by"]
    assert [row[0] for row in rows] == ["large", "slow"]
    assert rows[0][2:] == ["20.0", "40.0", "2,500", "2.0M", "yes", ""]
    assert rows[1][2:] == ["30.0", "60.0", "1,667", "2.0M", "no", "large"]
    assert [row.winner for row in table.rows] == [True, False]
    assert "within 50 ms" not in frontier_table(metrics, "bm25", None, None).columns


def test_blended_student_counts_as_it_is_served():
    metrics = metrics_of(("large", BEST, 20.0), ("small", MIDDLE, 5.0))
    blended = metrics.systems["small@bm25"].model_copy(
        update={"kind": "blended", "system": "small.blended", "student": "small"}
    )
    metrics.systems["small.blended@bm25"] = blended
    assert list(timed_students(metrics, "bm25")) == ["small.blended@bm25", "large@bm25"]
    assert frontier_table(metrics, "bm25", None, None).rows[0].cells[0].text == "small"
    assert frontier_line(metrics, "bm25").startswith("small (")
