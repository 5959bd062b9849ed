"""Measures by ir-measures, per query and on average."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import ir_measures

from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of

JUDGED = "Judged@10"


def parse(names: Sequence[str]) -> list[ir_measures.Measure]:
    """Turn names such as nDCG@10 into measures.

    Raises InputError for a name that ir-measures does not know, a parameter that is missing, and a measure whose
    package is not installed.
    """
    measures = []
    for name in names:
        where = f"evaluation.measures: {name!r}"
        try:
            measure = ir_measures.parse_measure(name)
        except (NameError, ValueError, SyntaxError, TypeError):
            raise InputError(f"{where} is no measure of ir-measures; nDCG@10, RR@10 and R@50 are") from None
        try:
            ir_measures.evaluator([measure], [ir_measures.Qrel("q", "d", 1)])
        except AssertionError as error:
            parameter = str(error).partition("=")[0].rpartition(" ")[2]
            raise InputError(f"{where} lacks its {parameter}, as @10 is the cutoff of nDCG@10") from None
        except ValueError as error:
            providers = (
                ", ".join(line.strip(" -").split(" ")[0] for line in str(error).splitlines()[1:])
                or "none that is known"
            )
            raise InputError(f"{where} needs a package that is not installed: {providers}") from None
        measures.append(measure)
    return measures


def per_query(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Measure a run: {measure: {query_id: value}}, over all judged queries; one without results counts 0.

    Equal scores stand as in trec_eval, in every measure: ir-measures' own providers do not agree on them, so they are
    given places instead of scores. Raises InputError where a measure cannot be computed with ids such as these.
    """
    measures = parse(names)
    values: dict[str, dict[str, float]] = {str(measure): dict.fromkeys(qrels, 0.0) for measure in measures}
    found = {
        query_id: _places(scores) for query_id, scores in run.items() if scores
    }  # ir-measures' Judged fails on an empty list
    try:
        for metric in ir_measures.iter_calc(measures, qrels, found) if found else []:
            values[str(metric.measure)][metric.query_id] = float(metric.value)
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"evaluation.measures: {', '.join(names)}: one of them is computed by the program {Path(error.cmd[0]).name}, which failed; "
            "gdeval's (ERR, nDCG with exp-log2) reads numbers as query ids only"
        ) from None
    return {name: values[str(measure)] for name, measure in zip(names, measures, strict=True)}


def condensed(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """A run without the documents that have no judgement (Sakai, SIGIR 2007): what is left moves up."""
    return {
        query_id: {doc_id: score for doc_id, score in scores.items() if doc_id in qrels.get(query_id, {})}
        for query_id, scores in run.items()
    }


def _places(scores: Mapping[str, float]) -> dict[str, float]:
    """Places counted from the end, so that more is better and no two are equal."""
    return {doc_id: float(len(scores) - place) for place, doc_id in enumerate(order_of(scores))}


def overall(name: str, values: Mapping[str, float]) -> float:
    """One number over queries, as ir-measures makes it: the average; of counts such as NumRet the sum."""
    aggregator = parse([name])[0].aggregator()
    for value in values.values():
        aggregator.add(value)
    return float(aggregator.result()) if values else 0.0


def mean(values: Mapping[str, float]) -> float:
    """Average over queries; 0 without any."""
    return sum(values.values()) / len(values) if values else 0.0
