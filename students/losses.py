"""Losses over lists of candidates, one pure function each.

scores, targets: [lists, candidates], float. mask: same shape, bool, True where a candidate is real.
weights: [lists], float, by which each list's part is multiplied; None for ones. They are no part of the mean's
denominator, so a batch of doubtful lists moves the student less than one of sure ones.
Each returns a scalar, the mean over lists; what is masked has no influence.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ranknet(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean logistic loss over the pairs that the targets order (Burges et al., ICML 2005).

        L = mean over {(i, j): t_i > t_j} of log(1 + exp(s_j - s_i))

    The mean is over all such pairs of the batch. Equal targets make no pair; 0 where there is no pair.
    """
    ordered = (targets.unsqueeze(2) > targets.unsqueeze(1)) & _pairs(mask)
    losses = functional.softplus(scores.unsqueeze(1) - scores.unsqueeze(2))
    return _weighted(torch.where(ordered, losses, 0.0), weights).sum() / ordered.sum().clamp(min=1)


def margin_mse(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean squared error of all score differences within a list (Hofstätter et al., 2020).

        L = mean over {(i, j): i != j} of ((s_i - s_j) - (t_i - t_j))^2

    The source takes one positive and one negative; here every pair of a list counts. 0 where there is no pair.
    """
    pairs = _pairs(mask) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    errors = torch.where(mask, scores - targets, 0.0)
    squares = (errors.unsqueeze(2) - errors.unsqueeze(1)) ** 2
    return _weighted(torch.where(pairs, squares, 0.0), weights).sum() / pairs.sum().clamp(min=1)


def listwise_kl(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence of the student's softmax over a list from the teacher's (Hinton et al., 2015).

        L = mean over lists of sum_i p_i * (log p_i - log q_i),  p = softmax(t), q = softmax(s)

    Lists without a real candidate do not count.
    """
    hidden = ~mask
    teacher = torch.log_softmax(targets.masked_fill(hidden, -1e4), dim=1)
    student = torch.log_softmax(scores.masked_fill(hidden, -1e4), dim=1)
    divergence = torch.where(mask, teacher.exp() * (teacher - student), 0.0).sum(dim=1)
    real = mask.any(dim=1)
    return _weighted(torch.where(real, divergence, 0.0), weights).sum() / real.sum().clamp(min=1)


def score_distillation(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """MarginMSE plus listwise KL, for teachers that give scores; the sum is this project's choice."""
    return margin_mse(scores, targets, mask, weights) + listwise_kl(scores, targets, mask, weights)


def _weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply what stands in each list's row, [lists, ...], by the list's weight."""
    return losses if weights is None else losses * weights.view(-1, *[1] * (losses.dim() - 1))


def _pairs(mask: Tensor) -> Tensor:
    """[lists, candidates] to [lists, candidates, candidates]: True where both are real."""
    return mask.unsqueeze(2) & mask.unsqueeze(1)


LOSSES = {"tiers": ranknet, "scores": score_distillation}
"""Which loss fits which kind of target (Provenance.targets)."""
