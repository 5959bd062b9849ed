"""Who sees which arm: by a hash, evenly, anew for each experiment; and two orders drafted into one."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.ab_test.arm_assignment import hash_of, place_of, team_draft


def test_a_key_stays_where_it_is():
    assert place_of("user-1", "a") == pytest.approx(0.1536924217)
    assert place_of("user-1", "a") != place_of("user-1", "b") != place_of("user-2", "b")


def test_keys_are_divided_evenly_and_independently_of_other_experiments():
    keys = [f"user-{n}" for n in range(20_000)]
    below = [place_of(key, "a") < 0.3 for key in keys]
    assert sum(below) / len(keys) == pytest.approx(0.3, abs=0.01)
    both = Counter((one, place_of(key, "b") < 0.3) for one, key in zip(below, keys, strict=True))
    assert both[True, True] / len(keys) == pytest.approx(0.09, abs=0.01)


def test_any_text_has_a_hash():
    assert hash_of("\ud800") != hash_of("")


@given(st.permutations(range(7)), st.permutations(range(7)), st.text())
def test_a_drafted_order_holds_every_document_once_and_is_fair(champion, challenger, seed):
    order, teams = team_draft(champion, challenger, seed)
    assert sorted(order) == list(range(7))
    for first, second in zip(teams[0:6:2], teams[1:6:2], strict=True):
        assert {first, second} == {"champion", "challenger"}
    places = {"champion": champion, "challenger": challenger}
    taken = set()
    for document, team in zip(order, teams, strict=True):
        assert document == next(one for one in places[team] if one not in taken)
        taken.add(document)


def test_a_drafted_order_worked_out_by_hand():
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
