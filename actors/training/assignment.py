"""What the driver tells every training worker, and how far training has come."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import Any

from ranking.records import Provenance
from ranking.storage.folder import Folder
from students.kinds import AnySettings
from students.settings import TrainingSettings


@dataclass(frozen=True)
class Assignment:
    """One student's training. labels, rationales: folders of Label and ReasonList parts; None where rationales are not learned from.

    train, validation: query ids to learn from and to validate on.

    provenance: of what is learned from. grades: {query_id: {doc_id: grade}} where that is judgements.

    model: folder to export to. board: handle of a TrainingBoard. base_ranks: whether the base has a ranking head. If so, it is
    validated as step 0, and exported if training does not improve it. frequent_terms: keys that Token Selection ignores.
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
    base_ranks: bool = False
    frequent_terms: frozenset[int] = frozenset()

    @property
    def steps_per_epoch(self) -> int:
        """Whole steps; what is left over of an epoch waits for the next one's order."""
        return len(self.train) // self.training.queries_per_step

    @property
    def steps(self) -> int:
        return self.training.steps_over(len(self.train))


@dataclass(frozen=True)
class TrainingProgress:
    """Where training is. step: optimizer steps done. best: highest validation value so far; None where there is none.

    best_step: after which it was reached.
    """

    step: int = 0
    best: float | None = None
    best_step: int = 0

    @classmethod
    def read(cls, text: str) -> TrainingProgress:
        """Of a checkpoint's file; what older versions wrote beside is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})

    def after_a_step(self) -> TrainingProgress:
        """One step further."""
        return replace(self, step=self.step + 1)

    def with_validation(self, value: float) -> TrainingProgress:
        """After a validation at the current step; the first of equal values counts as the best."""
        better = self.best is None or value > self.best
        best, best_step = (value, self.step) if better else (self.best, self.best_step)
        return TrainingProgress(self.step, best, best_step)

    def stalled(self, steps: int | None) -> bool:
        """Whether the validations of so many steps brought nothing; None: never."""
        return steps is not None and self.best is not None and self.step - self.best_step >= steps


class TrainingBoard:
    """Ray actor: where the training workers are, for the driver to ask."""

    def __init__(self) -> None:
        self.lines: list[dict[str, float]] = []
        self.first_step = 0
        self.error: str | None = None

    def begin(self, step: int) -> None:
        """Note the step that training begins with: 0, or how many the checkpoint has that it goes on from."""
        self.first_step = step

    def fail(self, error: str) -> None:
        """Say in a line why training cannot go on."""
        self.error = error

    def state(self) -> tuple[int, str | None]:
        """The first step, and the error if there is one."""
        return self.first_step, self.error

    def add(self, line: dict[str, float]) -> None:
        """Note a step or a validation."""
        self.lines.append(line)

    def since(self, count: int) -> list[dict[str, float]]:
        """What was noted after the first `count`."""
        return self.lines[count:]
