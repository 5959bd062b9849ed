"""The sliding window of RankGPT (Sun et al., 2023): a baseline with several sequential LLM calls per query."""

from __future__ import annotations


def windows(documents: int, size: int, stride: int) -> list[tuple[int, int]]:
    """Return the windows of a list, from its tail to its head, as ranges [start, end) of places from 0.

    Each step ranks the documents of one window. The first window ends at the last document, each further window starts
    `stride` documents earlier, and the last window starts at the first document. A list of up to `size` documents has
    one window.

    Args:
        documents: Number of documents in the list.
        size: Maximum number of documents in a window.
        stride: Number of documents between the starts of consecutive windows.
    """
    starts = list(range(max(0, documents - size), 0, -stride))
    return [(start, min(start + size, documents)) for start in (*starts, 0)]


def reorder_after_window(order: list[int], start: int, end: int, listed: list[int]) -> list[int]:
    """Return the order of a list after one window was ranked.

    Documents that the answer lists move to the start of the window. The other documents of the window follow in their
    old order.

    Args:
        order: Indices of the documents in list order, before the window was ranked.
        start: First place of the window.
        end: End of the window, exclusive.
        listed: Indices of the documents that the answer lists, best first.
    """
    window = order[start:end]
    known = [index for index in listed if index in window]
    return [*order[:start], *known, *(index for index in window if index not in known), *order[end:]]
