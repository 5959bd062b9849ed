"""Parse the rows of a query log, count those without a query, and report malformed rows.

A row is either a single search, with only the text of the query, or a query with its frequency. Both may have an id.
`ranking.collections.log_layout` determines the format and the columns.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pyarrow as pa

from ranking.collections.log_columns import MalformedRowError, RowLayout, form_of, frequency_of, header_layout
from ranking.collections.log_files import FileSplit, LogFile, open_log, text_stream
from ranking.collections.log_formats import FORMATS, NO_QUERY, OTHER_TABLE, SAME_HEADER, SAME_SEARCH, TOTALS, is_missing
from ranking.collections.log_layout import HEAD_BYTES, LogLayout, layout_of_json, layout_of_text
from ranking.collections.log_records import RecordReader, object_of, parquet_layout, parquet_rows
from ranking.errors import InputError
from ranking.selection.near_duplicates import QueryForm
from ranking.selection.selection_settings import QuerySettings

_JSON = (".jsonl", ".ndjson", ".json")
_TOTAL_NAMES = frozenset(("total", "totals", "grand total"))
_THREADS = 16

TextStream = io.BufferedReader | io.BytesIO


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


def layouts_of(files: Sequence[LogFile], settings: QuerySettings) -> list[LogLayout]:
    """Determine the layout of each file of a log from its first rows.

    Raises:
        LogError: A file cannot be read, or has no column of the query.
        InputError: The log has files that count the same searches twice.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        layouts = list(pool.map(lambda file: _layout_of_file(file, settings), files))
    formats = {layout.format for layout in layouts}
    if {"ubi_queries", "ubi_events"} <= formats:
        raise InputError(
            f"queries.log {settings.log}: files of ubi_queries and of ubi_events count the same searches twice; "
            "select the files of ubi_queries with a glob"
        )
    return layouts


def read_split(split: FileSplit, settings: QuerySettings, skipped: Counter[str]) -> Iterator[QueryForm]:
    """Yield the rows of a split that have a query. A row without a frequency gets the frequency 1.

    Args:
        split: Part of a file.
        settings: Settings of the queries.
        skipped: Counter of the rows that are left out, by reason. The function adds to it.

    Raises:
        LogError: A row is malformed, or the file lacks a column that is named in the settings. The message names the
            file and the line, or the row of a Parquet file.
    """
    with _Errors(split), open_log(split) as stream:
        if split.ending == ".parquet":
            yield from parquet_rows(stream, split, settings, skipped)
            return
        text = text_stream(stream, split.path)
        layout = _layout_of_stream(text, split.ending, settings)
        if split.ending in _JSON:
            yield from _json_rows(text, split, RecordReader(layout, settings, skipped))
        elif split.ending == ".csv":
            yield from _without_totals(_csv_rows(text, layout, settings, skipped), layout, skipped)
        else:
            yield from _line_rows(text, split, layout, skipped)


class _Errors:
    """Context manager that converts all errors in a file to a `LogError` that names the file."""

    def __init__(self, file: FileSplit | LogFile) -> None:
        self.file = file

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        path, unit = self.file.path, "row" if self.file.ending == ".parquet" else "line"
        if isinstance(error, MalformedRowError):
            where = "" if error.line is None else f", {unit} {error.line}"
            raise LogError(path, error.line or 0, f"{path}{where}: {error}") from None
        if isinstance(error, gzip.BadGzipFile):
            raise LogError(path, 0, f"{path}: not a gzip file, although its name ends in .gz") from None
        if isinstance(error, EOFError | zlib.error):
            raise LogError(path, 0, f"{path}: the gzip file is truncated or damaged") from None
        if isinstance(error, UnicodeDecodeError):
            raise LogError(path, 0, f"{path}: not {error.encoding.upper()} text") from None
        if isinstance(error, OSError | pa.ArrowInvalid):
            raise LogError(path, 0, f"{path}: cannot read the file ({' '.join(str(error).split())})") from None


def _layout_of_file(file: LogFile, settings: QuerySettings) -> LogLayout:
    with _Errors(file), open_log(file) as stream:
        if file.ending == ".parquet":
            return parquet_layout(stream, settings)
        text = text_stream(stream, file.path)
        layout = _layout_of_stream(text, file.ending, settings)
        return replace(layout, encoding="utf-16") if isinstance(text, io.BytesIO) else layout


def _layout_of_stream(text: TextStream, ending: str, settings: QuerySettings) -> LogLayout:
    """Determine the layout from the first bytes of a file, and go back to its start."""
    head = text.read(HEAD_BYTES)
    text.seek(0)
    return layout_of_json(head, settings) if ending in _JSON else layout_of_text(head, ending, settings)


def _json_rows(stream: TextStream, split: FileSplit, reader: RecordReader) -> Iterator[QueryForm]:
    """Yield the rows of a split with one JSON object per line. A line belongs to the split in which it begins."""
    for start, text in _lines(stream, split.start, split.stop):
        try:
            form = reader.form(object_of(text))
        except MalformedRowError as error:
            raise MalformedRowError(_line_number(stream, start), str(error)) from None
        if form:
            yield form


