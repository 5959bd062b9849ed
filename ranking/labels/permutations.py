"""Prompt orders and their merging: permutation self-consistency (Tang et al., NAACL 2024).

A teacher's answer depends on the order in which it read the documents. So it is asked with several orders,
drawn from a stored seed, and the answers are merged; how far they lie apart is the label's confidence.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

EXACT_DOCUMENTS = 8


def prompt_order(documents: int, seed: int, query_id: str, attempt: int) -> list[int]:
    """Draw the order in which a prompt shows so many documents: indices from 0, the same for the same arguments."""
    order = list(range(documents))
    random.Random(f"{seed} {query_id} {attempt}").shuffle(order)
    return order


def borda(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
    """Merge orders by Borda count: n points for a first place, n - 1 for a second.

    What an order leaves out shares the points of its free places. orders: each best first, ids of doc_ids,
    none twice. Ties keep the order of doc_ids. Returns all of doc_ids, best first.
    """
    points = dict.fromkeys(doc_ids, 0.0)
    for order in orders:
        for place, doc_id in enumerate(order):
            points[doc_id] += len(doc_ids) - place
        left_out = [doc_id for doc_id in doc_ids if doc_id not in set(order)]
        for doc_id in left_out:
            points[doc_id] += (len(left_out) + 1) / 2
    return sorted(doc_ids, key=lambda doc_id: -points[doc_id])


def kemeny(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
    """Merge orders into the one with the fewest disagreeing pairs (Kemeny, 1959).

    A listed document stands above one left out; two left out do not disagree with anything. Up to 8
    documents the result is exact; above, Borda's order is bettered by moving single documents until no
    move helps, which may stop short of the best. Arguments and result as for `borda`.
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
    """Share of the pairs that the orders decide and that the merged order decides the same way, from 0 to 1.

    1 where no order decides any pair.
    """
    wins = _wins(orders, merged)
    decided = sum(wins.values())
    return 1.0 - _cost(merged, wins) / decided if decided else 1.0


def _wins(orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """Count for each pair (a, b) the orders that put a above b."""
    wins = {(a, b): 0 for a in doc_ids for b in doc_ids if a != b}
    for order in orders:
        place = {doc_id: i for i, doc_id in enumerate(order)}
        for a in order:
            for b in doc_ids:
                if a != b and place[a] < place.get(b, len(order)):
                    wins[a, b] += 1
    return wins


def _cost(order: Sequence[str], wins: dict[tuple[str, str], int]) -> int:
    """How many pairs of the orders an order contradicts."""
    return sum(wins[below, above] for above, below in itertools.combinations(order, 2))


def _move_one(order: list[str], wins: dict[tuple[str, str], int]) -> bool:
    """Move one document to the place where it costs least, if any move helps; tells whether one did."""
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
