"""The sliding window of RankGPT (Sun et al., 2023): a baseline with several sequential calls per query."""

from __future__ import annotations


def windows(documents: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Return the range [start, end) that each step ranks, from the tail of the list to its head.

    The first window ends at the last document, each further window starts `stride` documents earlier, and the last
    window starts at the first document. A list of up to `size` documents has one window.
    """
    starts = list(range(max(0, documents - size), 0, -stride))
    return [(start, min(start + size, documents)) for start in (*starts, 0)]


def reordered(order: list[int], start: int, end: int, listed: list[int]) -> list[int]:
    """Return the order after a step: listed documents move to the start of [start, end), others keep their order."""
    window = order[start:end]
    known = [index for index in listed if index in window]
    return [*order[:start], *known, *(index for index in window if index not in known), *order[end:]]
