"""Turn a teacher's answer into training targets: tiers from a listwise order, or a pointwise teacher's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranking.records import Candidate, LabelledCandidate, PassageSpan, Tier

HARD_NEGATIVE_TARGET = 1.0
EASY_NEGATIVE_TARGET = 0.0


def head_and_tail(ordered: Sequence[Candidate], top: int, bottom: int) -> list[tuple[Candidate, int, bool]]:
    """Take the head and the tail of a pre-ranked list: its first `top` and its last `bottom` candidates.

    Args:
        ordered: Candidates in the pre-ranker's order, best first.
        top: Size of the head.
        bottom: Size of the tail. A list with fewer than top + bottom candidates is returned whole, each candidate once.

    Returns:
        Triples of candidate, rank by the pre-ranker (1 is best), and whether the candidate belongs to the head.
    """
    ranked = [(candidate, rank, rank <= top) for rank, candidate in enumerate(ordered, start=1)]
    return ranked[:top] + ranked[max(top, len(ranked) - bottom) :]


def tiers_from_order(
    pre_ranked: Sequence[tuple[Candidate, int, bool]], order: Sequence[str], shown: Sequence[str] | None = None
) -> list[LabelledCandidate]:
    """Label candidates according to a teacher's order, which may omit documents.

    Listed documents rank first, in the teacher's order, whether they belong to the head or the tail. The last listed
    document has target 2, and each place above it adds 1. Omitted documents of the head are hard negatives (target 1),
    and omitted documents of the tail are easy negatives (target 0).

    Args:
        pre_ranked: Candidates as returned by `head_and_tail`.
        order: Document ids, best first. Unknown ids are ignored. The id of a duplicate counts as the id of its
            candidate.
        shown: Ids of the documents in the teacher's prompt, in prompt order. Candidates that were not in the prompt are
            then `unseen`, and every omitted document of the prompt is a hard negative. None: the prompt had all
            candidates.
    """
    known = {other: candidate.doc_id for candidate, _, _ in pre_ranked for other in candidate.duplicates}
    known |= {candidate.doc_id: candidate.doc_id for candidate, _, _ in pre_ranked}
    listed = list(dict.fromkeys(known[doc_id] for doc_id in order if doc_id in known))
    position = {doc_id: place for place, doc_id in enumerate(listed, start=1)}
    prompt = (
        None
        if shown is None
        else dict(reversed([(known[doc_id], place) for place, doc_id in enumerate(shown, start=1) if doc_id in known]))
    )
    labelled = []
    for list_place, (candidate, pre_rank, in_head) in enumerate(pre_ranked, start=1):
        place = position.get(candidate.doc_id)
        prompt_position = list_place if prompt is None else prompt.get(candidate.doc_id, 0)
        tier: Tier
        if place is not None:
            tier, target = "listed", float(len(listed) - place) + HARD_NEGATIVE_TARGET + 1.0
        elif prompt is not None and not prompt_position:
            tier, target = "unseen", 0.0
        elif in_head or prompt is not None:
            tier, target = "hard_negative", HARD_NEGATIVE_TARGET
        else:
            tier, target = "easy_negative", EASY_NEGATIVE_TARGET
        labelled.append(_label(candidate, pre_rank, prompt_position, tier, place, target))
    return labelled


def targets_from_grades(
    pre_ranked: Sequence[tuple[Candidate, int, bool]], grades: Mapping[str, float]
) -> list[LabelledCandidate]:
    """Label candidates with a teacher's grades: the grade of a graded candidate is its target.

    A candidate gets the highest grade of its own id and the ids of its duplicates. Candidates without a grade are
    `unseen`.

    Args:
        pre_ranked: Candidates as returned by `head_and_tail`.
        grades: {document id: grade}. Higher is better. Candidates with the same grade keep the pre-ranker's order.
    """
    graded = [[grades[doc_id] for doc_id in (c.doc_id, *c.duplicates) if doc_id in grades] for c, _, _ in pre_ranked]
    order = sorted((i for i, own in enumerate(graded) if own), key=lambda i: (-max(graded[i]), pre_ranked[i][1]))
    position = {i: place for place, i in enumerate(order, start=1)}
    return [
        _label(candidate, pre_rank, i + 1, "listed", position[i], max(graded[i]))
        if i in position
        else _label(candidate, pre_rank, 0, "unseen", None, 0.0)
        for i, (candidate, pre_rank, _) in enumerate(pre_ranked)
    ]


def targets_from_scores(
    pre_ranked: Sequence[tuple[Candidate, int, bool]], scores: Sequence[float]
) -> list[LabelledCandidate]:
    """Label candidates with a teacher's scores. All are listed, by descending score, and the scores are the targets.

    Args:
        pre_ranked: Candidates as returned by `head_and_tail`.
        scores: One score per candidate. Higher is better. Candidates with the same score keep the pre-ranker's order.
    """
    order = sorted(range(len(pre_ranked)), key=lambda i: (-scores[i], pre_ranked[i][1]))
    position = {i: place for place, i in enumerate(order, start=1)}
    return [
        _label(candidate, pre_rank, i + 1, "listed", position[i], float(scores[i]))
        for i, (candidate, pre_rank, _) in enumerate(pre_ranked)
    ]


def with_passages(
    candidates: Sequence[LabelledCandidate], passages: Mapping[str, PassageSpan | None]
) -> list[LabelledCandidate]:
    """Return the candidates with the place of the passage that the teacher saw.

    Args:
        candidates: Labelled candidates.
        passages: {document id: place of its passage, or None without passages}.
    """
    return [
        candidate
        if passages[candidate.doc_id] is None
        else candidate.model_copy(update={"passage": passages[candidate.doc_id]})
        for candidate in candidates
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
