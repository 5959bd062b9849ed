"""The score of a query, its parts, the thresholds and the sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ranking.records import SelectedQuery
from ranking.selection.long_tail import Exclusion, Selection, keys_of_questions, rejections, score
from ranking.selection.near_duplicates import CountedForm, CountedQuery
from ranking.selection.phrasing import complexity
from ranking.selection.settings import LongTailSettings, QuerySettings, ScoreWeights


def query(text, frequency=1, query_id="q", duplicates=()):
    return CountedQuery(query_id=query_id, text=text, frequency=frequency, duplicates=list(duplicates))


def selection(searches=1024, tested=(), last_lot=None, sample=None, **long_tail):
    return Selection(
        QuerySettings(long_tail=LongTailSettings(**long_tail), sample=sample),
        searches,
        keys_of_questions(list(tested)),
        last_lot,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sort list", 0.0),
        ("how sort list tuple", (0.5 + 1 + 0 + 0) / 4),
        ("how do I sort a list?", (1 + 1 + 0 + 0) / 4),
        ("sort list, keep order when equal", (1 / 3 + 0 + 1 + 0) / 4),
        ("os.path.join 3 parts", (0 + 0 + 0 + 1) / 4),
        ("parse iso8601 date", (0 + 0 + 0 + 0.5) / 4),
        ("리스트 정렬 어떻게 하나요", (0 + 1 + 0 + 0) / 4),
        ("???", 0.0),
    ],
)
def test_complexity_by_hand(text, expected):
    assert complexity(text) == pytest.approx(expected)


@given(st.text())
def test_complexity_is_a_share(text):
    assert 0 <= complexity(text) <= 1


def test_score_by_hand():
    # 1024 searches, 2 of them for this query: 9 bits of 10; 6 terms of 11: 5 of 10 steps
    scored = score(query("how do I sort a list?", 2), 1024, LongTailSettings(full_length=11))
    assert (scored.terms, scored.length, scored.complexity) == (6, 0.5, 0.5)
    assert scored.rarity == pytest.approx(0.9)
    assert scored.score == pytest.approx((0.5 + 0.5 + 0.9) / 3)
    weighted = score(
        query("how do I sort a list?", 2),
        1024,
        LongTailSettings(weights=ScoreWeights(length=0, complexity=1, rarity=3)),
    )
    assert weighted.score == pytest.approx((0.5 + 3 * 0.9) / 4)


@pytest.mark.parametrize(("frequency", "searches", "expected"), [(1, 1, 1.0), (8, 8, 0.0), (1, 8, 1.0)])
def test_rarity_at_its_ends(frequency, searches, expected):
    assert score(query("a", frequency), searches, LongTailSettings()).rarity == expected


def test_weights_that_are_all_zero_are_refused():
    with pytest.raises(ValidationError, match="must weigh more than 0"):
        ScoreWeights(length=0, complexity=0, rarity=0)


@pytest.mark.parametrize(
    ("text", "frequency", "reason"),
    [
        ("json dumps", 3, "frequency 3 is above 2"),
        ("json dumps", 1, "2 terms are fewer than 4"),
        ("walk tree folders files", 2, "score 0.391 is below 0.5"),
        ("?!", 1, "there are no words in it"),
        ("the trees of folders, walking?", 1, "it asks for the same as a test question"),
    ],
)
def test_why_a_query_is_left_out(text, frequency, reason):
    verdict = selection(tested=["walk a tree of folders"], min_score=0.5).judge(query(text, frequency))
    assert isinstance(verdict, Exclusion)
    assert verdict.reason == reason


def test_a_selected_query_carries_its_parts_and_its_folded_forms():
    duplicates = [CountedForm(query_id="f", text="walking trees of folders", frequency=1)]
    verdict = selection(tested=["another question"]).judge(query("walk a tree of folders", 2, duplicates=duplicates))
    assert isinstance(verdict, SelectedQuery)
    assert (verdict.query_id, verdict.text, verdict.frequency, verdict.duplicates) == (
        "q",
        "walk a tree of folders",
        2,
        ["walking trees of folders"],
    )
    assert [*SelectedQuery.model_fields][:3] == ["query_id", "text", "frequency"]


def test_folded_forms_are_accounted_for_beside_their_query():
    duplicates = [CountedForm(query_id="f", text="trees", frequency=1)]
    rows = rejections(query("tree", 9, duplicates=duplicates), Exclusion("too frequent", "frequency 9 is above 2"))
    assert [(kind, row.query_id, row.reason, row.raw) for kind, row in rows] == [
        ("too frequent", "q", "frequency 9 is above 2", "tree"),
        ("duplicate", "f", "duplicate of q", "trees"),
    ]
    assert [row.query_id for _, row in rejections(query("tree", 1, duplicates=duplicates), None)] == ["f"]


def test_a_lot_hangs_on_seed_and_query_alone():
    queries = [query("a b c d e", query_id=str(n)) for n in range(50)]
    lots = [selection().lot_of(one) for one in queries]
    limit = sorted(lots)[9]
    kept = [one for one in queries if isinstance(selection(last_lot=limit).judge(one), SelectedQuery)]
    assert len(kept) == 10
    other = Selection(QuerySettings(seed=14), 1024, frozenset())
    assert [other.lot_of(one) for one in queries] != lots
