"""Losses over candidate lists, one pure function each.

Args of each loss:
    scores: [lists, candidates], float; higher is better.
    targets: [lists, candidates], float; higher is better.
    mask: [lists, candidates], bool; True for real candidates, False for the padding of shorter lists. Padding has no
        influence on the loss or its gradient.
    weights: [lists], float; factor of each list's loss, None for 1. Weights are not part of the mean's denominator, so
        a batch of low-confidence lists has a smaller gradient than a batch of high-confidence lists.

Each loss returns a scalar. A list whose targets do not order any pair adds 0, except in the losses of `OF_SCORES`.
In the formulas, s_i is the score and t_i the target of candidate i.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from students.losses.distillation_losses import listwise_kl, margin_mse, score_distillation
from students.losses.listwise_losses import adr_mse, info_nce, list_mle, listnet
from students.losses.pairwise_losses import lambda_loss, ranknet, ranknet_by_rank

Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]

LOSSES: dict[str, Loss] = {
    "ranknet": ranknet,
    "ranknet_by_rank": ranknet_by_rank,
    "lambda_loss": lambda_loss,
    "listnet": listnet,
    "list_mle": list_mle,
    "adr_mse": adr_mse,
    "info_nce": info_nce,
    "margin_mse": margin_mse,
    "listwise_kl": listwise_kl,
    "score_distillation": score_distillation,
}
"""{name in the setting `training.loss`: loss function}."""

OF_SCORES = {"margin_mse", "listwise_kl", "score_distillation"}
"""Losses that match the teacher's scores. They cannot be used with a teacher that only gives an order."""

BY_TARGETS = {"tiers": "ranknet", "scores": "score_distillation", "grades": "info_nce"}
"""{kind of targets (`Provenance.targets`): name of the default loss}."""
