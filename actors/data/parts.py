"""Read the Parquet files of a stage (its parts) in slices, and keep exactly one row for each query."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actors.retrieval.embeddings import text_id_of
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder

Ids = npt.NDArray[np.bytes_]


@dataclass(frozen=True)
class PartSlice:
    """The rows [start, stop) of a part, which is one Parquet file of a stage."""

    part: str
    start: int
    stop: int


def slices_of(
    folder: Folder, rows_per_slice: Callable[[int], int], part: str | None = None
) -> tuple[list[PartSlice], int]:
    """Divide the parts of a folder into slices.

    Args:
        folder: Folder of the parts.
        rows_per_slice: Maps the total number of rows to the number of rows per slice.
        part: The only part to divide. None divides all parts.

    Returns:
        The slices, and the total number of rows.
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


def read_slice(folder: Folder, part_slice: PartSlice, schema: pa.Schema | None) -> pa.Table:
    """Read a slice of a part. Fetches only the row groups that overlap with the slice.

    Args:
        folder: Folder of the part.
        part_slice: Rows to read.
        schema: Columns to select and their types. None keeps the schema of the part.
    """
    with folder.open_parquet(part_slice.part) as file:
        groups, skipped, before = [], 0, 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if before + rows <= part_slice.start:
                skipped += rows
            elif before < part_slice.stop:
                groups.append(group)
            before += rows
        table = file.read_row_groups(groups)
    table = table.slice(part_slice.start - skipped, part_slice.stop - part_slice.start)
    return table if schema is None else table.select(schema.names).cast(schema)


def count_rows(folder: Folder) -> int:
    """Count the rows of all parts in a folder. Reads only the Parquet footers."""
    return sum(folder.count_rows(name) for name in folder.names(".parquet"))


def sample_rows(folder: Folder, rows: int, seed: int) -> pa.Table | None:
    """Draw a random sample of the rows of a folder. The same parts and seed give the same sample.

    Args:
        folder: Folder of the parts.
        rows: Number of rows to draw. If the folder has fewer rows, all of them are returned.
        seed: Seed of the random generator.

    Returns:
        The sampled rows in their original order, or None if the folder has no rows.
    """
    counts = [(name, folder.count_rows(name)) for name in folder.names(".parquet")]
    total = sum(count for _, count in counts)
    drawn = sorted(random.Random(seed).sample(range(total), min(rows, total)))
    tables, before = [], 0
    for name, count in counts:
        in_part = [row - before for row in drawn if before <= row < before + count]
        if in_part:
            tables.append(folder.read_table(name).take(in_part))
        before += count
    return pa.concat_tables(tables) if tables else None


def ids_in(folder: Folder) -> Ids:
    """Read the query ids of a folder's parts as sorted hashes. Workers on a node share one copy of the array."""
    return hash_ids(
        query_id for table in folder.read_tables(["query_id"]) for query_id in table["query_id"].to_pylist()
    )


@dataclass(frozen=True)
class FinishedParts:
    """A snapshot of the parts that a stage has written.

    If a worker is lost, Ray runs its task again. With the snapshot, the task sees the same finished queries as before.

    Attributes:
        stage: The stage.
        rows: Names of the parts in the folder of the stage.
        rejected: Names of the parts in rejected/ that belong to the stage.
    """

    stage: Stage
    rows: list[str]
    rejected: list[str]


def finished_parts(stage: Stage) -> FinishedParts:
    """List the parts that a stage has written so far."""
    return FinishedParts(stage, stage.folder.names(".parquet"), stage.rejected_parts())


def finished_ids(finished: FinishedParts) -> Ids:
    """Read the ids of all queries with a row or a rejection in these parts, as sorted hashes."""
    parts = [(finished.stage.folder, name) for name in finished.rows] + [
        (finished.stage.run / REJECTED, name) for name in finished.rejected
    ]
    tables = (folder.read_table(name, ["query_id"]) for folder, name in parts)
    return hash_ids(query_id for table in tables for query_id in table["query_id"].to_pylist())


