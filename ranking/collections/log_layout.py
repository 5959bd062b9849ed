"""Determine the layout of a query log file from its first rows: format, delimiter, columns, where the rows begin."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ranking.collections.log_columns import (
    MalformedRowError,
    RowLayout,
    check_named_columns,
    count_of,
    header_layout,
    layout_of,
)
from ranking.collections.log_formats import FORMATS, WRAPPER, format_of, names_of, required_format
from ranking.collections.nested_values import MISSING, paths_in, value_at
from ranking.json_text import parse_json
from ranking.selection.selection_settings import LogFormatName, QuerySettings

HEAD_BYTES = 2**20
_HEAD_ROWS = 1000
_SEPARATOR_HINT = re.compile(r"sep=(.)\s*", re.IGNORECASE)
_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class LogLayout:
    """What was understood of a file.

    Attributes:
        format: Format of the log.
        columns: Names in the file of the columns text, frequency and query_id. None for a missing column.
        delimiter: Delimiter of a text file; empty for JSON and Parquet.
        row: Positions of the columns in a text file; None for JSON and Parquet.
        comments: Whether the file has blocks of comment lines, which begin with `#`.
        encoding: Encoding of the file.
        start: Byte offset of the first row in the UTF-8 text.
        lines: Number of lines before the first row.
    """

    format: LogFormatName
    columns: tuple[str | None, str | None, str | None]
    delimiter: str = ""
    row: RowLayout | None = None
    comments: bool = False
    encoding: str = "utf-8"
    start: int = field(default=0, compare=False)
    lines: int = field(default=0, compare=False)


def layout_of_json(head: bytes, settings: QuerySettings) -> LogLayout:
    """Determine the layout of a file with one JSON object per line.

    Raises:
        MalformedRowError: No column of the first rows is known as that of the query.
    """
    rows = list(_objects(head))
    keys = [paths_in(row) for row in rows]
    formats = {format_of(paths) for paths in keys} - {None}
    name = required_format(settings) or next((name for name in FORMATS if name in formats), None)
    if name is None:
        if not rows:
            return LogLayout("table", (None, None, None))
        seen = list(dict.fromkeys(path for paths in keys for path in paths))
        raise MalformedRowError(
            None,
            f"none of the first {len(rows):,} rows has a query ({' or '.join(FORMATS['table'].text)}); set "
            f"queries.columns.text, for example to one of {', '.join(seen[:20])}, or queries.format",
        )
    found = (
        next(filter(None, (path_of(row, group) for row in rows)), None) for group in names_of(settings.columns, name)
    )
    text, frequency, query_id = found
    return LogLayout(name, (text, frequency, query_id))


def path_of(row: object, names: Sequence[str]) -> str | None:
    """Return the first of the names that a row has, with or without the prefix of index dumps. None if it has none."""
    for name in names:
        for path in (name, WRAPPER + name):
            if value_at(row, path) is not MISSING:
                return path
    return None


def column_of(available: Sequence[str], names: tuple[str, ...]) -> str | None:
    """Return the column with one of the names, with or without the prefix of index dumps. None if there is none."""
    folded = {column.casefold(): column for column in reversed(available)}
    for name in names:
        for path in (name, WRAPPER + name):
            if path in available:
                return path
            if path.casefold() in folded:
                return folded[path.casefold()]
    return None


def layout_of_columns(available: Sequence[str], settings: QuerySettings) -> LogLayout:
    """Determine the layout of a Parquet file from the paths of its columns.

    Raises:
        MalformedRowError: There is no column of the query, or a column that is named in the settings is missing.
    """
    name = required_format(settings) or format_of(available) or "table"
    names = names_of(settings.columns, name)
    found = [column_of(available, group) for group in names]
    check_named_columns(settings.columns, available, found)
    text, frequency, query_id = found
    if text is None:
        raise MalformedRowError(
            None,
            f"there is no column {' or '.join(names.text)}; "
            f"set queries.columns.text to one of {', '.join(available[:20])}",
        )
    return LogLayout(name, (text, frequency, query_id))


def layout_of_text(head: bytes, ending: str, settings: QuerySettings) -> LogLayout:
    """Determine the layout of a file with cells in lines: .csv, .tsv or .txt.

    Args:
        head: First bytes of the file, as UTF-8.
        ending: Extension of the file.
        settings: Settings of the queries.

    Raises:
        MalformedRowError: The columns of the file cannot be determined.
    """
    return _TextHead(head, ending, settings).layout()


class _TextHead:
    """The first lines of a text file."""

    def __init__(self, head: bytes, ending: str, settings: QuerySettings) -> None:
        parts = head.split(b"\n")
        self.sizes = [len(part) + 1 for part in parts]
        self.lines = [part.decode("utf-8", errors="replace").rstrip("\r") for part in parts]
        self.lines[0] = self.lines[0].removeprefix("\ufeff")
        self.csv = ending == ".csv"
        self.needs_header = ending == ".txt" and settings.format is None
        self.settings = settings
        hint = _SEPARATOR_HINT.fullmatch(self.lines[0]) if self.csv else None
        self.hint_lines = 1 if hint else 0
        self.delimiters = (hint[1],) if hint else _DELIMITERS if self.csv else ("\t",)

    def layout(self) -> LogLayout:
        first = next((n for n in range(self.hint_lines, len(self.lines)) if self.lines[n].strip()), None)
        if first is None:
            return LogLayout("table", (None, None, None), self.delimiters[0], RowLayout(0))
        for line, comments in [*((line, True) for line in self._lines_after_comments()), (first, False)]:
            for delimiter in self.delimiters:
                if found := self._header(line, delimiter):
                    return self._layout_at(line, delimiter, *found, comments)
        if self.needs_header:
            raise MalformedRowError(
                first + 1, "a .txt file needs a header with the query's column; rename a list of queries to .tsv"
            )
        for line in self._lines_after_comments():
            for delimiter in self.delimiters:
                if self._is_pair_header(line, delimiter):
                    return self._layout_without_names(line, delimiter, comments=True)
        return self._layout_without_names(first, self._delimiter_of_pairs(first), comments=False)

    def _lines_after_comments(self) -> Iterator[int]:
        """Yield the first line after each block of comments. A block begins at the start or after a blank line."""
        blank, comment = True, False
        for number, line in enumerate(self.lines[self.hint_lines :], start=self.hint_lines):
            if line.strip():
                if line.startswith("#") and (blank or comment):
                    comment = True
                elif comment:
                    yield number
                    comment = False
            blank = not line.strip()

    def _header(self, line: int, delimiter: str) -> tuple[LogFormatName, RowLayout] | None:
        """Return the format and layout if a line is a header with a known query column."""
        cells = self._cells(line, delimiter)
        name = required_format(self.settings) or format_of(cells)
        layout = None if name is None else header_layout(cells, self.settings.columns, name)
        return None if name is None or layout is None else (name, layout)

    def _is_pair_header(self, line: int, delimiter: str) -> bool:
        """Return whether a line has two names, above a line with a query and its frequency."""
        below = next((n for n in range(line + 1, len(self.lines)) if self.lines[n].strip()), None)
        return (
            below is not None
            and self._is_pair(below, delimiter)
            and len(self._cells(line, delimiter)) == 2
            and not self._is_pair(line, delimiter)
        )

    def _is_pair(self, line: int, delimiter: str) -> bool:
        cells = self._cells(line, delimiter)
        return len(cells) == 2 and count_of(cells[1], delimiter) is not None

    def _delimiter_of_pairs(self, line: int) -> str:
        """Return the delimiter of a file without known names: the one that splits into query and frequency."""
        if len(self._cells(line, self.delimiters[0])) > 1:
            return self.delimiters[0]
        pairs = (mark for mark in self.delimiters if self._is_pair(line, mark) or self._is_pair_header(line, mark))
        return next(pairs, self.delimiters[0])

    def _layout_without_names(self, line: int, delimiter: str, comments: bool) -> LogLayout:
        cells = self._cells(line, delimiter)
        if delimiter == "\t" and not self.csv and cells[-1].strip().isdecimal():
            cells = self.lines[line].rsplit("\t", 1)  # the query may contain tabs
        name = required_format(self.settings) or "table"
        try:
            row = layout_of(cells, self.settings.columns, name, delimiter)
            row = replace(row, width=1) if self.csv and not row.width else row
        except MalformedRowError as error:
            raise MalformedRowError(line + 1, str(error)) from None
        return self._layout_at(line, delimiter, name, row, comments)

    def _layout_at(self, line: int, delimiter: str, name: LogFormatName, row: RowLayout, comments: bool) -> LogLayout:
        """Return the layout of a file whose header or first row is in a line."""
        found = [row.name_of(position) for position in (row.text, row.frequency, row.query_id)]
        check_named_columns(self.settings.columns, row.names, found, line + 1)
        before = line + (self._header_lines(line, delimiter) if row.header else 0)
        start = sum(self.sizes[:before])
        columns = (found[0], found[1], found[2])
        return LogLayout(name, columns, delimiter, row, comments, start=start, lines=before)

    def _cells(self, line: int, delimiter: str) -> list[str]:
        """Split a line into cells. In a .csv file, a row may continue in the next lines."""
        return self._row(line, delimiter)[0]

    def _header_lines(self, line: int, delimiter: str) -> int:
        return self._row(line, delimiter)[1]

    def _row(self, line: int, delimiter: str) -> tuple[list[str], int]:
        if not self.csv:
            return self.lines[line].split(delimiter), 1
        rows = csv.reader((f"{text}\n" for text in self.lines[line:]), delimiter=delimiter, strict=True)
        try:
            return next(rows), rows.line_num
        except csv.Error:
            return [self.lines[line]], 1


def _objects(head: bytes) -> Iterator[dict[str, object]]:
    """Yield the JSON objects in the first lines of a file. Other lines are left out; reading them is an error later."""
    lines = head.split(b"\n")
    complete = lines[:-1] if len(head) >= HEAD_BYTES else lines
    for line in complete[:_HEAD_ROWS]:
        try:
            row = parse_json(line.decode("utf-8-sig"))
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row
