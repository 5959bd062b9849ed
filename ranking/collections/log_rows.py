"""Query logs row by row: what a row of each kind of file means, and where it is malformed.

A row is one search (a text), a query with its frequency, or either with an id. Text files may have a header;
without one, a line is a text, or a text and a frequency.
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

_ROWS_AT_ONCE = 8192


class ColumnNames(NamedTuple):
    """What each column may be called, the likeliest first."""

    text: tuple[str, ...]
    frequency: tuple[str, ...]
    query_id: tuple[str, ...]


@dataclass(frozen=True)
class RowLayout:
    """At which places of a row the columns stand; None where there is none. width: cells of a row; 0 for any number."""

    text: int
    frequency: int | None = None
    query_id: int | None = None
    width: int = 0
    header: bool = False


class LogError(InputError):
    """What is wrong with a log, in one line. path: the file; line: the line or row, 0 where it is the whole file."""

    def __init__(self, path: str, line: int, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.line = line


class MalformedRowError(Exception):
    """What is wrong with a row. line: its number in the file, from 1; None where whoever checks the row does not know it."""

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def names_of(columns: LogColumns) -> ColumnNames:
    """The names that the settings give, or the usual ones."""
    return ColumnNames(
        (columns.text,) if columns.text else ("text", "query"),
        (columns.frequency,) if columns.frequency else ("frequency", "count"),
        (columns.query_id,) if columns.query_id else ("_id", "query_id", "id"),
    )


def read_split(split: FileSplit, columns: LogColumns) -> Iterator[QueryForm]:
    """Read the rows of a split; a row without a frequency counts once.

    Raises LogError with file and line (row, for parquet) for what is malformed; for a column that the
    settings name and the file lacks; and for an empty query in a row that has an id or a frequency. Empty
    queries of a log of single searches are rows like others.
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
        message = f"{split.path}: cannot be read on a worker ({' '.join(str(error).split())})"
        raise LogError(split.path, 0, message) from None


def form_of(text: Any, frequency: Any, query_id: Any, line: int | None) -> QueryForm:
    """Check the values of a row. frequency, query_id: None where the row has none. Raises MalformedRowError."""
    if not isinstance(text, str | None):
        raise MalformedRowError(line, f"the query must be a text, not {text!r}")
    if query_id is not None and (
        not isinstance(query_id, str | int) or isinstance(query_id, bool) or not str(query_id).strip()
    ):
        raise MalformedRowError(line, f"an id must be a text or a whole number, not {query_id!r}")
    if frequency is not None and (not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1):
        raise MalformedRowError(line, f"the frequency must be a whole number from 1 up, not {frequency!r}")
    form = shown(text or "")
    if not form and (frequency is not None or query_id is not None):
        raise MalformedRowError(line, "the query is empty")
    return QueryForm(form, frequency or 1, None if query_id is None else shown(str(query_id)))


def layout_of(cells: Sequence[str], columns: LogColumns) -> RowLayout:
    """Read the layout of a text file off its first row. Raises MalformedRowError where it has neither a header nor 1 or 2 columns."""
    names = names_of(columns)
    places = [_place(cells, group) for group in names]
    _refuse_missing(columns, cells, places)
    if places[0] is not None:
        return RowLayout(places[0], places[1], places[2], len(cells), header=True)
    if len(cells) == 1:
        return RowLayout(0)
    if len(cells) == 2:
        return RowLayout(0, 1, None, 2, header=not cells[1].strip().isdecimal())
    raise MalformedRowError(
        1, f"a header that names the query's column ({' or '.join(names.text)}) is expected over {len(cells)} columns"
    )


def _line_rows(stream: io.BufferedReader, split: FileSplit, columns: LogColumns) -> Iterator[QueryForm]:
    """The rows of a .tsv or .jsonl split: lines that begin in it."""
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
    """Yield (place of its first byte, text) of the lines that begin in [start, stop) and are not blank."""
    stream.seek(max(0, start - 1))
    place = stream.tell() + (len(stream.readline()) if start else 0)
    while place < stop and (line := stream.readline()):
        try:
            text = line.decode("utf-8-sig" if place == 0 else "utf-8")
        except UnicodeDecodeError:
            raise MalformedRowError(_line_number(stream, place), "not UTF-8 text") from None
        if text.strip():
            yield place, text.rstrip("\r\n")
        place += len(line)


