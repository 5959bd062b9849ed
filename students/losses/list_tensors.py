"""Tensor operations shared by the losses: pairs within lists, ranks, weighted means."""

from __future__ import annotations

import torch
from torch import Tensor


def pairs_of(mask: Tensor) -> Tensor:
    """Expand a mask from [lists, candidates] to [lists, candidates, candidates]: True if both candidates are real."""
    return mask.unsqueeze(2) & mask.unsqueeze(1)


def ordered_pairs(targets: Tensor, mask: Tensor) -> Tensor:
    """Return [lists, i, j], True if both candidates are real and the target of i is above that of j."""
    return (targets.unsqueeze(2) > targets.unsqueeze(1)) & pairs_of(mask)


def weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply losses, [lists, ...], by the weight of their list."""
    return losses if weights is None else losses * weights.view(-1, *[1] * (losses.dim() - 1))


def mean_of_pairs(losses: Tensor, pairs: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of losses, [lists, i, j], over the True cells of `pairs`; 0 if there are none."""
    return weighted(torch.where(pairs, losses, 0.0), weights).sum() / pairs.sum().clamp(min=1)


def mean_of_lists(losses: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of losses, [lists], over the True cells of `counted`, [lists]; 0 if there are none."""
    return weighted(torch.where(counted, losses, 0.0), weights).sum() / counted.sum().clamp(min=1)


def average_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Return ranks from 1, highest value first, [lists, candidates], float. Equal values share their mean rank."""
    both = pairs_of(mask)
    above = ((values.unsqueeze(1) > values.unsqueeze(2)) & both).sum(dim=2)
    equal = ((values.unsqueeze(1) == values.unsqueeze(2)) & both).sum(dim=2)
    return torch.where(mask, above + (equal + 1) / 2, 1.0).to(values.dtype)
