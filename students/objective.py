"""What training makes smaller, and how a student is judged while it learns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from students.batches import ListBatch
from students.kinds import AnySettings
from students.losses import BY_TARGETS, LOSSES, Loss
from students.rra_gpt import side_costs
from students.settings import RraGptSettings, TrainingSettings


class Objective:
    """The loss over a batch of lists: that of the scores, and what the student's form in training adds."""

    def __init__(self, student: AnySettings, training: TrainingSettings, targets: str) -> None:
        self.student = student
        self.loss: Loss = LOSSES[BY_TARGETS[targets] if training.loss == "auto" else training.loss]
        self.scale = training.score_scale if targets == "scores" else 1.0

    def __call__(self, flat: Tensor, batch: ListBatch) -> Tensor:
        """flat: what the student in training gives for the batch's pairs, [pairs] or [pairs, columns]. Returns a scalar."""
        columns = flat.unsqueeze(1) if flat.dim() == 1 else flat
        ranked = self._rank(columns[:, 0], batch)
        if columns.shape[1] == 1:
            return ranked
        if isinstance(self.student, RraGptSettings):
            return ranked + side_costs(columns[:, 1:], self.student.label_weight, self.student.reason_weight)
        return ranked + self.student.term_control.weight * self._rank(columns[:, 1], batch)

    def _rank(self, scores: Tensor, batch: ListBatch) -> Tensor:
        mask, targets, weights = (part.to(scores.device) for part in (batch.mask, batch.targets * self.scale, batch.weights))
        return self.loss(batch.spread(scores), targets, mask, weights)


def ndcg(scores: Tensor, targets: Tensor, mask: Tensor, depth: int = 10) -> Tensor:
    """nDCG of each list against its own targets (Järvelin and Kekäläinen, 2002), gains linear in the targets.

        nDCG = DCG(order by s) / DCG(order by t),  DCG = sum over the first `depth` of g_i / log2(1 + place)

    g: the targets, stretched in each list to 0..1, so that orders, tiers and scores of any scale are judged alike.
    scores, targets: [lists, candidates]; mask: True where a candidate is real. Returns [lists]; 1 where all targets are
    equal. Equal scores keep the order of the candidates.
    """
    low = targets.masked_fill(~mask, math.inf).amin(dim=1, keepdim=True)
    high = targets.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    gains = torch.where(mask, (targets - low) / torch.where(high > low, high - low, 1.0), 0.0)
    discounts = 1.0 / torch.log2(torch.arange(gains.shape[1], device=gains.device) + 2.0)
    discounts[depth:] = 0.0

    def gained(by: Tensor) -> Tensor:
        order = by.masked_fill(~mask, -math.inf).argsort(dim=1, descending=True, stable=True)
        return (gains.gather(1, order) * discounts).sum(dim=1)

    ideal = gained(targets)
    return torch.where(ideal > 0, gained(scores) / torch.where(ideal > 0, ideal, 1.0), 1.0)
