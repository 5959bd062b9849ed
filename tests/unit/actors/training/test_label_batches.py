"""Order of training lists, shares of the workers, validation, and the loss over lists, for any number of workers."""

import json
import random

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from actors.training.assignment import TrainingProgress
from actors.training.deepspeed_engine import learning_rate_schedule
from actors.training.label_batches import epoch_order, sample_candidates, shares
from ranking.records import LabelledCandidate
from ray_jobs.training.training_labels import split_validation
from students.batches import list_batch
from students.losses import LOSSES
from students.objective import Objective, ndcg
from students.student_settings import RraBertSettings, RraGptSettings
from students.training_settings import TrainingSettings

IDS = [f"q{n}" for n in range(23)]


def steps_of(workers, first=0, **settings):
    """Return epoch and query IDs of every step, merged from the shares of all workers."""
    training = TrainingSettings(**{"queries_per_step": 5, "epochs": 3, **settings})
    by_worker = [list(shares(IDS, training, first, rank, workers)) for rank in range(workers)]
    assert len({len(steps) for steps in by_worker}) == 1
    steps = []
    for parts in zip(*by_worker, strict=True):
        assert max(len(part.ids) for part in parts) - min(len(part.ids) for part in parts) <= 1
        assert {part.lists_in_step for part in parts} == {sum(len(part.ids) for part in parts)}
        steps.append((parts[0].epoch, {query_id for part in parts for query_id in part.ids}))
    return steps


@given(st.integers(1, 5), st.integers(0, 11))
def test_steps_do_not_depend_on_workers_or_first_step(workers, first):
    whole = steps_of(1)
    assert len(whole) == 12
    assert steps_of(workers, first) == whole[first:]


def test_steps_setting_runs_as_many_epochs_as_needed():
    assert steps_of(2, steps=6) == steps_of(1)[:6]
    assert len(steps_of(1, steps=14, epochs=1)) == 14
    assert steps_of(1, steps=14, epochs=1)[:12] == steps_of(1)
    assert steps_of(3, first=5, steps=14) == steps_of(1, steps=14)[5:]


