"""Agreement of a judge with human grades: Cohen's kappa, its interval and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranking.evaluation.grade_scale import GradeScale
from ranking.evaluation.judge_results import Agreement, Interval
from ranking.labels.grade_parsing import HIGHEST

RESAMPLES = 2000


@dataclass(frozen=True)
class GradedPair:
    """A pair that a human and a judge graded.

    Attributes:
        human: Grade on the collection's scale.
        judge: Grade from 0 to 3.
    """

    query_id: str
    human: int
    judge: int


def cohen_kappa(tables: np.ndarray) -> np.ndarray:
    """Compute Cohen's kappa (Educational and Psychological Measurement, 1960) of confusion matrices.

    kappa = (p_o - p_e) / (1 - p_e), with p_o the observed agreement and p_e that of independent raters with the same
    marginal frequencies.

    Args:
        tables: Counts, [..., categories, categories]. Rows are one rater's categories, columns the other's.

    Returns:
        Kappa, [...]. NaN for an empty table, and if both raters always choose the same single category.
    """
    counts = np.asarray(tables, dtype=np.float64)
    total = counts.sum((-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        observed = np.trace(counts, axis1=-2, axis2=-1) / total
        expected = (counts.sum(-1) * counts.sum(-2)).sum(-1) / total**2
        return np.asarray((observed - expected) / (1 - expected))


def agreement_of(pairs: Sequence[GradedPair], scale: GradeScale, seed: int) -> Agreement | None:
    """Measure agreement. Returns None without pairs.

    Kappa of the grades compares human grades with the judge's on the collection's scale; a human grade that the scale
    lacks counts as the nearest one.

    Args:
        pairs: The graded pairs.
        scale: The collection's grades for the judge's.
        seed: Seed of the bootstrap.
    """
    if not pairs:
        return None
    levels = sorted(set(scale.grades))
    graded = _tables(pairs, [(levels.index(scale.nearest(p.human)), levels.index(scale(p.judge))) for p in pairs])
    binary = _tables(pairs, [(int(p.human >= scale.relevant), int(scale(p.judge) >= scale.relevant)) for p in pairs])
    kappa, kappa_interval = _kappa_with_interval(graded, seed)
    binary_kappa, binary_interval = _kappa_with_interval(binary, seed)
    return Agreement(
        pairs=len(pairs),
        queries=len(graded),
        relevant=scale.relevant,
        kappa=kappa,
        kappa_interval=kappa_interval,
        binary_kappa=binary_kappa,
        binary_interval=binary_interval,
        confusion=confusion_of(pairs),
    )


def confusion_of(pairs: Sequence[GradedPair]) -> dict[int, list[int]]:
    """Count pairs: {human grade: numbers of pairs with the judge's grades 0 to 3}, in ascending order."""
    confusion: dict[int, list[int]] = {}
    for human in sorted({pair.human for pair in pairs}):
        judged = [pair.judge for pair in pairs if pair.human == human]
        confusion[human] = [judged.count(grade) for grade in range(HIGHEST + 1)]
    return confusion


def _tables(pairs: Sequence[GradedPair], cells: Sequence[tuple[int, int]]) -> np.ndarray:
    """Count the cells of each query's confusion matrix, [queries, categories, categories]."""
    queries = {query_id: number for number, query_id in enumerate(sorted({pair.query_id for pair in pairs}))}
    size = 1 + max(max(cell) for cell in cells)
    tables = np.zeros((len(queries), size, size))
    for pair, (row, column) in zip(pairs, cells, strict=True):
        tables[queries[pair.query_id], row, column] += 1
    return tables


def _kappa_with_interval(tables: np.ndarray, seed: int) -> tuple[float | None, Interval | None]:
    """Return kappa over all queries, and its 95% percentile bootstrap interval over queries."""
    kappa, queries = float(cohen_kappa(tables.sum(0))), len(tables)
    if np.isnan(kappa) or queries < 2:
        return (None if np.isnan(kappa) else kappa), None
    weights = np.random.default_rng(seed).multinomial(queries, [1 / queries] * queries, size=RESAMPLES)
    resampled = cohen_kappa(np.tensordot(weights, tables, axes=1))
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return kappa, (float(low), float(high))
