"""Queries on which two systems differ strongly, with the top documents of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ranking.evaluation.trec_runs import TrecRun, order_of

SHOWN_DOCUMENTS = 3
SHOWN_CHARACTERS = 180


@dataclass(frozen=True)
class ShownDocument:
    """A document shown in the report.

    Attributes:
        grade: Relevance grade, or "–" if not judged.
    """

    text: str
    grade: str
    relevant: bool


@dataclass(frozen=True)
class RankedSide:
    """One system's top documents for a query, and the value of the measure on that query."""

    name: str
    value: float
    documents: list[ShownDocument]


@dataclass(frozen=True)
class ChangedQuery:
    """A query on which two systems differ.

    Attributes:
        delta: Difference of the measure, system minus baseline.
        sides: The two systems' results, system first.
    """

    query_id: str
    text: str
    delta: float
    sides: list[RankedSide]


@dataclass(frozen=True)
class RankedSystem:
    """A system's name, its ranking of all test queries, and its values of one measure: {query_id: value}."""

    name: str
    run: TrecRun
    values: Mapping[str, float]


def changed_queries(
    system: RankedSystem,
    baseline: RankedSystem,
    queries: Mapping[str, str],
    texts: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
    count: int,
    worse: bool,
) -> list[ChangedQuery]:
    """Select the queries with the largest losses or gains, largest first. Unchanged queries are excluded.

    Args:
        system: The system to compare.
        baseline: The baseline.
        queries: Query texts by id.
        texts: Document texts by id.
        qrels: Judgements: {query_id: {doc_id: grade}}.
        count: Maximum number of queries.
        worse: Select losses instead of gains.
    """
    deltas = {query_id: system.values[query_id] - value for query_id, value in baseline.values.items()}
    chosen = [query_id for query_id, delta in deltas.items() if (delta < 0) == worse and delta]
    chosen.sort(key=lambda query_id: (deltas[query_id] if worse else -deltas[query_id], query_id))
    return [
        ChangedQuery(
            query_id,
            queries[query_id],
            deltas[query_id],
            [_side(ranked, query_id, texts, qrels.get(query_id, {})) for ranked in (system, baseline)],
        )
        for query_id in chosen[:count]
    ]


def _side(ranked: RankedSystem, query_id: str, texts: Mapping[str, str], grades: Mapping[str, int]) -> RankedSide:
    """Collect a system's top documents for a query."""
    first: Sequence[str] = order_of(ranked.run.get(query_id, {}))[:SHOWN_DOCUMENTS]
    documents = [ShownDocument(_short(texts.get(d, d)), str(grades.get(d, "–")), grades.get(d, 0) > 0) for d in first]
    return RankedSide(ranked.name, ranked.values[query_id], documents)


def _short(text: str) -> str:
    """Truncate a text to `SHOWN_CHARACTERS`, on one line."""
    joined = " ".join(text.split())
    return joined if len(joined) <= SHOWN_CHARACTERS else joined[: SHOWN_CHARACTERS - 1] + "…"
