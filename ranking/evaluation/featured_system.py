"""The system that the report shows in detail, and the test queries on which it is worse than the baseline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ranking.evaluation.comparison import COMPETING
from ranking.evaluation.decision import name_of, served_systems
from ranking.evaluation.results import Metrics
from ranking.records import Record


class WorseQuery(Record):
    """A test query on which the featured system is worse than the baseline."""

    query_id: str
    text: str
    baseline: float
    system: float


class WorseQueries(Record):
    """The queries that got worse, largest loss first.

    Attributes:
        system: Key of the featured system.
        baseline: Key of the baseline.
        measure: Measure whose values are compared.
        queries: The queries with both values.
    """

    system: str
    baseline: str
    measure: str
    queries: list[WorseQuery]


def featured_system(metrics: Metrics, first_stage: str) -> str | None:
    """Return the key of the system that the report shows in detail.

    This is the winning student as it is served (blended, if it has a blend). Without a winner, it is the best competing
    system; without competing systems, the best other system. None if there is only the baseline.

    Args:
        metrics: Results of the evaluation.
        first_stage: Name of the candidate list that the decision is about.
    """
    systems = metrics.systems
    for key, result in served_systems(systems, first_stage).items():
        if name_of(result) == metrics.promotion.champion:
            return key
    others = [key for key in systems if key != metrics.baseline]
    competing = [key for key in others if systems[key].kind in COMPETING]
    return max(competing or others, key=lambda key: systems[key].measures[metrics.measure], default=None)


def worse_queries(
    metrics: Metrics,
    first_stage: str,
    values: Iterable[tuple[str, str, str, float]],
    texts: Mapping[str, str],
    count: int,
) -> WorseQueries | None:
    """List the queries on which the featured system loses most against the baseline.

    Args:
        metrics: Results of the evaluation.
        first_stage: Name of the candidate list that the decision is about.
        values: Rows of per_query.parquet: system key, measure, query id and value.
        texts: Query texts by id. Other queries are left out.
        count: Maximum number of queries.

    Returns:
        The queries, largest loss first. None if there are no two systems to compare.
    """
    system, baseline = featured_system(metrics, first_stage), metrics.baseline
    if system is None or baseline is None:
        return None
    by_system: dict[str, dict[str, float]] = {system: {}, baseline: {}}
    for key, measure, query_id, value in values:
        if key in by_system and measure == metrics.measure and query_id in texts:
            by_system[key][query_id] = value
    both = by_system[system].keys() & by_system[baseline].keys()
    queries = [
        WorseQuery(
            query_id=query_id,
            text=texts[query_id],
            baseline=by_system[baseline][query_id],
            system=by_system[system][query_id],
        )
        for query_id in both
        if by_system[system][query_id] < by_system[baseline][query_id]
    ]
    queries.sort(key=lambda query: (query.system - query.baseline, query.query_id))
    return WorseQueries(system=system, baseline=baseline, measure=metrics.measure, queries=queries[:count])
