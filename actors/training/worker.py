"""The training worker: one student distilled with DeepSpeed, run by Ray Train on every worker.

Every worker holds the student and trains on its share of each step's lists; ZeRO divides optimizer states,
gradients and, in stage 3, weights between them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch

from actors.training import checkpoints
from actors.training.assignment import Assignment, TrainingProgress
from actors.training.deepspeed_engine import make_engine
from actors.training.label_batches import LabelBatches, LabelReader, StepShare, shares
from actors.training.monitor import TrainingMonitor
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.records import content
from students import kinds
from students.batches import ListBatch
from students.export import ParityError
from students.objective import Objective, ndcg
from students.scoring import forward_rows

_PROBES = 64
_PROBED_LISTS = 16
"""Lists that the probes are taken from, at least."""


class NonFiniteError(RuntimeError):
    """The loss or the scores are no numbers any more."""


def train_worker(config: dict[str, Any]) -> None:
    """Train on one worker, and at the end export the student from the first. config: `work`, an Assignment."""
    work: Assignment = config["work"]
    _, error = ray.get(work.board.state.remote())
    if error is not None:
        return  # started again after what another start does not mend
    try:
        worker = TrainingWorker(work)
        progress = worker.train(checkpoints.resume(worker.engine))
        torch.distributed.barrier()  # every worker's part of the last checkpoint is on storage from here on
        if worker.rank == 0:
            ray.get(
                work.board.add.remote(
                    {"exported": checkpoints.write_student(work, worker.probes()), "step": progress.step}
                )
            )
    except (InputError, NonFiniteError, checkpoints.CheckpointWriteError, ParityError) as error:
        ray.get(work.board.fail.remote(str(error)))
        raise


class TrainingWorker:
    """A training worker: its part of the model and of the lists."""

    def __init__(self, work: Assignment) -> None:
        self.work = work
        context = ray.train.get_context()
        self.rank, self.workers = context.get_world_rank(), context.get_world_size()
        student, training = work.student, work.training
        self.device = ray.train.torch.get_device()
        if self.device.type == "cpu":
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
        torch.manual_seed(training.seed)
        path = model_path(student.base)
        self.tokenizer = kinds.tokenizer_of(student, path)
        model = kinds.build(student, path)
        if training.freeze_embeddings:
            model.freeze_embeddings()
        if training.dropout is not None:
            model.set_dropout(training.dropout)
        if training.activation_checkpointing:
            model.checkpoint_activations()
        self.engine = make_engine(kinds.in_training(model, student, path), training, work.steps, self.device.type)
        self.objective = Objective(student, training, work.provenance.targets)
        self.watch = TrainingMonitor(work) if self.rank == 0 else None
        # in ZeRO 3 every forward gathers weights from all workers, which so have to do equally many
        self.whole = training.zero_stage == 3
        self.saved_for_loss = False
        reader = LabelReader(work.labels, work.rationales)
        self.batches = LabelBatches(
            reader, training, kinds.TrainingReader(student, self.tokenizer, work.frequent_terms), work.grades
        )

    def train(self, progress: TrainingProgress) -> TrainingProgress:
        """Train from where training is to its end, or until validation has not improved for long enough."""
        training = self.work.training
        if self.watch:
            self.watch.begin(progress.step)
        every = training.checkpoint_every or self.work.steps_per_epoch
        most = None if training.patience is None else training.patience * every
        if progress.stalled(most):  # it was cut off behind its end
            return progress
        if progress.step == 0 and progress.best is None and self.work.validation and self.work.base_ranks:
            progress = self._validated(progress)  # training must improve on the base
            checkpoints.save(self.engine, progress)
        dealt = shares(self.work.train, training, progress.step, self.rank, self.workers)
        for share, batch in self.batches.of(dealt):
            began = time.monotonic()
            loss = self._step(progress.step, share, batch)
            progress = progress.after_a_step()
            self._note(progress, loss, share, batch, time.monotonic() - began)
            if progress.step % every and progress.step != self.work.steps:
                self._save_if_a_node_goes(progress)
            else:
                progress = self._validated(progress)
                checkpoints.save(self.engine, progress)
                if self.watch:
                    self.watch.keep()
                if progress.stalled(most):
                    break
        return progress

    def _save_if_a_node_goes(self, progress: TrainingProgress) -> None:
        """Save once where a node of the workers is about to be taken away; every worker has to ask."""
        if not self.saved_for_loss and ray.train.get_preemption_info() is not None:
            checkpoints.save(self.engine, progress)
            if self.watch:
                self.watch.keep()
            self.saved_for_loss = True

    def probes(self) -> list[tuple[str, str]]:
        """Some pairs of the labels, for the parity check: 64 where there are as many."""
        pairs: list[tuple[str, str]] = []
        for read, query_id in enumerate(self.work.train, start=1):
            (label,) = self.batches.reader.read([query_id])
            pairs += [(label.query, content(c.title, c.text)) for c in label.candidates]
            if read >= _PROBED_LISTS and len(pairs) >= _PROBES:
                break
        return pairs[:: max(1, len(pairs) // _PROBES)][:_PROBES]

    def _step(self, step: int, share: StepShare, batch: ListBatch) -> float:
        """One optimizer step. Returns the loss."""
        self.engine.train()
        # drawn anew for each step, so that a resumed training drops out what the other would have
        torch.manual_seed(hash((self.work.training.seed, step, self.rank)))
        parts = batch.within(self.work.training.max_tokens_per_microbatch, padded=self.whole)
        passes = self._most(len(parts))
        loss_sum = 0.0
        for turn in range(passes):
            counts = turn < len(parts)  # ZeRO has all workers do equally many passes; a further one adds nothing
            part = parts[turn] if counts else parts[0]
            before = sum(len(earlier.mask) for earlier in parts[:turn]) if counts else 0
            ids = share.ids[before : before + len(part.mask)]
            self.engine.set_gradient_accumulation_boundary(turn == passes - 1)
            flat = self._scores(part)
            # DeepSpeed averages over workers and adds up passes; this makes it the mean over the step's lists
            loss = self.objective(flat, part, step / self.work.steps) * (
                part.mask.shape[0] * self.workers / share.of if counts else 0.0
            )
            if not torch.isfinite(loss):
                self._stop(
                    f"the loss is no number at step {step + 1}, in {_lists_of(ids, self.objective.of_lists(flat, part))}"
                )
            self.engine.backward(loss)
            if counts:
                loss_sum += float(loss.detach())
        self.engine.step()
        return loss_sum

    def _most(self, count: int) -> int:
        """The highest count of all workers."""
        if self.workers == 1:
            return count
        held = torch.tensor(count, device=self.device)
        torch.distributed.all_reduce(held, torch.distributed.ReduceOp.MAX)
        return int(held)

    def _scores(self, batch: ListBatch) -> torch.Tensor:
        return forward_rows(self.engine, self.tokenizer, batch.rows, self.whole)

    def _validated(self, progress: TrainingProgress) -> TrainingProgress:
        """Measure nDCG@10 on the validation queries, dealt out over the workers.

        Where there are none, one list is looked at for scores that are no numbers, with which nothing is to be saved.
        """
        looked_at = self.work.validation or self.work.train[:1]
        self.engine.eval()
        mine = looked_at[self.rank :: self.workers]
        rounds = -(-len(looked_at) // self.workers)
        found = torch.zeros(2, device=self.device)
        with torch.no_grad():
            for turn in range(
                rounds
            ):  # equally many on every worker: a list too few is made up by one that does not count
                counts = turn < len(mine)
                query = mine[turn] if counts else looked_at[0]
                batch = self.batches.batch([query], None)
                flat = self._scores(batch).reshape(len(batch.pairs), -1)[:, 0]
                if not torch.isfinite(flat).all():
                    self._stop(
                        f"the scores are no numbers after step {progress.step}, in the list of the query {query}"
                    )
                if counts:
                    value = ndcg(batch.spread(flat), batch.targets.to(self.device), batch.mask.to(self.device))
                    found += torch.tensor([float(value.sum()), 1.0], device=self.device)
        if not self.work.validation:
            return progress
        torch.distributed.all_reduce(found)
        value = float(found[0] / found[1])
        if self.watch:
            self.watch.validation(progress.step, value)
        return progress.with_validation(value)

    def _stop(self, what: str) -> None:
        raise NonFiniteError(
            f"{what}; the last good checkpoint is kept; with a lower training.learning_rate training begins anew"
        )

    def _note(
        self, progress: TrainingProgress, loss: float, share: StepShare, batch: ListBatch, seconds: float
    ) -> None:
        """Of pairs and tokens this worker knows its own; the step's other lists are taken to be like them."""
        if self.watch:
            lists = share.of / max(1, len(share.ids))
            pairs, tokens = len(batch.pairs) * lists, sum(len(row["input_ids"]) for row in batch.rows) * lists
            self.watch.step(progress.step, loss, round(pairs), round(tokens), seconds)


def _lists_of(ids: Sequence[str], losses: torch.Tensor) -> str:
    """Name the queries whose losses, [lists], are no numbers."""
    wrong = [query_id for query_id, finite in zip(ids, torch.isfinite(losses).tolist(), strict=True) if not finite]
    return f"the list of the query {wrong[0]}" if len(wrong) == 1 else f"the lists of the queries {', '.join(wrong)}"
