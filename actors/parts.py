"""The parquet parts of a stage, read in slices, and how each query is kept to one row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.vectors import text_id_of
from ranking.stages import REJECTED, Stage
from ranking.storage import Folder

Ids = npt.NDArray[np.bytes_]


@dataclass(frozen=True)
class Slice:
    """Some rows of a part: [start, stop)."""

    part: str
    start: int
    stop: int


def slices_of(folder: Folder, rows_per_slice: Callable[[int], int]) -> tuple[list[Slice], int]:
    """Divide the parts of a folder into slices; returns them and the number of rows. rows_per_slice: by the number of all rows."""
    counts = {name: folder.count_rows(name) for name in folder.names(".parquet")}
    total = sum(counts.values())
    step = rows_per_slice(total)
    slices = [Slice(name, start, min(start + step, rows)) for name, rows in counts.items() for start in range(0, rows, step)]
    return slices, total


def read_slice(folder: Folder, one: Slice, schema: pa.Schema) -> pa.Table:
    """Read some rows of a part; only the row groups that hold them are fetched."""
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
    return table.slice(one.start - skipped, one.stop - one.start).select(schema.names).cast(schema)


def known_ids(folder: Folder) -> Ids:
    """The queries that a folder's parts hold, as sorted hashes of their ids: workers share one copy of the array."""
    hashes = [_hash(query_id) for table in folder.read_tables(["query_id"]) for query_id in table["query_id"].to_pylist()]
    return np.unique(np.array(hashes, dtype="S24"))


def drop_known(table: pa.Table, known: Ids) -> pa.Table:
    """The rows whose query is not known."""
    if not len(known) or not table.num_rows:
        return table
    hashes = np.array([_hash(query_id) for query_id in table["query_id"].to_pylist()], dtype="S24")
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return table.filter(pa.array(known[places] != hashes))


def settle(stage: Stage) -> tuple[int, int]:
    """Leave each query once: a first row stands, a second row and a rejection beside a row go. Returns rows and rejections.

    Doubles come only from a block that was run again after a crash and came out cut in another way.
    """
    seen: set[str] = set()
    for folder, names in ((stage.folder, stage.folder.names(".parquet")), (stage.run / REJECTED, stage.rejected_parts())):
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


def _keep(folder: Folder, name: str, which: list[bool]) -> None:
    if any(which):
        folder.write_table(name, folder.read_table(name).filter(pc.equal(pa.array(which), True)))
    else:
        folder.remove(name)


def _hash(query_id: str) -> bytes:
    return text_id_of(query_id).encode("ascii")
