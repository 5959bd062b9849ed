"""Impressions and clicks, counted by (query, document) pair and position."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


def sum_by_index(indices: Indices, values: Floats, length: int) -> Floats:
    """Sum the values of each index, [length]."""
    return np.bincount(indices, values, length).astype(np.float64)


@dataclass(frozen=True)
class ClickCounts:
    """Counts in cells: one cell for each position at which a (query, document) pair was shown.

    Attributes:
        pairs: Index of each cell's pair, [cells], from 0.
        positions: Position of each cell, [cells], from 0.
        shown: Number of impressions, [cells], at least 1.
        clicks: Number of impressions with a click, [cells], at most `shown`.
    """

    pairs: Indices
    positions: Indices
    shown: Floats
    clicks: Floats

    @property
    def pair_count(self) -> int:
        """Number of pairs."""
        return int(self.pairs.max()) + 1 if len(self.pairs) else 0

    def by_position(self, depth: int) -> tuple[Floats, Floats]:
        """Return the impressions and the clicks of each position, [depth] each."""
        return sum_by_index(self.positions, self.shown, depth), sum_by_index(self.positions, self.clicks, depth)

    def by_pair(self, values: Floats) -> Floats:
        """Sum the values of each pair's cells, [pairs].

        Args:
            values: One value per cell, [cells].
        """
        return sum_by_index(self.pairs, values, self.pair_count)

    def where(self, chosen: npt.NDArray[np.bool_]) -> ClickCounts:
        """Return the chosen cells, [cells], with their pairs numbered from 0."""
        _, pairs = np.unique(self.pairs[chosen], return_inverse=True)
        return ClickCounts(pairs.astype(np.int64), self.positions[chosen], self.shown[chosen], self.clicks[chosen])


def counts_of(cells: Iterable[tuple[int, int, int, int]]) -> ClickCounts:
    """Return counts from (pair, position, shown, clicks) tuples."""
    rows = np.array(list(cells), dtype=np.int64).reshape(-1, 4)
    return ClickCounts(rows[:, 0], rows[:, 1], rows[:, 2].astype(np.float64), rows[:, 3].astype(np.float64))


def concatenate(parts: Iterable[ClickCounts]) -> ClickCounts:
    """Return the cells of all parts. The pairs of each part follow those of the part before it."""
    offset, shifted = 0, [counts_of([])]
    for part in parts:
        shifted.append(ClickCounts(part.pairs + offset, part.positions, part.shown, part.clicks))
        offset += part.pair_count
    return ClickCounts(
        *(np.concatenate([getattr(part, name) for part in shifted]) for name in ClickCounts.__dataclass_fields__)
    )
