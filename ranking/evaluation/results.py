"""What an evaluation found: the content of metrics.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SystemKind = Literal["first_stage", "pre_ranker", "teacher", "base", "student", "blended", "model", "run"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Part):
    """Milliseconds for one query: to score 50 documents by one scorer, as it is served; of a first stage, to search."""

    p50: float
    p95: float


class Size(_Part):
    """A model's size. bytes: of its weights in the precision it scores in."""

    parameters: int
    bytes: int


class Parity(_Part):
    """How far scores are from those that the model had when it was saved. difference: the largest, in fp32; None: no record of them."""

    difference: float | None
    passed: bool


class LabelCost(_Part):
    """What labels took, in all sessions.

    price: in the currency of compute.engine_hour_price; None where that is not set, or no engine was asked.
    """

    labels: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    price: float | None = None


class SystemResult(_Part):
    """One ranking system on one candidate list.

    kind: `base` is a student's base before training, `blended` a student as it is served, blended with the first stage.
    system: its name without the list ("rra-bert"). candidates: the list it re-ranks ("bm25"), None for the
    list itself. measures: averages over the judged queries, of counts (NumRet) sums. judged_only: the first measure over condensed
    lists, from which documents without a judgement are removed (Sakai, SIGIR 2007). student: of a base or blended system, the student.
    documents_per_second (of one scorer), latency_ms, size, parity: None where not measured. label_cost: cost of the labels that a
    student learned from, or of the teacher's answers to the test queries; None for other systems.
    """

    kind: SystemKind
    system: str
    candidates: str | None
    measures: dict[str, float]
    judged_only: float | None = None
    student: str | None = None
    documents_per_second: float | None = None
    latency_ms: Latency | None = None
    size: Size | None = None
    parity: Parity | None = None
    label_cost: LabelCost | None = None

    def told(self, measure: str) -> str:
        """A measure as it stands in tables; counts are whole."""
        value = self.measures[measure]
        return f"{value:,.0f}" if value.is_integer() and value > 1 else f"{value:.3f}"


class ComparisonResult(_Part):
    """system minus control (the baseline) on one measure: as `ranking.evaluation.significance.Comparison`.

    p_holm: corrected for the number of students and models compared on this measure; None for other systems.
    """

    system: str
    control: str
    measure: str
    delta: float
    p: float
    interval: tuple[float, float]
    lower: float = 0.0
    p_holm: float | None = None
    effect: float | None = None
    detectable: float | None = None


class CheckResult(_Part):
    """One condition of a promotion: the student against another system on the first measure.

    test: `superiority` (delta above 0 and p, after Holm's correction, below the level) or `non-inferiority` (the lower bound of the
    difference, one-sided at the level, above minus the margin).
    """

    against: str
    test: Literal["superiority", "non-inferiority"]
    delta: float
    p: float
    lower: float
    passed: bool


class PromotionDecision(_Part):
    """The promotion decision.

    champion: the best student, whether promoted or not. deploy: key of the system to deploy: the student if it is promoted, else what
    is better. reason: why, in one or two sentences. checks: the conditions of the champion's promotion.
    """

    champion: str | None
    promoted: bool
    reason: str
    deploy: str | None = None
    checks: list[CheckResult] = Field(default_factory=list)


class QuerySlice(_Part):
    """Queries that are alike. by: in what ("length"); name: how ("1 to 3 terms"). values: of the first measure, by system."""

    by: str
    name: str
    queries: int
    values: dict[str, float]


class Machine(_Part):
    """Where times were measured."""

    processor: str
    cores: int
    threads: int
    gpu: str | None = None


class Metrics(_Part):
    """All of an evaluation. systems is keyed by "<system>" for candidate lists and runs, "<system>@<list>" for re-rankers.

    comparisons: with the control. duels: of students with each other on the first list and measure. warnings: what
    a reader should know before believing a number. A file of an older version may hold more, which is not read.
    """

    model_config = ConfigDict(extra="ignore")

    collection: str
    split: str
    queries: int
    systems: dict[str, SystemResult]
    comparisons: list[ComparisonResult]
    duels: list[ComparisonResult] = Field(default_factory=list)
    verdict: PromotionDecision
    classes: list[QuerySlice] = Field(default_factory=list)
    machine: Machine | None = None
    notes: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    @property
    def control(self) -> str | None:
        """The baseline that the others are compared with; None where there is only one system."""
        return self.comparisons[0].control if self.comparisons else None

    @property
    def shows_judged_only(self) -> bool:
        """Whether systems differ so much in Judged@10 that the measure over judged documents belongs beside it."""
        judged = [result.measures["Judged@10"] for result in self.systems.values() if "Judged@10" in result.measures]
        return bool(judged) and max(judged) - min(judged) > 0.05


def system_key(system: str, candidates: str | None) -> str:
    """Name a system in metrics.json and its run file."""
    return system if candidates is None else f"{system}@{candidates}"
