"""Formats of query logs: the column names that each tool writes, and which format a file has.

Column names are compared without regard to case, and with or without the prefix `_source.` of index dumps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from ranking.selection.selection_settings import LogColumns, LogFormatName, QuerySettings

WRAPPER = "_source."
"""Prefix of the fields in a dump of an Elasticsearch or OpenSearch index."""

NO_QUERY = "without a query"
TOTALS = "with totals"
OTHER_EVENT = "of other events"
SAME_SEARCH = "that repeat a search"
SAME_HEADER = "that repeat the header"
OTHER_TABLE = "of other tables"
FETCH_PHASE = "of the fetch phase"
SEVERAL_TEXTS = "with several query texts"
NOT_JSON = "whose source is not a JSON object"


@dataclass(frozen=True)
class LogFormat:
    """A format of query logs.

    Attributes:
        text: Names of the query column, in order of preference.
        frequency: Names of the frequency column. Without one, each row is one search.
        query_id: Names of the id column.
        required: Columns that identify the format: one name of each group must exist.
        forbidden: Columns that files of this format do not have.
        empty: Values of the query column that stand for a missing query, case-folded.
        totals: Values of the query column of rows with totals, case-folded.
        search: Columns that identify a search. Consecutive rows with the same values are one search.
    """

    text: tuple[str, ...]
    frequency: tuple[str, ...] = ()
    query_id: tuple[str, ...] = ()
    required: tuple[tuple[str, ...], ...] = ()
    forbidden: tuple[str, ...] = ()
    empty: frozenset[str] = frozenset()
    totals: frozenset[str] = frozenset()
    search: tuple[str, ...] = ()


class ColumnNames(NamedTuple):
    """Accepted names for each column of a query log, in order of preference."""

    text: tuple[str, ...]
    frequency: tuple[str, ...]
    query_id: tuple[str, ...]


_TABLE_TEXT = ("text", "query")
_SEARCH_TERM = ("search term", "search_term", "searchterm")
_EVENT_COUNT = ("event count", "event_count", "eventcount")
_TOP_QUERIES = ("top queries", "query")
_SLOW_LOG = ("elasticsearch.slowlog.source", "elasticsearch.slowlog.source_query")

FORMATS: dict[LogFormatName, LogFormat] = {
    "aol": LogFormat(
        ("query",),
        required=(("anonid",), ("query",), ("querytime",)),
        empty=frozenset("-"),
        search=("anonid", "query", "querytime"),
    ),
    "slow_log": LogFormat(
        (*_SLOW_LOG, "source"),
        required=((*_SLOW_LOG, "source"), (*_SLOW_LOG, "took_millis")),
        forbidden=_TABLE_TEXT,
    ),
    "ubi_queries": LogFormat(("user_query",), required=(("user_query",), ("query_id",)), forbidden=("action_name",)),
    "ubi_events": LogFormat(
        ("user_query", "message"), required=(("action_name",), ("query_id",)), forbidden=_TABLE_TEXT
    ),
    "ga4": LogFormat(
        _SEARCH_TERM,
        _EVENT_COUNT,
        required=(_SEARCH_TERM, _EVENT_COUNT),
        empty=frozenset({"(not set)", "(other)", "(data not available)"}),
        totals=frozenset({"grand total"}),
    ),
    "search_console": LogFormat(
        _TOP_QUERIES,
        ("impressions",),
        required=(_TOP_QUERIES, ("clicks",), ("impressions",)),
        forbidden=("text", "frequency", "count"),
    ),
    "algolia": LogFormat(
        ("search",),
        ("count",),
        required=(("search",), ("count",)),
        forbidden=_TABLE_TEXT,
        empty=frozenset({"<empty search>"}),
    ),
    "table": LogFormat(_TABLE_TEXT, ("frequency", "count"), ("_id", "query_id", "id"), required=(_TABLE_TEXT,)),
}
"""All formats, in the order in which they are tried."""


def names_of(columns: LogColumns, name: LogFormatName = "table") -> ColumnNames:
    """Return the accepted names for each column: the name in the settings, or those of the format if none is set."""
    kind = FORMATS[name]
    return ColumnNames(
        (columns.text,) if columns.text else kind.text,
        (columns.frequency,) if columns.frequency else kind.frequency,
        (columns.query_id,) if columns.query_id else kind.query_id,
    )


def required_format(settings: QuerySettings) -> LogFormatName | None:
    """Return the format that the settings require; None if it depends on the columns of each file."""
    return settings.format or ("table" if settings.columns.text else None)


def format_of(names: Collection[str]) -> LogFormatName | None:
    """Return the first format whose identifying columns are among the column names of a file; None if none is."""
    folded = {name.strip().casefold().removeprefix(WRAPPER) for name in names}
    return next((name for name, kind in FORMATS.items() if _matches(kind, folded)), None)


def is_missing(text: str, name: LogFormatName) -> bool:
    """Return whether a value of the query column means that the query is missing."""
    return not text.strip() or text.strip().casefold() in FORMATS[name].empty


def describe_skipped(skipped: Counter[str]) -> str:
    """List skipped rows by reason, for example "2 rows without a query, 1 row with totals"."""
    return ", ".join(f"{rows:,} {'row' if rows == 1 else 'rows'} {reason}" for reason, rows in skipped.most_common())


def _matches(kind: LogFormat, folded: Collection[str]) -> bool:
    return all(any(name in folded for name in group) for group in kind.required) and not any(
        name in folded for name in kind.forbidden
    )
