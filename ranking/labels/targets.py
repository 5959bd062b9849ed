"""From a teacher's answer to targets: the tiers of a listwise order, the scores of a pointwise teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking.records import Candidate, LabelledCandidate, Tier

HARD_NEGATIVE_TARGET = 1.0
EASY_NEGATIVE_TARGET = 0.0


def head_and_tail(ordered: Sequence[Candidate], top: int, bottom: int) -> list[tuple[Candidate, int, bool]]:
    """Take the pre-ranker's best `top` and worst `bottom`; each document once, the head first.

    ordered: candidates, best first. Returns (candidate, pre-rank from 1, whether it is of the head).
    A list shorter than top + bottom gives all of it.
    """
    ranked = [(candidate, rank, rank <= top) for rank, candidate in enumerate(ordered, start=1)]
    return ranked[:top] + ranked[max(top, len(ranked) - bottom) :]


def tiers_from_order(
    picked: Sequence[tuple[Candidate, int, bool]], order: Sequence[str], shown: Sequence[str] | None = None
) -> list[LabelledCandidate]:
    """Label candidates by an order that may leave documents out.

    Listed documents come first in their order, then the left-out ones of the head (hard negatives,
    target 1), then those of the tail (easy negatives, target 0). A listed document's target is 2 for the
    last listed, one more for each place above. A tail document that is listed keeps its listed place.

    picked: as `head_and_tail` returns it. order: document ids, best first; ids that were not picked are ignored, and the id of a
    duplicate is that of the picked document. shown: ids that the teacher saw; other candidates are `unseen`. None: it saw all of them.
    With `shown`, every document that was shown and is not listed is a hard negative.
    """
    known = {other: candidate.doc_id for candidate, _, _ in picked for other in candidate.duplicates}
    known |= {candidate.doc_id: candidate.doc_id for candidate, _, _ in picked}
    listed = list(dict.fromkeys(known[doc_id] for doc_id in order if doc_id in known))
    position = {doc_id: place for place, doc_id in enumerate(listed, start=1)}
    prompt = (
        None
        if shown is None
        else dict(reversed([(known[d], place) for place, d in enumerate(shown, start=1) if d in known]))
    )
    labelled = []
    for place_here, (candidate, pre_rank, of_head) in enumerate(picked, start=1):
        place = position.get(candidate.doc_id)
        prompt_position = place_here if prompt is None else prompt.get(candidate.doc_id, 0)
        tier: Tier
        if place is not None:
            tier, target = "listed", float(len(listed) - place) + HARD_NEGATIVE_TARGET + 1.0
        elif prompt is not None and not prompt_position:
            tier, target = "unseen", 0.0
        elif of_head or prompt is not None:
            tier, target = "hard_negative", HARD_NEGATIVE_TARGET
        else:
            tier, target = "easy_negative", EASY_NEGATIVE_TARGET
        labelled.append(_label(candidate, pre_rank, prompt_position, tier, place, target))
    return labelled


def targets_from_grades(
    picked: Sequence[tuple[Candidate, int, bool]], grades: Mapping[str, float]
) -> list[LabelledCandidate]:
    """Label candidates by a teacher's grade each; those without one are `unseen`, and a document with duplicates takes their highest.

    grades: {doc_id: grade}, higher is better; equal grades keep the pre-ranker's order.
    """
    found = [[grades[doc_id] for doc_id in (c.doc_id, *c.duplicates) if doc_id in grades] for c, _, _ in picked]
    order = sorted((i for i, graded in enumerate(found) if graded), key=lambda i: (-max(found[i]), picked[i][1]))
    position = {i: place for place, i in enumerate(order, start=1)}
    return [
        _label(candidate, pre_rank, i + 1, "listed", position[i], max(found[i]))
        if i in position
        else _label(candidate, pre_rank, 0, "unseen", None, 0.0)
        for i, (candidate, pre_rank, _) in enumerate(picked)
    ]


def targets_from_scores(
    picked: Sequence[tuple[Candidate, int, bool]], scores: Sequence[float]
) -> list[LabelledCandidate]:
    """Label candidates by a score each: all are listed, in order of score, and the score is the target.

    scores: one for each picked candidate, higher is better; equal scores keep the pre-ranker's order.
    """
    order = sorted(range(len(picked)), key=lambda i: (-scores[i], picked[i][1]))
    position = {i: place for place, i in enumerate(order, start=1)}
    return [
        _label(candidate, pre_rank, i + 1, "listed", position[i], float(scores[i]))
        for i, (candidate, pre_rank, _) in enumerate(picked)
    ]


def _label(
    candidate: Candidate, pre_rank: int, prompt_position: int, tier: Tier, position: int | None, target: float
) -> LabelledCandidate:
    return LabelledCandidate(
        doc_id=candidate.doc_id,
        title=candidate.title,
        text=candidate.text,
        pre_rank=pre_rank,
        prompt_position=prompt_position,
        tier=tier,
        position=position,
        target=target,
        duplicates=candidate.duplicates,
    )
