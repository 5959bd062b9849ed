"""The Ray Train worker: distill one student with DeepSpeed.

Every worker has a copy of the student and trains on its share of each step's lists. DeepSpeed ZeRO shards the optimizer
states, the gradients and, in stage 3, the weights over the workers.
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
from students.forward_passes import forward_rows
from students.objective import Objective, ndcg

_PROBES = 64
"""Maximum number of pairs in the parity check, which compares the scores of the saved and the trained model."""

_MIN_PROBED_LISTS = 16
"""Minimum number of lists to take the pairs of the parity check from."""


class NonFiniteError(RuntimeError):
    """The loss or the scores are NaN or infinite."""


def train_worker(config: dict[str, Any]) -> None:
    """Train on one worker; worker 0 exports the student at the end.

    Args:
        config: {"work": Assignment}.
    """
    work: Assignment = config["work"]
    _, error = ray.get(work.board.state.remote())
    if error is not None:
        return  # Ray Train restarted the workers after an error that a restart cannot fix.
    try:
        worker = TrainingWorker(work)
        progress = worker.train(checkpoints.resume(worker.engine))
        # After the barrier every worker's part of the last checkpoint is in storage.
        torch.distributed.barrier()
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
    """One training worker, with its DeepSpeed engine and its share of the lists."""

    def __init__(self, work: Assignment) -> None:
        """Build the student, the engine and the batches. Call it within a Ray Train worker."""
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
        trained = kinds.wrap_for_training(model, student, path)
        self.engine = make_engine(trained, training, work.steps, self.device.type)
        self.objective = Objective(student, training, work.provenance.targets)
        self.monitor = TrainingMonitor(work) if self.rank == 0 else None
        # In ZeRO stage 3 each forward pass gathers weights from all workers, so all must run the same number of passes.
        self.single_chunk = training.zero_stage == 3
        self.saved_for_preemption = False
        reader = LabelReader(work.labels, work.rationales)
        tokens = kinds.TrainingReader(student, self.tokenizer, work.frequent_terms, work.language)
        self.batches = LabelBatches(reader, training, tokens, work.grades, work.clicks, work.source_scores)

    def train(self, progress: TrainingProgress) -> TrainingProgress:
        """Train from `progress` to the last step, or until validation stops improving. Returns the final progress."""
        training = self.work.training
        if self.monitor:
            self.monitor.begin(progress.step)
        interval = training.checkpoint_every or self.work.steps_per_epoch
        patience_steps = None if training.patience is None else training.patience * interval
        if progress.has_stalled(patience_steps):  # The previous job was interrupted after training had ended.
            return progress
        if progress.step == 0 and progress.best is None and self.work.validation and self.work.base_ranks:
            # Validate the base as step 0: a trained checkpoint is only exported if it is better.
            progress = self._validate(progress)
            checkpoints.save(self.engine, progress)
        own_shares = shares(self.work.train, training, progress.step, self.rank, self.workers)
        for share, batch in self.batches.iterate(own_shares):
            start = time.monotonic()
            loss = self._step(progress.step, share, batch)
            progress = progress.after_a_step()
            self._report_step(progress, loss, share, batch, time.monotonic() - start)
            if progress.step % interval and progress.step != self.work.steps:
                self._save_before_preemption(progress)
            else:
                progress = self._validate(progress)
                checkpoints.save(self.engine, progress)
                if self.monitor:
                    self.monitor.upload()
                if progress.has_stalled(patience_steps):
                    break
        return progress

    def _save_before_preemption(self, progress: TrainingProgress) -> None:
        """Save one checkpoint after the cluster has announced that it will preempt a node. Call it on every worker."""
        if not self.saved_for_preemption and ray.train.get_preemption_info() is not None:
            checkpoints.save(self.engine, progress)
            if self.monitor:
                self.monitor.upload()
            self.saved_for_preemption = True

    def probes(self) -> list[tuple[str, str]]:
        """Return up to 64 (query, document) pairs from the training lists for the parity check."""
        pairs: list[tuple[str, str]] = []
        for lists, query_id in enumerate(self.work.train, start=1):
            (label,) = self.batches.reader.read([query_id])
            pairs += [(label.query, content(c.title, c.text)) for c in label.candidates]
            if lists >= _MIN_PROBED_LISTS and len(pairs) >= _PROBES:
                break
        return pairs[:: max(1, len(pairs) // _PROBES)][:_PROBES]

    def _step(self, step: int, share: StepShare, batch: ListBatch) -> float:
        """Run one optimizer step and return this worker's loss."""
        self.engine.train()
        # Seed each step, so a resumed training run applies the same dropout as an uninterrupted one.
        torch.manual_seed(hash((self.work.training.seed, step, self.rank)))
        microbatches = batch.split(self.work.training.max_tokens_per_microbatch, padded=self.single_chunk)
        passes = self._max_over_workers(len(microbatches))
        loss_sum = 0.0
        for index in range(passes):
            # ZeRO needs the same number of passes on all workers. Extra passes repeat a microbatch with weight 0.
            is_real = index < len(microbatches)
            microbatch = microbatches[index] if is_real else microbatches[0]
            start = sum(len(earlier.mask) for earlier in microbatches[:index]) if is_real else 0
            ids = share.ids[start : start + len(microbatch.mask)]
            self.engine.set_gradient_accumulation_boundary(index == passes - 1)
            flat = self._scores(microbatch)
            # DeepSpeed averages over workers and sums over passes. This factor makes it the mean over the step's lists.
            loss = self.objective(flat, microbatch, step / self.work.steps) * (
                microbatch.mask.shape[0] * self.workers / share.lists_in_step if is_real else 0.0
            )
            if not torch.isfinite(loss):
                queries = _non_finite_queries(ids, self.objective.per_list(flat, microbatch))
                self._stop(f"the loss is NaN or infinite at step {step + 1}, {queries}")
            self.engine.backward(loss)
            if is_real:
                loss_sum += float(loss.detach())
        self.engine.step()
        return loss_sum

    def _max_over_workers(self, count: int) -> int:
        """Return the maximum of `count` over all workers."""
        if self.workers == 1:
            return count
        highest = torch.tensor(count, device=self.device)
        torch.distributed.all_reduce(highest, torch.distributed.ReduceOp.MAX)
        return int(highest)

    def _scores(self, batch: ListBatch) -> torch.Tensor:
        """Run the model on the pairs. Returns scores, [pairs], or scores and training outputs, [pairs, columns]."""
        return forward_rows(self.engine, self.tokenizer, batch.rows, self.single_chunk)

    def _validate(self, progress: TrainingProgress) -> TrainingProgress:
        """Measure nDCG@10 on the validation queries, distributed over the workers.

        Without validation queries, only check the scores of one training list, so no checkpoint with NaN or infinite
        scores is saved.

        Returns:
            The progress with the result of the validation.
        """
        queries = self.work.validation or self.work.train[:1]
        self.engine.eval()
        own_queries = queries[self.rank :: self.workers]
        rounds = -(-len(queries) // self.workers)
        sum_and_count = torch.zeros(2, device=self.device)
        with torch.no_grad():
            # Every worker runs the same number of rounds. A worker without a query left repeats one, uncounted.
            for index in range(rounds):
                is_real = index < len(own_queries)
                query_id = own_queries[index] if is_real else queries[0]
                batch = self.batches.batch([query_id], None)
                flat = self._scores(batch).reshape(len(batch.pairs), -1)[:, 0]
                if not torch.isfinite(flat).all():
                    self._stop(f"the scores are NaN or infinite after step {progress.step}, query {query_id}")
                if is_real:
                    value = ndcg(batch.spread(flat), batch.targets.to(self.device), batch.mask.to(self.device))
                    sum_and_count += torch.tensor([float(value.sum()), 1.0], device=self.device)
        if not self.work.validation:
            return progress
        torch.distributed.all_reduce(sum_and_count)
        mean = float(sum_and_count[0] / sum_and_count[1])
        if self.monitor:
            self.monitor.validation(progress.step, mean)
        return progress.with_validation(mean)

    def _stop(self, problem: str) -> None:
        """Raise NonFiniteError with a message that names the problem and what to do."""
        raise NonFiniteError(
            f"{problem}; the last good checkpoint is kept. Lower training.learning_rate to restart training."
        )

    def _report_step(
        self, progress: TrainingProgress, loss: float, share: StepShare, batch: ListBatch, seconds: float
    ) -> None:
        """Report a step on worker 0. The pairs and tokens of all workers are estimated from the lists of worker 0."""
        if self.monitor:
            factor = share.lists_in_step / max(1, len(share.ids))
            pairs, tokens = len(batch.pairs) * factor, sum(len(row["input_ids"]) for row in batch.rows) * factor
            self.monitor.step(progress.step, loss, round(pairs), round(tokens), seconds)


def _non_finite_queries(ids: Sequence[str], losses: torch.Tensor) -> str:
    """Name the queries whose losses, [lists], are NaN or infinite."""
    wrong = [query_id for query_id, finite in zip(ids, torch.isfinite(losses).tolist(), strict=True) if not finite]
    return f"query {wrong[0]}" if len(wrong) == 1 else f"queries {', '.join(wrong)}"
