"""Derive binary relevance from a teacher's order, and choose the candidates that rationales are written for."""

from __future__ import annotations

from ranking.records import Label


def relevance(label: Label) -> list[bool]:
    """Return for each candidate of a label, in the label's order, whether it counts as relevant.

    The rule was designed for this project. If the targets are tiers, documents that the teacher listed are relevant and
    documents that it omitted are not. Labels made with `missing: append` or a sliding window list omitted documents
    last. Their last `answer.missing` documents are not relevant, except that the first document always is. If the
    targets are scores, there is no such boundary, and the better half, rounded up, is relevant. Unseen documents, which
    the teacher was not shown, are not relevant.
    """
    candidates = label.candidates
    seen = sum(candidate.tier != "unseen" for candidate in candidates)
    if label.provenance.targets == "scores":
        last = (seen + 1) // 2
    else:
        last = max(1, seen - label.answer.missing)
    return [candidate.position is not None and candidate.position <= last for candidate in candidates]


def candidates_to_explain(label: Label, max_candidates: int) -> list[int]:
    """Choose the candidates to write rationales for: half are the best relevant ones, half the hardest negatives.

    The best relevant candidates are the first in the teacher's order. The hardest negatives are the first in the
    pre-ranker's order that do not count as relevant. If `max_candidates` is odd, there is one more relevant candidate.
    If there are too few candidates for one half, more are chosen for the other.

    Args:
        label: The label.
        max_candidates: Maximum number of candidates to choose.

    Returns:
        Indices into `label.candidates`.
    """
    relevant = relevance(label)
    best = sorted(
        (i for i, is_relevant in enumerate(relevant) if is_relevant), key=lambda i: label.candidates[i].position or 0
    )
    seen = [i for i, candidate in enumerate(label.candidates) if candidate.tier != "unseen"]
    hardest = sorted((i for i in seen if not relevant[i]), key=lambda i: label.candidates[i].pre_rank)
    negatives = min(len(hardest), max(max_candidates // 2, max_candidates - len(best)))
    return best[: max_candidates - negatives] + hardest[:negatives]
