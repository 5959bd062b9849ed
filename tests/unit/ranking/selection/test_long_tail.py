"""Long-tail scores, thresholds, rejections and sampling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ranking.records import SelectedQuery
from ranking.selection.long_tail import Exclusion, Selection, keys_of_questions, rejections, score
from ranking.selection.near_duplicates import CountedForm, CountedQuery
from ranking.selection.phrasing import complexity, is_question
from ranking.selection.selection_settings import LongTailSettings, QuerySettings, ScoreWeights


def query(text, frequency=1, query_id="q", duplicates=()):
    return CountedQuery(query_id=query_id, text=text, frequency=frequency, duplicates=list(duplicates))


def test_test_questions_are_excluded_in_their_language():
    for language, tested in (("english", False), ("german", True)):
        settings = QuerySettings(long_tail=LongTailSettings(min_terms=1))
        keys = keys_of_questions(["Wann schläft die Katze?"], language)
        result = Selection(settings, 1024, keys, language=language).classify(query("wann schläft die Katzen"))
        assert isinstance(result, Exclusion) is tested, language


def selection(searches=1024, tested=(), max_sampling_key=None, sample=None, **long_tail):
    return Selection(
        QuerySettings(long_tail=LongTailSettings(**long_tail), sample=sample),
        searches,
        keys_of_questions(list(tested)),
        max_sampling_key,
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
def test_complexity_matches_hand_computed_values(text, expected):
    assert complexity(text) == pytest.approx(expected)


@given(st.text(), st.sampled_from(["english", "german", "none"]))
def test_complexity_is_between_0_and_1(text, language):
    assert 0 <= complexity(text, language) <= 1


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("german", "wie sortiere ich eine Liste", (1 + 1 + 0 + 0) / 4),  # "wie", "ich" and "eine" are stop words
        ("german", "Liste sortieren, Reihenfolge behalten", (0 + 0 + 0.5 + 0) / 4),
        ("german", "how if because", 0.0),
        ("none", "how do I sort a list", 0.0),
        ("none", "how do I sort a list?", (0 + 1 + 0 + 0) / 4),
    ],
)
def test_complexity_follows_the_language(language, text, expected):
    assert complexity(text, language) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("language", "question", "keywords"),
    [
        ("german", "warum ist das so", "Liste warum"),
        ("french", "pourquoi trier", "trier une liste"),
        ("korean", "무엇을 먹을까", "빵 만들기"),
        ("korean", "빵은 어디에 두나요", "빵 보관"),
        ("japanese", "リストはどう並べる", "リスト 並べ替え"),
        ("chinese", "列表怎么排序", "列表 排序"),
        ("none", "sort?", "why sort"),
    ],
)
def test_question_words_follow_the_language(language, question, keywords):
    assert is_question(question, language)
    assert not is_question(keywords, language)


def test_score_matches_hand_computed_values():
    # Rarity: frequency 2 of 1024 searches is 9 of 10 bits. Length: (6 - 1) / (11 - 1).
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
def test_rarity_at_its_extremes(frequency, searches, expected):
    assert score(query("a", frequency), searches, LongTailSettings()).rarity == expected


def test_weights_must_not_all_be_zero():
    with pytest.raises(ValidationError, match="must be greater than 0"):
        ScoreWeights(length=0, complexity=0, rarity=0)


@pytest.mark.parametrize(
    ("text", "frequency", "reason"),
    [
        ("json dumps", 3, "frequency 3 is above 2"),
        ("json dumps", 1, "2 terms are fewer than 4"),
        ("walk tree folders files", 2, "score 0.391 is below 0.5"),
        ("?!", 1, "the query has no words"),
        ("the trees of folders, walking?", 1, "near-duplicate of a test question"),
    ],
)
def test_excluded_query_has_a_reason(text, frequency, reason):
    result = selection(tested=["walk a tree of folders"], min_score=0.5).classify(query(text, frequency))
    assert isinstance(result, Exclusion)
    assert result.reason == reason


def test_selected_query_lists_its_near_duplicates():
    duplicates = [CountedForm(query_id="f", text="walking trees of folders", frequency=1)]
    result = selection(tested=["another question"]).classify(query("walk a tree of folders", 2, duplicates=duplicates))
    assert isinstance(result, SelectedQuery)
    assert (result.query_id, result.text, result.frequency, result.duplicates) == (
        "q",
        "walk a tree of folders",
        2,
        ["walking trees of folders"],
    )
    assert [*SelectedQuery.model_fields][:3] == ["query_id", "text", "frequency"]


def test_near_duplicates_are_rejected_with_a_reason():
    duplicates = [CountedForm(query_id="f", text="trees", frequency=1)]
    rows = rejections(query("tree", 9, duplicates=duplicates), Exclusion("too frequent", "frequency 9 is above 2"))
    assert [(kind, row.query_id, row.reason, row.raw) for kind, row in rows] == [
        ("too frequent", "q", "frequency 9 is above 2", "tree"),
        ("duplicate", "f", "duplicate of q", "trees"),
    ]
    assert [row.query_id for _, row in rejections(query("tree", 1, duplicates=duplicates), None)] == ["f"]


def test_sampling_key_limits_the_sample_and_depends_on_the_seed():
    queries = [query("a b c d e", query_id=str(n)) for n in range(50)]
    keys = [selection().sampling_key(counted) for counted in queries]
    limited = selection(max_sampling_key=sorted(keys)[9])
    selected = [counted for counted in queries if isinstance(limited.classify(counted), SelectedQuery)]
    assert len(selected) == 10
    other = Selection(QuerySettings(seed=14), 1024, frozenset())
    assert [other.sampling_key(counted) for counted in queries] != keys
