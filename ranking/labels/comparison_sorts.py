"""Sort documents with few comparisons by a language model: sliding passes of pairs, and a heap of sets.

The comparisons are awaited, so the sorts of many lists, and independent comparisons of one list, run concurrently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

Better = Callable[[int, int], Awaitable[bool]]
"""Maps (document, other document) to whether the first one is better. Documents are indices."""

Best = Callable[[Sequence[int]], Awaitable[int]]
"""Maps documents to the place of the best one among them, from 0."""


async def sliding_passes(documents: int, passes: int, better: Better) -> list[int]:
    """Sort with passes of bubble sort from the last document to the first (PRP-Sliding-K, arXiv 2306.17563).

    Each pass compares neighbours and swaps them if the lower one is better, so that `passes` passes find the best
    `passes` documents. The other documents are partly sorted.

    Args:
        documents: Number of documents, which are in initial order.
        passes: Number of passes.
        better: Compares the lower document of two neighbours with the upper one.

    Returns:
        All documents, best first.
    """
    order = list(range(documents))
    for done in range(min(passes, documents - 1)):
        for place in range(documents - 1, done, -1):
            if await better(order[place], order[place - 1]):
                order[place - 1], order[place] = order[place], order[place - 1]
    return order


def sliding_comparisons(documents: int, passes: int) -> int:
    """Return the number of comparisons of `sliding_passes`."""
    return sum(documents - 1 - done for done in range(min(passes, documents - 1)))


async def top_of_heap(documents: int, top: int, size: int, best: Best) -> list[int]:
    """Find the best documents with a heap in which each node has `size` - 1 children (setwise, arXiv 2310.09497).

    A comparison shows a node and its children. Nodes on the same level of the heap are compared concurrently while the
    heap is built.

    Args:
        documents: Number of documents, which are in initial order.
        top: Number of documents to find.
        size: Maximum number of documents in a comparison, 2 or more.
        best: Finds the best document.

    Returns:
        The `top` best documents, best first, or all documents if there are fewer.
    """
    heap, children = list(range(documents)), size - 1

    async def sift_down(node: int) -> None:
        while (first := node * children + 1) < len(heap):
            places = [node, *range(first, min(first + children, len(heap)))]
            winner = places[await best([heap[place] for place in places])]
            if winner == node:
                return
            heap[node], heap[winner] = heap[winner], heap[node]
            node = winner

    for level in reversed(_levels(documents, children)):
        await _all(sift_down(node) for node in level)
    found: list[int] = []
    while heap and len(found) < top:
        found.append(heap[0])
        last = heap.pop()
        if heap:
            heap[0] = last
            if len(found) < top:
                await sift_down(0)
    return found


async def _all(tasks: Iterable[Awaitable[None]]) -> None:
    """Await all tasks, also if one fails, and raise the first error."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if result is not None:
            raise result


def _levels(documents: int, children: int) -> list[range]:
    """Return the places of the heap's nodes, level by level from the root."""
    levels, start, width = [], 0, 1
    while start < documents:
        levels.append(range(start, min(start + width, documents)))
        start, width = start + width, width * children
    return levels
