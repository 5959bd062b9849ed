"""Relevant or not: two words made of a teacher's order, and the candidates that say most about the difference."""

from __future__ import annotations

from ranking.records import Label


def relevance(label: Label) -> list[bool]:
    """Tell for each candidate of a label, in the label's order, whether it counts as relevant. This project's choice.

    Tiers: what the teacher listed is relevant, what it left out is not. Where it left documents out and the
    label lists them last all the same (`missing: append`, a sliding window), the last `answer.missing` are not.
    Scores have no such line: the better half of the list is relevant, in an odd list the larger one. Unseen documents are not relevant.
    """
    candidates = label.candidates
    seen = sum(candidate.tier != "unseen" for candidate in candidates)
    if label.provenance.targets == "scores":
        last = (seen + 1) // 2
    else:
        last = max(1, seen - label.answer.missing)
    return [candidate.position is not None and candidate.position <= last for candidate in candidates]


def telling(label: Label, most: int) -> list[int]:
    """Choose candidates to be explained: indices, half of them the best relevant ones, half the hardest others.

    Best: by the teacher's order. Hardest: the first by the pre-ranker's order, which the teacher does not think
    relevant all the same. Of an odd number the larger half is relevant; where one side is short, the other gives
    more.
    """
    relevant = relevance(label)
    best = sorted((i for i, yes in enumerate(relevant) if yes), key=lambda i: label.candidates[i].position or 0)
    seen = [i for i, candidate in enumerate(label.candidates) if candidate.tier != "unseen"]
    hardest = sorted((i for i in seen if not relevant[i]), key=lambda i: label.candidates[i].pre_rank)
    negatives = min(len(hardest), max(most // 2, most - len(best)))
    return best[: most - negatives] + hardest[:negatives]
