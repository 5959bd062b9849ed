"""The training configuration that the driver sends to every worker, and the progress that the workers report."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ranking.clicks.click_mixing import ListClicks
from ranking.languages import ENGLISH
from ranking.records import Provenance
from ranking.storage.folder import Folder
from students.kinds import AnySettings
from students.training_settings import TrainingSettings


@dataclass(frozen=True)
class Assignment:
    """Everything that a worker needs to train one student.

    Attributes:
        student: Settings of the student.
        training: Training settings.
        labels: Folder with parts of `Label` rows.
        rationales: Folder with parts of `RationaleList` rows; None if the student does not learn from rationales.
        train: IDs of the queries to learn from.
        validation: IDs of the validation queries.
        provenance: Provenance of the labels or judgements.
        fingerprint: Fingerprint (hash) of the labels.
        model: Folder to export the student to.
        tensorboard: Folder for TensorBoard's event files.
        board: Actor handle of the `TrainingBoard` that the workers report to.
        grades: Judgements to learn from, {query_id: {doc_id: grade}}; None to learn from the labels.
        clicks: Clicks to mix into the labels' targets, {query_id: clicks}; None for none.
        base_ranks: Whether the base model already has a ranking head. If so, it is validated before training (step 0)
            and exported if training does not improve it.
        frequent_terms: Keys of frequent terms, which Token Selection ignores.
        language: Language of the collection, for Token Selection.
        source_scores: Folder with parts of `ScoredList` rows, the scores of the student to distil from; None for none.
    """

    student: AnySettings
    training: TrainingSettings
    labels: Folder
    rationales: Folder | None
    train: list[str]
    validation: list[str]
    provenance: Provenance
    fingerprint: str
    model: Folder
    tensorboard: Folder
    board: Any
    grades: dict[str, dict[str, int]] | None = None
    clicks: dict[str, ListClicks] | None = None
    base_ranks: bool = False
    frequent_terms: frozenset[int] = frozenset()
    language: str = ENGLISH
    source_scores: Folder | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps per epoch. Lists that do not fill a step are skipped; the next epoch shuffles all lists again."""
        return len(self.train) // self.training.queries_per_step

    @property
    def steps(self) -> int:
        """Number of optimizer steps of the whole training run."""
        return self.training.optimizer_steps(len(self.train))


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a training run, stored in every checkpoint.

    Attributes:
        step: Completed optimizer steps.
        best: Highest validation nDCG@10; None before the first validation.
        best_step: Step after which `best` was measured.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0

    @classmethod
    def read(cls, text: str) -> TrainingProgress:
        """Parse a checkpoint's state file."""
        return cls(**json.loads(text))

    def after_a_step(self) -> TrainingProgress:
        """Return the progress after one more step."""
        return replace(self, step=self.step + 1)

    def with_validation(self, value: float) -> TrainingProgress:
        """Return the progress after validation at the current step gave this nDCG@10. A tie keeps the earlier best."""
        better = self.best is None or value > self.best
        best, best_step = (value, self.step) if better else (self.best, self.best_step)
        return TrainingProgress(self.step, best, best_step)

    def has_stalled(self, steps: int | None) -> bool:
        """Return whether validation has not improved for `steps` steps or more. Always False if `steps` is None."""
        return steps is not None and self.best is not None and self.step - self.best_step >= steps


class TrainingBoard:
    """Ray actor that collects the workers' reports for the driver to poll."""

    def __init__(self) -> None:
        """Start without reports."""
        self.lines: list[dict[str, float]] = []
        self.first_step = 0
        self.error: str | None = None

    def begin(self, step: int) -> None:
        """Record the last step before training starts: 0, or the step of the checkpoint that it resumes from."""
        self.first_step = step

    def fail(self, error: str) -> None:
        """Record the one-line error that ends training."""
        self.error = error

    def state(self) -> tuple[int, str | None]:
        """Return the last step before training started, and the error that ended training or None."""
        return self.first_step, self.error

    def add(self, line: dict[str, float]) -> None:
        """Add the report of a step, a validation or an export."""
        self.lines.append(line)

    def since(self, count: int) -> list[dict[str, float]]:
        """Return all reports except the first `count`."""
        return self.lines[count:]
