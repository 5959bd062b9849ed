"""Derive training candidates from a label in alternative ways, for comparisons between training runs.

Documents that the teacher omitted can be treated differently, candidates that the pre-ranker ranked low can be dropped,
and human judgements can replace the teacher's targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ranking.records import Label, LabelledCandidate

Missing = Literal["hard_negative", "append", "drop"]


def training_candidates(
    label: Label, missing: Missing = "hard_negative", max_pre_rank: int | None = None
) -> list[LabelledCandidate]:
    """Return the candidates of a label to train on, in the label's order.

    Unseen documents, which were not in the teacher's prompt, are left out.

    Args:
        label: The label.
        missing: Treatment of documents that the teacher omitted from its answer. `hard_negative`: they keep the targets
            of the label, below all listed documents. `append`: they rank after the listed documents, in the
            pre-ranker's order, as in RankGPT and RankLLM. `drop`: they are not used for training.
        max_pre_rank: Worst rank by the pre-ranker that is kept; candidates with worse ranks are dropped. None keeps
            all.
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


def with_judgement_targets(
    candidates: list[LabelledCandidate], grades: Mapping[str, int], relevant_grade: int
) -> list[LabelledCandidate]:
    """Return the candidates with targets from human judgements, for the supervised baseline.

    A target above 0 means relevant. Unjudged documents count as not relevant and have target 0.

    Args:
        candidates: Candidates of one query.
        grades: {document id: grade}. A candidate gets the highest grade of its own id and the ids of its duplicates.
        relevant_grade: Lowest grade that counts as relevant, 1 or more. It becomes target 1, the next grade target 2.
    """

    def target(c: LabelledCandidate) -> float:
        grade = max(grades.get(doc_id, 0) for doc_id in (c.doc_id, *c.duplicates))
        return float(max(0, grade - relevant_grade + 1))

    return [c.model_copy(update={"target": target(c)}) for c in candidates]