def _line_rows(stream: TextStream, split: FileSplit, layout: LogLayout, skipped: Counter[str]) -> Iterator[QueryForm]:
    """Yield the rows of a .tsv or .txt split. A line belongs to the split in which it begins."""
    assert layout.row is not None
    converter = _RowConverter(layout, skipped)
    for start, text in _lines(stream, max(split.start, layout.start), split.stop):
        try:
            form = converter.form(_cells(text, layout.row), layout.row, None)
        except MalformedRowError as error:
            raise MalformedRowError(_line_number(stream, start), str(error)) from None
        if form:
            yield form


def _lines(stream: TextStream, start: int, stop: int) -> Iterator[tuple[int, str]]:
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


def _line_number(stream: TextStream, offset: int) -> int:
    """Return the number of the line that begins at a byte offset, from 1."""
    stream.seek(0)
    lines = 0
    while offset > 0 and (block := stream.read(min(offset, 2**20))):
        lines += block.count(b"\n")
        offset -= len(block)
    return lines + 1


def _cells(text: str, row: RowLayout) -> list[str]:
    """Split a line of a .tsv file into cells.

    In a file without a header, a query may contain tabs: the whole line is one cell, or it is split at the last tab if
    the columns are query and frequency. In a file with a header, split at every tab.
    """
    if row.width == 0:
        return [text]
    return text.rsplit("\t", 1) if row.width == 2 and not row.header else text.split("\t")


class _RowConverter:
    """Converts the cells of a row of a .tsv or .csv file to a query form."""

    def __init__(self, layout: LogLayout, skipped: Counter[str]) -> None:
        self.layout = layout
        self.skipped = skipped
        self.previous: list[str] | None = None

    def form(self, cells: list[str], row: RowLayout, line: int | None) -> QueryForm | None:
        """Convert a row. Returns None, and counts the row as skipped, if it is not a search with a query."""
        reason = self._skip_reason(cells, row)
        form = None if reason else self._checked(cells, row, line)
        if form is None:
            self.skipped[reason or NO_QUERY] += 1
        return form

    def _skip_reason(self, cells: list[str], row: RowLayout) -> str | None:
        if row.header and cells[0] == row.names[0] and tuple(cells) == row.names:
            return SAME_HEADER
        if self._is_total(cells, row):
            return TOTALS
        if row.search and len(cells) > max(row.search):
            search = [cells[position] for position in row.search]
            repeats, self.previous = search == self.previous, search
            return SAME_SEARCH if repeats and not is_missing(cells[row.text], self.layout.format) else None
        return None

    def _is_total(self, cells: list[str], row: RowLayout) -> bool:
        """Return whether a row has totals. Some reports name such a row in an additional last cell."""
        if len(cells) == row.width + 1:
            return cells[-1].strip().casefold() in _TOTAL_NAMES and not cells[row.text].strip()
        totals = FORMATS[self.layout.format].totals
        return bool(totals) and len(cells) == row.width and cells[row.text].strip().casefold() in totals

    def _checked(self, cells: list[str], row: RowLayout, line: int | None) -> QueryForm | None:
        """Check the cells of a row and return them as a form."""
        required = max((row.text, *row.search)) + 1
        if row.width and len(cells) != row.width and not (row.search and required <= len(cells) < row.width):
            columns = f"{row.width} {'column' if row.width == 1 else 'columns'}"
            expected = "2 columns (query, frequency)" if row.width == 2 and not row.header else columns
            raise MalformedRowError(line, f"expected {expected} as in the first line, not {len(cells)}")
        frequency = None if row.frequency is None else frequency_of(cells[row.frequency], self.layout.delimiter)
        query_id = None if row.query_id is None else cells[row.query_id]
        return form_of(cells[row.text], frequency, query_id, line, self.layout.format)


def _csv_rows(
    stream: TextStream, layout: LogLayout, settings: QuerySettings, skipped: Counter[str]
) -> Iterator[QueryForm]:
    """Yield the rows of a .csv file. In a file with comments, each block of comments begins another table."""
    stream.seek(layout.start)
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    rows = csv.reader(text, delimiter=layout.delimiter, strict=True)
    converter = _RowConverter(layout, skipped)
    row, blank, comment = layout.row, False, False
    try:
        for cells in rows:
            if layout.comments and cells and cells[0].startswith("#") and (blank or comment):
                comment = True
            elif cells and comment:
                row, comment = header_layout(cells, settings.columns, layout.format), False
            elif cells and row is None:
                skipped[OTHER_TABLE] += 1
            elif cells and row is not None and (form := converter.form(cells, row, layout.lines + rows.line_num)):
                yield form
            blank = not cells
    except csv.Error as error:
        raise MalformedRowError(layout.lines + rows.line_num, f"not valid CSV ({error})") from None
    except UnicodeDecodeError:
        raise MalformedRowError(None, "not UTF-8 text") from None


def _without_totals(forms: Iterator[QueryForm], layout: LogLayout, skipped: Counter[str]) -> Iterator[QueryForm]:
    """Leave out rows named "total" and the like whose frequency is at least the sum of all other rows."""
    searches = 0
    waiting: list[QueryForm] = []
    for form in forms:
        if layout.columns[1] is not None and form.text.casefold() in _TOTAL_NAMES:
            waiting.append(form)
        else:
            searches += form.frequency
            yield form
    for form in waiting:
        if searches and form.frequency >= searches:
            skipped[TOTALS] += 1
        else:
            yield form