def _line_number(stream: io.BufferedReader, place: int) -> int:
    """The number of the line that begins at a byte."""
    stream.seek(0)
    lines = 0
    while place > 0 and (block := stream.read(min(place, 2**20))):
        lines += block.count(b"\n")
        place -= len(block)
    return lines + 1


def _first_cells(text: str, names: ColumnNames) -> list[str]:
    """Divide the first line of a .tsv. Where it ends in a number and names no column, its query may hold tabs itself."""
    cells = text.split("\t")
    pair = _place(cells, names.text) is None and cells[-1].strip().isdecimal()
    return text.rsplit("\t", 1) if pair else cells


def _cells(text: str, layout: RowLayout) -> list[str]:
    """Divide a line of a .tsv: a text is whole, the last tab divides a pair."""
    if layout.width == 0:
        return [text]
    return text.rsplit("\t", 1) if (layout.width, layout.frequency) == (2, 1) else text.split("\t")


def _cells_form(cells: Sequence[str], layout: RowLayout, line: int | None) -> QueryForm:
    if layout.width and len(cells) != layout.width:
        wanted = (
            "2 columns are expected (query, frequency)" if layout.width == 2 else f"{layout.width} columns are expected"
        )
        raise MalformedRowError(line, f"{wanted}, divided as in the first line, not {len(cells)}")
    frequency: Any = None if layout.frequency is None else cells[layout.frequency].strip()
    if frequency is not None and frequency.isdecimal():
        frequency = int(frequency)
    return form_of(cells[layout.text], frequency, None if layout.query_id is None else cells[layout.query_id], line)


def _json_form(text: str, names: ColumnNames, columns: LogColumns) -> QueryForm:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedRowError(None, f"not valid JSON ({error.msg} at character {error.pos + 1})") from None
    if not isinstance(row, dict):
        raise MalformedRowError(None, f"a JSON object is expected, not {type(row).__name__}")
    places = [next((name for name in group if name in row), None) for group in names]
    _refuse_missing(columns, list(row), places)
    if places[0] is None:
        raise MalformedRowError(
            None, f"the query is missing; it is called {' or '.join(names.text)}, or as queries.columns.text says"
        )
    values = [None if name is None else row[name] for name in places]
    return form_of(values[0], _given(values[1], places[1], None), values[2], None)


def _csv_rows(stream: io.BufferedReader, columns: LogColumns) -> Iterator[QueryForm]:
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
    file = pq.ParquetFile(stream)
    held, names = file.schema_arrow.names, names_of(columns)
    places = [next((name for name in group if name in held), None) for group in names]
    _refuse_missing(columns, held, places)
    if places[0] is None:
        raise MalformedRowError(
            None, f"there is no column {' or '.join(names.text)}; queries.columns.text names one of {', '.join(held)}"
        )
    row = sum(file.metadata.row_group(group).num_rows for group in range(split.start))
    wanted = list(dict.fromkeys(name for name in places if name))
    for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=list(range(split.start, split.stop)), columns=wanted):
        values = [[None] * batch.num_rows if name is None else batch.column(name).to_pylist() for name in places]
        for text, frequency, query_id in zip(*values, strict=True):
            row += 1
            yield form_of(text, _given(frequency, places[1], row), query_id, row)


def _place(cells: Sequence[str], names: tuple[str, ...]) -> int | None:
    stripped = [cell.strip() for cell in cells]
    return next((stripped.index(name) for name in names if name in stripped), None)


def _given(frequency: Any, name: str | None, line: int | None) -> Any:
    """A frequency as it stands in its column; one that is null is an error, a missing column is not."""
    if name is not None and frequency is None:
        raise MalformedRowError(line, f"{name!r} is null; the frequency must be a whole number from 1 up")
    return frequency


def _refuse_missing(columns: LogColumns, held: Sequence[str], places: Sequence[Any]) -> None:
    """Raise MalformedRowError for a column that the settings name and that is not there. places: of text, frequency and id."""
    for (setting, name), place in zip(columns.model_dump().items(), places, strict=True):
        if name is not None and place is None:
            raise MalformedRowError(
                1, f"there is no column {name!r} (queries.columns.{setting}); there are {', '.join(held)}"
            )
