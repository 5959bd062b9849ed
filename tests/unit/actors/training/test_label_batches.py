"""The order in which lists are learned from, and who reads which: the same whatever the number of workers."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.training.assignment import TrainingProgress
from actors.training.deepspeed_engine import rate_by_step
from actors.training.label_batches import order_of, sampled, shares
from ranking.records import LabelledCandidate
from ray_jobs.training.training_labels import divided
from students.batches import list_batch
from students.losses import LOSSES
from students.objective import Objective, ndcg
from students.settings import RraBertSettings, RraGptSettings, TrainingSettings

IDS = [f"q{n}" for n in range(23)]


def steps_of(workers, first=0, **settings):
    """Every step's lists, put together again from the shares of all workers."""
    training = TrainingSettings(**{"queries_per_step": 5, "epochs": 3, **settings})
    dealt = [list(shares(IDS, training, first, rank, workers)) for rank in range(workers)]
    assert len({len(one) for one in dealt}) == 1
    steps = []
    for parts in zip(*dealt, strict=True):
        assert max(len(part.ids) for part in parts) - min(len(part.ids) for part in parts) <= 1
        assert {part.of for part in parts} == {sum(len(part.ids) for part in parts)}
        steps.append((parts[0].epoch, {query_id for part in parts for query_id in part.ids}))
    return steps


@given(st.integers(1, 5), st.integers(0, 11))
def test_steps_are_the_same_for_any_number_of_workers_and_from_any_step_on(workers, first):
    whole = steps_of(1)
    assert len(whole) == 12
    assert steps_of(workers, first) == whole[first:]


