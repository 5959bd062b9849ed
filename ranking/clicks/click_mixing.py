"""Mix relevance from clicks into a teacher's targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from ranking.clicks.click_counts import Floats
from ranking.records import LabelledCandidate, QueryClicks

RECORDED_ID_CHARACTERS = 200
"""Length to which the service truncates the document ids that it records."""


@dataclass(frozen=True)
class ListClicks:
    """Clicks of one labelled query.

    Attributes:
        weight: Weight of the clicks, w_q, 0 to 1.
        relevance: {doc_id: relevance} of the documents with an estimate.
    """

    weight: float
    relevance: dict[str, float]


def click_weight(weight: float, exposures: int, k: float) -> float:
    """Return the weight of a query's clicks: w_q = weight * n_q / (n_q + k).

    This is the weight of n observations against a prior worth k observations, here the teacher. The clicks of a head
    query count almost `weight`; in the tail, where a few clicks are mostly noise, the teacher decides.

    Args:
        weight: Limit for very many exposures.
        exposures: Number of exposures of the query, n_q.
        k: Number of exposures with half of `weight`.
    """
    return weight * exposures / (exposures + k)


def list_clicks(clicks: QueryClicks, weight: float, k: float) -> ListClicks:
    """Return the weight of a query's clicks and the relevance of its documents."""
    relevance = {document.doc_id: document.relevance for document in clicks.documents}
    return ListClicks(click_weight(weight, clicks.exposures, k), relevance)


def with_clicks(
    candidates: Sequence[LabelledCandidate], clicks: ListClicks, targets: Literal["scores", "tiers", "grades"]
) -> list[LabelledCandidate]:
    """Return the candidates of one query with mixed targets: (1 - w_q) * teacher + w_q * clicks.

    Relevance from clicks is first brought to the teacher's scale: shifted and scaled to the mean and the standard
    deviation of the teacher's targets of the same documents. If the teacher's targets only give an order (tiers), it
    is replaced by its ranks before. Documents without an estimate keep the teacher's target. So does the whole list if
    fewer than two documents have an estimate, or the clicks prefer none of them.

    Args:
        candidates: Candidates of the query. A candidate's estimate is that of its own id, or else the first one of its
            duplicates.
        clicks: Clicks of the query.
        targets: Scale of the teacher's targets.
    """
    relevance = [_relevance_of(candidate, clicks.relevance) for candidate in candidates]
    known = [i for i, value in enumerate(relevance) if value is not None]
    if len({relevance[i] for i in known}) < 2:
        return list(candidates)
    teacher = np.array([candidate.target for candidate in candidates], dtype=np.float64)
    estimates = np.array([relevance[i] for i in known], dtype=np.float64)
    if targets == "tiers":
        estimates = rankdata(estimates)
    mixed = teacher.copy()
    mixed[known] = (1 - clicks.weight) * teacher[known] + clicks.weight * _on_scale(estimates, teacher[known], teacher)
    return [
        candidate.model_copy(update={"target": target})
        for candidate, target in zip(candidates, mixed.tolist(), strict=True)
    ]


def _relevance_of(candidate: LabelledCandidate, relevance: Mapping[str, float]) -> float | None:
    """Return the estimate of a candidate or of its first duplicate with one. None if there is none."""
    ids = [doc_id[:RECORDED_ID_CHARACTERS] for doc_id in (candidate.doc_id, *candidate.duplicates)]
    return next((relevance[doc_id] for doc_id in ids if doc_id in relevance), None)


def _on_scale(estimates: Floats, teacher: Floats, all_targets: Floats) -> Floats:
    """Shift and scale estimates to the mean and spread of the teacher's targets of the same documents.

    If these targets are equal, the spread is that of the whole list, or 1 if all of its targets are equal.
    """
    spread = float(teacher.std()) or float(all_targets.std()) or 1.0
    scaled: Floats = teacher.mean() + (estimates - estimates.mean()) / estimates.std() * spread
    return scaled
