"""Losses over the pairs of candidates in a list that have different targets."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from students.losses.list_tensors import apply_weights, average_ranks, mean_of_pairs, ordered_pairs

LAMBDA_MU = 10.0
"""Weight of delta_ij in NDCG-Loss2++, see `lambda_loss`."""

LAMBDA_BEST = 4.0
"""Grade to which `lambda_loss` scales the highest target of each list."""


def ranknet(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean logistic loss over all pairs with different targets (Burges et al., ICML 2005).

        L = mean over {(i, j): t_i > t_j} of log(1 + exp(s_j - s_i))

    The mean is over all such pairs of the batch. Returns 0 if there are none.
    """
    return mean_of_pairs(_logistic(scores), ordered_pairs(targets, mask), weights)


def ranknet_by_rank(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return RankNet with higher weights for pairs at the top of the list, as in FIRST (Reddy et al., EMNLP 2024).

        L = sum over {(i, j): t_i > t_j} of w_ij log(1 + exp(s_j - s_i)) / sum of w_ij,  w_ij = 1 / (r_i + r_j)

    r_i is the rank by target, from 1. Two choices are this project's: equal targets share their mean rank, and the loss
    is divided by the sum of the weights, which makes the learning rate independent of the length of the lists.
    """
    ranks = average_ranks(targets, mask)
    by_rank = torch.where(ordered_pairs(targets, mask), 1.0 / (ranks.unsqueeze(2) + ranks.unsqueeze(1)), 0.0)
    losses = torch.where(by_rank > 0, by_rank * _logistic(scores), 0.0)
    total = by_rank.sum()
    return apply_weights(losses, weights).sum() / torch.where(total > 0, total, 1.0)


def lambda_loss(
    scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None, best_grade: float | None = LAMBDA_BEST
) -> Tensor:
    """Return LambdaLoss with the weights of NDCG-Loss2++ (Wang et al., CIKM 2018).

        L = mean over {(i, j): t_i > t_j} of (rho_ij + 10 delta_ij) |G_i - G_j| log2(1 + exp(s_j - s_i))
        G_i = (2^g_i - 1) / maxDCG,  D(r) = log2(1 + r)
        rho_ij = |1/D(r_i) - 1/D(r_j)|,  delta_ij = |1/D(|r_i - r_j|) - 1/D(|r_i - r_j| + 1)|

    r_i is the rank by score, from 1; no gradient flows through it. g_i is the target, scaled in each list to the range
    0 to `best_grade`, or unscaled if `best_grade` is None. Scaling is this project's choice: in a list of twenty
    candidates, a gain of 2^20 for the first would dominate all others.
    """
    grades = targets if best_grade is None else _scaled(targets, mask, best_grade)
    gains = torch.where(mask, 2.0 ** torch.where(mask, grades, 0.0) - 1.0, 0.0)
    positions = torch.arange(1, mask.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    ideal = (gains.sort(dim=1, descending=True).values / torch.log2(1.0 + positions)).sum(dim=1, keepdim=True)
    gains = gains / ideal.clamp(min=1e-10)
    order = scores.detach().masked_fill(~mask, -math.inf).argsort(dim=1, descending=True, stable=True)
    ranks = torch.empty_like(scores).scatter_(1, order, positions.expand_as(scores))
    discounts = 1.0 / torch.log2(1.0 + ranks)
    rho = (discounts.unsqueeze(2) - discounts.unsqueeze(1)).abs()
    distance = (ranks.unsqueeze(2) - ranks.unsqueeze(1)).abs().clamp(min=1.0)
    delta = (1.0 / torch.log2(1.0 + distance) - 1.0 / torch.log2(2.0 + distance)).abs()
    weight = (rho + LAMBDA_MU * delta) * (gains.unsqueeze(2) - gains.unsqueeze(1)).abs()
    return mean_of_pairs(weight * _logistic(scores) / math.log(2.0), ordered_pairs(targets, mask), weights)


def _logistic(scores: Tensor) -> Tensor:
    """Return log(1 + exp(s_j - s_i)) for all pairs, [lists, i, j]."""
    return functional.softplus(scores.unsqueeze(1) - scores.unsqueeze(2))


def _scaled(targets: Tensor, mask: Tensor, highest: float) -> Tensor:
    """Shift and scale the targets of each list to the range 0 to `highest`. Returns zeros if they are all equal."""
    low = targets.masked_fill(~mask, math.inf).amin(dim=1, keepdim=True)
    high = targets.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    span = torch.where(high > low, high - low, 1.0)
    return torch.where(mask, highest * (targets - low) / span, 0.0)
