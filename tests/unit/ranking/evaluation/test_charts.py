"""Charts of the report: labels, the Pareto front and ticks."""

import re

import pytest

from ranking.evaluation.report import axes, charts


def test_labels_of_charts_that_do_not_fit_are_shortened():
    picture = charts.quality_by_latency([("<b>" + "n" * 200, "student", 5.0, 0.5)], {"short": 0.3}, "nDCG@10", None)
    assert re.search(r'class="label strong" [^>]*>&lt;b&gt;n{10,60}…<title>&lt;b&gt;n{200}</title></text>', picture)
    assert ">short</text>" in picture


def test_systems_off_the_pareto_front_are_hollow():
    points = [("fast", "student", 5.0, 0.5), ("slow", "student", 50.0, 0.4), ("good", "student", 60.0, 0.7)]
    picture = charts.quality_by_latency(points, {"bm25": 0.3}, "nDCG@10", 100)
    beaten = re.findall(r'class="dot student( beaten)?".*?<title>(\w+)', picture)
    assert beaten == [("", "fast"), (" beaten", "slow"), ("", "good")]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.17, 0.93), (-0.2, 0.9), (0.5, 0.5), (0.0, 0.0), (3, 812)])
def test_ticks_are_round_and_span_the_values(low, high):
    ticks = axes.ticks_of(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 9
    scale = axes.x_scale(low, high)
    assert axes.LEFT - 1e-6 <= scale.at(low) <= scale.at(high) <= axes.WIDTH - axes.RIGHT + 1e-6


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.3, 7), (40, 45), (9, 2000)])
def test_log_ticks_span_the_values(low, high):
    ticks = axes.log_ticks_of(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert ticks == sorted(set(ticks))
