"""Effectiveness measures per query and aggregated, computed with ir-measures."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import ir_measures

from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of

JUDGED = "Judged@10"


def parse(names: Sequence[str]) -> list[ir_measures.Measure]:
    """Parse measure names such as nDCG@10.

    Raises:
        InputError: ir-measures does not know the name, a required parameter is missing, or the measure's package is not
            installed.
    """
    measures = []
    for name in names:
        where = f"evaluation.measures: {name!r}"
        try:
            measure = ir_measures.parse_measure(name)
        except (NameError, ValueError, SyntaxError, TypeError):
            raise InputError(
                f"{where} is not a measure of ir-measures; use for example nDCG@10, RR@10 or R@50"
            ) from None
        try:
            ir_measures.evaluator([measure], [ir_measures.Qrel("q", "d", 1)])
        except AssertionError as error:
            parameter = str(error).partition("=")[0].rpartition(" ")[2]
            raise InputError(f"{where} needs the parameter {parameter}, as nDCG@10 has the cutoff 10") from None
        except ValueError as error:
            providers = (
                ", ".join(line.strip(" -").split(" ")[0] for line in str(error).splitlines()[1:]) or "no known package"
            )
            raise InputError(f"{where} needs a package that is not installed: {providers}") from None
        measures.append(measure)
    return measures


def per_query(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]], names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Measure a run on each judged query. Queries without results count as 0.

    For every measure, ties are broken as in trec_eval. The packages that ir-measures calls (its providers) break ties
    differently, so they get scores without ties, derived from the ranks. Providers get numbers instead of ids: gdeval
    (ERR, nDCG with exp-log2) needs numeric query ids, and an id with a NUL character or a lone surrogate can end the
    process in pytrec_eval.

    Args:
        qrels: {query_id: {doc_id: grade}}.
        run: {query_id: {doc_id: score}}.
        names: Names of measures.

    Returns:
        {measure: {query_id: value}}.

    Raises:
        InputError: A name is invalid, or the external program of a measure fails.
    """
    measures = parse(names)
    values: dict[str, dict[str, float]] = {str(measure): dict.fromkeys(qrels, 0.0) for measure in measures}
    # Leave out empty lists, because ir-measures' Judged fails on them.
    ranked = {query_id: _rank_scores(scores) for query_id, scores in run.items() if scores}
    query_numbers = _numbers([*qrels, *(query_id for query_id in ranked if query_id not in qrels)])
    doc_numbers = _numbers({doc_id for by_doc in (*qrels.values(), *ranked.values()) for doc_id in by_doc})
    query_ids = {number: query_id for query_id, number in query_numbers.items()}
    numbered_qrels, numbered_run = (
        {query_numbers[query_id]: {doc_numbers[d]: value for d, value in by_doc.items()} for query_id, by_doc in table}
        for table in (qrels.items(), ranked.items())
    )
    try:
        for metric in ir_measures.iter_calc(measures, numbered_qrels, numbered_run) if ranked else []:
            values[str(metric.measure)][query_ids[metric.query_id]] = float(metric.value)
    except subprocess.CalledProcessError as error:
        raise InputError(
            f"evaluation.measures: {', '.join(names)}: the external program {Path(error.cmd[0]).name} failed to "
            f"compute one of them (exit code {error.returncode})"
        ) from None
    return {name: values[str(measure)] for name, measure in zip(names, measures, strict=True)}


def condensed_run(
    qrels: Mapping[str, Mapping[str, int]], run: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Remove unjudged documents from a run (condensed lists; Sakai, SIGIR 2007). The documents below them move up."""
    return {
        query_id: {doc_id: score for doc_id, score in scores.items() if doc_id in qrels.get(query_id, {})}
        for query_id, scores in run.items()
    }


def _numbers(ids: Iterable[str]) -> dict[str, str]:
    """Number distinct ids from 1."""
    return {one: str(number) for number, one in enumerate(ids, start=1)}


def _rank_scores(scores: Mapping[str, float]) -> dict[str, float]:
    """Replace scores with distinct ones derived from the ranks: n for the best of n documents, 1 for the worst."""
    return {doc_id: float(len(scores) - rank) for rank, doc_id in enumerate(order_of(scores))}


def overall(name: str, values: Mapping[str, float]) -> float:
    """Aggregate a measure over queries as ir-measures does: the mean, or the sum for counts such as NumRet."""
    aggregator = parse([name])[0].aggregator()
    for value in values.values():
        aggregator.add(value)
    return float(aggregator.result()) if values else 0.0


def mean(values: Mapping[str, float]) -> float:
    """Average a measure over queries. Returns 0 if there are no queries."""
    return sum(values.values()) / len(values) if values else 0.0
