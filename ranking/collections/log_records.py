"""Convert the rows of JSON and Parquet files of a query log to query forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ranking.collections import slow_log
from ranking.collections.log_columns import MalformedRowError, check_named_columns, form_of, frequency_of
from ranking.collections.log_files import FileSplit
from ranking.collections.log_formats import (
    FORMATS,
    NO_QUERY,
    OTHER_EVENT,
    SAME_SEARCH,
    WRAPPER,
    ColumnNames,
    names_of,
)
from ranking.collections.log_layout import LogLayout, column_of, layout_of_columns, path_of
from ranking.collections.nested_values import value_at
from ranking.json_text import parse_json
from ranking.selection.near_duplicates import QueryForm
from ranking.selection.selection_settings import QuerySettings
from ranking.storage.parquet_files import extension_column

_BATCH_ROWS = 8192
_EVENT_COLUMNS = ("action_name", "message_type", "component", "log.logger")
_SEARCH_ACTIONS = ("search", "on_search")


class RecordReader:
    """Converts rows, which are nested objects, to query forms.

    Args:
        layout: Layout of the file.
        settings: Settings of the queries.
        skipped: Counter of rows that are left out, by reason. The reader adds to it.
    """

    def __init__(self, layout: LogLayout, settings: QuerySettings, skipped: Counter[str]) -> None:
        self.format = layout.format
        self.names: ColumnNames = names_of(settings.columns, layout.format)
        self.columns = settings.columns
        self.is_named = any(settings.columns.model_dump().values())
        self.skipped = skipped
        self.previous: list[Any] | None = None
        self.keys: dict[tuple[str, ...], list[str | None]] = {}

    def form(self, row: dict[str, Any], line: int | None = None) -> QueryForm | None:
        """Convert a row. Returns None, and counts the row as skipped, if it is not a search with a query.

        Raises:
            MalformedRowError: A value is malformed, or a column that is named in the settings is missing.
        """
        found = self._values(row)
        text, reason = self._query(row, found[0][1])
        if reason is None and self._repeats_search(row):
            reason = SAME_SEARCH
        form = None if reason else self._checked(row, text, found, line)
        if form is None:
            self.skipped[reason or NO_QUERY] += 1
        return form

    def _values(self, row: dict[str, Any]) -> list[tuple[str | None, Any]]:
        """Return name and value of the columns text, frequency and query_id. Both are None for a missing column."""
        if any(type(value) in (dict, list) for value in row.values()):
            paths = [path_of(row, group) for group in self.names]
            return [(path, None if path is None else value_at(row, path)) for path in paths]
        keys = self.keys.get(tuple(row))
        if keys is None:
            keys = self.keys[tuple(row)] = [column_of(list(row), group) for group in self.names]
        return [(key, None if key is None else row[key]) for key in keys]

    def _query(self, row: dict[str, Any], text: Any) -> tuple[Any, str | None]:
        """Return the query of a row, given the value of its query column, or the reason why it has none."""
        if reason := self._other_event(row):
            return None, reason
        if text is None or (isinstance(text, str) and not text.strip()):
            return None, NO_QUERY
        if self.format == "slow_log":
            text, reason = slow_log.query_of_request(text)
            return text, reason or None
        return text, None

    def _other_event(self, row: dict[str, Any]) -> str | None:
        """Return why a row is not a search; None if it may be one."""
        if self.format == "slow_log":
            return slow_log.skip_reason(row)
        if self.format == "ubi_queries":
            return None if _value(row, "action_name") is None else OTHER_EVENT
        if self.format == "ubi_events":
            action = _value(row, "action_name")
            is_search = (
                str(action).casefold() in _SEARCH_ACTIONS or str(_value(row, "message_type")).casefold() == "query"
            )
            return None if is_search else OTHER_EVENT
        return None

    def _repeats_search(self, row: dict[str, Any]) -> bool:
        """Return whether a row is about the same search as the row before it."""
        search = [_value(row, column) for column in FORMATS[self.format].search]
        repeats = bool(search) and search == self.previous
        self.previous = search
        return repeats

    def _checked(
        self, row: dict[str, Any], text: Any, found: list[tuple[str | None, Any]], line: int | None
    ) -> QueryForm | None:
        """Check the values of a row and return them as a form."""
        _, (name, frequency), (_, query_id) = found
        if self.is_named:
            check_named_columns(self.columns, list(row), [column for column, _ in found])
        if name is not None and frequency is None:
            raise MalformedRowError(line, f"{name!r} is null; the frequency must be an integer of at least 1")
        return form_of(text, frequency_of(frequency), query_id, line, self.format)


def object_of(text: str) -> dict[str, Any]:
    """Parse a line of a file with one JSON object per line.

    Raises:
        MalformedRowError: The line is not a JSON object.
    """
    try:
        row = parse_json(text)
    except ValueError as error:
        raise MalformedRowError(None, str(error)) from None
    if not isinstance(row, dict):
        hint = "; write one object per line, for example with jq -c '.[]'" if isinstance(row, list) else ""
        raise MalformedRowError(None, f"expected a JSON object, not {type(row).__name__}{hint}")
    return row


def parquet_layout(stream: Any, settings: QuerySettings) -> LogLayout:
    """Determine the layout of an open Parquet file.

    Raises:
        MalformedRowError: The file has columns of pickled objects, or no column of the query.
    """
    schema = pq.read_schema(stream)
    if problem := extension_column(schema):
        raise MalformedRowError(None, problem)
    return layout_of_columns(_paths(schema), settings)


def parquet_rows(stream: Any, split: FileSplit, settings: QuerySettings, skipped: Counter[str]) -> Iterator[QueryForm]:
    """Yield the rows of a .parquet split."""
    file = pq.ParquetFile(stream, page_checksum_verification=True)
    if problem := extension_column(file.schema_arrow):
        raise MalformedRowError(None, problem)
    layout = layout_of_columns(_paths(file.schema_arrow), settings)
    reader = RecordReader(layout, settings, skipped)
    stop = min(split.stop, file.num_row_groups)
    row = sum(file.metadata.row_group(group).num_rows for group in range(split.start))
    columns = _columns_to_read(file.schema_arrow.names, layout)
    for batch in file.iter_batches(_BATCH_ROWS, row_groups=list(range(split.start, stop)), columns=columns):
        for values in batch.to_pylist():
            row += 1
            if form := reader.form(values, row):
                yield form


def _columns_to_read(available: Sequence[str], layout: LogLayout) -> list[str]:
    """Return the top-level columns that the layout or the kind of a row depends on."""
    needed = {name.casefold() for name in (*layout.columns, *_EVENT_COLUMNS, *FORMATS[layout.format].search) if name}
    needed |= {WRAPPER + name for name in needed}
    folded = [(column, column.casefold()) for column in available]
    return [column for column, name in folded if any(path == name or path.startswith(f"{name}.") for path in needed)]


def _paths(schema: pa.Schema) -> list[str]:
    """List the paths of the columns of a schema, including the fields of nested columns."""
    return [path for field in schema for path in _paths_of(field, field.name)]


def _paths_of(field: pa.Field, path: str) -> list[str]:
    if not pa.types.is_struct(field.type):
        return [path]
    return [inner for child in field.type for inner in _paths_of(child, f"{path}.{child.name}")]


def _value(row: dict[str, Any], name: str) -> Any:
    """Return the value of a column, with or without the prefix of index dumps. None if it is missing or null."""
    path = path_of(row, (name,))
    return None if path is None else value_at(row, path)
