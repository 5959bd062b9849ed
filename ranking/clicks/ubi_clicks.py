"""Read shown rankings and clicks from exports of User Behavior Insights (UBI): ubi_queries and ubi_events.

A search of ubi_queries has the ids of its results in `query_response_hit_ids`. A click of ubi_events has `query_id`,
and in `event_attributes` the id of the object and its position
(https://docs.opensearch.org/docs/search-plugins/ubi/schemas).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ranking.clicks.click_sources import Click, ShownRanking
from ranking.collections.log_columns import MalformedRowError
from ranking.collections.log_files import LogFile, find_log, open_log, text_stream
from ranking.collections.log_formats import WRAPPER
from ranking.collections.log_records import object_of
from ranking.collections.nested_values import MISSING, value_at
from ranking.errors import InputError
from ranking.storage.parquet_files import extension_column

_BATCH_ROWS = 4096
_BYTES_PER_ROW = 300
_CLICK = "click"


def ubi_files(place: str, setting: str) -> list[LogFile]:
    """List the files of an export.

    Args:
        place: Path or URI of a file, a folder or a glob.
        setting: Name of the setting, for error messages.

    Raises:
        InputError: There are no files, or files of a kind that cannot contain UBI records.
    """
    files = find_log(place, setting)
    for file in files:
        if file.ending not in (".jsonl", ".parquet"):
            raise InputError(f"{setting} {file.path}: use .jsonl files, with or without .gz, or .parquet files")
    return files


def estimated_rows(files: Sequence[LogFile]) -> int:
    """Estimate the number of rows of files from their sizes."""
    return sum(file.text_size for file in files) // _BYTES_PER_ROW


def ubi_rankings(files: Sequence[LogFile]) -> Iterator[ShownRanking]:
    """Yield the searches that have a query and results.

    Raises:
        InputError: A file is malformed.
    """
    for row in _rows(files):
        query_id, query, shown = (_value(row, name) for name in ("query_id", "user_query", "query_response_hit_ids"))
        if query_id and isinstance(query, str) and query.strip() and shown:
            ids = shown if isinstance(shown, list) else [shown]
            yield ShownRanking(str(query_id), query, [str(doc_id) for doc_id in ids])


def ubi_clicks(files: Sequence[LogFile]) -> Iterator[Click]:
    """Yield the clicks, by the id of the clicked object or, without one, by its position from 1.

    Raises:
        InputError: A file is malformed.
    """
    for row in _rows(files):
        query_id, action = _value(row, "query_id"), _value(row, "action_name")
        if not query_id or str(action).casefold() != _CLICK:
            continue
        doc_id = _value(row, "event_attributes.object.object_id")
        position = _value(row, "event_attributes.position.ordinal")
        if doc_id is not None:
            yield Click(str(query_id), 0, str(doc_id))
        elif isinstance(position, (int, float)) and position >= 1:
            yield Click(str(query_id), int(position))


def _rows(files: Sequence[LogFile]) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            yield from _parquet_rows(file) if file.ending == ".parquet" else _json_rows(file)
        except (pa.ArrowInvalid, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{file.path}: the file is damaged ({' '.join(str(error).split())[:200]})") from None


def _parquet_rows(file: LogFile) -> Iterator[dict[str, Any]]:
    with open_log(file) as stream:
        parquet = pq.ParquetFile(stream, page_checksum_verification=True)
        if problem := extension_column(parquet.schema_arrow):
            raise InputError(f"{file.path}: {problem}")
        for batch in parquet.iter_batches(_BATCH_ROWS):
            yield from batch.to_pylist()


def _json_rows(file: LogFile) -> Iterator[dict[str, Any]]:
    with open_log(file) as stream:
        for number, line in enumerate(text_stream(stream, file.path), start=1):
            if not line.strip():
                continue
            try:
                yield object_of(line.decode("utf-8-sig"))
            except (MalformedRowError, UnicodeDecodeError) as error:
                raise InputError(f"{file.path}, line {number}: {error}") from None


def _value(row: dict[str, Any], path: str) -> Any:
    """Return the value at a path, in the row or in its `_source` as in index dumps. None if there is none."""
    found = value_at(row, path)
    found = value_at(row, WRAPPER + path) if found is MISSING else found
    return None if found is MISSING else found
