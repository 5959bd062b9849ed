"""Losses against values worked out by hand, and what must not change them."""

import math

import pytest
import torch

from students.losses import listwise_kl, margin_mse, ranknet, score_distillation

ALL = torch.tensor([[True, True, True]])


def test_ranknet_by_hand():
    scores, targets = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    # pairs: (1, 0) with s_j - s_i = 1, and (1, 2) with -1; equal targets make no pair
    expected = (math.log(1 + math.e) + math.log(1 + math.exp(-1))) / 2
    assert ranknet(scores, targets, ALL).item() == pytest.approx(expected, rel=1e-6)


def test_margin_mse_by_hand():
    scores, targets = torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # errors 2, 0, 0; squared differences: (0,1) 4, (0,2) 4, (1,2) 0, each twice, over 6 ordered pairs
    assert margin_mse(scores, targets, ALL).item() == pytest.approx(16 / 6, rel=1e-6)


def test_listwise_kl_by_hand():
    scores, targets = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    mask = torch.tensor([[True, True]])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert listwise_kl(scores, targets, mask).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [ranknet, margin_mse, listwise_kl, score_distillation])
def test_padding_has_no_influence_on_value_or_gradient(loss):
    scores = torch.tensor([[0.5, -1.0, 2.0]], requires_grad=True)
    targets = torch.tensor([[2.0, 0.0, 1.0]])
    padded = torch.tensor([[0.5, -1.0, 2.0, 9.0]], requires_grad=True)
    padded_targets = torch.tensor([[2.0, 0.0, 1.0, 77.0]])
    short = loss(scores, targets, ALL)
    long = loss(padded, padded_targets, torch.tensor([[True, True, True, False]]))
    assert long.item() == pytest.approx(short.item(), rel=1e-6)
    short.backward()
    long.backward()
    assert torch.allclose(padded.grad[:, :3], scores.grad, atol=1e-6)
    assert padded.grad[0, 3] == 0


@pytest.mark.parametrize("loss", [ranknet, margin_mse, listwise_kl, score_distillation])
def test_shift_of_scores_and_order_of_candidates_change_nothing(loss):
    generator = torch.Generator().manual_seed(1)
    scores, targets = torch.randn(2, 5, generator=generator), torch.randn(2, 5, generator=generator)
    mask = torch.ones(2, 5, dtype=torch.bool)
    value = loss(scores, targets, mask).item()
    order = torch.tensor([3, 1, 4, 0, 2])
    assert loss(scores + 7.0, targets, mask).item() == pytest.approx(value, rel=1e-4)
    assert loss(scores[:, order], targets[:, order], mask).item() == pytest.approx(value, rel=1e-5)


def test_equal_targets_and_single_candidates_give_zero_and_no_nan():
    scores = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = ranknet(scores, torch.ones(1, 2), torch.ones(1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros(1, 2))
    alone = margin_mse(torch.tensor([[5.0]]), torch.tensor([[1.0]]), torch.tensor([[True]]))
    assert alone.item() == 0


def test_a_lists_weight_multiplies_its_part_by_hand():
    scores, targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    mask, weights = torch.ones(2, 2, dtype=torch.bool), torch.tensor([0.5, 1.0])
    # one pair a list: log(1 + e) and log 2, over two pairs
    assert ranknet(scores, targets, mask, weights).item() == pytest.approx((0.5 * math.log(1 + math.e) + math.log(2)) / 2, rel=1e-6)
    # squares 4 and 1, each twice, over four ordered pairs
    assert margin_mse(scores, targets, mask, weights).item() == pytest.approx((0.5 * 8 + 2) / 4, rel=1e-6)
    p, q = [1 / (1 + math.e), math.e / (1 + math.e)], [math.e / (1 + math.e), 1 / (1 + math.e)]
    first = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    second = math.log(2) + sum(a * math.log(a) for a in p)
    assert listwise_kl(scores, targets, mask, weights).item() == pytest.approx((0.5 * first + second) / 2, rel=1e-5)


@pytest.mark.parametrize("loss", [ranknet, margin_mse, listwise_kl, score_distillation])
def test_weights_of_one_change_nothing_and_of_zero_take_a_list_out_of_the_gradient(loss):
    generator = torch.Generator().manual_seed(2)
    scores, targets = torch.randn(2, 4, generator=generator).requires_grad_(), torch.randn(2, 4, generator=generator)
    mask = torch.ones(2, 4, dtype=torch.bool)
    assert loss(scores, targets, mask, torch.ones(2)).item() == loss(scores, targets, mask).item()
    loss(scores, targets, mask, torch.tensor([0.0, 0.5])).backward()
    assert torch.equal(scores.grad[0], torch.zeros(4))
    assert scores.grad[1].abs().sum() > 0
    whole = torch.autograd.grad(loss(scores, targets, mask), scores)[0]
    assert torch.allclose(scores.grad[1], 0.5 * whole[1], atol=1e-6)
