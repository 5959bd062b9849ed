"""What the losses share: pairs within lists, ranks, weights."""

from __future__ import annotations

import torch
from torch import Tensor


def pairs_of(mask: Tensor) -> Tensor:
    """[lists, candidates] to [lists, candidates, candidates]: True where both are real."""
    return mask.unsqueeze(2) & mask.unsqueeze(1)


def ordered_pairs(targets: Tensor, mask: Tensor) -> Tensor:
    """[lists, i, j], True where both are real and the target of i is above that of j."""
    return (targets.unsqueeze(2) > targets.unsqueeze(1)) & pairs_of(mask)


def weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply what stands in each list's row, [lists, ...], by the list's weight."""
    return losses if weights is None else losses * weights.view(-1, *[1] * (losses.dim() - 1))


def mean_of_pairs(losses: Tensor, pairs: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of [lists, i, j] over the pairs of the batch; 0 where there is none."""
    return weighted(torch.where(pairs, losses, 0.0), weights).sum() / pairs.sum().clamp(min=1)


def mean_of_lists(losses: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Mean of [lists] over those that count; 0 where none does. counted: [lists], bool."""
    return weighted(torch.where(counted, losses, 0.0), weights).sum() / counted.sum().clamp(min=1)


def average_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Ranks from 1, the highest first; equal values share the mean of their places. [lists, candidates], float."""
    both = pairs_of(mask)
    above = ((values.unsqueeze(1) > values.unsqueeze(2)) & both).sum(dim=2)
    level = ((values.unsqueeze(1) == values.unsqueeze(2)) & both).sum(dim=2)
    return torch.where(mask, above + (level + 1) / 2, 1.0).to(values.dtype)
