"""The parquet parts of a stage, read in slices, and how each query is kept to one row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.retrieval.embeddings import text_id_of
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder

Ids = npt.NDArray[np.bytes_]


@dataclass(frozen=True)
class PartSlice:
    """Some rows of a part: [start, stop)."""

    part: str
    start: int
    stop: int


def slices_of(
    folder: Folder, rows_per_slice: Callable[[int], int], part: str | None = None
) -> tuple[list[PartSlice], int]:
    """Divide the parts of a folder, or one of them, into slices; returns them and the number of rows.

    rows_per_slice: how many rows a slice has, by the number of all rows.
    """
    counts = {name: folder.count_rows(name) for name in ([part] if part else folder.names(".parquet"))}
    total = sum(counts.values())
    step = rows_per_slice(total)
    slices = [
        PartSlice(name, start, min(start + step, rows))
        for name, rows in counts.items()
        for start in range(0, rows, step)
    ]
    return slices, total


def read_slice(folder: Folder, one: PartSlice, schema: pa.Schema | None) -> pa.Table:
    """Read some rows of a part; only the row groups that hold them are fetched. schema: None for the part's own."""
    with folder.open(one.part) as stream:
        file = pq.ParquetFile(stream)
        groups, skipped, before = [], 0, 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before + rows <= one.start:
                skipped += rows
            elif before < one.stop:
                groups.append(group)
            before += rows
        table = file.read_row_groups(groups)
    table = table.slice(one.start - skipped, one.stop - one.start)
    return table if schema is None else table.select(schema.names).cast(schema)


def count_rows(folder: Folder) -> int:
    """How many rows a folder's parts hold, by their footers."""
    return sum(folder.count_rows(name) for name in folder.names(".parquet"))


def sample_rows(folder: Folder, rows: int, seed: int) -> pa.Table | None:
    """Draw rows of a folder's parts, all where there are no more; the same for the same parts. None where there are none."""
    counts = [(name, folder.count_rows(name)) for name in folder.names(".parquet")]
    total = sum(count for _, count in counts)
    drawn = sorted(random.Random(seed).sample(range(total), min(rows, total)))
    tables, before = [], 0
    for name, count in counts:
        inside = [row - before for row in drawn if before <= row < before + count]
        if inside:
            tables.append(folder.read_table(name).take(inside))
        before += count
    return pa.concat_tables(tables, promote_options="permissive") if tables else None  # older parts may lack a column


def ids_in(folder: Folder) -> Ids:
    """The queries that a folder's parts hold, as sorted hashes of their ids: workers share one copy of the array."""
    return hashed(query_id for table in folder.read_tables(["query_id"]) for query_id in table["query_id"].to_pylist())


@dataclass(frozen=True)
class Done:
    """The parts that a stage held at one moment: a worker that is lost and asked again must find the same queries done."""

    stage: Stage
    rows: list[str]
    rejected: list[str]


def done_now(stage: Stage) -> Done:
    """The parts that a stage holds."""
    return Done(stage, stage.folder.names(".parquet"), stage.rejected_parts())


def ids_done(done: Done) -> Ids:
    """The queries of which some parts hold a row or a rejection."""
    parts = [(done.stage.folder, name) for name in done.rows] + [
        (done.stage.run / REJECTED, name) for name in done.rejected
    ]
    tables = (folder.read_table(name, ["query_id"]) for folder, name in parts)
    return hashed(query_id for table in tables for query_id in table["query_id"].to_pylist())


def hashed(query_ids: Iterable[Any]) -> Ids:
    """Sorted hashes of query ids."""
    return np.unique(np.array([text_id_of(str(query_id)).encode("ascii") for query_id in query_ids], dtype="S24"))


def select(table: pa.Table, ids: Ids, inside: bool) -> pa.Table:
    """The rows whose query is among the ids, or, if not inside, those whose is not."""
    if not table.num_rows:
        return table
    if not len(ids):
        return table.slice(0, 0) if inside else table
    hashes = np.array(
        [text_id_of(str(query_id)).encode("ascii") for query_id in table["query_id"].to_pylist()], dtype="S24"
    )
    found = ids[np.minimum(np.searchsorted(ids, hashes), len(ids) - 1)] == hashes
    return table.filter(pa.array(found if inside else ~found))


def settle(stage: Stage) -> tuple[int, int]:
    """Leave each query once: a first row stands, a second row and a rejection beside a row go. Returns rows and rejections.

    Doubles come only from a block that was run again after a crash and came out cut in another way. Nobody may
    write here meanwhile: what writes that were cut off have left behind goes too.
    """
    seen: set[str] = set()
    for folder, names in (
        (stage.folder, stage.folder.names(".parquet")),
        (stage.run / REJECTED, stage.rejected_parts()),
    ):
        folder.sweep()
        for name in names:
            ids = folder.read_table(name, ["query_id"])["query_id"].to_pylist()
            new = []
            for query_id in ids:
                new.append(query_id not in seen)
                seen.add(query_id)
            if not all(new):
                _keep(folder, name, new)
    rejected = sum((stage.run / REJECTED).count_rows(name) for name in stage.rejected_parts())
    return len(seen) - rejected, rejected


def count_verdicts(folder: Folder) -> dict[str, int]:
    """How many rationales of a stage of rationales have each status."""
    counts: Counter[str] = Counter()
    for table in folder.read_tables(["rationales"]):
        counts.update(rationale["status"] for rationales in table["rationales"].to_pylist() for rationale in rationales)
    return dict(counts)


def _keep(folder: Folder, name: str, which: list[bool]) -> None:
    if any(which):
        folder.write_table(name, folder.read_table(name).filter(pc.equal(pa.array(which), True)))
    else:
        folder.remove(name)


def doc_ids_in(folder: Folder) -> list[str]:
    """The ids of all candidates in a folder of candidate lists, those of the log or of test queries, each once."""
    found: set[str] = set()
    for name in folder.names(".parquet"):
        table = folder.read_table(name)
        candidates = table["candidates"] if "candidates" in table.column_names else pc.list_flatten(table["lists"])
        if "candidates" not in table.column_names:
            candidates = pc.struct_field(candidates, "candidates")
        found.update(pc.unique(pc.struct_field(pc.list_flatten(candidates), "doc_id")).to_pylist())
    return sorted(found)
