"""The sliding window of RankGPT (Sun et al., 2023): a control that needs several calls a query, one after the other."""

from __future__ import annotations


def windows(documents: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Places [start, end) of a list that each step ranks, from the list's tail to its head.

    The first window ends with the last document, each next one stands `stride` nearer to the head, and the
    last begins with the first document. A list no longer than size is one window.
    """
    starts = list(range(max(0, documents - size), 0, -stride))
    return [(start, min(start + size, documents)) for start in (*starts, 0)]


def reordered(order: list[int], start: int, end: int, listed: list[int]) -> list[int]:
    """The order after a step: within [start, end) what was listed comes first, the rest keeps its order behind it."""
    window = order[start:end]
    known = [index for index in listed if index in window]
    return [*order[:start], *known, *(index for index in window if index not in known), *order[end:]]