def test_learning_rate_warms_up_and_decays_to_zero():
    rate = learning_rate_schedule(TrainingSettings(warmup_ratio=0.2), 20)
    assert [rate(step) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rate(12) == pytest.approx(0.5)
    assert rate(19) == pytest.approx(1 / 16)
    assert rate(20) == 0.0
    assert learning_rate_schedule(TrainingSettings(warmup_ratio=0.0), 20)(0) == 1.0


def test_epochs_have_distinct_lists_in_different_orders():
    whole = steps_of(1)
    for epoch in range(3):
        seen = [lists for number, lists in whole if number == epoch]
        assert len(set.union(*seen)) == 20
    assert epoch_order(IDS, 13, 0) != epoch_order(IDS, 13, 1)
    assert epoch_order(IDS, 13, 0) == epoch_order(IDS[::-1], 13, 0)
    assert epoch_order(IDS, 13, 0) != epoch_order(IDS, 14, 0)


def test_validation_split_is_disjoint_and_stable_if_queries_are_removed():
    ids = [f"q{number}" for number in range(400)]
    validation, trained = split_validation(ids, 0.3, 13)
    assert 0.2 < len(validation) / len(ids) < 0.4
    assert sorted(validation + trained) == sorted(ids)
    assert split_validation(ids[::2], 0.3, 13)[0] == [query_id for query_id in validation if query_id in ids[::2]]
    assert split_validation(ids, 0.3, 14)[0] != validation
    assert split_validation(ids, 0.0, 13)[0] == []


def test_split_keeps_all_lists_within_the_token_limit():
    batch = list_batch([("q", [("a", 1.0)]), ("p", [("b", 2.0), ("c", 3.0)]), ("r", [("d", 0.0)] * 3)], [0.1, 0.2, 0.3])
    batch.rows = [{"input_ids": [n]} for n in range(6)]
    parts = batch.split(3)
    assert [len(part.pairs) for part in parts] == [3, 3]
    assert [len(part.pairs) for part in batch.split(2)] == [1, 2, 3]
    assert [len(part.pairs) for part in batch.split(6)] == [6]
    batch.rows[1]["input_ids"] = [1, 1, 1]
    assert [len(part.pairs) for part in batch.split(8)] == [6]
    # Padded to the longest pair, the first two lists have 3 pairs of 3 tokens: 9.
    assert [len(part.pairs) for part in batch.split(8, padded=True)] == [1, 2, 3]
    assert [len(part.pairs) for part in batch.split(9, padded=True)] == [3, 3]
    assert [pair for part in parts for pair in part.pairs] == batch.pairs
    assert [row for part in parts for row in part.rows] == batch.rows
    assert torch.equal(torch.cat([part.weights for part in parts]), batch.weights)


def test_progress_keeps_the_first_best_step():
    progress = TrainingProgress().after_a_step().with_validation(0.5).after_a_step().with_validation(0.5)
    assert (progress.step, progress.best, progress.best_step) == (2, 0.5, 1)
    assert progress.with_validation(0.6).best_step == 2
    assert TrainingProgress.read(json.dumps(vars(progress))) == progress


def test_ndcg_by_hand():
    scores, targets = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[20.0, 10.0, 0.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    log3 = 1.5849625
    # Gains are 1, 1/2, 0; in the order of the scores 1/2, 0, 1.
    assert ndcg(scores, targets, mask).item() == pytest.approx((0.5 + 1 / 2) / (1 + 0.5 / log3), rel=1e-5)
    assert ndcg(scores, targets, mask, depth=1).item() == pytest.approx(0.5)
    assert ndcg(targets, targets, mask).item() == pytest.approx(1.0)
    assert ndcg(scores, torch.ones(1, 3), mask).item() == 1.0
    padded = ndcg(
        torch.cat([scores, torch.full((1, 2), 9.0)], 1),
        torch.cat([targets, torch.full((1, 2), 99.0)], 1),
        mask_of(3, 5),
    )
    assert padded.item() == pytest.approx(ndcg(scores, targets, mask).item())


def test_equal_scores_rank_lower_targets_first():
    targets, mask = torch.tensor([[2.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    reversed_order = ndcg(torch.tensor([[1.0, 2.0, 3.0]]), targets, mask).item()
    assert ndcg(torch.zeros(1, 3), targets, mask).item() == pytest.approx(reversed_order)
    assert reversed_order < 0.7
    assert ndcg(torch.tensor([[1.0, 1.0, 0.0]]), targets, mask).item() == pytest.approx(
        (0.5 + 1 / 1.5849625) / (1 + 0.5 / 1.5849625)
    )


def test_training_stalls_after_steps_without_improvement():
    progress = TrainingProgress(step=6, best=0.5, best_step=2)
    assert progress.has_stalled(4)
    assert not progress.has_stalled(5)
    assert not progress.has_stalled(None)
    assert not TrainingProgress(step=6).has_stalled(1)


def mask_of(real, width):
    return torch.tensor([[place < real for place in range(width)]])


def test_term_score_loss_is_added_with_its_weight():
    batch = list_batch([("q", [("a", 1.0), ("b", 0.0)])])
    objective = Objective(RraBertSettings(term_control={"form": "layer", "weight": 0.25}), TrainingSettings(), "tiers")
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    both = objective(torch.stack([first, second], dim=1), batch)
    assert both.item() == pytest.approx((objective(first, batch) + 0.25 * objective(second, batch)).item())


def test_linear_schedule_lowers_the_term_score_weight_to_zero():
    batch = list_batch([("q", [("a", 1.0), ("b", 0.0)])])
    control = {"form": "layer", "weight": 0.5, "schedule": "linear"}
    objective = Objective(RraBertSettings(term_control=control), TrainingSettings(), "tiers")
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    for progress, weight in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.0)):
        both = objective(torch.stack([first, second], dim=1), batch, progress)
        assert both.item() == pytest.approx((objective(first, batch) + weight * objective(second, batch)).item())


def test_confidence_weights_scale_auxiliary_losses_too():
    columns = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, float("nan")]])
    lists = [("q", [("a", 1.0), ("b", 0.0)])]
    objective = Objective(RraGptSettings(base="any"), TrainingSettings(loss="ranknet"), "tiers")
    full = objective(columns, list_batch(lists, [1.0]))
    assert objective(columns, list_batch(lists, [0.25])).item() == pytest.approx(0.25 * full.item())
    assert full.item() > objective(columns[:, 0], list_batch(lists, [1.0])).item()
    assert objective(columns, list_batch(lists, [0.0])).item() == 0.0


