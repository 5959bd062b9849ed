"""From systems' rankings to metrics: measures per query, comparisons with the baseline and between students, and the decision."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev

import numpy as np

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.evaluation import measures, query_slices, significance
from ranking.evaluation.decision import Rules, alternatives, decide, name_of, served
from ranking.evaluation.results import CheckResult, ComparisonResult, Metrics, SystemResult, system_key
from ranking.evaluation.settings import EvaluationSettings
from ranking.evaluation.trec_runs import TrecRun

PerQuery = dict[str, dict[str, dict[str, float]]]
"""{system: {measure: {query_id: value}}}"""

COMPETING = ("student", "blended", "model")
"""Kinds of systems that compete with the baseline."""

JUDGED_GAP = 0.05
"""A difference of Judged@10 between systems above which nDCG is shown over judged documents too."""


@dataclass
class System:
    """A system and its ranking of the test queries. result: its measures are filled in here."""

    result: SystemResult
    run: TrecRun = field(default_factory=dict)

    @property
    def key(self) -> str:
        return system_key(self.result.system, self.result.candidates)


def as_written(run: Mapping[str, Mapping[str, float]]) -> TrecRun:
    """Scores in single precision, as trec_eval holds them and as they stand in run files."""
    return {
        query_id: {doc_id: float(np.float32(score)) for doc_id, score in scores.items()}
        for query_id, scores in run.items()
    }


def measure(
    collection: Collection, systems: Sequence[System], settings: EvaluationSettings
) -> tuple[Metrics, PerQuery]:
    """Measure all systems. Raises InputError for a baseline that is none of them."""
    qrels, first = collection.qrels, settings.measures[0]
    by_key = {system.key: system for system in systems}
    if len(by_key) < len(systems):
        raise InputError(
            f"evaluation: two systems have one name; there are {', '.join(system.key for system in systems)}"
        )
    baseline = settings.baseline or settings.first_stages[0]
    control = baseline if baseline in by_key else system_key(baseline, settings.first_stages[0])
    if control not in by_key:
        raise InputError(f"setting 'evaluation.baseline': {baseline!r} is none of {', '.join(by_key)}")
    values: PerQuery = {
        key: measures.per_query(qrels, system.run, [*settings.measures, measures.JUDGED])
        for key, system in by_key.items()
    }
    for key, system in by_key.items():
        system.result.measures = {name: measures.overall(name, held) for name, held in values[key].items()}
        condensed = measures.per_query(qrels, measures.condensed(qrels, system.run), [first])
        system.result.judged_only = measures.overall(first, condensed[first])
    results = {key: system.result for key, system in by_key.items()}
    comparisons = [
        one
        for name in settings.measures
        for one in _compared(values, [key for key in results if key != control], control, name, settings)
    ]
    _correct(comparisons, results)
    duels = _duels(values, results, settings)
    rules = Rules(settings.first_stages[0], control, settings.significance, settings.latency_budget_ms)
    corrected = {one.system: one for one in comparisons if one.measure == first}

    def checks(winner: str) -> list[CheckResult]:
        others = [key for key in alternatives(results, rules.candidates, name_of(results[winner])) if key != control]
        return [
            _superior(corrected[winner], rules.level),
            *(_not_inferior(values, winner, key, settings) for key in others),
        ]

    return (
        Metrics(
            collection=collection.name,
            split=settings.split,
            queries=len(qrels),
            systems=results,
            comparisons=comparisons,
            duels=duels,
            verdict=decide(results, comparisons, duels, rules, checks),
            classes=query_slices.over_classes(
                query_slices.classified(collection), {key: held[first] for key, held in values.items()}
            ),
            notes=list(collection.notes),
            warnings=[
                *_out_of_the_running(results, settings),
                *_unjudged(results, settings),
                *_too_few(values, results, control, settings),
            ],
        ),
        values,
    )


def _superior(found: ComparisonResult, level: float) -> CheckResult:
    """Whether a system is significantly better than the baseline. found: their comparison, p-values corrected."""
    p = found.p if found.p_holm is None else found.p_holm
    passed = found.delta > 0 and p < level
    return CheckResult(
        against=found.control, test="superiority", delta=found.delta, p=p, lower=found.lower, passed=passed
    )


def _not_inferior(values: PerQuery, system: str, other: str, settings: EvaluationSettings) -> CheckResult:
    """Whether a system is not worse than another by more than the margin, on the first measure."""
    (found,) = _compared(values, [system], other, settings.measures[0], settings)
    passed = found.lower > -settings.non_inferiority_margin
    return CheckResult(
        against=other, test="non-inferiority", delta=found.delta, p=found.p, lower=found.lower, passed=passed
    )


def _compared(
    values: PerQuery, keys: Iterable[str], control: str, measure: str, settings: EvaluationSettings
) -> list[ComparisonResult]:
    found = []
    for key in keys:
        one = significance.compare(
            values[key][measure], values[control][measure], settings.permutations, settings.seed, settings.significance
        )
        found.append(
            ComparisonResult(
                system=key,
                control=control,
                measure=measure,
                delta=one.delta,
                p=one.p,
                interval=one.interval,
                lower=one.lower,
                effect=one.effect,
                detectable=one.detectable,
            )
        )
    return found


def _correct(comparisons: Sequence[ComparisonResult], results: Mapping[str, SystemResult]) -> None:
    """Correct the p-values of competing systems for their number, on each measure and candidate list.

    A student competes as it is served: where it has a blend, its own row is not counted.
    """
    alone = {result.student for result in results.values() if result.kind == "blended"}
    for measure, candidates in dict.fromkeys((one.measure, results[one.system].candidates) for one in comparisons):
        competing = [
            one
            for one in comparisons
            if (one.measure, results[one.system].candidates) == (measure, candidates)
            and results[one.system].kind in COMPETING
            and results[one.system].system not in alone
        ]
        for one, corrected in zip(competing, significance.holm([one.p for one in competing]), strict=True):
            one.p_holm = corrected


def _duels(
    values: PerQuery, results: Mapping[str, SystemResult], settings: EvaluationSettings
) -> list[ComparisonResult]:
    """Students, as they are served, against each other, on the first candidate list and measure."""
    students = list(served(results, settings.first_stages[0]))
    return [
        duel
        for one, other in itertools.combinations(students, 2)
        for duel in _compared(values, [one], other, settings.measures[0], settings)
    ]


def _out_of_the_running(results: Mapping[str, SystemResult], settings: EvaluationSettings) -> list[str]:
    """A line for every student that cannot win, whatever its quality."""
    students = {result.system: result for result in results.values() if result.kind == "student"}
    lines = [
        f"{name} does not score as when it was saved (score parity failed), so it cannot be promoted"
        for name, result in students.items()
        if result.parity is not None and not result.parity.passed
    ]
    budget = settings.latency_budget_ms
    for name, result in students.items():
        if budget is not None and result.latency_ms is not None and result.latency_ms.p95 > budget:
            lines.append(
                f"{name} takes {result.latency_ms.p95:.0f} ms (p95, 50 documents), more than the budget of {budget:g} ms"
            )
    return lines


def _unjudged(results: Mapping[str, SystemResult], settings: EvaluationSettings) -> list[str]:
    """A warning if systems over the first candidate list differ in how much of their top 10 is judged."""
    here = {key: result for key, result in results.items() if result.candidates in (None, settings.first_stages[0])}
    judged = {key: result.measures[measures.JUDGED] for key, result in here.items()}
    most, least = max(judged, key=judged.__getitem__), min(judged, key=judged.__getitem__)
    if judged[most] - judged[least] <= JUDGED_GAP:
        return []
    return [
        f"Judged@10 is {judged[most]:.2f} for {most} and {judged[least]:.2f} for {least}: documents without a judgement count as not "
        "relevant, so compare the column `judged only` too, which leaves them out"
    ]


def _too_few(
    values: PerQuery, results: Mapping[str, SystemResult], control: str, settings: EvaluationSettings
) -> list[str]:
    """A line where the queries are too few to see the smallest difference that matters between a competing system and the control."""
    first, wanted = settings.measures[0], settings.min_difference
    queries = len(values[control][first])
    if queries < 2:
        return [f"{queries} test query: no difference can be told from chance"]
    spreads = {
        key: stdev(values[key][first][query_id] - value for query_id, value in values[control][first].items())
        for key, result in results.items()
        if result.kind in COMPETING
    }
    if not spreads:
        return []
    key = max(spreads, key=spreads.__getitem__)
    seen = significance.detectable(spreads[key], queries, settings.significance)
    if seen <= wanted:
        return []
    needed = significance.queries_needed(spreads[key], wanted, settings.significance)
    return [
        f"{queries:,} queries show a difference of {first} from {seen:.3f} up (80% power, {key} against {control}); for "
        f"{wanted:g}, which evaluation.min_difference asks for, some {needed:,} are needed"
    ]
