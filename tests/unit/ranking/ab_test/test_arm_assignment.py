"""Arm assignment by hash, and team-draft interleaving."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.ab_test.arm_assignment import bucket_of, team_draft


def test_bucket_depends_on_key_and_experiment():
    assert bucket_of("user-1", "a") == pytest.approx(0.1536924217)
    assert bucket_of("user-1", "a") != bucket_of("user-1", "b") != bucket_of("user-2", "b")


def test_buckets_are_uniform_and_independent_between_experiments():
    keys = [f"user-{n}" for n in range(20_000)]
    below = [bucket_of(key, "a") < 0.3 for key in keys]
    assert sum(below) / len(keys) == pytest.approx(0.3, abs=0.01)
    both = Counter((in_a, bucket_of(key, "b") < 0.3) for in_a, key in zip(below, keys, strict=True))
    assert both[True, True] / len(keys) == pytest.approx(0.09, abs=0.01)


@given(st.permutations(range(7)), st.permutations(range(7)), st.text())
def test_interleaving_contains_each_document_once_and_is_fair(champion, challenger, seed):
    order, teams = team_draft(champion, challenger, seed)
    assert sorted(order) == list(range(7))
    for first, second in zip(teams[0:6:2], teams[1:6:2], strict=True):
        assert {first, second} == {"champion", "challenger"}
    rankings = {"champion": champion, "challenger": challenger}
    taken = set()
    for document, team in zip(order, teams, strict=True):
        assert document == next(candidate for candidate in rankings[team] if candidate not in taken)
        taken.add(document)


def test_interleaving_gives_only_the_four_possible_drafts():
    for seed in map(str, range(20)):
        order, teams = team_draft([0, 1, 2], [2, 1, 0], seed)
        assert (order, teams) in [
            ([0, 2, 1], ["champion", "challenger", "champion"]),
            ([0, 2, 1], ["champion", "challenger", "challenger"]),
            ([2, 0, 1], ["challenger", "champion", "champion"]),
            ([2, 0, 1], ["challenger", "champion", "challenger"]),
        ]
    assert team_draft([], [], "x") == ([], [])
    assert {team_draft([0], [0], str(seed))[1][0] for seed in range(20)} == {"champion", "challenger"}
