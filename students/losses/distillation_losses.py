"""Losses that match a teacher's scores, not only its order."""

from __future__ import annotations

import torch
from torch import Tensor

from students.losses.list_tensors import mean_of_lists, mean_of_pairs, pairs_of


def margin_mse(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean squared error of all score differences within a list (Hofstätter et al., 2020).

        L = mean over {(i, j): i != j} of ((s_i - s_j) - (t_i - t_j))^2

    The paper compares one positive with one negative document; this loss compares all candidates of a list with each
    other. Returns 0 if there are no pairs.
    """
    pairs = pairs_of(mask) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    errors = torch.where(mask, scores - targets, 0.0)
    return mean_of_pairs((errors.unsqueeze(2) - errors.unsqueeze(1)) ** 2, pairs, weights)


def listwise_kl(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the KL divergence of the student's softmax over a list from the teacher's (Hinton et al., 2015).

        L = mean over lists of sum_i p_i * (log p_i - log q_i),  p = softmax(t), q = softmax(s)

    The mean excludes lists without real candidates.
    """
    hidden = ~mask
    teacher = torch.log_softmax(targets.masked_fill(hidden, -1e4), dim=1)
    student = torch.log_softmax(scores.masked_fill(hidden, -1e4), dim=1)
    divergence = torch.where(mask, teacher.exp() * (teacher - student), 0.0).sum(dim=1)
    return mean_of_lists(divergence, mask.any(dim=1), weights)


def score_distillation(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return MarginMSE plus listwise KL, for teachers that give scores. Adding the two is this project's choice."""
    return margin_mse(scores, targets, mask, weights) + listwise_kl(scores, targets, mask, weights)
