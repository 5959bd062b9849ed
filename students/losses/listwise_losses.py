"""Losses that compare all candidates of a list at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from students.losses.list_tensors import apply_weights, average_ranks, mean_of_lists, ordered_pairs, pairs_of


def listnet(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy between the top-one probabilities of teacher and student (Cao et al., ICML 2007).

        L = mean over lists of -sum_i p_i log q_i,  p = softmax(t), q = softmax(s)

    The mean excludes lists whose targets are all equal.
    """
    teacher = torch.softmax(targets.masked_fill(~mask, -math.inf).where(mask.any(dim=1, keepdim=True), 0.0), dim=1)
    student = torch.log_softmax(scores.masked_fill(~mask, -1e9), dim=1)
    entropy = -torch.where(mask, teacher * student, 0.0).sum(dim=1)
    return mean_of_lists(entropy, _has_order(targets, mask), weights)


def list_mle(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the negative log-likelihood of the targets' order (Xia et al., ICML 2008).

        L = mean over lists of sum_i [ log(exp(s_i) + sum_{k: t_k < t_i} exp(s_k)) - s_i ]

    For distinct targets this is the paper's likelihood of one permutation. Candidates with equal targets do not compete
    with each other, only with candidates of lower targets, so candidates with the lowest target add 0. That is this
    project's choice.
    """
    surprise = _surprise(scores, ordered_pairs(targets, mask))
    return mean_of_lists(torch.where(mask, surprise, 0.0).sum(dim=1), _has_order(targets, mask), weights)


def info_nce(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the contrastive loss of relevant candidates against the others of their list (van den Oord et al., 2018).

        L = mean over {i: t_i > 0} of [ log(exp(s_i) + sum_{k: t_k <= 0} exp(s_k)) - s_i ]

    Targets are relevance grades; a candidate with a target above 0 is relevant. Relevant candidates compete only with
    irrelevant ones, never with each other. The mean is over all relevant candidates of the batch whose list also has an
    irrelevant candidate.
    """
    relevant = mask & (targets > 0)
    against = relevant.unsqueeze(2) & (mask & ~relevant).unsqueeze(1)
    counted = against.any(dim=2)
    surprise = torch.where(counted, _surprise(scores, against), 0.0)
    return apply_weights(surprise, weights).sum() / counted.sum().clamp(min=1)


def adr_mse(scores: Tensor, targets: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the approximate discounted rank MSE (ADR-MSE; Schlatt et al., Rank-DistiLLM, ECIR 2025).

        L = mean over candidates of (r_i - a_i)^2 / log2(1 + r_i),  a_i = 1 + sum_{j != i} sigmoid(s_j - s_i)

    r_i is the rank by target, from 1; equal targets share their mean rank. a_i approximates the rank by score. The mean
    is over all candidates of lists whose targets are not all equal.
    """
    ranks = average_ranks(targets, mask)
    others = pairs_of(mask) & ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    approximate = 1.0 + torch.where(others, torch.sigmoid(scores.unsqueeze(1) - scores.unsqueeze(2)), 0.0).sum(dim=2)
    counted = mask & _has_order(targets, mask).unsqueeze(1)
    errors = torch.where(counted, (ranks - approximate) ** 2 / torch.log2(1.0 + ranks), 0.0)
    return apply_weights(errors, weights).sum() / counted.sum().clamp(min=1)


def _surprise(scores: Tensor, against: Tensor) -> Tensor:
    """Return log(exp(s_i) + sum of exp(s_k) over the competitors k of i) - s_i for each candidate i.

    Args:
        scores: [lists, candidates].
        against: [lists, i, k], bool; True if i competes with k.

    Returns:
        [lists, candidates].
    """
    own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    differences = torch.where(against, scores.unsqueeze(1) - scores.unsqueeze(2), 0.0)
    return torch.logsumexp(differences.masked_fill(~(against | own), -math.inf), dim=2)


def _has_order(targets: Tensor, mask: Tensor) -> Tensor:
    """Return a mask [lists]: True if at least two real candidates have different targets."""
    return ordered_pairs(targets, mask).any(dim=2).any(dim=1)
