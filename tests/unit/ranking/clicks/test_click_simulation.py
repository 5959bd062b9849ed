"""In simulation, a scorer trained with clicks is better on head queries and no worse on the tail."""

import numpy as np
import pytest

from benchmarks import click_training
from ranking.evaluation.significance import compare


@pytest.mark.parametrize("blind_spot", ["all", "head"])
def test_clicks_help_head_queries_and_do_not_harm_the_tail(blind_spot, monkeypatch):
    monkeypatch.setattr(click_training, "STEPS", 60)
    arms = ("teacher", "teacher and clicks")
    monkeypatch.setattr(click_training, "ARMS", {arm: click_training.ARMS[arm] for arm in arms})
    teacher, mixed = click_training.measured(blind_spot, 1).values()
    assert mixed.shape == (click_training.QUERIES,)

    def compared(queries):
        return compare(
            {str(query): float(mixed[query]) for query in queries},
            {str(query): float(teacher[query]) for query in queries},
            2000,
            1,
        )

    head = compared(range(click_training.HEAD))
    assert head.delta > 0.005
    assert head.p < 0.01
    assert compared(range(click_training.HEAD, click_training.QUERIES)).lower > -0.005
    assert np.isfinite(mixed).all()
