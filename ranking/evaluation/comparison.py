"""Compute metrics from rankings: measures per query, comparisons of systems, and the promotion decision."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev

import numpy as np

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.evaluation import measures, query_slices, significance
from ranking.evaluation.decision import Rules, alternatives, decide, name_of, served_systems
from ranking.evaluation.evaluation_settings import EvaluationSettings
from ranking.evaluation.results import CheckResult, ComparisonResult, Metrics, SystemResult, system_key
from ranking.evaluation.trec_runs import TrecRun

PerQuery = dict[str, dict[str, dict[str, float]]]
"""Values of measures: {system key: {measure: {query_id: value}}}."""

COMPETING = ("student", "blended", "model")
"""Kinds of systems that compete with the baseline. Their p-values get Holm's correction."""

JUDGED_GAP = 0.05
"""Difference in Judged@10 between systems above which a warning recommends the measure over judged documents only."""


@dataclass
class System:
    """A system and its ranking of the test queries.

    Attributes:
        result: The system's results. The function `measure` fills in their measures.
        run: Ranking of the test queries.
    """

    result: SystemResult
    run: TrecRun = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Key of the system in metrics.json."""
        return system_key(self.result.system, self.result.candidates)


def as_written(run: Mapping[str, Mapping[str, float]]) -> TrecRun:
    """Round scores to single precision, the precision of trec_eval and of run files."""
    return {
        query_id: {doc_id: float(np.float32(score)) for doc_id, score in scores.items()}
        for query_id, scores in run.items()
    }


def measure(
    collection: Collection, systems: Sequence[System], settings: EvaluationSettings
) -> tuple[Metrics, PerQuery]:
    """Measure and compare all systems, and decide on promotion.

    Args:
        collection: The collection, for its judgements.
        systems: The systems. Their results are updated in place.
        settings: Settings of the evaluation.

    Returns:
        The metrics, and the values of all measures per query.

    Raises:
        InputError: Two systems have the same name, or the baseline is not one of the systems.
    """
    qrels, first = collection.qrels, settings.measures[0]
    by_key = {system.key: system for system in systems}
    if len(by_key) < len(systems):
        raise InputError(
            f"evaluation: system names must be unique, but are {', '.join(system.key for system in systems)}"
        )
    name = settings.baseline or settings.first_stages[0]
    baseline = name if name in by_key else system_key(name, settings.first_stages[0])
    if baseline not in by_key:
        raise InputError(f"setting 'evaluation.baseline': {name!r} is not one of {', '.join(by_key)}")
    values: PerQuery = {
        key: measures.per_query(qrels, system.run, [*settings.measures, measures.JUDGED])
        for key, system in by_key.items()
    }
    for key, system in by_key.items():
        system.result.measures = {name: measures.overall(name, per_query) for name, per_query in values[key].items()}
        condensed = measures.per_query(qrels, measures.condensed_run(qrels, system.run), [first])
        system.result.judged_only = measures.overall(first, condensed[first])
    results = {key: system.result for key, system in by_key.items()}
    comparisons = [
        comparison
        for name in settings.measures
        for comparison in _compare(values, [key for key in results if key != baseline], baseline, name, settings)
    ]
    _correct(comparisons, results)
    pairwise = _pairwise(values, results, settings)
    rules = Rules(settings.first_stages[0], baseline, settings.significance, settings.latency_budget_ms)
    corrected = {comparison.system: comparison for comparison in comparisons if comparison.measure == first}

    def checks(winner: str) -> list[CheckResult]:
        """Check the conditions of the winner's promotion."""
        others = [key for key in alternatives(results, rules.candidates, name_of(results[winner])) if key != baseline]
        return [
            _superiority(corrected[winner], rules.level),
            *(_non_inferiority(values, winner, key, settings) for key in others),
        ]

    promotion = decide(results, comparisons, pairwise, rules, checks)
    if collection.generated is not None and collection.generated.test:
        promotion.reason = f"On generated queries only: {promotion.reason}"
    return (
        Metrics(
            collection=collection.name,
            split=collection.split_name(settings.split),
            queries=len(qrels),
            systems=results,
            comparisons=comparisons,
            pairwise_comparisons=pairwise,
            promotion=promotion,
            query_slices=query_slices.average_by_slice(
                query_slices.slice_queries(collection), {key: by_measure[first] for key, by_measure in values.items()}
            ),
            notes=list(collection.notes),
            warnings=[
                *_generated(collection),
                *_disqualified(results, settings),
                *_unjudged(results, settings),
                *_low_power(values, results, baseline, settings),
            ],
        ),
        values,
    )


def _generated(collection: Collection) -> list[str]:
    """Return a warning if the test queries are generated ones."""
    warning = collection.generated.test_warning() if collection.generated is not None else None
    return [] if warning is None else [warning]


def _superiority(comparison: ComparisonResult, level: float) -> CheckResult:
    """Check that a system is significantly better than the baseline, by the corrected p-value of their comparison."""
    p = comparison.p if comparison.p_holm is None else comparison.p_holm
    passed = comparison.delta > 0 and p < level
    return CheckResult(
        against=comparison.baseline,
        test="superiority",
        delta=comparison.delta,
        p=p,
        lower=comparison.lower,
        passed=passed,
    )


