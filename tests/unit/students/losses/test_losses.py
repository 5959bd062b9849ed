"""Losses against values worked out by hand, and what must not change them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from students.losses import BY_TARGETS, LOSSES, OF_SCORES
from students.losses.list_tensors import average_ranks
from students.losses.pairwise import lambda_loss

ALL = torch.tensor([[True, True, True]])
NAMES = sorted(LOSSES)
BY_ORDER = sorted(set(LOSSES) - OF_SCORES)


def soft(x):
    """log(1 + exp(x))."""
    return math.log1p(math.exp(x))


def close(value):
    return pytest.approx(value, rel=1e-5)


def test_ranknet_by_hand():
    scores, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    # pairs: (1, 0) with s_j - s_i = 1, and (1, 2) with -1; equal targets make no pair
    assert LOSSES["ranknet"](scores, targets, ALL, None).item() == close((soft(1) + soft(-1)) / 2)


def test_ranknet_by_rank_by_hand():
    scores, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    # ranks 2.5, 1, 2.5: both pairs weigh 1 / 3.5
    assert LOSSES["ranknet_by_rank"](scores, targets, ALL, None).item() == close((soft(1) + soft(-1)) / 2)
    targets = torch.tensor([[0.0, 2.0, 1.0]])
    # ranks 3, 1, 2: (1, 0) weighs 1/4 with difference 1, (1, 2) 1/3 with -1, (2, 0) 1/5 with 2
    expected = (soft(1) / 4 + soft(-1) / 3 + soft(2) / 5) / (1 / 4 + 1 / 3 + 1 / 5)
    assert LOSSES["ranknet_by_rank"](scores, targets, ALL, None).item() == close(expected)


def test_lambda_loss_by_hand():
    scores, grades = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    mask = torch.tensor([[True, True]])
    # ranks 2 and 1; gains 3 and 0, ideal 3, so G = 1 and 0; rho = 1 - 1/log2(3), delta_1 = 1 - 1/log2(3)
    gap = 1 - 1 / math.log2(3)
    assert lambda_loss(scores, grades, mask, best_grade=None).item() == close((gap + 10 * gap) * soft(1) / math.log(2))
    # stretched to 0..4 the gain is 15 of 15: the same
    assert lambda_loss(scores, grades, mask).item() == close(11 * gap * soft(1) / math.log(2))


def test_listnet_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    mask = torch.tensor([[True, True]])
    assert LOSSES["listnet"](scores, targets, mask, None).item() == close(math.log(2))
    assert LOSSES["listnet"](targets, targets, mask, None).item() == close(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )


def test_list_mle_by_hand():
    scores = torch.tensor([[1.0, 3.0, 2.0]])
    e = math.exp
    # order 1, 2, 0: log of the softmax among what is left, the last one for nothing
    expected = -(math.log(e(3) / (e(3) + e(2) + e(1))) + math.log(e(2) / (e(2) + e(1))))
    assert LOSSES["list_mle"](scores, torch.tensor([[0.0, 2.0, 1.0]]), ALL, None).item() == close(expected)
    # 1 and 2 tie: each against 0 only
    assert LOSSES["list_mle"](scores, torch.tensor([[0.0, 1.0, 1.0]]), ALL, None).item() == close(soft(-2) + soft(-1))


def test_info_nce_by_hand():
    scores, grades = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    e = math.exp
    assert LOSSES["info_nce"](scores, grades, ALL, None).item() == close(-math.log(e(3) / (e(3) + e(2) + e(1))))
    # two relevant ones do not compete with each other, whatever their grades
    expected = -(math.log(e(3) / (e(3) + e(1))) + math.log(e(2) / (e(2) + e(1)))) / 2
    assert LOSSES["info_nce"](scores, torch.tensor([[0.0, 2.0, 1.0]]), ALL, None).item() == close(expected)


def test_adr_mse_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    # every approximate rank is 2
    expected = (1 / math.log2(2) + 0 + 1 / math.log2(4)) / 3
    assert LOSSES["adr_mse"](scores, targets, ALL, None).item() == close(expected)


def test_margin_mse_by_hand():
    scores, targets = torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # errors 2, 0, 0; squared differences: (0,1) 4, (0,2) 4, (1,2) 0, each twice, over 6 ordered pairs
    assert LOSSES["margin_mse"](scores, targets, ALL, None).item() == close(16 / 6)


def test_listwise_kl_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    mask = torch.tensor([[True, True]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert LOSSES["listwise_kl"](scores, targets, mask, None).item() == close(expected)


def test_average_ranks_by_hand():
    values, mask = torch.tensor([[5.0, 7.0, 5.0, 99.0]]), torch.tensor([[True, True, True, False]])
    assert average_ranks(values, mask).tolist() == [[2.5, 1.0, 2.5, 1.0]]


def drawn(seed, lists=2, candidates=5, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(lists, candidates, generator=generator, dtype=dtype)
    targets = torch.randint(0, 4, (lists, candidates), generator=generator).to(dtype)
    mask = torch.rand(lists, candidates, generator=generator) < 0.8
    return scores, targets, mask


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
def test_padding_has_no_influence_on_value_or_gradient(name, seed):
    scores, targets, mask = drawn(seed)
    values, slopes = [], []
    for filling in (0.0, 77.0, -1e4):
        filled = scores.masked_fill(~mask, filling).requires_grad_()
        wide = torch.cat([filled, filled.new_full((2, 3), filling)], dim=1)
        loss = LOSSES[name](
            wide,
            torch.cat([targets.masked_fill(~mask, filling), targets.new_full((2, 3), filling)], dim=1),
            torch.cat([mask, mask.new_zeros(2, 3)], dim=1),
            None,
        )
        values.append(loss.item())
        slopes.append(torch.autograd.grad(loss, filled)[0])
    assert math.isfinite(values[0])
    assert values == pytest.approx([LOSSES[name](scores, targets, mask, None).item()] * 3)
    for slope in slopes:
        assert torch.allclose(slope, slopes[0])
        assert not slope[~mask].any()


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000), shift=st.floats(-20, 20), order=st.permutations(range(5)))
def test_shift_of_scores_and_order_of_candidates_change_nothing(name, seed, shift, order):
    scores, targets, mask = drawn(seed)
    value = LOSSES[name](scores, targets, mask, None).item()
    assert LOSSES[name](scores + shift, targets, mask, None).item() == pytest.approx(value, abs=1e-9)
    assert LOSSES[name](scores[:, order], targets[:, order], mask[:, order], None).item() == pytest.approx(
        value, abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name):
    scores, targets, mask = drawn(3)
    assert torch.autograd.gradcheck(
        lambda s: LOSSES[name](s, targets, mask, torch.tensor([0.3, 1.0])), scores.requires_grad_()
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_better_order_costs_less(name):
    targets = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert LOSSES[name](targets, targets, mask, None) < LOSSES[name](-targets, targets, mask, None)


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_candidate_and_an_empty_list_cost_nothing(name):
    scores = torch.tensor([[5.0], [2.0]], requires_grad=True)
    loss = LOSSES[name](scores, torch.tensor([[1.0], [0.0]]), torch.tensor([[True], [False]]), None)
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("name", BY_ORDER)
def test_equal_targets_cost_nothing_and_give_no_nan(name):
    scores = torch.tensor([[1.0, 2.0]], requires_grad=True)
    for target in (0.0, 1.0):
        loss = LOSSES[name](scores, torch.full((1, 2), target), torch.ones(1, 2, dtype=torch.bool), None)
        assert loss.item() == 0
        assert not torch.autograd.grad(loss, scores)[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_one_change_nothing_and_of_zero_take_a_list_out_of_the_gradient(name):
    scores, targets, _ = drawn(2)
    scores.requires_grad_()
    mask = torch.ones(2, 5, dtype=torch.bool)
    loss = LOSSES[name]
    assert loss(scores, targets, mask, torch.ones(2)).item() == pytest.approx(loss(scores, targets, mask, None).item())
    loss(scores, targets, mask, torch.tensor([0.0, 0.5])).backward()
    assert torch.equal(scores.grad[0], torch.zeros(5, dtype=scores.dtype))
    assert scores.grad[1].abs().sum() > 0
    whole = torch.autograd.grad(loss(scores, targets, mask, None), scores)[0]
    assert torch.allclose(scores.grad[1], 0.5 * whole[1])


def test_every_kind_of_target_has_a_loss():
    assert set(BY_TARGETS) == {"tiers", "scores", "grades"}
    assert set(BY_TARGETS.values()) | OF_SCORES <= set(LOSSES)
