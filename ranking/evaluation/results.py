"""Results of an evaluation: the content of metrics.json."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from ranking.calibration.calibrated_scores import Calibration
from ranking.collections.collection import GENERATED_SPLIT
from ranking.evaluation.judge_results import JudgeResult
from ranking.records.record import ChecksummedModel

SystemKind = Literal["first_stage", "pre_ranker", "teacher", "base", "student", "blended", "model", "run"]


SCHEMA_VERSION: Final = 4
"""Version of the keys of metrics.json. Increase it when keys change, so that evaluations with other keys run again."""


class _Part(BaseModel):
    """Base class of the parts of metrics.json. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Latency(_Part):
    """Latency of one query in milliseconds: the median and the 95th percentile.

    Re-rankers score 50 documents with one copy of the model, with as many threads as a replica of the service has.
    First stages search the collection.
    """

    p50: float
    p95: float


class Size(_Part):
    """Size of a model.

    Attributes:
        bytes: Size of the weights in the precision used for scoring.
    """

    parameters: int
    bytes: int


class Parity(_Part):
    """Score parity: comparison of a student's scores with those recorded when it was saved.

    Attributes:
        difference: Maximum absolute difference in fp32. None if no scores were recorded.
    """

    difference: float | None
    passed: bool


class LabelCost(_Part):
    """Cost of labels, summed over all sessions.

    Attributes:
        price: Price in the currency of compute.engine_hour_price. None if that is not set or no engine was used.
    """

    labels: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    price: float | None = None


class SystemResult(_Part):
    """One ranking system on one candidate list.

    Attributes:
        kind: Kind of system. `base` is the model that a student is trained from, before training. `blended` is a
            student with its scores blended with the first stage's, as it is served.
        system: Name without the candidate list ("rra-bert").
        candidates: Name of the candidate list that the system re-ranks ("bm25"). None for systems that do not re-rank,
            such as first stages.
        measures: {measure: mean over the judged queries}; for counts such as NumRet, the sum.
        judged_only: The first measure over condensed lists, from which unjudged documents are removed (Sakai, SIGIR
            2007).
        with_judge: The measures with the judge's grades for documents at the top of a ranking that no human graded.
            None without a judge.
        student: Name of the student that a base or blended system belongs to. None for other systems.
        documents_per_second: Throughput of one copy of the model. None if not measured.
        latency_ms: Latency of one query. None if not measured.
        size: Size of the model. None if not measured.
        parity: Score parity of a student. None if not measured.
        label_cost: Cost of the labels that a student learned from, or of the teacher's answers to the test queries.
            None for other systems.
    """

    kind: SystemKind
    system: str
    candidates: str | None
    measures: dict[str, float]
    judged_only: float | None = None
    with_judge: dict[str, float] | None = None
    student: str | None = None
    documents_per_second: float | None = None
    latency_ms: Latency | None = None
    size: Size | None = None
    parity: Parity | None = None
    label_cost: LabelCost | None = None

    def format_measure(self, measure: str) -> str:
        """Format a measure for tables. Counts are shown as integers."""
        value = self.measures[measure]
        return f"{value:,.0f}" if value.is_integer() and value > 1 else f"{value:.3f}"


class ComparisonResult(_Part):
    """A comparison of two systems on one measure. Differences are system minus baseline.

    Fields that are not listed below are described in `ranking.evaluation.significance.Comparison`.

    Attributes:
        system: Key of the system, or of the first student in a pairwise comparison.
        baseline: Key of the baseline, or of the second student in a pairwise comparison.
        measure: Name of the measure.
        p_holm: p-value with Holm's correction for the number of competing systems on this measure and candidate list.
            None for other systems.
    """

    system: str
    baseline: str
    measure: str
    delta: float
    p: float
    interval: tuple[float, float]
    lower: float = 0.0
    p_holm: float | None = None
    effect: float | None = None
    detectable: float | None = None


class CheckResult(_Part):
    """One condition of a promotion: the student compared with another system on the first measure.

    Attributes:
        against: Key of the other system.
        test: `superiority` requires delta > 0 and a Holm-corrected p below the significance level. `non-inferiority`
            requires that the one-sided lower bound of the difference, at that level, is above
            -`evaluation.non_inferiority_margin`.
    """

    against: str
    test: Literal["superiority", "non-inferiority"]
    delta: float
    p: float
    lower: float
    passed: bool


class PromotionDecision(_Part):
    """The promotion decision.

    Attributes:
        champion: Name of the winning student, whether or not it is promoted. None if no student qualifies.
        reason: Explanation in one or two sentences.
        deploy: Key of the system to deploy: the winning student if it is promoted, else an alternative.
        checks: Conditions of the winning student's promotion and their results.
    """

    champion: str | None
    promoted: bool
    reason: str
    deploy: str | None = None
    checks: list[CheckResult] = Field(default_factory=list)


class QuerySlice(_Part):
    """A slice of the test queries.

    Attributes:
        by: The property that defines the slice ("length").
        name: The value or range of that property ("1 to 3 terms").
        queries: Number of queries.
        values: Mean of the first measure, by system key.
    """

    by: str
    name: str
    queries: int
    values: dict[str, float]


class Machine(_Part):
    """The machine on which times were measured."""

    processor: str
    cores: int
    threads: int
    gpu: str | None = None


class Metrics(_Part, ChecksummedModel):
    """All results of an evaluation.

    Attributes:
        schema_version: Version of the keys.
        split: Name of the test split. It begins with "generated" if the test queries were generated from documents.
        systems: Results by key: "<system>" for candidate lists and runs, "<system>@<list>" for re-rankers.
        comparisons: Comparisons with the baseline.
        pairwise_comparisons: Pairwise comparisons of students on the first candidate list and measure.
        promotion: The promotion decision.
        query_slices: Results by query slice.
        calibrations: Calibration of each student with calibrated scores, by name.
        judge: The judge of unjudged documents and its agreement with human grades. None without a judge.
        machine: The machine on which times were measured.
        notes: Remarks on the collection and the runs.
        warnings: Reasons to distrust a result.
    """

    schema_version: Literal[4] = SCHEMA_VERSION
    collection: str
    split: str
    queries: int
    systems: dict[str, SystemResult]
    comparisons: list[ComparisonResult]
    pairwise_comparisons: list[ComparisonResult] = Field(default_factory=list)
    promotion: PromotionDecision
    query_slices: list[QuerySlice] = Field(default_factory=list)
    calibrations: dict[str, Calibration] = Field(default_factory=dict)
    judge: JudgeResult | None = None
    machine: Machine | None = None
    notes: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    @property
    def measure(self) -> str:
        """The first measure, which the decision uses."""
        return next(iter(next(iter(self.systems.values())).measures))

    @property
    def on_generated_queries(self) -> bool:
        """Whether the test queries were generated from documents."""
        return self.split.startswith(GENERATED_SPLIT)

    @property
    def baseline(self) -> str | None:
        """Key of the baseline. None if there is only one system."""
        return self.comparisons[0].baseline if self.comparisons else None

    @property
    def shows_judged_only(self) -> bool:
        """Whether Judged@10 differs by more than 0.05 between systems.

        If it does, tables also show the first measure over judged documents only.
        """
        judged = [result.measures["Judged@10"] for result in self.systems.values() if "Judged@10" in result.measures]
        return bool(judged) and max(judged) - min(judged) > 0.05


def system_key(system: str, candidates: str | None) -> str:
    """Return the key of a system in metrics.json, also the name of its run file."""
    return system if candidates is None else f"{system}@{candidates}"
