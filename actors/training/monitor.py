"""Report training progress to the driver, to Ray's metrics and to TensorBoard's event files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ray
from ray.util.metrics import Counter, Gauge
from tensorboardX import SummaryWriter

from actors.training.assignment import Assignment
from ranking.storage.folder import Folder


class TrainingMonitor:
    """Reports the progress of all workers. Only worker 0 creates a monitor."""

    def __init__(self, work: Assignment) -> None:
        """Create the metrics and a local folder for TensorBoard's event files."""
        self.board = work.board
        self.target = work.tensorboard
        self._local = tempfile.TemporaryDirectory()
        self._events = SummaryWriter(logdir=self._local.name)
        tags = {"student": work.student.name}
        self._loss = Gauge("rradistill_train_loss", "Loss of the last optimizer step.", tag_keys=("student",))
        self._ndcg = Gauge(
            "rradistill_train_validation_ndcg",
            "nDCG@10 against the teacher on the validation lists.",
            tag_keys=("student",),
        )
        self._pairs = Counter("rradistill_train_pairs", "Trained query-document pairs.", tag_keys=("student",))
        self._tokens = Counter("rradistill_train_tokens", "Trained tokens, without padding.", tag_keys=("student",))
        for metric in (self._loss, self._ndcg, self._pairs, self._tokens):
            metric.set_default_tags(tags)

    def begin(self, step: int) -> None:
        """Report the last step before training starts: 0, or the step that it resumes from."""
        ray.get(self.board.begin.remote(step))

    def step(self, step: int, loss: float, pairs: int, tokens: int, seconds: float) -> None:
        """Report a finished optimizer step.

        Args:
            step: Number of completed steps.
            loss: Loss of the step.
            pairs: Number of pairs in the step, over all workers.
            tokens: Number of tokens in the step, over all workers, without padding.
            seconds: Duration of the step in seconds.
        """
        self._loss.set(loss)
        self._pairs.inc(pairs)
        self._tokens.inc(tokens)
        self._events.add_scalar("loss", loss, step)
        self._events.add_scalar("pairs per second", pairs / seconds, step)
        self.board.add.remote({"step": step, "loss": loss, "pairs": pairs, "tokens": tokens, "seconds": seconds})

    def validation(self, step: int, value: float) -> None:
        """Report the validation nDCG@10 after a step."""
        self._ndcg.set(value)
        self._events.add_scalar("validation nDCG@10", value, step)
        self.board.add.remote({"validation": value, "step": step})

    def upload(self) -> None:
        """Copy TensorBoard's event files to storage."""
        self._events.flush()
        Folder(Path(self._local.name)).copy_to(self.target)
