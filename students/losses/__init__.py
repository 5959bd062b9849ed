"""Losses over lists of candidates, one pure function each.

scores, targets: [lists, candidates], float; higher is better. mask: same shape, bool, True where a candidate is real.
weights: [lists], float, by which each list's part is multiplied; None for ones. They are no part of the mean's
denominator, so a batch of doubtful lists moves the student less than one of sure ones.
Each returns a scalar; what is masked has no influence. A list whose targets order no pair adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from students.losses.distillation import listwise_kl, margin_mse, score_distillation
from students.losses.listwise import adr_mse, info_nce, list_mle, listnet
from students.losses.pairwise import lambda_loss, ranknet, ranknet_by_rank

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
"""The losses by their names in the run file."""

OF_SCORES = {"margin_mse", "listwise_kl", "score_distillation"}
"""Losses that match the teacher's scores and say nothing where it gives an order only."""

BY_TARGETS = {"tiers": "ranknet", "scores": "score_distillation", "grades": "info_nce"}
"""Which loss is taken for which kind of target (Provenance.targets) where none is named."""
