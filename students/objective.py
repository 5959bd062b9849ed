"""What training makes smaller, and how a student is judged while it learns."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from students.batches import ListBatch
from students.kinds import AnySettings
from students.losses import BY_TARGETS, LOSSES, Loss
from students.rra_gpt import side_costs
from students.settings import RraGptSettings, TrainingSettings


class Objective:
    """The loss over a batch of lists: that of the scores, and what the student's form in training adds.

    The mean of what each list has alone. So a step's loss is the same however its lists are divided over workers and passes, and a list
    with many pairs counts as much as one with few.
    """

    def __init__(self, student: AnySettings, training: TrainingSettings, targets: str) -> None:
        self.student = student
        self.loss: Loss = LOSSES[BY_TARGETS[targets] if training.loss == "auto" else training.loss]
        self.scale = training.score_scale if targets == "scores" else 1.0

    def __call__(self, flat: Tensor, batch: ListBatch, progress: float = 0.0) -> Tensor:
        """Mean loss over the batch's lists, a scalar.

        flat: what the student in training gives for the batch's pairs, [pairs] or [pairs, columns]. progress: share of the steps
        done, 0 to 1.
        """
        return self.of_lists(flat, batch, progress).mean()

    def of_lists(self, flat: Tensor, batch: ListBatch, progress: float = 0.0) -> Tensor:
        """The loss of each list alone, [lists]."""
        columns = flat.unsqueeze(1) if flat.dim() == 1 else flat
        targets, weights = (batch.targets * self.scale).to(flat.device), batch.weights.to(flat.device)
        ends = [0, *batch.mask.sum(dim=1).cumsum(dim=0).tolist()]
        parts = [columns[start:end] for start, end in itertools.pairwise(ends)]
        lists = [
            self._of_list(part, targets[row, : len(part)].unsqueeze(0), weights[row : row + 1], progress)
            for row, part in enumerate(parts)
        ]
        return torch.stack(lists)

    def _of_list(self, columns: Tensor, targets: Tensor, weight: Tensor, progress: float) -> Tensor:
        """columns: [candidates, columns]. targets: [1, candidates]. weight: [1]."""
        mask = torch.ones_like(targets, dtype=torch.bool)
        first, others = columns[:, 0].unsqueeze(0), columns[:, 1:]
        ranked = self.loss(first, targets, mask, weight)
        if not others.shape[1]:
            return ranked
        if isinstance(self.student, RraGptSettings):  # a list of one stands for one of which nothing is to be learned
            sides = (
                side_costs(others, self.student.label_weight, self.student.rationale_weight)
                if len(columns) > 1
                else 0.0
            )
            return ranked + weight[0] * sides
        return ranked + self.student.term_control.weight_at(progress) * self.loss(
            others[:, 0].unsqueeze(0), targets, mask, weight
        )


def ndcg(scores: Tensor, targets: Tensor, mask: Tensor, depth: int = 10) -> Tensor:
    """nDCG of each list against its own targets (Järvelin and Kekäläinen, 2002), gains linear in the targets.

        nDCG = DCG(order by s) / DCG(order by t),  DCG = sum over the first `depth` of g_i / log2(1 + place)

    g: the targets, stretched in each list to 0..1, so that orders, tiers and scores of any scale are judged alike.
    scores, targets: [lists, candidates]; mask: True where a candidate is real. Returns [lists]; 1 where all targets are
    equal. Of equal scores the one of the lower target comes first: a student that tells nothing apart is to gain nothing by it.
    """
    low = targets.masked_fill(~mask, math.inf).amin(dim=1, keepdim=True)
    high = targets.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    gains = torch.where(mask, (targets - low) / torch.where(high > low, high - low, 1.0), 0.0)
    discounts = 1.0 / torch.log2(torch.arange(gains.shape[1], device=gains.device) + 2.0)
    discounts[depth:] = 0.0

    def gained(by: Tensor) -> Tensor:
        worst_first = gains.argsort(dim=1)
        order = by.masked_fill(~mask, -math.inf).gather(1, worst_first).argsort(dim=1, descending=True, stable=True)
        return (gains.gather(1, worst_first).gather(1, order) * discounts).sum(dim=1)

    ideal = gained(targets)
    return torch.where(ideal > 0, gained(scores) / torch.where(ideal > 0, ideal, 1.0), 1.0)
