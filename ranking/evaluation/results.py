"""What an evaluation found: the content of metrics.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SystemKind = Literal["first_stage", "pre_ranker", "teacher", "student", "run"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Latency(_Part):
    """Milliseconds to score all candidates of one query, of every list re-ranked, on one CPU thread."""

    p50: float
    p95: float


class SystemResult(_Part):
    """One ranking system on one candidate list.

    system: its name without the list ("rra-bert"). candidates: the list it re-ranks ("bm25"), None for the
    list itself. measures: averages over the judged queries. documents_per_second (of one scorer), latency_ms: None where not timed.
    """

    kind: SystemKind
    system: str
    candidates: str | None
    measures: dict[str, float]
    documents_per_second: float | None = None
    latency_ms: Latency | None = None


class ComparisonResult(_Part):
    """system minus control on one measure, with the p-value and the 95% interval of the difference."""

    system: str
    control: str
    measure: str
    delta: float
    p: float
    interval: tuple[float, float]


class VerdictResult(_Part):
    """Which student won, whether it may be promoted, and why, in one sentence."""

    champion: str | None
    promoted: bool
    reason: str


class Metrics(_Part):
    """All of an evaluation. systems is keyed by "<system>" for candidate lists, "<system>@<list>" for re-rankers."""

    collection: str
    split: str
    queries: int
    systems: dict[str, SystemResult]
    comparisons: list[ComparisonResult]
    verdict: VerdictResult
    notes: list[str] = Field(default_factory=list)


def system_key(system: str, candidates: str | None) -> str:
    """Name a system in metrics.json and its run file."""
    return system if candidates is None else f"{system}@{candidates}"
