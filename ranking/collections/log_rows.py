"""Parse the rows of a query log and report malformed rows.

A row is either a single search, with only the text of the query, or a query with its frequency. Both may have an id.
Text files (.tsv and .csv) may have a header. In a file without a header, a line is a query, or a query and its
frequency.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ranking.collections.log_files import FileSplit, open_log
from ranking.errors import InputError
from ranking.selection.near_duplicates import QueryForm
from ranking.selection.query_text import shown
from ranking.selection.settings import LogColumns

_BATCH_ROWS = 8192


class ColumnNames(NamedTuple):
    """Accepted names for each column of a query log, in order of preference."""

    text: tuple[str, ...]
    frequency: tuple[str, ...]
    query_id: tuple[str, ...]


@dataclass(frozen=True)
class RowLayout:
    """Positions of the columns in the rows of a text file.

    Attributes:
        text: Index of the query column.
        frequency: Index of the frequency column. None if there is no such column.
        query_id: Index of the id column. None if there is no such column.
        width: Required number of cells per row. 0 disables the check.
        header: Whether the first row is a header.
    """

    text: int
    frequency: int | None = None
    query_id: int | None = None
    width: int = 0
    header: bool = False


class LogError(InputError):
    """An error in a query log.

    Attributes:
        path: The file.
        line: Number of the line, or of the row in a Parquet file, from 1. 0 if the error concerns the whole file.
    """

    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class MalformedRowError(Exception):
    """An error in a row. `read_split` converts it to a `LogError`.

    Attributes:
        line: Number of the line, or of the row in a Parquet file, from 1. None if it is not known where the row is
            checked.
    """

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def names_of(columns: LogColumns) -> ColumnNames:
    """Return the accepted names for each column: the name in the settings, or the default names if none is set."""
    return ColumnNames(
        (columns.text,) if columns.text else ("text", "query"),
        (columns.frequency,) if columns.frequency else ("frequency", "count"),
        (columns.query_id,) if columns.query_id else ("_id", "query_id", "id"),
    )


def read_split(split: FileSplit, columns: LogColumns) -> Iterator[QueryForm]:
    """Yield the rows of a split. A row without a frequency gets the frequency 1.

    A row without a frequency and without an id may have an empty query.

    Raises:
        LogError: A row is malformed, the file lacks a column that is named in the settings, or a row with an id or a
            frequency has an empty query. The message names the file and the line, or the row of a Parquet file.
    """
    try:
        with open_log(split) as stream:
            if split.ending == ".parquet":
                yield from _parquet_rows(stream, split, columns)
            elif split.ending == ".csv":
                yield from _csv_rows(io.BufferedReader(stream), columns)
            else:
                yield from _line_rows(io.BufferedReader(stream), split, columns)
    except MalformedRowError as error:
        where = "" if error.line is None else f", {'row' if split.ending == '.parquet' else 'line'} {error.line}"
        raise LogError(split.path, error.line or 0, f"{split.path}{where}: {error}") from None
    except (OSError, pa.ArrowInvalid) as error:
        message = f"{split.path}: a worker cannot read the file ({' '.join(str(error).split())})"
        raise LogError(split.path, 0, message) from None


def form_of(text: Any, frequency: Any, query_id: Any, line: int | None) -> QueryForm:
    """Check the values of a row and return them as a `QueryForm`.

    Args:
        text: The query.
        frequency: Frequency of the query. None if the row has no frequency.
        query_id: Id of the query. None if the row has no id.
        line: Number of the line in the file, for error messages. None if unknown.

    Raises:
        MalformedRowError: A value is malformed.
    """
    if not isinstance(text, str | None):
        raise MalformedRowError(line, f"the query must be a string, not {text!r}")
    if query_id is not None and (
        not isinstance(query_id, str | int) or isinstance(query_id, bool) or not str(query_id).strip()
    ):
        raise MalformedRowError(line, f"the id must be a string or an integer, not {query_id!r}")
    if frequency is not None and (not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1):
        raise MalformedRowError(line, f"the frequency must be an integer of at least 1, not {frequency!r}")
    form = shown(text or "")
    if not form and (frequency is not None or query_id is not None):
        raise MalformedRowError(line, "the query is empty")
    return QueryForm(form, frequency or 1, None if query_id is None else shown(str(query_id)))


def layout_of(cells: Sequence[str], columns: LogColumns) -> RowLayout:
    """Determine the layout of a text file from its first row.

    Args:
        cells: Cells of the first row.
        columns: Column names in the settings.

    Raises:
        MalformedRowError: The row is not a header and has more than two columns, or a column that is named in the
            settings is missing.
    """
    names = names_of(columns)
    positions = [_position(cells, group) for group in names]
    _check_named_columns(columns, cells, positions)
    if positions[0] is not None:
        return RowLayout(positions[0], positions[1], positions[2], len(cells), header=True)
    if len(cells) == 1:
        return RowLayout(0)
    if len(cells) == 2:
        return RowLayout(0, 1, None, 2, header=not cells[1].strip().isdecimal())
    raise MalformedRowError(
        1, f"a file with {len(cells)} columns needs a header that names the query's column ({' or '.join(names.text)})"
    )


def _line_rows(stream: io.BufferedReader, split: FileSplit, columns: LogColumns) -> Iterator[QueryForm]:
    """Yield the rows of a .tsv or .jsonl split. A line belongs to the split in which it begins."""
    names = names_of(columns)
    layout = None
    if split.ending == ".tsv":
        first = next((text for _, text in _lines(stream, 0, split.stop)), "")
        layout = layout_of(_first_cells(first, names), columns)
    for start, text in _lines(stream, split.start, split.stop):
        try:
            if layout is None:
                yield _json_form(text, names, columns)
            elif start or not layout.header:
                yield _cells_form(_cells(text, layout), layout, None)
        except MalformedRowError as error:
            raise MalformedRowError(_line_number(stream, start), str(error)) from None


def _lines(stream: io.BufferedReader, start: int, stop: int) -> Iterator[tuple[int, str]]:
    """Yield (byte offset, text) for each non-blank line that begins in the byte range [start, stop)."""
    stream.seek(max(0, start - 1))
    offset = stream.tell() + (len(stream.readline()) if start else 0)
    while offset < stop and (line := stream.readline()):
        try:
            text = line.decode("utf-8-sig" if offset == 0 else "utf-8")
        except UnicodeDecodeError:
            raise MalformedRowError(_line_number(stream, offset), "not UTF-8 text") from None
        if text.strip():
            yield offset, text.rstrip("\r\n")
        offset += len(line)


def _line_number(stream: io.BufferedReader, offset: int) -> int:
    """Return the number of the line that begins at a byte offset, from 1."""
    stream.seek(0)
    lines = 0
    while offset > 0 and (block := stream.read(min(offset, 2**20))):
        lines += block.count(b"\n")
        offset -= len(block)
    return lines + 1


def _first_cells(text: str, names: ColumnNames) -> list[str]:
    """Split the first line of a .tsv file into cells.

    If the last cell is a number and no cell is a name of the query column, the line is a query and its frequency. It is
    then split only at the last tab, because the query may contain tabs.
    """
    cells = text.split("\t")
    is_pair = _position(cells, names.text) is None and cells[-1].strip().isdecimal()
    return text.rsplit("\t", 1) if is_pair else cells


def _cells(text: str, layout: RowLayout) -> list[str]:
    """Split a line of a .tsv file into cells.

    If a file without a header has only queries, the whole line is one cell. If the columns are query and frequency,
    split at the last tab. Queries may contain tabs in both cases. Otherwise, split at every tab.
    """
    if layout.width == 0:
        return [text]
    return text.rsplit("\t", 1) if (layout.width, layout.frequency) == (2, 1) else text.split("\t")


def _cells_form(cells: Sequence[str], layout: RowLayout, line: int | None) -> QueryForm:
    """Convert the cells of a .tsv or .csv row to a `QueryForm`."""
    if layout.width and len(cells) != layout.width:
        expected = "2 columns (query, frequency)" if layout.width == 2 else f"{layout.width} columns"
        raise MalformedRowError(line, f"expected {expected} as in the first line, not {len(cells)}")
    frequency: Any = None if layout.frequency is None else cells[layout.frequency].strip()
    if frequency is not None and frequency.isdecimal():
        frequency = int(frequency)
    return form_of(cells[layout.text], frequency, None if layout.query_id is None else cells[layout.query_id], line)


def _json_form(text: str, names: ColumnNames, columns: LogColumns) -> QueryForm:
    """Convert a line of a .jsonl file to a `QueryForm`."""
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedRowError(None, f"not valid JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(row, dict):
        raise MalformedRowError(None, f"expected a JSON object, not {type(row).__name__}")
    keys = [next((name for name in group if name in row), None) for group in names]
    _check_named_columns(columns, list(row), keys)
    if keys[0] is None:
        raise MalformedRowError(
            None, f"the query is missing; name its key {' or '.join(names.text)}, or set queries.columns.text"
        )
    values = [None if key is None else row[key] for key in keys]
    return form_of(values[0], _not_null(values[1], keys[1], None), values[2], None)


def _csv_rows(stream: io.BufferedReader, columns: LogColumns) -> Iterator[QueryForm]:
    """Yield the rows of a .csv file."""
    rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), strict=True)
    layout = None
    try:
        for cells in rows:
            if layout is None:
                layout = layout_of(cells, columns)
                if layout.header:
                    continue
            if cells:
                yield _cells_form(cells, layout, rows.line_num)
    except csv.Error as error:
        raise MalformedRowError(rows.line_num, f"not valid CSV ({error})") from None
    except UnicodeDecodeError:
        raise MalformedRowError(None, "not UTF-8 text") from None


def _parquet_rows(stream: Any, split: FileSplit, columns: LogColumns) -> Iterator[QueryForm]:
    """Yield the rows of a .parquet split."""
    file = pq.ParquetFile(stream)
    schema_names, names = file.schema_arrow.names, names_of(columns)
    found = [next((name for name in group if name in schema_names), None) for group in names]
    _check_named_columns(columns, schema_names, found)
    if found[0] is None:
        raise MalformedRowError(
            None,
            f"there is no column {' or '.join(names.text)}; "
            f"set queries.columns.text to one of {', '.join(schema_names)}",
        )
    row = sum(file.metadata.row_group(group).num_rows for group in range(split.start))
    selected = list(dict.fromkeys(name for name in found if name))
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=list(range(split.start, split.stop)), columns=selected):
        values = [[None] * batch.num_rows if name is None else batch.column(name).to_pylist() for name in found]
        for text, frequency, query_id in zip(*values, strict=True):
            row += 1
            yield form_of(text, _not_null(frequency, found[1], row), query_id, row)


def _position(cells: Sequence[str], names: tuple[str, ...]) -> int | None:
    """Return the index of a cell that equals one of the names, trying the names in order. None if no cell matches."""
    stripped = [cell.strip() for cell in cells]
    return next((stripped.index(name) for name in names if name in stripped), None)


def _not_null(frequency: Any, name: str | None, line: int | None) -> Any:
    """Return a frequency unchanged, after a check for null.

    Args:
        frequency: Value of the frequency column. None if it is null or there is no such column.
        name: Name of the frequency column. None if there is no such column.
        line: Number of the line in the file, for error messages. None if unknown.

    Raises:
        MalformedRowError: The column exists and the value is null.
    """
    if name is not None and frequency is None:
        raise MalformedRowError(line, f"{name!r} is null; the frequency must be an integer of at least 1")
    return frequency


def _check_named_columns(columns: LogColumns, available: Sequence[str], found: Sequence[Any]) -> None:
    """Check that the columns named in the settings exist.

    Args:
        columns: Column names in the settings.
        available: Names of all columns in the file, for the error message.
        found: Positions or names in the file of the columns text, frequency and query_id. None for a missing column.

    Raises:
        MalformedRowError: A column that is named in the settings is missing.
    """
    for (setting, name), column in zip(columns.model_dump().items(), found, strict=True):
        if name is not None and column is None:
            raise MalformedRowError(
                1, f"there is no column {name!r} (queries.columns.{setting}); the columns are {', '.join(available)}"
            )
