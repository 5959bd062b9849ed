"""From systems' rankings to metrics: measures per query, comparisons with the control, duels of students, classes, a verdict."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import stdev

import numpy as np

from ranking.collections.collection import Collection
from ranking.errors import InputError
from ranking.evaluation import classes, measures, significance, verdict
from ranking.evaluation.results import ComparisonResult, Metrics, SystemResult, system_key
from ranking.evaluation.runs import Run
from ranking.evaluation.settings import EvaluationSettings

PerQuery = dict[str, dict[str, dict[str, float]]]
"""{system: {measure: {query_id: value}}}"""

COMPETING = ("student", "model")
"""Kinds of systems for whose number p-values are corrected."""


@dataclass
class System:
    """A system and its ranking of the test queries. result: its measures are filled in here."""

    result: SystemResult
    run: Run = field(default_factory=dict)

    @property
    def key(self) -> str:
        return system_key(self.result.system, self.result.candidates)


def as_written(run: Mapping[str, Mapping[str, float]]) -> Run:
    """Scores in single precision, as trec_eval holds them and as they stand in run files."""
    return {query_id: {doc_id: float(np.float32(score)) for doc_id, score in scores.items()} for query_id, scores in run.items()}


def measure(collection: Collection, systems: Sequence[System], settings: EvaluationSettings) -> tuple[Metrics, PerQuery]:
    """Measure all systems. Raises InputError for a control that is none of them."""
    qrels = collection.qrels
    by_key = {system.key: system for system in systems}
    if len(by_key) < len(systems):
        raise InputError(f"evaluation: two systems have one name; there are {', '.join(system.key for system in systems)}")
    control = settings.control if settings.control in by_key else system_key(settings.control, settings.first_stages[0])
    if control not in by_key:
        raise InputError(f"setting 'evaluation.control': {settings.control!r} is none of {', '.join(by_key)}")
    values: PerQuery = {key: measures.per_query(qrels, system.run, [*settings.measures, measures.JUDGED]) for key, system in by_key.items()}
    for key, system in by_key.items():
        system.result.measures = {name: measures.overall(name, held) for name, held in values[key].items()}
    results = {key: system.result for key, system in by_key.items()}
    comparisons = [
        one for name in settings.measures for one in _compared(values, [key for key in results if key != control], control, name, settings)
    ]
    _correct(comparisons, results)
    first = settings.measures[0]
    duels = _duels(values, results, settings)
    return (
        Metrics(
            collection=collection.name,
            split=settings.split,
            queries=len(qrels),
            systems=results,
            comparisons=comparisons,
            duels=duels,
            verdict=verdict.decide(
                results, comparisons, duels, settings.first_stages[0], control, settings.significance, settings.latency_budget_ms
            ),
            classes=classes.over_classes(classes.classified(collection), {key: held[first] for key, held in values.items()}),
            notes=list(collection.notes),
            warnings=[*_out_of_the_running(results, settings), *_too_few(values, results, control, settings)],
        ),
        values,
    )


def _compared(values: PerQuery, keys: Iterable[str], control: str, measure: str, settings: EvaluationSettings) -> list[ComparisonResult]:
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
                effect=one.effect,
                detectable=one.detectable,
            )
        )
    return found


def _correct(comparisons: Sequence[ComparisonResult], results: Mapping[str, SystemResult]) -> None:
    """Correct the p-values of competing systems for their number, on each measure and candidate list."""
    for measure, candidates in dict.fromkeys((one.measure, results[one.system].candidates) for one in comparisons):
        competing = [
            one
            for one in comparisons
            if (one.measure, results[one.system].candidates) == (measure, candidates) and results[one.system].kind in COMPETING
        ]
        for one, corrected in zip(competing, significance.holm([one.p for one in competing]), strict=True):
            one.p_holm = corrected


def _duels(values: PerQuery, results: Mapping[str, SystemResult], settings: EvaluationSettings) -> list[ComparisonResult]:
    """Students against each other, on the first candidate list and measure."""
    students = [key for key, result in results.items() if result.kind == "student" and result.candidates == settings.first_stages[0]]
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
            lines.append(f"{name} takes {result.latency_ms.p95:.0f} ms (p95, 50 documents), more than the budget of {budget:g} ms")
    return lines


def _too_few(values: PerQuery, results: Mapping[str, SystemResult], control: str, settings: EvaluationSettings) -> list[str]:
    """A line where the queries are too few to see the smallest difference that matters between a competing system and the control."""
    first, wanted = settings.measures[0], settings.smallest_difference
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
        f"{wanted:g}, which evaluation.smallest_difference asks for, some {needed:,} are needed"
    ]
