"""Permutation self-consistency (Tang et al., NAACL 2024): rank in several prompt orders and merge the answers.

A teacher's answer depends on the order of the documents in its prompt. The teacher therefore ranks the same documents
several times, in random orders that are reproducible from a stored seed, and the answers are merged. The agreement of
the answers is the label's confidence.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

EXACT_DOCUMENTS = 8
"""Maximum number of documents for which `kemeny` tries every order and is therefore exact."""


def prompt_order(documents: int, seed: int, query_id: str, attempt: int) -> list[int]:
    """Draw a random order of the documents in a prompt. The same arguments give the same order.

    Args:
        documents: Number of documents.
        seed: Stored seed of the random orders.
        query_id: Text that identifies the query or the prompt, to give each of them a different order.
        attempt: Number of the attempt, to give each retry a different order.

    Returns:
        Indices of the documents, from 0, in prompt order.
    """
    order = list(range(documents))
    random.Random(f"{seed} {query_id} {attempt}").shuffle(order)
    return order


def borda(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
    """Merge orders by Borda count: n points for the first of n documents, n - 1 for the second, and so on.

    Documents that an order omits share the points of its remaining places equally.

    Args:
        orders: Each order has distinct ids from `doc_ids`, best first, and may omit documents.
        doc_ids: All document ids. Documents with the same number of points keep this order.

    Returns:
        All document ids, best first.
    """
    points = dict.fromkeys(doc_ids, 0.0)
    for order in orders:
        for place, doc_id in enumerate(order):
            points[doc_id] += len(doc_ids) - place
        omitted = [doc_id for doc_id in doc_ids if doc_id not in set(order)]
        for doc_id in omitted:
            points[doc_id] += (len(omitted) + 1) / 2
    return sorted(doc_ids, key=lambda doc_id: -points[doc_id])


def kemeny(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
    """Merge orders into the order with the fewest pairwise disagreements (Kemeny, 1959).

    In each order, a listed document is preferred to an omitted one. There is no preference between two omitted
    documents. The result is exact for up to 8 documents. For more, a local search starts from the order of `borda` and
    moves single documents until no move reduces the number of disagreements. It may end in a local optimum.

    Args:
        orders: As for `borda`.
        doc_ids: As for `borda`.

    Returns:
        All document ids, best first.
    """
    wins = _wins(orders, doc_ids)
    if len(doc_ids) <= EXACT_DOCUMENTS:
        best = min(itertools.permutations(doc_ids), key=lambda order: _cost(order, wins))
        return list(best)
    merged = borda(orders, doc_ids)
    while _move_one(merged, wins):
        pass
    return merged


def agreement(orders: Sequence[Sequence[str]], merged: Sequence[str]) -> float:
    """Return the share of all pairwise preferences in the orders that the merged order preserves, from 0 to 1.

    The share is 1 if there are no pairwise preferences.
    """
    wins = _wins(orders, merged)
    decided = sum(wins.values())
    return 1.0 - _cost(merged, wins) / decided if decided else 1.0


def _wins(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """For each pair of different documents (a, b), count the orders that rank a above b or list only a."""
    wins = {(a, b): 0 for a in doc_ids for b in doc_ids if a != b}
    for order in orders:
        place = {doc_id: i for i, doc_id in enumerate(order)}
        for a in order:
            for b in doc_ids:
                if a != b and place[a] < place.get(b, len(order)):
                    wins[a, b] += 1
    return wins


def _cost(order: Sequence[str], wins: dict[tuple[str, str], int]) -> int:
    """Count the pairwise preferences in `wins` that an order contradicts."""
    return sum(wins[below, above] for above, below in itertools.combinations(order, 2))


def _move_one(order: list[str], wins: dict[tuple[str, str], int]) -> bool:
    """Move one document, in place, to reduce the cost of an order.

    The document is the first whose move to another place reduces the cost. It moves to the place with the lowest cost.

    Returns:
        Whether a document was moved. False if no move reduces the cost.
    """
    for start, moved in enumerate(order):
        change, best, target = 0, 0, start
        for place in range(start - 1, -1, -1):
            change += wins[order[place], moved] - wins[moved, order[place]]
            if change < best:
                best, target = change, place
        change = 0
        for place in range(start + 1, len(order)):
            change += wins[moved, order[place]] - wins[order[place], moved]
            if change < best:
                best, target = change, place
        if target != start:
            order.insert(target, order.pop(start))
            return True
    return False
