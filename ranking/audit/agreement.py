"""Does the teacher say the same of the same documents when it reads them in another order?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ranking.audit.estimates import MeanEstimate, mean_of, mean_over_lists
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import Record

TOP = 10


class ShuffleAgreement(Record):
    """Two answers about one list, shown in different orders, compared: means over lists of the means over pairs.

    pairs: of answers. tau: Kendall's, over the documents that both list, -1 to 1 and 0 by chance; None where
    no pair shares two documents. overlap: documents in both top tens, as a share of the longer top.
    overlap_chance: what two random choices of the same sizes would share.
    """

    pairs: int
    tau: MeanEstimate | None
    overlap: MeanEstimate
    overlap_chance: float


def shuffle_agreement(answers: Sequence[ShownAnswer], seed: int) -> ShuffleAgreement | None:
    """Compare all pairs of usable answers to one list whose prompts showed the same documents in different orders.

    None where there is no such pair. Answers without document ids are left out, and so are pairs of windows
    that slid over a list.
    """
    by_list: dict[str, list[ShownAnswer]] = {}
    for shown in answers:
        if shown.usable and shown.doc_ids is not None:
            by_list.setdefault(shown.list_id, []).append(shown)
    pairs = [
        (list_id, one, other)
        for list_id, asked in by_list.items()
        for one, other in itertools.combinations(asked, 2)
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
    """Kendall's tau over the documents in both orders: (concordant - discordant) / pairs; None below two documents."""
    places = {doc_id: place for place, doc_id in enumerate(other)}
    shared = [places[doc_id] for doc_id in one if doc_id in places]
    pairs = list(itertools.combinations(shared, 2))
    return sum(1 if above < below else -1 for above, below in pairs) / len(pairs) if pairs else None


def overlap_of(one: Sequence[str], other: Sequence[str]) -> float:
    """Documents in the first ten of both, divided by the longer of the two tops. Neither may be empty."""
    return len(set(one[:TOP]) & set(other[:TOP])) / max(len(one[:TOP]), len(other[:TOP]))


def _are_shuffles(one: ShownAnswer, other: ShownAnswer) -> bool:
    return one.doc_ids != other.doc_ids and set(one.doc_ids or ()) == set(other.doc_ids or ())


def _overlap_by_chance(one: ShownAnswer, other: ShownAnswer) -> float:
    """Expected overlap of two random tops of these sizes: a b / n documents are shared, of max(a, b)."""
    return min(len(one.ranked[:TOP]), len(other.ranked[:TOP])) / one.documents
