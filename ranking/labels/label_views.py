"""Alternative views of a label, for comparison: omitted documents treated differently, fewer candidates, grades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ranking.records import Label, LabelledCandidate

Missing = Literal["hard_negative", "append", "drop"]


def viewed(
    label: Label, missing: Missing = "hard_negative", max_pre_rank: int | None = None
) -> list[LabelledCandidate]:
    """Return the candidates to train on, in the label's order. Drops unseen documents.

    Args:
        label: the label.
        missing: treatment of documents that the teacher omitted. `hard_negative`: as labelled, one tier below all
            listed documents. `append`: listed after the others in the pre-ranker's order, as RankGPT and RankLLM do.
            `drop`: not used for training.
        max_pre_rank: drop candidates below this pre-ranking position; None keeps all.
    """
    candidates = [
        c for c in label.candidates if c.tier != "unseen" and (max_pre_rank is None or c.pre_rank <= max_pre_rank)
    ]
    if missing == "hard_negative":
        return candidates
    if missing == "drop":
        return [candidate for candidate in candidates if candidate.position is not None]
    omitted = sorted((c for c in candidates if c.position is None), key=lambda c: c.pre_rank)
    lowest = min((c.target for c in candidates if c.position is not None), default=0.0)
    target = {c.doc_id: lowest - place for place, c in enumerate(omitted, start=1)}
    return [c.model_copy(update={"target": target.get(c.doc_id, c.target)}) for c in candidates]


def graded(
    candidates: list[LabelledCandidate], grades: Mapping[str, int], relevant_grade: int
) -> list[LabelledCandidate]:
    """Return the candidates with human judgements as targets, for the supervised baseline.

    Targets above 0 are relevant. Unjudged documents are not relevant.

    Args:
        candidates: candidates of one query.
        grades: grade by document id. A candidate takes the highest grade among itself and its duplicates.
        relevant_grade: lowest grade that counts as relevant, 1 or more. It becomes target 1.
    """

    def target(c: LabelledCandidate) -> float:
        grade = max(grades.get(doc_id, 0) for doc_id in (c.doc_id, *c.duplicates))
        return float(max(0, grade - relevant_grade + 1))

    return [c.model_copy(update={"target": target(c)}) for c in candidates]
