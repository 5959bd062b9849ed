"""Measures by ir-measures, per query and on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures

from ranking.errors import InputError

JUDGED = "Judged@10"


def parse(names: Sequence[str]) -> list[ir_measures.Measure]:
    """Turn names such as nDCG@10 into measures. Raises InputError for a name that ir-measures does not know."""
    measures = []
    for name in names:
        try:
            measures.append(ir_measures.parse_measure(name))
        except (NameError, ValueError, SyntaxError, TypeError):
            raise InputError(f"evaluation.measures: {name!r} is no measure of ir-measures; nDCG@10, RR@10 and R@50 are") from None
    return measures


def per_query(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Measure a run: {measure: {query_id: value}}, over all judged queries; one without results counts 0."""
    measures = parse(names)
    values: dict[str, dict[str, float]] = {str(measure): dict.fromkeys(qrels, 0.0) for measure in measures}
    found = {query_id: scores for query_id, scores in run.items() if scores}  # ir-measures' Judged fails on an empty list
    for metric in ir_measures.iter_calc(measures, qrels, found) if found else []:
        values[str(metric.measure)][metric.query_id] = float(metric.value)
    return {name: values[str(measure)] for name, measure in zip(names, measures, strict=True)}


def mean(values: Mapping[str, float]) -> float:
    """Average over queries; 0 without any."""
    return sum(values.values()) / len(values) if values else 0.0
