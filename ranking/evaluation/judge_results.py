"""Results of the judge: the part `judge` of metrics.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ranking.records import GradeStatus

LOW_KAPPA = 0.4
"""Binary kappa below which a warning is shown: up to .40 is at best fair agreement (Landis and Koch, 1977)."""

Interval = tuple[float, float]


class _JudgePart(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Agreement(_JudgePart):
    """Agreement of a judge with human grades of the same pairs.

    Attributes:
        pairs: Number of pairs with both grades.
        queries: Number of their queries.
        relevant: Lowest human grade that is relevant. The judge's 2 and 3 are relevant.
        kappa: Cohen's kappa of the grades. None if both sides always give one and the same grade.
        kappa_interval: Its 95% bootstrap interval over queries. None for fewer than two queries.
        binary_kappa: Cohen's kappa of relevance.
        binary_interval: Its 95% bootstrap interval over queries.
        confusion: {human grade: numbers of pairs with the judge's grades 0, 1, 2 and 3}.
    """

    pairs: int
    queries: int
    relevant: int
    kappa: float | None
    kappa_interval: Interval | None
    binary_kappa: float | None
    binary_interval: Interval | None
    confusion: dict[int, list[int]]


class JudgeResult(_JudgePart):
    """The judge and what it graded.

    Attributes:
        name: Model, or name of the file with recorded grades.
        revision: Revision of the model.
        prompt: Hash of the prompt. None for recorded grades.
        depth: Documents at the top of each ranking that were graded if they had no human grade.
        scale: The collection's grades for the judge's 0, 1, 2 and 3.
        holes: Number of pairs in the top `depth` of any system without a human grade.
        filled: Number of holes that the judge graded. All others count as not relevant.
        statuses: Number of pairs by parse status, holes and the sample for agreement together.
        agreement: Agreement with human grades. None if no pair was graded by both.
        alone: Whether there are no human grades at all, so all measures and the promotion decision use the judge's.
        same_as_teacher: Whether the judge is the teacher's model or file, which `evaluation.judge.force` allowed.
    """

    kind: Literal["llm", "recorded"]
    name: str
    revision: str | None = None
    prompt: str | None = None
    depth: int
    scale: list[int]
    holes: int
    filled: int
    statuses: dict[GradeStatus, int] = Field(default_factory=dict)
    agreement: Agreement | None = None
    alone: bool = False
    same_as_teacher: bool = False

    @property
    def suffix(self) -> str:
        """What follows the measure in the name of the column, marked if the judge is the teacher."""
        return f"with {self.label}"

    @property
    def label(self) -> str:
        """What tables call the judge, marked if it is the teacher."""
        return "judge (= teacher)" if self.same_as_teacher else "judge"
