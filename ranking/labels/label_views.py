"""Other readings of the same label, to compare with: what the left-out documents are, and which candidates count at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ranking.records import Label, LabelledCandidate

Missing = Literal["hard_negative", "append", "drop"]


def viewed(
    label: Label, missing: Missing = "hard_negative", max_pre_rank: int | None = None
) -> list[LabelledCandidate]:
    """A label's candidates as they are to be learned from, in the label's order. Unseen documents are left out.

    missing: what documents are that the teacher left out. `hard_negative`: as labelled, a tier below all that is listed.
    `append`: listed behind the others in the pre-ranker's order, as RankGPT and RankLLM do. `drop`: not learned from.
    max_pre_rank: only candidates up to this place of the pre-ranker's order; None for all.
    """
    candidates = [
        c for c in label.candidates if c.tier != "unseen" and (max_pre_rank is None or c.pre_rank <= max_pre_rank)
    ]
    if missing == "hard_negative":
        return candidates
    if missing == "drop":
        return [candidate for candidate in candidates if candidate.position is not None]
    left_out = sorted((c for c in candidates if c.position is None), key=lambda c: c.pre_rank)
    below = min((c.target for c in candidates if c.position is not None), default=0.0)
    target = {c.doc_id: below - place for place, c in enumerate(left_out, start=1)}
    return [c.model_copy(update={"target": target.get(c.doc_id, c.target)}) for c in candidates]


def graded(
    candidates: list[LabelledCandidate], grades: Mapping[str, int], relevant_grade: int
) -> list[LabelledCandidate]:
    """The same candidates with human judgements as targets, the supervised control: above 0 is relevant, what is not judged is not.

    grades: by document id; of a document and those that were duplicates into it the highest counts. relevant_grade: the lowest that counts
    as relevant, 1 or more; it becomes the target 1.
    """

    def target(c: LabelledCandidate) -> float:
        grade = max(grades.get(doc_id, 0) for doc_id in (c.doc_id, *c.duplicates))
        return float(max(0, grade - relevant_grade + 1))

    return [c.model_copy(update={"target": target(c)}) for c in candidates]
