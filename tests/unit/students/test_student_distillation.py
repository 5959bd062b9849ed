"""The loss of a student that is distilled from another student of the run."""

import math

import pytest
import torch
from pydantic import ValidationError

from students.batches import list_batch
from students.losses import LOSSES
from students.objective import Objective
from students.student_settings import RraBertSettings, RraGptSettings
from students.training_settings import TrainingSettings

LISTS = [("q", [("a", 2.0), ("b", 1.0)]), ("p", [("c", 0.0), ("d", 1.0), ("e", 2.0)])]
SOURCE = [[3.0, 1.0], [0.5, -1.0, 2.0]]


def objective_of(**distillation):
    """Return the objective of a student that is distilled from the student `large`."""
    student = RraBertSettings(distillation={"student": "large", **distillation})
    return Objective(student, TrainingSettings(loss="ranknet"), "tiers")


def test_loss_is_the_weighted_sum_of_labels_and_source_scores():
    objective = objective_of(loss="margin_mse", weight=0.25)
    batch = list_batch(LISTS[:1], None, SOURCE[:1])
    ranking = math.log(1 + math.exp(-1.0))  # the labels prefer a, whose score is higher by 1
    margin = (1.0 - 2.0) ** 2  # the source's difference is 2
    assert objective(torch.tensor([1.0, 0.0]), batch).item() == pytest.approx(0.75 * ranking + 0.25 * margin)


def test_weight_one_uses_only_the_source_scores():
    objective = objective_of(loss="margin_mse", weight=1.0)
    scores = torch.tensor([score for row in SOURCE for score in row])
    assert objective(scores + 7.0, list_batch(LISTS, None, SOURCE)).item() == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("loss", ["margin_mse", "listwise_kl", "score_distillation"])
def test_padding_and_microbatches_do_not_change_the_loss(loss):
    objective, scores = objective_of(loss=loss), torch.tensor([0.3, -1.0, 2.0, 0.1, 0.4])
    batch = list_batch(LISTS, [1.0, 0.5], SOURCE)
    batch.rows = [{"input_ids": [1]}] * 5
    parts = batch.split(1)
    assert [part.source_scores.shape[0] for part in parts] == [1, 1]
    split = (objective(scores[:2], parts[0]) + objective(scores[2:], parts[1])) / 2
    alone = objective(scores[:2], list_batch(LISTS[:1], [1.0], SOURCE[:1]))
    assert objective(scores, batch).item() == pytest.approx(split.item())
    assert objective(scores[:2], parts[0]).item() == pytest.approx(alone.item())


def test_term_score_learns_from_the_labels_only():
    student = RraBertSettings(distillation={"student": "large"}, term_control={"form": "layer", "weight": 0.5})
    objective = Objective(student, TrainingSettings(loss="ranknet"), "tiers")
    batch, scores, terms = list_batch(LISTS[:1], None, SOURCE[:1]), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    targets, mask = batch.targets, batch.mask
    expected = objective(scores, batch) + 0.5 * LOSSES["ranknet"](terms.unsqueeze(0), targets, mask, None)
    assert objective(torch.stack([scores, terms], dim=1), batch).item() == pytest.approx(expected.item())


def test_source_scores_without_distillation_are_not_used():
    objective = Objective(RraBertSettings(), TrainingSettings(loss="ranknet"), "tiers")
    scores = torch.tensor([1.0, 0.0])
    assert objective(scores, list_batch(LISTS[:1], None, SOURCE[:1])) == objective(scores, list_batch(LISTS[:1]))


def test_settings_reject_impossible_values():
    for wrong in ({"layers": 1}, {"distillation": {"student": "s", "weight": 0}}, {"distillation": {"weight": 0.5}}):
        with pytest.raises(ValidationError):
            RraBertSettings(**wrong)
    with pytest.raises(ValidationError):
        RraGptSettings(base="b", layers=2)
