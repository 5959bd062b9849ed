"""Read shown rankings and clicks from the records of the service."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from ranking.errors import REPAIR, InputError
from ranking.storage.folder import Folder

_BATCH_ROWS = 4096


class ShownRanking(NamedTuple):
    """A ranking that was shown to a user. `shown` has the ids of its documents, best first."""

    exposure_id: str
    query: str
    shown: list[str]


class Click(NamedTuple):
    """A click on a ranking, at a position from 1 or, if it is 0, on the document with this id."""

    exposure_id: str
    position: int
    doc_id: str | None = None


def recorded_rankings(folder: Folder, experiments: Collection[str] = ()) -> Iterator[ShownRanking]:
    """Yield the exposures in a folder, of some experiments or, if there are none given, of all.

    Raises:
        InputError: A file is damaged or lacks a column.
    """
    for exposure_id, experiment, query, shown in _values(folder, ["exposure_id", "experiment", "query", "shown"]):
        if not experiments or experiment in experiments:
            yield ShownRanking(exposure_id, query, shown)


def recorded_clicks(folder: Folder) -> Iterator[Click]:
    """Yield the clicks among the feedback in a folder. Repeated events are harmless: a position is clicked or not.

    Raises:
        InputError: A file is damaged or lacks a column.
    """
    for exposure_id, kind, position in _values(folder, ["exposure_id", "kind", "position"]):
        if kind == "click":
            yield Click(exposure_id, position)


def _values(folder: Folder, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of some columns of all parquet files of a folder, in batches of a few thousand rows."""
    for name in folder.names(".parquet"):
        with folder.open_parquet(name) as file:
            if missing := [column for column in columns if column not in file.schema_arrow.names]:
                raise InputError(f"{folder.address(name)}: there is no column {missing[0]!r}; {REPAIR}")
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                yield from zip(*(batch[column].to_pylist() for column in columns), strict=True)