def hash_ids(query_ids: Iterable[Any]) -> Ids:
    """Hash query ids into a sorted array without duplicates."""
    return np.unique(np.array([text_id_of(str(query_id)).encode("ascii") for query_id in query_ids], dtype="S24"))


def filter_by_id(table: pa.Table, ids: Ids, include: bool) -> pa.Table:
    """Filter the rows of a table by their query id.

    Args:
        table: Rows with a column `query_id`.
        ids: Sorted hashes of query ids, from `hash_ids`.
        include: True keeps the rows whose id is in `ids`, False keeps the other rows.
    """
    if not table.num_rows:
        return table
    if not len(ids):
        return table.slice(0, 0) if include else table
    hashes = np.array(
        [text_id_of(str(query_id)).encode("ascii") for query_id in table["query_id"].to_pylist()], dtype="S24"
    )
    known = ids[np.minimum(np.searchsorted(ids, hashes), len(ids) - 1)] == hashes
    return table.filter(pa.array(known if include else ~known))


def remove_duplicate_rows(stage: Stage) -> tuple[int, int]:
    """Keep one row or rejection for each query of a stage.

    The first row wins over later rows and over rejections. Duplicates occur only if Ray runs a block again after a
    crash and divides it differently. Also deletes partial files of interrupted writes, so no other process may write
    to the stage at the same time.

    Returns:
        The number of rows and the number of rejections that remain.
    """
    seen: set[str] = set()
    for folder, names in (
        (stage.folder, stage.folder.names(".parquet")),
        (stage.run / REJECTED, stage.rejected_parts()),
    ):
        folder.sweep()
        for name in names:
            ids = folder.read_table(name, ["query_id"])["query_id"].to_pylist()
            is_first = []
            for query_id in ids:
                is_first.append(query_id not in seen)
                seen.add(query_id)
            if not all(is_first):
                _filter_part(folder, name, is_first)
    rejected = sum((stage.run / REJECTED).count_rows(name) for name in stage.rejected_parts())
    return len(seen) - rejected, rejected


def count_rationale_statuses(folder: Folder) -> dict[str, int]:
    """Count the rationales in a folder by status."""
    counts: Counter[str] = Counter()
    for table in folder.read_tables(["rationales"]):
        counts.update(rationale["status"] for rationales in table["rationales"].to_pylist() for rationale in rationales)
    return dict(counts)


def count_rejection_reasons(stage: Stage) -> Counter[str]:
    """Count the rejections of a stage by reason.

    Reasons that differ only in numbers are counted together, under the first one.
    """
    counts: Counter[str] = Counter()
    first: dict[str, str] = {}
    for name in stage.rejected_parts():
        for reason in (stage.run / REJECTED).read_table(name, ["reason"])["reason"].to_pylist():
            counts[first.setdefault(re.sub(r"\d+", "0", reason), reason)] += 1
    return counts


def _filter_part(folder: Folder, name: str, mask: list[bool]) -> None:
    """Rewrite a part with only the rows that the mask selects, or delete the part if it selects none."""
    if any(mask):
        folder.write_table(name, folder.read_table(name).filter(pc.equal(pa.array(mask), True)))
    else:
        folder.remove(name)


def doc_ids_in(folder: Folder) -> list[str]:
    """Return the sorted distinct document ids of all candidates in a folder.

    Args:
        folder: Folder of candidate lists. A row is a query with one list (`CandidateList`) or one list per first stage
            (`QueryCandidates`).
    """
    doc_ids: set[str] = set()
    for name in folder.names(".parquet"):
        table = folder.read_table(name)
        candidates = table["candidates"] if "candidates" in table.column_names else pc.list_flatten(table["lists"])
        if "candidates" not in table.column_names:
            candidates = pc.struct_field(candidates, "candidates")
        doc_ids.update(pc.unique(pc.struct_field(pc.list_flatten(candidates), "doc_id")).to_pylist())
    return sorted(doc_ids)
