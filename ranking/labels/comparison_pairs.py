"""Choose the pairs of documents that a pairwise teacher compares: all pairs, or a sparse random graph."""

from __future__ import annotations

import itertools
import math
import random


def all_pairs(documents: int) -> list[tuple[int, int]]:
    """Return all pairs of different documents, as indices with the smaller one first."""
    return list(itertools.combinations(range(documents), 2))


def sparse_pairs(documents: int, per_document: int, seed: str) -> list[tuple[int, int]]:
    """Draw a connected random graph in which each document is in about `per_document` pairs.

    A random cycle through all documents connects the graph. Each further pair joins a document with the fewest pairs
    to the one with the fewest pairs among those it is not yet compared with. Few pairs per document suffice to estimate
    a ranking of LLM comparisons (arXiv 2507.04820).

    Args:
        documents: Number of documents.
        per_document: Pairs per document, 2 or more.
        seed: Seed of the graph. The same arguments give the same pairs.

    Returns:
        Sorted pairs of indices with the smaller one first: half of `documents` * `per_document`, rounded up, or all
        pairs if there are fewer.
    """
    count = min(math.ceil(documents * per_document / 2), math.comb(documents, 2))
    generator = random.Random(seed)
    cycle = generator.sample(range(documents), documents)
    neighbours: list[set[int]] = [set() for _ in range(documents)]

    def join(one: int, other: int) -> None:
        neighbours[one].add(other)
        neighbours[other].add(one)

    for one, other in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        if one != other:
            join(one, other)

    def fewest(candidates: list[int]) -> int:
        return min(candidates, key=lambda index: (len(neighbours[index]), generator.random()))

    while sum(map(len, neighbours)) < 2 * count:
        one = fewest([index for index in range(documents) if len(neighbours[index]) < documents - 1])
        join(one, fewest([index for index in range(documents) if index != one and index not in neighbours[one]]))
    return sorted((one, other) for one in range(documents) for other in neighbours[one] if one < other)
