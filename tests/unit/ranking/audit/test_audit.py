"""The audit of a teacher's answers: values by hand, a teacher that does nothing, one that orders at random."""

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


def test_wilson_interval_by_hand():
    # p = 1/2, n = 4: centre 1/2, half = z sqrt(1/16 + z^2/64) / (1 + z^2/4)
    z = 1.959964
    half = z * math.sqrt(1 / 16 + z**2 / 64) / (1 + z**2 / 4)
    assert share(2, 4).interval == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert share(0, 10).interval == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert share(10, 10).interval == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert (share(0, 0).share, share(0, 0).interval) == (None, None)


def test_lists_count_alike_however_often_they_were_asked():
    found = mean_over_lists([("a", 1.0), ("a", 0.0), ("b", 1.0)], seed=1)
    assert found is not None
    assert (found.mean, found.lists) == (0.75, 2)
    assert found.interval is not None
    assert found.interval == (0.5, 1.0)  # resamples of two lists: 0.5, 0.75 and 1
    assert found == mean_over_lists([("b", 1.0), ("a", 0.0), ("a", 1.0)], seed=1)
    assert mean_over_lists([], seed=1) is None
    assert mean_over_lists([("a", 1.0)], seed=1).interval is None


def test_idle_answers_by_hand():
    found = idleness(
        [
            answered([1, 2, 3]),  # identity and in order
            answered([1, 3, 4], 4),  # in order only
            answered([2, 1, 3]),  # neither
            answered([1, 2], 4),  # too short to tell
            answered([1, 2, 3], parse_status="truncated"),  # not usable
            answered([1]),  # one document has no order
        ]
    )
    assert (found.identity.count, found.identity.of) == (1, 5)
    assert (found.in_order.count, found.in_order.of) == (2, 3)
    assert found.chance == pytest.approx(1 / 6)
    assert found.identity_chance == pytest.approx((1 / 6 + 1 / 24 + 1 / 6 + 1 / 24 + 1 / 6) / 5)
    assert not found.does_nothing


def test_identity_is_flagged_from_the_fourth_answer_and_random_orders_never():
    assert not idleness([answered([1, 2, 3])] * 3).does_nothing  # the interval begins at 0.44
    assert idleness([answered([1, 2, 3])] * 4).does_nothing  # at 0.51
    generator = random.Random(5)
    for documents in (3, 4, 20):
        orders = [generator.sample(range(1, documents + 1), documents) for _ in range(300)]
        assert not idleness([answered(order) for order in orders]).does_nothing


def test_an_idle_teacher_is_found_though_many_of_its_answers_cannot_be_used():
    mixed = [answered(range(1, 21))] * 30 + [answered([], 20, parse_status="empty")] * 70
    assert idleness(mixed).does_nothing
    assert idleness(mixed).identity.share == 0.3


def test_tau_and_overlap_by_hand():
    assert tau_of("abcd", "abcd") == 1
    assert tau_of("abcd", "dcba") == -1
    assert tau_of("abcd", "bacd") == pytest.approx(4 / 6)  # one of six pairs is turned
    assert tau_of("axbyc", "cba") == -1  # only shared documents count
    assert tau_of("ab", "bc") is None
    assert overlap_of("abcd", "cdxy") == 0.5
    assert overlap_of("a", "abcdefghij") == 0.1
    assert overlap_of("abcdefghijk", "kbcdefghij") == 0.9  # k is eleventh


def test_agreement_between_shuffles_by_hand():
    one = answered([1, 2, 3], doc_ids="abcd")  # a b c
    other = answered([4, 2, 3], doc_ids="dcba")  # a c b
    same_prompt = answered([2, 1], doc_ids="abcd")
    elsewhere = answered([1, 2, 3], list_id="p", doc_ids="abc")
    window = answered([1, 2, 3], doc_ids="bcde")
    found = shuffle_agreement([one, other, elsewhere, window], seed=1)
    assert found is not None
    assert found.pairs == 1
    assert found.tau is not None
    assert found.tau.mean == pytest.approx(1 / 3)  # of ab, ac, bc one is turned
    assert found.overlap.mean == 1.0
    assert found.overlap_chance == 0.75  # 3 of 4 documents
    assert shuffle_agreement([one, same_prompt, elsewhere, window], seed=1) is None
    assert shuffle_agreement([answered([1, 2]), answered([2, 1])], seed=1) is None  # no ids


