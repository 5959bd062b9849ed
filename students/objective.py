"""The training loss over a batch of lists, and nDCG for validation.

A student that is distilled from another student of the run (`distillation`) learns from the labels and from the scores
of that student, as described by Hofstätter et al. (2020) for scores and Mirzadeh et al. (2020, "Teacher Assistant") for
a student of intermediate size:

    L = (1 - w) * rank(score, labels) + w * distil(score, scores of the other student)

w is `distillation.weight`, and distil is one of the losses of `students.losses.distillation_losses`.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from students.batches import ListBatch
from students.kinds import AnySettings
from students.losses import BY_TARGETS, LOSSES, Loss
from students.rra_gpt import auxiliary_loss
from students.student_settings import RraBertSettings, RraGptSettings, StudentDistillationSettings
from students.training_settings import TrainingSettings


class Objective:
    """The training loss: the ranking loss of the scores, plus the loss of the student's training-only outputs.

    The loss is computed separately for each list and then averaged over lists. A step's loss therefore does not depend
    on how its lists are split over workers and microbatches, and all lists count the same, whatever their number of
    pairs.
    """

    def __init__(self, student: AnySettings, training: TrainingSettings, targets: str) -> None:
        """Choose the ranking loss.

        Args:
            student: Settings of the student.
            training: Training settings.
            targets: Kind of the targets: `scores`, `tiers` or `grades`, see `Provenance.targets`.
        """
        self.student = student
        self.loss: Loss = LOSSES[BY_TARGETS[targets] if training.loss == "auto" else training.loss]
        self.scale = training.score_scale_for(student.base) if targets == "scores" else 1.0
        self.distillation = student.distillation if isinstance(student, RraBertSettings) else None

    def __call__(self, flat: Tensor, batch: ListBatch, progress: float = 0.0) -> Tensor:
        """Return the mean loss over the batch's lists, a scalar.

        Args:
            flat: Output of the student for the batch's pairs: scores, [pairs], or scores followed by the outputs that
                it has only in training, [pairs, columns].
            batch: The lists.
            progress: Completed fraction of the training steps, 0 to 1.
        """
        return self.per_list(flat, batch, progress).mean()

    def per_list(self, flat: Tensor, batch: ListBatch, progress: float = 0.0) -> Tensor:
        """Return the loss of each list, [lists]. The arguments are those of `__call__`."""
        columns = flat.unsqueeze(1) if flat.dim() == 1 else flat
        targets, weights = (batch.targets * self.scale).to(flat.device), batch.weights.to(flat.device)
        source = None if batch.source_scores is None else batch.source_scores.to(flat.device)
        ends = [0, *batch.mask.sum(dim=1).cumsum(dim=0).tolist()]
        parts = [columns[start:end] for start, end in itertools.pairwise(ends)]
        lists = [
            self._of_list(
                part,
                targets[row, : len(part)].unsqueeze(0),
                weights[row : row + 1],
                None if source is None else source[row, : len(part)].unsqueeze(0),
                progress,
            )
            for row, part in enumerate(parts)
        ]
        return torch.stack(lists)

    def _of_list(
        self, columns: Tensor, targets: Tensor, weight: Tensor, source: Tensor | None, progress: float
    ) -> Tensor:
        """Return the loss of one list, a scalar.

        Args:
            columns: Output of the student, [candidates, columns]: score first, then training-only outputs.
            targets: [1, candidates].
            weight: Weight of the list in the loss, [1].
            source: Scores of the student to distil from, [1, candidates]; None for none.
            progress: Completed fraction of the training steps, 0 to 1.
        """
        mask = torch.ones_like(targets, dtype=torch.bool)
        scores, others = columns[:, 0].unsqueeze(0), columns[:, 1:]
        ranking = self.loss(scores, targets, mask, weight)
        if self.distillation is not None and source is not None:
            ranking = _mixed(ranking, LOSSES[self.distillation.loss](scores, source, mask, weight), self.distillation)
        if not others.shape[1]:
            return ranking
        if isinstance(self.student, RraGptSettings):
            # A list of one candidate is a placeholder for a list without usable candidates, so it adds nothing.
            auxiliary = (
                auxiliary_loss(others, self.student.label_weight, self.student.rationale_weight)
                if len(columns) > 1
                else 0.0
            )
            return ranking + weight[0] * auxiliary
        return ranking + self.student.term_control.weight_at(progress) * self.loss(
            others[:, 0].unsqueeze(0), targets, mask, weight
        )


def _mixed(ranking: Tensor, distilled: Tensor, settings: StudentDistillationSettings) -> Tensor:
    """Return the weighted sum of the ranking loss on the labels and the loss on another student's scores."""
    return (1.0 - settings.weight) * ranking + settings.weight * distilled


def ndcg(scores: Tensor, targets: Tensor, mask: Tensor, depth: int = 10) -> Tensor:
    """Return nDCG of each list against its own targets, with linear gains (Järvelin and Kekäläinen, 2002).

        nDCG = DCG(order by s) / DCG(order by t),  DCG = sum over the first `depth` ranks of g_i / log2(1 + rank)

    s_i is the score and t_i the target of candidate i. g_i is the target, scaled in each list to the range 0 to 1,
    which makes targets of any kind and scale comparable. Candidates with equal scores are ordered by ascending target,
    so constant scores are not rewarded.

    Args:
        scores: [lists, candidates].
        targets: [lists, candidates].
        mask: [lists, candidates], True for real candidates.
        depth: Cutoff rank.

    Returns:
        [lists]; 1 for lists whose targets are all equal.
    """
    low = targets.masked_fill(~mask, math.inf).amin(dim=1, keepdim=True)
    high = targets.masked_fill(~mask, -math.inf).amax(dim=1, keepdim=True)
    gains = torch.where(mask, (targets - low) / torch.where(high > low, high - low, 1.0), 0.0)
    discounts = 1.0 / torch.log2(torch.arange(gains.shape[1], device=gains.device) + 2.0)
    discounts[depth:] = 0.0

    def dcg(by: Tensor) -> Tensor:
        worst_first = gains.argsort(dim=1)
        order = by.masked_fill(~mask, -math.inf).gather(1, worst_first).argsort(dim=1, descending=True, stable=True)
        return (gains.gather(1, worst_first).gather(1, order) * discounts).sum(dim=1)

    ideal = dcg(targets)
    return torch.where(ideal > 0, dcg(scores) / torch.where(ideal > 0, ideal, 1.0), 1.0)
