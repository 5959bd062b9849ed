"""Tensor operations shared by the losses: pairs within lists, ranks, weighted means."""

from __future__ import annotations

import torch
from torch import Tensor


def pairs_of(mask: Tensor) -> Tensor:
    """Expand a mask from [lists, candidates] to [lists, candidates, candidates]: True if both candidates are real."""
    return mask.unsqueeze(2) & mask.unsqueeze(1)


def ordered_pairs(targets: Tensor, mask: Tensor) -> Tensor:
    """Return a mask [lists, i, j]: True if candidates i and j are real and the target of i is higher than that of j."""
    return (targets.unsqueeze(2) > targets.unsqueeze(1)) & pairs_of(mask)


def apply_weights(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Multiply the losses of each list, [lists, ...], by the weight of the list. None leaves them unchanged."""
    return losses if weights is None else losses * weights.view(-1, *[1] * (losses.dim() - 1))


def mean_of_pairs(losses: Tensor, pairs: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of the weighted losses, [lists, i, j], over the True cells of `pairs`; 0 if there are none."""
    return apply_weights(torch.where(pairs, losses, 0.0), weights).sum() / pairs.sum().clamp(min=1)


def mean_of_lists(losses: Tensor, counted: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of the weighted per-list losses where `counted` is True; 0 if it is True nowhere."""
    return apply_weights(torch.where(counted, losses, 0.0), weights).sum() / counted.sum().clamp(min=1)


def average_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Rank the candidates of each list from 1, highest value first. Equal values share their mean rank.

    Returns:
        [lists, candidates], float.
    """
    both = pairs_of(mask)
    above = ((values.unsqueeze(1) > values.unsqueeze(2)) & both).sum(dim=2)
    equal = ((values.unsqueeze(1) == values.unsqueeze(2)) & both).sum(dim=2)
    return torch.where(mask, above + (equal + 1) / 2, 1.0).to(values.dtype)
