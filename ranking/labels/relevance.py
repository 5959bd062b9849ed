"""Binary relevance from a teacher's order, and the candidates that rationales are written for."""

from __future__ import annotations

from ranking.records import Label


def relevance(label: Label) -> list[bool]:
    """Return for each candidate of a label, in the label's order, whether it counts as relevant.

    The rule is this project's own. With tiers, listed documents are relevant and omitted ones are not. If the label
    lists omitted documents last (`missing: append`, a sliding window), its last `answer.missing` documents are not
    relevant, but the first document always is. Scores have no such boundary: the better half is relevant, rounded up.
    Unseen documents are not relevant.
    """
    candidates = label.candidates
    seen = sum(candidate.tier != "unseen" for candidate in candidates)
    if label.provenance.targets == "scores":
        last = (seen + 1) // 2
    else:
        last = max(1, seen - label.answer.missing)
    return [candidate.position is not None and candidate.position <= last for candidate in candidates]


def candidates_to_explain(label: Label, max_candidates: int) -> list[int]:
    """Choose the candidates to write rationales for: half the best relevant ones, half the hardest negatives.

    The best are the first in the teacher's order. The hardest are the first in the pre-ranker's order that do not
    count as relevant. An odd number gives one more relevant candidate. If one half has too few candidates, the other
    half fills up.

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
