"""Read Parquet collections: folders documents/, queries/ and qrels/ under one path or URI, with .parquet files.

The columns are:

- documents/: doc_id, text, and optionally title.
- queries/: query_id, text, and optionally frequency.
- qrels/: query_id, doc_id, grade, and optionally split. With a split column, all judged queries of the split
  `evaluation.split` become test queries, and the judgements of the split "train" are kept for supervised baselines.
  Without it, the judged queries are divided into test queries and queries that can be labelled
  (`ranking.collections.splits`). The folder qrels/ may be missing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.frequencies import frequency_error
from ranking.collections.qrels import MAX_GRADE, Qrels
from ranking.collections.splits import Judgements, assemble_collection
from ranking.errors import CorruptFileError, InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of
from ranking.storage.folder import Folder

_KINDS = {"doc_id": str, "query_id": str, "title": str, "text": str, "split": str, "frequency": int, "grade": int}


def read(place: str, split: str) -> Collection:
    """Read a collection.

    Args:
        place: Path or URI of the collection.
        split: Name of the judged split, such as "test".

    Raises:
        InputError: A file, column or value is missing or malformed. The message names the file, and where known the row
            and the column.
    """
    folder = Folder(place)
    folder.check_reachable()
    parts = {name: folder / name for name in ("documents", "queries", "qrels")}
    for name in ("documents", "queries"):
        if not parts[name].names(".parquet"):
            raise InputError(f"{parts[name].uri}: no .parquet file found")
    documents = [
        Document(doc_id=row["doc_id"], title=row.get("title") or "", text=row["text"])
        for row in _unique_rows(parts["documents"], ("doc_id", "text"), ("title",), "doc_id")
    ]
    queries = [
        _query(row, parts["queries"].uri)
        for row in _unique_rows(parts["queries"], ("query_id", "text"), ("frequency",), "query_id")
    ]
    judgements = _judgements(parts["qrels"], split) if parts["qrels"].names(".parquet") else None
    inventory = [parts[name].inventory() for name in parts if parts[name].exists()]
    fingerprint = fingerprint_of("parquet", split if judgements else "unjudged", inventory)
    return assemble_collection(folder.uri.rstrip("/").rpartition("/")[2], fingerprint, documents, queries, judgements)


def _query(row: dict[str, Any], where: str) -> Query:
    """Convert a row of queries/ to a query."""
    text = " ".join(row["text"].split())
    if not text:
        raise InputError(f"{where}: query {row['query_id']!r} is empty")
    return Query(query_id=row["query_id"], text=text, frequency=row.get("frequency") or 1)


def _judgements(folder: Folder, split: str) -> Judgements:
    """Read the judgements of a split from qrels/."""
    by_split: defaultdict[str | None, Qrels] = defaultdict(dict)
    for where, row in _rows(folder, ("query_id", "doc_id", "grade"), ("split",)):
        grades = by_split[row.get("split")].setdefault(row["query_id"], {})
        if row["doc_id"] in grades:
            raise InputError(f"{where}: document {row['doc_id']!r} is judged twice for query {row['query_id']!r}")
        grades[row["doc_id"]] = row["grade"]
    if set(by_split) == {None}:
        return Judgements(by_split[None], folder.uri, whole=False)
    if None in by_split:
        raise InputError(
            f"{folder.uri}: {len(by_split[None]):,} queries have judgements without a split, but others have one; "
            "set the split in every row or drop the column"
        )
    if split not in by_split:
        known = ", ".join(sorted(map(str, by_split))) or "none"
        raise InputError(f"{folder.uri}: no judgements for split {split!r}; the splits are {known}")
    return Judgements(by_split[split], folder.uri, whole=True, log_qrels=by_split["train"] if split != "train" else {})


def _unique_rows(
    folder: Folder, required: tuple[str, ...], optional: tuple[str, ...], key: str
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all .parquet files in a folder. Raises InputError if a value in the column `key` repeats."""
    seen: set[str] = set()
    for where, row in _rows(folder, required, optional):
        if row[key] in seen:
            raise InputError(f"{where}: {key} {row[key]!r} is repeated; every row needs a unique {key}")
        seen.add(row[key])
        yield row


def _rows(folder: Folder, required: tuple[str, ...], optional: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (location, row) for each row of all .parquet files in a folder.

    The location is the file and the row number, for error messages.

    Raises:
        InputError: A file is unreadable, or a column or value is missing or malformed.
    """
    for part in folder.names(".parquet"):
        try:
            table = folder.read_table(part)
        except CorruptFileError as error:
            raise InputError(f"{error.path}: cannot be read as a Parquet file ({error.problem})") from None
        except OSError as error:
            raise InputError(f"{folder.uri}/{part}: cannot be read ({' '.join(str(error).split())})") from None
        for name in required:
            if name not in table.column_names:
                raise InputError(
                    f"{folder.uri}/{part}: there is no column {name!r}; the columns are {', '.join(table.column_names)}"
                )
        columns = [name for name in (*required, *optional) if name in table.column_names]
        try:
            rows = table.select(columns).to_pylist()
        except UnicodeDecodeError:
            raise InputError(f"{folder.uri}/{part}: a text is not UTF-8") from None
        for number, row in enumerate(rows, start=1):
            where = f"{folder.uri}/{part}, row {number}"
            yield where, {name: _value(name, row[name], name in required, where) for name in columns}


def _value(name: str, value: Any, required: bool, where: str) -> Any:
    """Check a value and return it. Integers written as floats, as pandas does, are converted, and NaN to None."""
    if isinstance(value, float) and _KINDS[name] is int:
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    if isinstance(value, int) and not isinstance(value, bool) and name.endswith("_id"):
        value = str(value)
    if name == "frequency" and value is not None and (problem := frequency_error(value)) is not None:
        raise InputError(f"{where}: 'frequency' {problem}")
    if (value is None and required) or isinstance(value, bool) or not isinstance(value, _KINDS[name] | None):
        kind = "a string" if _KINDS[name] is str else "an integer"
        raise InputError(f"{where}: {name!r} must be {kind}, not {value!r}")
    if name == "grade" and isinstance(value, int) and abs(value) > MAX_GRADE:
        raise InputError(f"{where}: 'grade' must have at most 9 digits, not {value!r}")
    return value