def _non_inferiority(values: PerQuery, system: str, other: str, settings: EvaluationSettings) -> CheckResult:
    """Check that a system is not worse than another one by more than the margin on the first measure."""
    (comparison,) = _compare(values, [system], other, settings.measures[0], settings)
    passed = comparison.lower > -settings.non_inferiority_margin
    return CheckResult(
        against=other,
        test="non-inferiority",
        delta=comparison.delta,
        p=comparison.p,
        lower=comparison.lower,
        passed=passed,
    )


def _compare(
    values: PerQuery, keys: Iterable[str], baseline: str, measure: str, settings: EvaluationSettings
) -> list[ComparisonResult]:
    """Compare each of several systems with the same baseline on one measure."""
    results = []
    for key in keys:
        comparison = significance.compare(
            values[key][measure], values[baseline][measure], settings.permutations, settings.seed, settings.significance
        )
        results.append(
            ComparisonResult(
                system=key,
                baseline=baseline,
                measure=measure,
                delta=comparison.delta,
                p=comparison.p,
                interval=comparison.interval,
                lower=comparison.lower,
                effect=comparison.effect,
                detectable=comparison.detectable,
            )
        )
    return results


def _correct(comparisons: Sequence[ComparisonResult], results: Mapping[str, SystemResult]) -> None:
    """Apply Holm's correction to the competing systems, separately for each measure and candidate list.

    A student competes in the form in which it is served: if it has a blended system, only that system counts.
    `p_holm` is set in place.
    """
    have_blend = {result.student for result in results.values() if result.kind == "blended"}
    for measure, candidates in dict.fromkeys((one.measure, results[one.system].candidates) for one in comparisons):
        competing = [
            one
            for one in comparisons
            if (one.measure, results[one.system].candidates) == (measure, candidates)
            and results[one.system].kind in COMPETING
            and results[one.system].system not in have_blend
        ]
        for one, corrected in zip(competing, significance.holm([one.p for one in competing]), strict=True):
            one.p_holm = corrected


def _pairwise(
    values: PerQuery, results: Mapping[str, SystemResult], settings: EvaluationSettings
) -> list[ComparisonResult]:
    """Compare all pairs of students on the first candidate list and measure. See `served_systems`."""
    students = list(served_systems(results, settings.first_stages[0]))
    return [
        comparison
        for one, other in itertools.combinations(students, 2)
        for comparison in _compare(values, [one], other, settings.measures[0], settings)
    ]


def _disqualified(results: Mapping[str, SystemResult], settings: EvaluationSettings) -> list[str]:
    """Return a warning for each student that is ineligible for promotion, however good its results."""
    students = {result.system: result for result in results.values() if result.kind == "student"}
    lines = [
        f"{name} cannot be promoted: its scores differ from those recorded when it was saved (score parity failed)"
        for name, result in students.items()
        if result.parity is not None and not result.parity.passed
    ]
    budget = settings.latency_budget_ms
    for name, result in students.items():
        if budget is not None and result.latency_ms is not None and result.latency_ms.p95 > budget:
            lines.append(
                f"{name} takes {result.latency_ms.p95:.0f} ms (p95, 50 documents), which exceeds the budget of "
                f"{budget:g} ms"
            )
    return lines


def _unjudged(results: Mapping[str, SystemResult], settings: EvaluationSettings) -> list[str]:
    """Return a warning if Judged@10 differs much between systems on the first candidate list."""
    on_list = {key: result for key, result in results.items() if result.candidates in (None, settings.first_stages[0])}
    judged = {key: result.measures[measures.JUDGED] for key, result in on_list.items()}
    highest, lowest = max(judged, key=judged.__getitem__), min(judged, key=judged.__getitem__)
    if judged[highest] - judged[lowest] <= JUDGED_GAP:
        return []
    return [
        f"Judged@10 is {judged[highest]:.2f} for {highest} and {judged[lowest]:.2f} for {lowest}: unjudged documents "
        "count as not relevant, so also compare the column `judged only`, which excludes them"
    ]


def _low_power(
    values: PerQuery, results: Mapping[str, SystemResult], baseline: str, settings: EvaluationSettings
) -> list[str]:
    """Return a warning if the queries are too few to detect `min_difference` against the baseline."""
    first, target = settings.measures[0], settings.min_difference
    queries = len(values[baseline][first])
    if queries < 2:
        return [f"{queries} test query: too few to test differences for significance"]
    spreads = {
        key: stdev(values[key][first][query_id] - value for query_id, value in values[baseline][first].items())
        for key, result in results.items()
        if result.kind in COMPETING
    }
    if not spreads:
        return []
    key = max(spreads, key=spreads.__getitem__)
    smallest = significance.detectable(spreads[key], queries, settings.significance)
    if smallest <= target:
        return []
    needed = significance.queries_needed(spreads[key], target, settings.significance)
    return [
        f"{queries:,} queries can detect a difference in {first} of {smallest:.3f} or more (80% power, {key} against "
        f"{baseline}); detecting {target:g} (evaluation.min_difference) needs about {needed:,} queries"
    ]
