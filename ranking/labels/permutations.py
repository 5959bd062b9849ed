"""Permutation self-consistency (Tang et al., NAACL 2024): draw several prompt orders and merge the answers.

A teacher's answer depends on the order of the documents in its prompt. The teacher therefore ranks several orders,
drawn from a stored seed, and the answers are merged. Their agreement is the label's confidence.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

EXACT_DOCUMENTS = 8
"""Maximum number of documents for which `kemeny` tries every order."""


def prompt_order(documents: int, seed: int, query_id: str, attempt: int) -> list[int]:
    """Draw the order of a number of documents in a prompt: indices from 0, the same for the same arguments."""
    order = list(range(documents))
    random.Random(f"{seed} {query_id} {attempt}").shuffle(order)
    return order


def borda(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
    """Merge orders by Borda count: n points for the first of n documents, n - 1 for the second.

    Documents that an order omits share the points of its free places equally.

    Args:
        orders: distinct ids from doc_ids, best first. An order may omit documents.
        doc_ids: all document ids. Ties keep their order.

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

    A listed document ranks above an omitted one. Two omitted documents have no order. The result is exact for up to
    8 documents. For more, a local search starts from Borda's order and moves single documents until no move helps,
    which may end in a local optimum.

    Args:
        orders: as for `borda`.
        doc_ids: as for `borda`.

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
    """Return the share of the orders' pairwise preferences that the merged order preserves, from 0 to 1.

    The share is 1 if the orders have no pairwise preferences.
    """
    wins = _wins(orders, merged)
    decided = sum(wins.values())
    return 1.0 - _cost(merged, wins) / decided if decided else 1.0


def _wins(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Count the orders that rank a above b, for each pair (a, b)."""
    wins = {(a, b): 0 for a in doc_ids for b in doc_ids if a != b}
    for order in orders:
        place = {doc_id: i for i, doc_id in enumerate(order)}
        for a in order:
            for b in doc_ids:
                if a != b and place[a] < place.get(b, len(order)):
                    wins[a, b] += 1
    return wins


def _cost(order: Sequence[str], wins: dict[tuple[str, str], int]) -> int:
    """Count the pairwise preferences that an order contradicts."""
    return sum(wins[below, above] for above, below in itertools.combinations(order, 2))


def _move_one(order: list[str], wins: dict[tuple[str, str], int]) -> bool:
    """Move one document to the place with the lowest cost and return True, or return False if no move helps."""
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