def test_a_number_of_steps_takes_as_many_epochs_as_it_needs():
    assert steps_of(2, steps=6) == steps_of(1)[:6]
    assert len(steps_of(1, steps=14, epochs=1)) == 14
    assert steps_of(1, steps=14, epochs=1)[:12] == steps_of(1)
    assert steps_of(3, first=5, steps=14) == steps_of(1, steps=14)[5:]


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nothing():
    rate = rate_by_step(TrainingSettings(warmup_ratio=0.2), 20)
    assert [rate(step) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rate(12) == pytest.approx(0.5)
    assert rate(19) == pytest.approx(1 / 16)
    assert rate(20) == 0.0
    assert rate_by_step(TrainingSettings(warmup_ratio=0.0), 20)(0) == 1.0


def test_an_epoch_holds_no_list_twice_and_another_has_another_order():
    whole = steps_of(1)
    for epoch in range(3):
        seen = [lists for number, lists in whole if number == epoch]
        assert len(set.union(*seen)) == 20
    assert order_of(IDS, 13, 0) != order_of(IDS, 13, 1)
    assert order_of(IDS, 13, 0) == order_of(IDS[::-1], 13, 0)
    assert order_of(IDS, 13, 0) != order_of(IDS, 14, 0)


def test_validation_queries_are_not_learned_from_and_stay_the_same_when_others_go():
    ids = [f"q{number}" for number in range(400)]
    validation, learned = divided(ids, 0.3, 13)
    assert 0.2 < len(validation) / len(ids) < 0.4
    assert sorted(validation + learned) == sorted(ids)
    assert divided(ids[::2], 0.3, 13)[0] == [query_id for query_id in validation if query_id in ids[::2]]
    assert divided(ids, 0.3, 14)[0] != validation
    assert divided(ids, 0.0, 13)[0] == []


def test_a_batch_divided_is_the_batch():
    batch = list_batch([("q", [("a", 1.0)]), ("p", [("b", 2.0), ("c", 3.0)]), ("r", [("d", 0.0)] * 3)], [0.1, 0.2, 0.3])
    batch.rows = [{"input_ids": [n]} for n in range(6)]
    parts = batch.within(3)
    assert [len(part.pairs) for part in parts] == [3, 3]
    assert [len(part.pairs) for part in batch.within(2)] == [1, 2, 3]
    assert [len(part.pairs) for part in batch.within(6)] == [6]
    batch.rows[1]["input_ids"] = [1, 1, 1]
    assert [len(part.pairs) for part in batch.within(8)] == [6]
    # padded to the longest: 1, then 3 pairs of 3 tokens would be 9
    assert [len(part.pairs) for part in batch.within(8, padded=True)] == [1, 2, 3]
    assert [len(part.pairs) for part in batch.within(9, padded=True)] == [3, 3]
    assert [pair for part in parts for pair in part.pairs] == batch.pairs
    assert [row for part in parts for row in part.rows] == batch.rows
    assert torch.equal(torch.cat([part.weights for part in parts]), batch.weights)


def test_progress_keeps_the_best_step():
    progress = TrainingProgress().after_a_step().with_validation(0.5).after_a_step().with_validation(0.5)
    assert (progress.step, progress.best, progress.best_step) == (2, 0.5, 1)
    assert progress.with_validation(0.6).best_step == 2
    assert TrainingProgress.read(json.dumps({**vars(progress), "of_an_older_version": 1})) == progress


def test_ndcg_by_hand():
    scores, targets = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([[20.0, 10.0, 0.0]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    log3 = 1.5849625
    # gains 1, 1/2, 0; in the order of the scores 1/2, 0, 1
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


def test_equal_scores_gain_nothing_by_the_candidates_order():
    targets, mask = torch.tensor([[2.0, 1.0, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    backwards = ndcg(torch.tensor([[1.0, 2.0, 3.0]]), targets, mask).item()
    assert ndcg(torch.zeros(1, 3), targets, mask).item() == pytest.approx(backwards)
    assert backwards < 0.7
    assert ndcg(torch.tensor([[1.0, 1.0, 0.0]]), targets, mask).item() == pytest.approx(
        (0.5 + 1 / 1.5849625) / (1 + 0.5 / 1.5849625)
    )


def test_training_that_brings_nothing_for_long_enough_has_stalled():
    progress = TrainingProgress(step=6, best=0.5, best_step=2)
    assert progress.stalled(4)
    assert not progress.stalled(5)
    assert not progress.stalled(None)
    assert not TrainingProgress(step=6).stalled(1)


def mask_of(real, width):
    return torch.tensor([[place < real for place in range(width)]])


def test_the_term_scores_loss_is_added_with_its_weight():
    batch = list_batch([("q", [("a", 1.0), ("b", 0.0)])])
    objective = Objective(RraBertSettings(term_control={"form": "layer", "weight": 0.25}), TrainingSettings(), "tiers")
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    both = objective(torch.stack([first, second], dim=1), batch)
    assert both.item() == pytest.approx((objective(first, batch) + 0.25 * objective(second, batch)).item())


def test_the_term_scores_weight_can_fall_to_zero_over_the_training():
    batch = list_batch([("q", [("a", 1.0), ("b", 0.0)])])
    control = {"form": "layer", "weight": 0.5, "schedule": "linear"}
    objective = Objective(RraBertSettings(term_control=control), TrainingSettings(), "tiers")
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    for progress, weight in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.0)):
        both = objective(torch.stack([first, second], dim=1), batch, progress)
        assert both.item() == pytest.approx((objective(first, batch) + weight * objective(second, batch)).item())


def test_what_a_doubtful_list_tells_beside_its_order_counts_as_little_as_its_order():
    columns = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, float("nan")]])
    lists = [("q", [("a", 1.0), ("b", 0.0)])]
    objective = Objective(RraGptSettings(base="any"), TrainingSettings(loss="ranknet"), "tiers")
    sure = objective(columns, list_batch(lists, [1.0]))
    assert objective(columns, list_batch(lists, [0.25])).item() == pytest.approx(0.25 * sure.item())
    assert sure.item() > objective(columns[:, 0], list_batch(lists, [1.0])).item()
    assert objective(columns, list_batch(lists, [0.0])).item() == 0.0


def test_scores_are_matched_at_their_scale_and_orders_as_they_are():
    batch = list_batch([("q", [("a", 0.5), ("b", 0.0)])])
    training = TrainingSettings(loss="margin_mse", score_scale=10.0)
    assert Objective(RraBertSettings(), training, "scores")(torch.tensor([5.0, 0.0]), batch).item() == pytest.approx(
        0.0
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_steps_loss_is_the_same_however_its_lists_are_divided(loss):
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
    divided_loss = sum(
        objective(scores[place], list_batch(held, weights)) * len(held) / 4 for place, held, weights in parts
    )
    (found,) = torch.autograd.grad(divided_loss, scores)
    assert divided_loss.item() == pytest.approx(whole.item(), rel=1e-5)
    assert whole.item() > 0
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("listed", "others", "count", "expected"),
    [(2, 10, 6, 2), (8, 10, 6, 3), (8, 2, 6, 4), (12, 0, 6, 6), (0, 12, 6, 0), (1, 9, 3, 1), (3, 9, 3, 2)],
)
def test_a_sample_has_what_the_teacher_listed_up_to_a_half_unless_others_are_too_few(listed, others, count, expected):
    made = [candidate_of(n, "listed" if n < listed else "hard_negative") for n in range(listed + others)]
    seen = set()
    for seed in range(50):
        found = sampled(made, count, random.Random(seed), [c.tier == "listed" for c in made])
        assert len(found) == count
        assert [c.doc_id for c in found] == sorted({c.doc_id for c in found})
        assert sum(c.tier == "listed" for c in found) == expected
        seen |= {c.doc_id for c in found}
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