def test_a_teacher_that_repeats_shuffled_prompts_does_not_agree_with_itself():
    generator = random.Random(3)
    prompts = [(str(number), generator.sample("abcdefghij", 10)) for number in range(100) for _ in range(2)]
    found = audit(
        [answered(range(1, 11), list_id=list_id, doc_ids=ids) for list_id, ids in prompts], shuffled=True, seed=1
    )
    assert found.agreement is not None
    assert found.agreement.tau is not None
    assert abs(found.agreement.tau.mean) < 0.1
    assert found.position is not None
    assert found.position.correlation is not None
    assert found.position.correlation.mean == 1.0
    assert found.idleness.does_nothing


def test_position_by_hand():
    found = position_bias(
        [answered([2, 1, 3], 3), answered([2], 3, list_id="p"), answered([1], 3, parse_status="refused")], seed=1
    )
    assert found is not None
    assert found.answers == 2
    assert found.counts == [[0, 1, 0], [2, 0, 0], [0, 0, 1]]
    assert found.left_out == [1, 0, 1]
    assert found.mean_place == [2.0, 1.0, 3.0]
    assert found.listed == [0.5, 1.0, 0.5]
    assert found.correlation is not None
    assert found.correlation.mean == pytest.approx(0.5)  # 1 - 6 * 2 / (3 * 8)
    assert (found.first_third, found.last_third, found.ratio) == (0.5, 0.5, 1.0)
    assert position_bias([answered([1], parse_status="refused")], seed=1) is None


def test_prompts_of_different_lengths_share_their_places():
    found = position_bias([answered([1], 1), answered([2, 1], 2, list_id="p")], seed=1)
    assert found is not None
    assert found.left_out == [0, 0]
    assert found.listed == [1.0, 1.0]
    assert (found.first_third, found.ratio) == (None, None)


@given(st.permutations(range(1, 8)).map(lambda order: order[:5]))
def test_spearman_is_the_correlation_of_ranks(order):
    ranks = [sorted(order).index(value) for value in order]
    mean = 2.0
    expected = sum((rank - mean) * (place - mean) for place, rank in enumerate(ranks)) / 10
    assert spearman(order) == pytest.approx(expected)


def test_quality_by_hand():
    grades = {"a": 3, "b": 1, "elsewhere": 0}
    found = quality(
        [
            answered([2, 1], doc_ids="ba", grades=grades),  # a b: perfect
            answered([1], list_id="p", doc_ids="ba", grades=grades),  # b alone
            answered([1, 2], list_id="unjudged", doc_ids="ba"),
            answered([1, 2], list_id="nothing relevant", doc_ids="ba", grades={"a": 0}),
        ],
        seed=1,
    )
    ideal = 3 + 1 / math.log2(3)
    assert found is not None
    assert (found.lists, found.answers) == (2, 2)
    assert found.answer == pytest.approx((1 + 1 / ideal) / 2)
    assert found.prompt == pytest.approx((1 + 3 / math.log2(3)) / ideal)
    assert found.delta == pytest.approx(found.answer - found.prompt)
    assert quality([answered([1, 2], doc_ids="ba")], seed=1) is None


def test_what_does_not_fit_together_is_no_shown_answer():
    with pytest.raises(ValueError, match="distinct places from 1 to 2"):
        answered([3], 2)
    with pytest.raises(ValueError, match="distinct places"):
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
def test_any_answers_give_an_audit_whose_numbers_hold_together(answers, shuffled):
    found = audit(answers, shuffled=shuffled, seed=1)
    assert found.answers == sum(found.parse_statuses.values()) == len(answers)
    assert found == Audit.model_validate_json(found.model_dump_json())
    assert found.idleness.in_order.of <= found.usable.count
    if found.position is not None:
        assert found.position.answers == found.usable.count
        listed = sum(len(shown.answer.order) for shown in answers if shown.usable)
        assert sum(map(sum, found.position.counts)) == listed
        assert listed + sum(found.position.left_out) == sum(shown.documents for shown in answers if shown.usable)
    if found.agreement is not None and found.agreement.tau is not None:
        assert -1 <= found.agreement.tau.mean <= 1
    if found.quality is not None:
        assert 0 <= found.quality.answer <= 1
