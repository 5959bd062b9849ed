"""Join shown rankings with their clicks, and count impressions and clicks by query, document and position.

The input can be larger than memory: rows are partitioned on the local disk, first by exposure to join them, then by
query to count them. Memory grows with the largest partition only.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ranking.clicks.click_counts import ClickCounts, counts_of
from ranking.clicks.click_sources import Click, ShownRanking
from ranking.clicks.spilled_rows import SpilledRows
from ranking.selection.query_text import normalise

_IDS = pa.list_(pa.string())
_RANKINGS = pa.schema([("exposure_id", pa.string()), ("query", pa.string()), ("shown", _IDS)])
_CLICKS = pa.schema([("exposure_id", pa.string()), ("position", pa.int64()), ("doc_id", pa.string())])
_JOINED = pa.schema([("query", pa.string()), ("shown", _IDS), ("clicked", pa.list_(pa.int64()))])


@dataclass
class QueryTally:
    """Counts of one query.

    Attributes:
        exposures: Number of rankings that were shown.
        cells: {(doc_id, position from 0): [impressions, clicks]}.
    """

    exposures: int = 0
    cells: dict[tuple[str, int], list[int]] = field(default_factory=dict)

    def add(self, shown: Iterable[str], clicked: Iterable[int]) -> None:
        """Count a ranking and its clicks, at positions from 0."""
        self.exposures += 1
        at = set(clicked)
        for position, doc_id in enumerate(shown):
            cell = self.cells.setdefault((doc_id, position), [0, 0])
            cell[0] += 1
            cell[1] += position in at


@dataclass
class JoinedClicks:
    """Rankings joined with their clicks, partitioned by query.

    Attributes:
        exposures: Number of rankings, each id counted once.
        clicks: Number of clicked results of these rankings.
        unmatched: Number of clicks on unknown rankings, or on a document or position that a ranking does not have.
        repeated: Number of rankings with the id of an earlier one.
    """

    exposures: int
    clicks: int
    unmatched: int
    repeated: int
    rows: SpilledRows

    def tallies(self) -> Iterator[dict[str, QueryTally]]:
        """Yield the tallies of each partition, {query: tally}. A partition has all rows of its queries."""
        for bucket in range(self.rows.buckets):
            tallies: dict[str, QueryTally] = defaultdict(QueryTally)
            for query, shown, clicked in self.rows.rows(bucket):
                tallies[query].add(shown, clicked)
            yield dict(tallies)


def join(
    rankings: Iterable[ShownRanking], clicks: Iterable[Click], depth: int, folder: Path, buckets: int
) -> JoinedClicks:
    """Join rankings and clicks by exposure id. Rankings with the same id count once, and so do clicks on one result.

    Args:
        rankings: The rankings that were shown.
        clicks: The clicks.
        depth: Deepest position to use.
        folder: Local folder for the partitions, which the caller deletes.
        buckets: Number of partitions.
    """
    by_id = _spilled(
        folder / "rankings", _RANKINGS, buckets, (one._replace(shown=one.shown[:depth]) for one in rankings)
    )
    clicks_by_id = _spilled(folder / "clicks", _CLICKS, buckets, clicks)
    (folder / "joined").mkdir()
    joined = SpilledRows(folder / "joined", _JOINED, buckets)
    total: Counter[str] = Counter()
    for bucket in range(buckets):
        clicked: dict[str, set[Click]] = defaultdict(set)
        for row in clicks_by_id.rows(bucket):
            clicked[row[0]].add(Click(*row))
        seen: set[str] = set()
        for exposure_id, query, shown in by_id.rows(bucket):
            if exposure_id in seen:
                total["repeated"] += 1
                continue
            seen.add(exposure_id)
            found = [_position(click, shown) for click in clicked.pop(exposure_id, ())]
            positions = sorted({position for position in found if position is not None})
            total.update(exposures=1, clicks=len(positions), unmatched=found.count(None))
            joined.add(key := normalise(query) or query, (key, shown, positions))
        total["unmatched"] += sum(map(len, clicked.values()))
    joined.close()
    return JoinedClicks(total["exposures"], total["clicks"], total["unmatched"], total["repeated"], joined)


def counts_of_tallies(tallies: dict[str, QueryTally]) -> tuple[ClickCounts, list[tuple[str, str]]]:
    """Return the counts of some queries, and the (query, doc_id) of each pair."""
    index: dict[tuple[str, str], int] = {}
    cells = [
        (index.setdefault((query, doc_id), len(index)), position, shown, clicks)
        for query, tally in tallies.items()
        for (doc_id, position), (shown, clicks) in tally.cells.items()
    ]
    return counts_of(cells), list(index)


def _spilled(
    folder: Path, schema: pa.Schema, buckets: int, rows: Iterable[ShownRanking] | Iterable[Click]
) -> SpilledRows:
    """Partition rows by exposure id."""
    folder.mkdir()
    spilled = SpilledRows(folder, schema, buckets)
    for row in rows:
        spilled.add(row.exposure_id, row)
    spilled.close()
    return spilled


def _position(click: Click, shown: list[str]) -> int | None:
    """Return the position from 0 that was clicked; None if the ranking does not have it."""
    if click.position:
        return click.position - 1 if 0 < click.position <= len(shown) else None
    return shown.index(click.doc_id) if click.doc_id in shown else None
