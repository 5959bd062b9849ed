"""The training worker: one student distilled with DeepSpeed, run by Ray Train on every worker.

Every worker holds the student and trains on its share of each step's lists; ZeRO divides optimizer states,
gradients and, in stage 3, weights between them.
"""

from __future__ import annotations

import os
import time
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch

from actors.training import checkpoints
from actors.training.engine import make_engine
from actors.training.lists import Batches, LabelReader, Share, shares
from actors.training.plan import Assignment, Progress
from actors.training.watch import Watch
from ranking.encoders import model_path
from ranking.records import content
from students import kinds
from students.batches import ListBatch
from students.export import ParityError
from students.objective import Objective, ndcg
from students.scoring import forward_rows

_PROBES = 64
_PROBED_LISTS = 16


class NotFiniteError(RuntimeError):
    """The loss is no number any more."""


def train_worker(config: dict[str, Any]) -> None:
    """Train on one worker, and at the end export the student from the first. config: `work`, an Assignment."""
    work: Assignment = config["work"]
    _, error = ray.get(work.board.state.remote())
    if error is not None:
        return  # started again after what another start does not mend
    try:
        worker = Worker(work)
        progress = worker.train(checkpoints.resume(worker.engine))
        torch.distributed.barrier()  # every worker's part of the last checkpoint is on storage from here on
        if worker.rank == 0:
            ray.get(work.board.add.remote({"exported": checkpoints.write_student(work, worker.probes()), "step": progress.step}))
    except (NotFiniteError, checkpoints.NotWrittenError, ParityError) as error:
        ray.get(work.board.fail.remote(str(error)))
        raise


class Worker:
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
        if training.activation_checkpointing:
            model.checkpoint_activations()
        self.engine = make_engine(kinds.in_training(model, student, path), training, work.steps, self.device.type)
        self.objective = Objective(student, training, work.provenance.targets)
        self.watch = Watch(work) if self.rank == 0 else None
        self.saved_for_loss = False
        reader = LabelReader(work.labels, work.reasons)
        self.batches = Batches(reader, training, kinds.TrainingReader(student, self.tokenizer), work.grades)

    def train(self, progress: Progress) -> Progress:
        """Train from where training is to its end, or until validation has not improved for long enough."""
        training = self.work.training
        if self.watch:
            self.watch.begin(progress.step)
        every = training.checkpoint_every or self.work.steps_per_epoch
        dealt = shares(self.work.train, training, progress.step, self.rank, self.workers)
        for share, batch in self.batches.of(dealt):
            began = time.monotonic()
            loss, total = self._step(progress.step, share, batch)
            progress = progress.with_scores(total, len(batch.pairs))
            self._note(progress, loss, batch, time.monotonic() - began)
            if progress.step % every and progress.step != self.work.steps:
                self._save_if_a_node_goes(progress)
            else:
                progress = self._validated(progress)
                checkpoints.save(self.engine, progress)
                if self.watch:
                    self.watch.keep()
                if self._enough(progress, every):
                    break
        return progress

    def _save_if_a_node_goes(self, progress: Progress) -> None:
        """Save once where a node of the workers is about to be taken away; every worker has to ask."""
        if not self.saved_for_loss and ray.train.get_preemption_info() is not None:
            checkpoints.save(self.engine, progress)
            self.saved_for_loss = True

    def probes(self) -> list[tuple[str, str]]:
        """Some pairs of the labels, for the parity check."""
        labels = self.batches.reader.read(self.work.train[:_PROBED_LISTS])
        pairs = [(label.query, content(c.title, c.text)) for label in labels for c in label.candidates]
        return pairs[:: max(1, len(pairs) // _PROBES)][:_PROBES]

    def _step(self, step: int, share: Share, batch: ListBatch) -> tuple[float, float]:
        """One optimizer step. Returns the loss and the sum of the scores."""
        self.engine.train()
        # drawn anew for each step, so that a resumed training drops out what the other would have
        torch.manual_seed(hash((self.work.training.seed, step, self.rank)))
        parts = batch.within(self.work.training.tokens_per_pass)
        passes = self._most(len(parts))
        loss_sum, total = 0.0, 0.0
        for turn in range(passes):
            counts = turn < len(parts)  # ZeRO has all workers do equally many passes; a further one adds nothing
            part = parts[turn] if counts else parts[0]
            self.engine.set_gradient_accumulation_boundary(turn == passes - 1)
            flat = self._scores(part)
            # DeepSpeed averages over workers and adds up passes; this makes it the mean over the step's lists
            loss = self.objective(flat, part) * (part.mask.shape[0] * self.workers / share.of if counts else 0.0)
            if not torch.isfinite(loss):
                self._stop(step, share)
            self.engine.backward(loss)
            if counts:
                loss_sum += float(loss.detach())
                total += float(flat.detach().reshape(len(part.pairs), -1)[:, 0].sum())
        self.engine.step()
        return loss_sum, total

    def _most(self, count: int) -> int:
        """The highest count of all workers."""
        if self.workers == 1:
            return count
        held = torch.tensor(count, device=self.device)
        torch.distributed.all_reduce(held, torch.distributed.ReduceOp.MAX)
        return int(held)

    def _scores(self, batch: ListBatch) -> torch.Tensor:
        # in ZeRO 3 every forward gathers weights from all workers, which so have to do equally many
        whole = self.work.training.zero_stage == 3
        return forward_rows(self.engine, self.tokenizer, batch.rows, whole)

    def _validated(self, progress: Progress) -> Progress:
        """Measure nDCG@10 on the held-out queries, dealt out over the workers."""
        held_out = self.work.held_out
        if not held_out:
            return progress
        self.engine.eval()
        mine = held_out[self.rank :: self.workers]
        rounds = -(-len(held_out) // self.workers)
        found = torch.zeros(2, device=self.device)
        with torch.no_grad():
            for turn in range(rounds):  # equally many on every worker: a list too few is made up by one that does not count
                counts = turn < len(mine)
                batch = self.batches.batch([mine[turn] if counts else held_out[0]], None)
                flat = self._scores(batch).reshape(len(batch.pairs), -1)[:, 0]
                if counts:
                    value = ndcg(batch.spread(flat), batch.targets.to(self.device), batch.mask.to(self.device))
                    found += torch.tensor([float(value.sum()), 1.0], device=self.device)
        torch.distributed.all_reduce(found)
        value = float(found[0] / found[1])
        if self.watch:
            self.watch.validation(progress.step, value)
        return progress.with_validation(value)

    def _enough(self, progress: Progress, every: int) -> bool:
        """Whether the last validations brought nothing."""
        patience = self.work.training.patience
        return patience is not None and progress.best is not None and progress.step - progress.best_step >= patience * every

    def _stop(self, step: int, share: Share) -> None:
        where = f"step {step + 1}, in the lists of the queries {', '.join(share.ids)}"
        raise NotFiniteError(
            f"the loss is no number at {where}; the last good checkpoint is kept, so lower training.learning_rate and go on"
        )

    def _note(self, progress: Progress, loss: float, batch: ListBatch, seconds: float) -> None:
        if self.watch:
            pairs, tokens = len(batch.pairs) * self.workers, sum(len(row["input_ids"]) for row in batch.rows) * self.workers
            self.watch.step(progress.step, loss, pairs, tokens, seconds)