def test_score_scale_multiplies_teacher_scores():
    batch = list_batch([("q", [("a", 0.5), ("b", 0.0)])])
    training = TrainingSettings(loss="margin_mse", score_scale=10.0)
    assert Objective(RraBertSettings(), training, "scores")(torch.tensor([5.0, 0.0]), batch).item() == pytest.approx(
        0.0
    )


def test_score_scale_is_by_default_that_of_the_base(tmp_path):
    manifest = {"license": "mit", "sha256": "0" * 64, "dtype": "auto", "max_tokens": 64, "score_scale": 20}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(manifest))
    bases = {"minilm-cross": 8.0, "minilm": 8.0, "any/other": 8.0, str(tmp_path): 20.0}
    for base, scale in bases.items():
        student = RraBertSettings(base=base)
        assert Objective(student, TrainingSettings(), "scores").scale == scale
        assert Objective(student, TrainingSettings(score_scale=3), "scores").scale == 3.0
        assert Objective(student, TrainingSettings(), "tiers").scale == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_step_loss_does_not_depend_on_the_split_into_batches(loss):
    torch.manual_seed(2)
    lists = [
        ("q", [(f"d{n}", float(max(0, listed - n))) for n in range(size)])
        for size, listed in ((6, 5), (3, 1), (4, 0), (2, 2))
    ]
    objective = Objective(RraBertSettings(), TrainingSettings(loss=loss), "grades")
    scores = torch.randn(15, requires_grad=True)
    whole = objective(scores, list_batch(lists, [1.0, 0.5, 1.0, 0.25]))
    (expected,) = torch.autograd.grad(whole, scores)
    parts = [
        (slice(0, 9), lists[:2], [1.0, 0.5]),
        (slice(9, 13), lists[2:3], [1.0]),
        (slice(13, 15), lists[3:], [0.25]),
    ]
    split_loss = sum(
        objective(scores[pairs], list_batch(part, weights)) * len(part) / 4 for pairs, part, weights in parts
    )
    (gradient,) = torch.autograd.grad(split_loss, scores)
    assert split_loss.item() == pytest.approx(whole.item(), rel=1e-5)
    assert whole.item() > 0
    assert torch.allclose(gradient, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("listed", "others", "count", "expected"),
    [(2, 10, 6, 2), (8, 10, 6, 3), (8, 2, 6, 4), (12, 0, 6, 6), (0, 12, 6, 0), (1, 9, 3, 1), (3, 9, 3, 2)],
)
def test_up_to_half_of_a_sample_is_listed_unless_others_are_too_few(listed, others, count, expected):
    candidates = [candidate_of(n, "listed" if n < listed else "hard_negative") for n in range(listed + others)]
    preferred = [c.tier == "listed" for c in candidates]
    seen = set()
    for seed in range(50):
        sample = sample_candidates(candidates, count, random.Random(seed), preferred)
        assert len(sample) == count
        assert [c.doc_id for c in sample] == sorted({c.doc_id for c in sample})
        assert sum(c.tier == "listed" for c in sample) == expected
        seen |= {c.doc_id for c in sample}
    assert len(seen) == listed + others


def candidate_of(number, tier):
    return LabelledCandidate(
        doc_id=f"d{number:02}",
        title="",
        text="t",
        pre_rank=number + 1,
        prompt_position=1,
        tier=tier,
        position=None,
        target=0.0,
    )
