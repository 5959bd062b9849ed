"""Self-agreement: how similar a teacher's answers are for the same documents in different prompt orders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ranking.audit.estimates import MeanEstimate, mean_of, mean_over_lists
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record

TOP = 10
"""Number of top documents that are compared between two answers."""


class ShuffleAgreement(Record):
    """Agreement between a teacher's answers to the same list in different prompt orders.

    Each value is computed for pairs of answers, averaged over the pairs of each list, then over lists.

    Attributes:
        pairs: number of pairs of answers.
        tau: Kendall's tau over the documents that both answers list, from -1 to 1, 0 by chance; None if no pair
            shares two documents.
        overlap: number of documents that are in the top 10 of both answers, divided by the size of the larger top 10.
            A top 10 is smaller if the answer lists fewer documents.
        overlap_chance: expected overlap of two random choices of the same sizes, averaged over pairs.
    """

    pairs: int
    tau: MeanEstimate | None
    overlap: MeanEstimate
    overlap_chance: float


def shuffle_agreement(answers: Sequence[ShownAnswer], seed: int) -> ShuffleAgreement | None:
    """Compare all pairs of usable answers whose prompts have the same documents in different orders.

    Answers without document ids are ignored. So are two answers to different windows of a sliding window, because
    windows have different documents.

    Args:
        answers: answers to any lists.
        seed: seed of the bootstrap intervals.

    Returns:
        The agreement, or None if there is no such pair.
    """
    by_list: dict[str, list[ShownAnswer]] = {}
    for answer in answers:
        if answer.usable and answer.doc_ids is not None:
            by_list.setdefault(answer.list_id, []).append(answer)
    pairs = [
        (list_id, one, other)
        for list_id, list_answers in by_list.items()
        for one, other in itertools.combinations(list_answers, 2)
        if _are_shuffles(one, other)
    ]
    overlap = mean_over_lists(((list_id, overlap_of(one.ranked, other.ranked)) for list_id, one, other in pairs), seed)
    chance = mean_of([_overlap_by_chance(one, other) for _, one, other in pairs])
    if overlap is None or chance is None:
        return None
    taus = [(list_id, tau_of(one.ranked, other.ranked)) for list_id, one, other in pairs]
    tau = mean_over_lists([(list_id, tau) for list_id, tau in taus if tau is not None], seed)
    return ShuffleAgreement(pairs=len(pairs), tau=tau, overlap=overlap, overlap_chance=chance)


def tau_of(one: Sequence[str], other: Sequence[str]) -> float | None:
    """Compute Kendall's tau over the documents that both orders contain. Returns None if these are fewer than two.

    tau = (concordant pairs - discordant pairs) / pairs
    """
    places = {doc_id: place for place, doc_id in enumerate(other)}
    shared = [places[doc_id] for doc_id in one if doc_id in places]
    pairs = list(itertools.combinations(shared, 2))
    return sum(1 if above < below else -1 for above, below in pairs) / len(pairs) if pairs else None


def overlap_of(one: Sequence[str], other: Sequence[str]) -> float:
    """Compute the overlap of the top 10 of two non-empty orders.

    It is the number of documents that are in both, divided by the size of the larger top 10.
    """
    return len(set(one[:TOP]) & set(other[:TOP])) / max(len(one[:TOP]), len(other[:TOP]))


def _are_shuffles(one: ShownAnswer, other: ShownAnswer) -> bool:
    return one.doc_ids != other.doc_ids and set(one.doc_ids or ()) == set(other.doc_ids or ())


def _overlap_by_chance(one: ShownAnswer, other: ShownAnswer) -> float:
    """Return the overlap that is expected if both answers choose their top documents at random.

    Random choices of a and of b among n documents share a * b / n documents on average. Divided by max(a, b), this is
    min(a, b) / n.
    """
    return min(len(one.ranked[:TOP]), len(other.ranked[:TOP])) / one.documents
