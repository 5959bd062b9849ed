"""The audit of a teacher's answers: hand-computed values, idle teachers and random teachers."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.audit.agreement import overlap_of, shuffle_agreement, tau_of
from ranking.audit.audit_report import Audit, audit
from ranking.audit.estimates import mean_over_lists, share
from ranking.audit.idleness import idleness
from ranking.audit.position import position_bias, spearman
from ranking.audit.quality import quality
from ranking.audit.shown_answers import ShownAnswer
from ranking.labels.listwise_answers import ParsedAnswer, read_answer
from ranking.records import ParseStatus


def answered(order, documents=None, *, list_id="q", doc_ids=None, grades=None, parse_status: ParseStatus = "ok"):
    documents = documents or len(doc_ids or order)
    answer = ParsedAnswer(parse_status, tuple(order), 0, 0, documents - len(order))
    return ShownAnswer(list_id, documents, answer, tuple(doc_ids) if doc_ids else None, grades)


def test_wilson_interval_matches_the_formula():
    # p = 1/2, n = 4: centre 1/2, half = z sqrt(1/16 + z^2/64) / (1 + z^2/4)
    z = 1.959964
    half = z * math.sqrt(1 / 16 + z**2 / 64) / (1 + z**2 / 4)
    assert share(2, 4).interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share(10, 10).interval == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert (share(0, 0).share, share(0, 0).interval) == (None, None)


def test_lists_have_equal_weight_despite_different_numbers_of_values():
    result = mean_over_lists([("a", 1.0), ("a", 0.0), ("b", 1.0)], seed=1)
    assert result is not None
    assert (result.mean, result.lists) == (0.75, 2)
    assert result.interval is not None
    assert result.interval == (0.5, 1.0)  # resamples of two lists: 0.5, 0.75 and 1
    assert result == mean_over_lists([("b", 1.0), ("a", 0.0), ("a", 1.0)], seed=1)
    assert mean_over_lists([], seed=1) is None
    assert mean_over_lists([("a", 1.0)], seed=1).interval is None


def test_idleness_counts_and_chances():
    result = idleness(
        [
            answered([1, 2, 3]),  # identity and in order
            answered([1, 3, 4], 4),  # in order only
            answered([2, 1, 3]),  # neither
            answered([1, 2], 4),  # fewer than three listed
            answered([1, 2, 3], parse_status="truncated"),  # not usable
            answered([1]),  # one document has no order
        ]
    )
    assert (result.identity.count, result.identity.of) == (1, 5)
    assert (result.in_order.count, result.in_order.of) == (2, 3)
    assert result.chance == pytest.approx(1 / 6)
    assert result.identity_chance == pytest.approx((1 / 6 + 1 / 24 + 1 / 6 + 1 / 24 + 1 / 6) / 5)
    assert not result.does_nothing


def test_four_idle_answers_are_flagged_but_random_orders_are_not():
    assert not idleness([answered([1, 2, 3])] * 3).does_nothing  # the interval begins at 0.44
    assert idleness([answered([1, 2, 3])] * 4).does_nothing  # it begins at 0.51
    generator = random.Random(5)
    for documents in (3, 4, 20):
        orders = [generator.sample(range(1, documents + 1), documents) for _ in range(300)]
        assert not idleness([answered(order) for order in orders]).does_nothing


def test_idle_teacher_is_flagged_despite_many_unusable_answers():
    mixed = [answered(range(1, 21))] * 30 + [answered([], 20, parse_status="empty")] * 70
    assert idleness(mixed).does_nothing
    assert idleness(mixed).identity.share == 0.3


def test_tau_and_overlap():
    assert tau_of("abcd", "abcd") == 1
    assert tau_of("abcd", "dcba") == -1
    assert tau_of("abcd", "bacd") == pytest.approx(4 / 6)  # one of six pairs is discordant
    assert tau_of("axbyc", "cba") == -1  # only shared documents count
    assert tau_of("ab", "bc") is None
    assert overlap_of("abcd", "cdxy") == 0.5
    assert overlap_of("a", "abcdefghij") == 0.1
    assert overlap_of("abcdefghijk", "kbcdefghij") == 0.9  # k is eleventh


def test_agreement_compares_shuffles_of_one_list():
    one = answered([1, 2, 3], doc_ids="abcd")  # a b c
    other = answered([4, 2, 3], doc_ids="dcba")  # a c b
    same_prompt = answered([2, 1], doc_ids="abcd")
    elsewhere = answered([1, 2, 3], list_id="p", doc_ids="abc")
    window = answered([1, 2, 3], doc_ids="bcde")
    result = shuffle_agreement([one, other, elsewhere, window], seed=1)
    assert result is not None
    assert result.pairs == 1
    assert result.tau is not None
    assert result.tau.mean == pytest.approx(1 / 3)  # one of ab, ac, bc is discordant
    assert result.overlap.mean == 1.0
    assert result.overlap_chance == 0.75  # 3 of 4 documents
    assert shuffle_agreement([one, same_prompt, elsewhere, window], seed=1) is None
    assert shuffle_agreement([answered([1, 2]), answered([2, 1])], seed=1) is None  # no ids


def test_idle_teacher_does_not_agree_with_itself():
    generator = random.Random(3)
    prompts = [(str(number), generator.sample("abcdefghij", 10)) for number in range(100) for _ in range(2)]
    result = audit(
        [answered(range(1, 11), list_id=list_id, doc_ids=ids) for list_id, ids in prompts], shuffled=True, seed=1
    )
    assert result.agreement is not None
    assert result.agreement.tau is not None
    assert abs(result.agreement.tau.mean) < 0.1
    assert result.position is not None
    assert result.position.correlation is not None
    assert result.position.correlation.mean == 1.0
    assert result.idleness.does_nothing


def test_position_counts_and_correlation():
    result = position_bias(
        [answered([2, 1, 3], 3), answered([2], 3, list_id="p"), answered([1], 3, parse_status="refused")], seed=1
    )
    assert result is not None
    assert result.answers == 2
    assert result.counts == [[0, 1, 0], [2, 0, 0], [0, 0, 1]]
    assert result.left_out == [1, 0, 1]
    assert result.mean_place == [2.0, 1.0, 3.0]
    assert result.listed == [0.5, 1.0, 0.5]
    assert result.correlation is not None
    assert result.correlation.mean == pytest.approx(0.5)  # 1 - 6 * 2 / (3 * 8)
    assert (result.first_third, result.last_third, result.ratio) == (0.5, 0.5, 1.0)
    assert position_bias([answered([1], parse_status="refused")], seed=1) is None


def test_prompts_of_different_lengths_share_positions():
    result = position_bias([answered([1], 1), answered([2, 1], 2, list_id="p")], seed=1)
    assert result is not None
    assert result.left_out == [0, 0]
    assert result.listed == [1.0, 1.0]
    assert (result.first_third, result.ratio) == (None, None)


@given(st.permutations(range(1, 8)).map(lambda order: order[:5]))
def test_spearman_is_the_correlation_of_ranks(order):
    ranks = [sorted(order).index(value) for value in order]
    mean = 2.0
    expected = sum((rank - mean) * (place - mean) for place, rank in enumerate(ranks)) / 10
    assert spearman(order) == pytest.approx(expected)


def test_quality_averages_ndcg_over_judged_lists():
    grades = {"a": 3, "b": 1, "elsewhere": 0}
    result = quality(
        [
            answered([2, 1], doc_ids="ba", grades=grades),  # a b: perfect
            answered([1], list_id="p", doc_ids="ba", grades=grades),  # b alone
            answered([1, 2], list_id="unjudged", doc_ids="ba"),
            answered([1, 2], list_id="nothing relevant", doc_ids="ba", grades={"a": 0}),
        ],
        seed=1,
    )
    ideal = 3 + 1 / math.log2(3)
    assert result is not None
    assert (result.lists, result.answers) == (2, 2)
    assert result.answer == pytest.approx((1 + 1 / ideal) / 2)
    assert result.prompt == pytest.approx((1 + 3 / math.log2(3)) / ideal)
    assert result.delta == pytest.approx(result.answer - result.prompt)
    assert quality([answered([1, 2], doc_ids="ba")], seed=1) is None


def test_inconsistent_shown_answers_raise_an_error():
    with pytest.raises(ValueError, match="distinct positions from 1 to 2"):
        answered([3], 2)
    with pytest.raises(ValueError, match="distinct positions"):
        answered([1, 1], 2)
    with pytest.raises(ValueError, match="2 distinct document ids"):
        answered([1], 2, doc_ids="aa")


@st.composite
def shown_answers(draw):
    documents = draw(st.integers(1, 12))
    doc_ids = draw(st.none() | st.permutations([f"d{number}" for number in range(documents)]).map(tuple))
    pieces = st.integers(0, documents + 2).map(lambda number: f"[{number}]") | st.sampled_from(
        ["", "1. ", "sorry, I cannot", "<think>", "["]
    )
    raw = draw(st.lists(pieces, max_size=14).map(" > ".join))
    grades = draw(
        st.none() | st.dictionaries(st.sampled_from([f"d{number}" for number in range(14)]), st.integers(-1, 3))
    )
    return ShownAnswer(draw(st.sampled_from("pq")), documents, read_answer(raw, documents), doc_ids, grades)


@settings(max_examples=60)
@given(st.lists(shown_answers(), max_size=6), st.booleans())
def test_numbers_of_any_audit_are_consistent(answers, shuffled):
    result = audit(answers, shuffled=shuffled, seed=1)
    assert result.answers == sum(result.parse_statuses.values()) == len(answers)
    assert result == Audit.model_validate_json(result.model_dump_json())
    assert result.idleness.in_order.of <= result.usable.count
    if result.position is not None:
        assert result.position.answers == result.usable.count
        listed = sum(len(shown.answer.order) for shown in answers if shown.usable)
        assert sum(map(sum, result.position.counts)) == listed
        assert listed + sum(result.position.left_out) == sum(shown.documents for shown in answers if shown.usable)
    if result.agreement is not None and result.agreement.tau is not None:
        assert -1 <= result.agreement.tau.mean <= 1
    if result.quality is not None:
        assert 0 <= result.quality.answer <= 1
