"""Promotions and the writing of label parts are killed at random moments. `kill_writers` in benchmarks kills more."""

import pytest

from benchmarks.faults.kill_writers import run

KILLS = 4


@pytest.mark.parametrize("work", ["promotion", "labels"])
def test_storage_stays_whole_while_its_writer_is_killed(work, tmp_path):
    (counts,) = run([work], ["disk"], KILLS, queries=300, seed=5, folder=tmp_path)
    assert counts.violations == []
    assert counts.moments.total() == KILLS
