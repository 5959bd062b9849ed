"""Losses: hand-computed values, gradients, and invariance to padding, score shifts and candidate order."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from students.losses import BY_TARGETS, LOSSES, OF_SCORES
from students.losses.list_tensors import average_ranks
from students.losses.pairwise_losses import lambda_loss

ALL = torch.tensor([[True, True, True]])
NAMES = sorted(LOSSES)
BY_ORDER = sorted(set(LOSSES) - OF_SCORES)


def softplus(x):
    """Return log(1 + exp(x))."""
    return math.log1p(math.exp(x))


def close(value):
    return pytest.approx(value, rel=1e-5)


def test_ranknet_by_hand():
    scores, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    # Pairs: (1, 0) with s_j - s_i = 1, and (1, 2) with -1. Equal targets do not form a pair.
    assert LOSSES["ranknet"](scores, targets, ALL, None).item() == close((softplus(1) + softplus(-1)) / 2)


def test_ranknet_by_rank_by_hand():
    scores, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    # Ranks 2.5, 1, 2.5: both pairs have weight 1 / 3.5.
    assert LOSSES["ranknet_by_rank"](scores, targets, ALL, None).item() == close((softplus(1) + softplus(-1)) / 2)
    targets = torch.tensor([[0.0, 2.0, 1.0]])
    # Ranks 3, 1, 2: pair (1, 0) has weight 1/4 and difference 1, (1, 2) 1/3 and -1, (2, 0) 1/5 and 2.
    expected = (softplus(1) / 4 + softplus(-1) / 3 + softplus(2) / 5) / (1 / 4 + 1 / 3 + 1 / 5)
    assert LOSSES["ranknet_by_rank"](scores, targets, ALL, None).item() == close(expected)


def test_lambda_loss_by_hand():
    scores, grades = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    mask = torch.tensor([[True, True]])
    # Ranks 2 and 1; gains 3 and 0, ideal 3, so G = 1 and 0; rho = 1 - 1/log2(3), delta = 1 - 1/log2(3).
    gap = 1 - 1 / math.log2(3)
    assert lambda_loss(scores, grades, mask, best_grade=None).item() == close(
        (gap + 10 * gap) * softplus(1) / math.log(2)
    )
    # Scaled to 0..4 the gain is 15, the ideal is 15: the same loss.
    assert lambda_loss(scores, grades, mask).item() == close(11 * gap * softplus(1) / math.log(2))


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
    # Order 1, 2, 0: log of the softmax over the remaining candidates; the last one adds 0.
    expected = -(math.log(e(3) / (e(3) + e(2) + e(1))) + math.log(e(2) / (e(2) + e(1))))
    assert LOSSES["list_mle"](scores, torch.tensor([[0.0, 2.0, 1.0]]), ALL, None).item() == close(expected)
    # 1 and 2 are tied: each competes with 0 only.
    assert LOSSES["list_mle"](scores, torch.tensor([[0.0, 1.0, 1.0]]), ALL, None).item() == close(
        softplus(-2) + softplus(-1)
    )


def test_info_nce_by_hand():
    scores, grades = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[0.0, 2.0, 0.0]])
    e = math.exp
    assert LOSSES["info_nce"](scores, grades, ALL, None).item() == close(-math.log(e(3) / (e(3) + e(2) + e(1))))
    # Two relevant candidates do not compete with each other, even with different grades.
    expected = -(math.log(e(3) / (e(3) + e(1))) + math.log(e(2) / (e(2) + e(1)))) / 2
    assert LOSSES["info_nce"](scores, torch.tensor([[0.0, 2.0, 1.0]]), ALL, None).item() == close(expected)


def test_adr_mse_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    # All approximate ranks are 2.
    expected = (1 / math.log2(2) + 0 + 1 / math.log2(4)) / 3
    assert LOSSES["adr_mse"](scores, targets, ALL, None).item() == close(expected)


def test_margin_mse_by_hand():
    scores, targets = torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # Errors 2, 0, 0. Squared differences: (0,1) 4, (0,2) 4, (1,2) 0, each twice, over 6 ordered pairs.
    assert LOSSES["margin_mse"](scores, targets, ALL, None).item() == close(16 / 6)


def test_listwise_kl_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    mask = torch.tensor([[True, True]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert LOSSES["listwise_kl"](scores, targets, mask, None).item() == close(expected)


def test_average_ranks_by_hand():
    values, mask = torch.tensor([[5.0, 7.0, 5.0, 99.0]]), torch.tensor([[True, True, True, False]])
    assert average_ranks(values, mask).tolist() == [[2.5, 1.0, 2.5, 1.0]]


def random_lists(seed, lists=2, candidates=5, dtype=torch.float64):
    """Return random scores, targets and mask."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(lists, candidates, generator=generator, dtype=dtype)
    targets = torch.randint(0, 4, (lists, candidates), generator=generator).to(dtype)
    mask = torch.rand(lists, candidates, generator=generator) < 0.8
    return scores, targets, mask


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
def test_padding_does_not_change_value_or_gradient(name, seed):
    scores, targets, mask = random_lists(seed)
    values, gradients = [], []
    for fill in (0.0, 77.0, -1e4):
        filled = scores.masked_fill(~mask, fill).requires_grad_()
        wide = torch.cat([filled, filled.new_full((2, 3), fill)], dim=1)
        loss = LOSSES[name](
            wide,
            torch.cat([targets.masked_fill(~mask, fill), targets.new_full((2, 3), fill)], dim=1),
            torch.cat([mask, mask.new_zeros(2, 3)], dim=1),
            None,
        )
        values.append(loss.item())
        gradients.append(torch.autograd.grad(loss, filled)[0])
    assert math.isfinite(values[0])
    assert values == pytest.approx([LOSSES[name](scores, targets, mask, None).item()] * 3)
    for gradient in gradients:
        assert torch.allclose(gradient, gradients[0])
        assert not gradient[~mask].any()


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000), shift=st.floats(-20, 20), order=st.permutations(range(5)))
def test_score_shift_and_candidate_order_do_not_change_the_loss(name, seed, shift, order):
    scores, targets, mask = random_lists(seed)
    value = LOSSES[name](scores, targets, mask, None).item()
    assert LOSSES[name](scores + shift, targets, mask, None).item() == pytest.approx(value, abs=1e-9)
    assert LOSSES[name](scores[:, order], targets[:, order], mask[:, order], None).item() == pytest.approx(
        value, abs=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_match_finite_differences(name):
    scores, targets, mask = random_lists(3)
    assert torch.autograd.gradcheck(
        lambda s: LOSSES[name](s, targets, mask, torch.tensor([0.3, 1.0])), scores.requires_grad_()
    )


@pytest.mark.parametrize("name", NAMES)
def test_better_order_has_lower_loss(name):
    targets = torch.tensor([[3.0, 2.0, 1.0, 0.0]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert LOSSES[name](targets, targets, mask, None) < LOSSES[name](-targets, targets, mask, None)


@pytest.mark.parametrize("name", NAMES)
def test_single_candidate_and_empty_list_add_zero(name):
    scores = torch.tensor([[5.0], [2.0]], requires_grad=True)
    loss = LOSSES[name](scores, torch.tensor([[1.0], [0.0]]), torch.tensor([[True], [False]]), None)
    loss.backward()
    assert loss.item() == 0
    assert not scores.grad.any()


@pytest.mark.parametrize("name", BY_ORDER)
def test_equal_targets_add_zero_without_nan(name):
    scores = torch.tensor([[1.0, 2.0]], requires_grad=True)
    for target in (0.0, 1.0):
        loss = LOSSES[name](scores, torch.full((1, 2), target), torch.ones(1, 2, dtype=torch.bool), None)
        assert loss.item() == 0
        assert not torch.autograd.grad(loss, scores)[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_weight_one_changes_nothing_and_weight_zero_gives_no_gradient(name):
    scores, targets, _ = random_lists(2)
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
