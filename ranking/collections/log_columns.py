"""Columns of a query log: find them in the first row of a text file, and check the values of a row.

Text files (.tsv and .csv) may have a header. In a file without a header, a line is a query, or a query and its
frequency.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ranking.collections.frequencies import frequency_error
from ranking.collections.log_formats import FORMATS, is_missing, names_of
from ranking.selection.near_duplicates import QueryForm
from ranking.selection.query_text import shown
from ranking.selection.selection_settings import LogColumns, LogFormatName

_MAX_DIGITS = 19
_LISTED_NAMES, _NAME_CHARACTERS = 20, 40
_SPACES = " \u00a0\u202f'\u2019"
_THOUSANDS = {";": f".{_SPACES}", ",": f",{_SPACES}", "\t": f",{_SPACES}"}
"""Thousands separators by delimiter. In files with semicolons, a comma is a decimal separator."""


@dataclass(frozen=True)
class RowLayout:
    """Positions of the columns in the rows of a text file.

    Attributes:
        text: Index of the query column.
        frequency: Index of the frequency column. None if there is no such column.
        query_id: Index of the id column. None if there is no such column.
        width: Required number of cells per row. 0 disables the check.
        header: Whether the first row is a header.
        names: Cells of the header. Empty without a header.
        search: Indices of the columns that identify a search. Consecutive rows with the same values are one search.
    """

    text: int
    frequency: int | None = None
    query_id: int | None = None
    width: int = 0
    header: bool = False
    names: tuple[str, ...] = ()
    search: tuple[int, ...] = ()

    def name_of(self, position: int | None) -> str | None:
        """Name a column for messages: by its header, or by its number. None if there is no such column."""
        if position is None:
            return None
        return self.names[position].strip() if self.names else f"column {position + 1}"


class MalformedRowError(Exception):
    """An error in a row. `ranking.collections.log_rows.read_split` converts it to a `LogError`.

    Attributes:
        line: Number of the line, or of the row in a Parquet file, from 1. None if it is not known where the row is
            checked.
    """

    def __init__(self, line: int | None, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def form_of(
    text: Any, frequency: Any, query_id: Any, line: int | None, name: LogFormatName = "table"
) -> QueryForm | None:
    """Check the values of a row and return them as a `QueryForm`.

    Args:
        text: The query.
        frequency: Frequency of the query. None if the row has no frequency.
        query_id: Id of the query. None if the row has no id.
        line: Number of the line in the file, for error messages. None if unknown.
        name: Format of the log.

    Returns:
        The form; None if the row has no query.

    Raises:
        MalformedRowError: A value is malformed.
    """
    if not isinstance(text, str | None):
        raise MalformedRowError(line, f"the query must be a string, not {text!r}")
    form = shown(text or "")
    if is_missing(form, name):
        return None
    if query_id is not None and (
        not isinstance(query_id, str | int) or isinstance(query_id, bool) or not str(query_id).strip()
    ):
        raise MalformedRowError(line, f"the id must be a string or an integer, not {query_id!r}")
    if frequency is not None and (problem := frequency_error(frequency)) is not None:
        raise MalformedRowError(line, f"the frequency {problem}")
    return QueryForm(form, frequency or 1, None if query_id is None else shown(str(query_id)))


def count_of(cell: str, delimiter: str = "") -> int | None:
    """Parse a number of searches: an integer with or without thousands separators, or a float such as 12.0.

    Args:
        cell: The text of the number.
        delimiter: Delimiter of the file, which determines the possible thousands separators. Empty: none.

    Returns:
        The number; None if the text is not such a number.
    """
    text = cell.strip()
    if len(text) > _MAX_DIGITS + _MAX_DIGITS // 3:
        return None
    separator = text.lstrip("0123456789")[:1]
    if separator and separator in _THOUSANDS.get(delimiter, ""):
        grouped = rf"\d{{1,3}}(?:{re.escape(separator)}\d{{3}})+"
        if re.fullmatch(grouped, text, re.ASCII):
            return int(text.replace(separator, ""))
    match = re.fullmatch(r"(\d{1,19})(?:\.0+)?", text, re.ASCII)
    return int(match[1]) if match else None


def frequency_of(value: Any, delimiter: str = "") -> Any:
    """Convert a frequency to an integer. Returns values that are not a whole number unchanged."""
    if isinstance(value, str):
        count = count_of(value, delimiter)
        return value.strip() if count is None else count
    return int(value) if isinstance(value, float) and value.is_integer() else value


def header_layout(cells: Sequence[str], columns: LogColumns, name: LogFormatName) -> RowLayout | None:
    """Determine the layout of a text file from its header. None if the cells do not contain the query column."""
    names = names_of(columns, name)
    text, frequency, query_id = (position_of(cells, group) for group in names)
    if text is None:
        return None
    search = [position_of(cells, (column,)) for column in FORMATS[name].search]
    known = tuple(position for position in search if position is not None)
    return RowLayout(
        text,
        frequency,
        query_id,
        len(cells),
        header=True,
        names=tuple(cells),
        search=known if len(known) == len(search) else (),
    )


def layout_of(
    cells: Sequence[str], columns: LogColumns, name: LogFormatName = "table", delimiter: str = "\t"
) -> RowLayout:
    """Determine the layout of a text file from its first row.

    Args:
        cells: Cells of the first row.
        columns: Column names in the settings.
        name: Format of the log.
        delimiter: Delimiter of the file.

    Raises:
        MalformedRowError: The row is not a header and has more than two columns, or a column that is named in the
            settings is missing.
    """
    names = names_of(columns, name)
    check_named_columns(columns, cells, [position_of(cells, group) for group in names])
    if layout := header_layout(cells, columns, name):
        return layout
    if name != "table":
        raise MalformedRowError(
            1, f"format {name} needs a column {' or '.join(names.text)}, or queries.columns.text; {_listed(cells)}"
        )
    if len(cells) == 1:
        return RowLayout(0)
    if len(cells) == 2:
        header = count_of(cells[1], delimiter) is None
        return RowLayout(0, 1, None, 2, header=header, names=tuple(cells) if header else ())
    raise MalformedRowError(
        1,
        f"a file with {len(cells)} columns needs a header that names the query's column ({' or '.join(names.text)}), "
        f"or queries.columns.text; {_listed(cells)}",
    )


def position_of(cells: Sequence[str], names: tuple[str, ...]) -> int | None:
    """Return the index of the cell that equals one of the names, trying the names in order. None if no cell matches.

    A cell with the same case is preferred to one that differs in case.
    """
    stripped = [cell.strip() for cell in cells]
    folded = [cell.casefold() for cell in stripped]
    for name in names:
        if name in stripped:
            return stripped.index(name)
        if name.casefold() in folded:
            return folded.index(name.casefold())
    return None


def check_named_columns(
    columns: LogColumns, available: Sequence[str], found: Sequence[Any], line: int | None = 1
) -> None:
    """Check that the columns named in the settings exist.

    Args:
        columns: Column names in the settings.
        available: Names of all columns in the file, for the error message.
        found: Positions or names in the file of the columns text, frequency and query_id. None for a missing column.
        line: Number of the header's line, for the error message.

    Raises:
        MalformedRowError: A column that is named in the settings is missing.
    """
    for (setting, name), column in zip(columns.model_dump().items(), found, strict=True):
        if name is not None and column is None:
            raise MalformedRowError(
                line, f"there is no column {name!r} (queries.columns.{setting}); {_listed(available)}"
            )


def _listed(names: Sequence[str]) -> str:
    """List column names for an error message."""
    shortened = [shown(name)[:_NAME_CHARACTERS] for name in names[:_LISTED_NAMES]]
    return f"the columns are {', '.join(shortened)}{', ...' if len(names) > _LISTED_NAMES else ''}"
