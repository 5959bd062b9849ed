"""Read queries that were generated elsewhere from a JSONL file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ranking.collections.json_rows import read_json_rows
from ranking.errors import InputError
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.query_answers import STYLES, WrittenText, check_queries, style_of
from ranking.records import DocumentQueries, SourcePassage
from ranking.storage.sources import fetched


@dataclass(frozen=True)
class RecordedQueries:
    """Recorded queries.

    Attributes:
        name: Name of what generated them.
        by_document: {document id: texts and styles of its queries}.
    """

    name: str
    by_document: Mapping[str, Sequence[WrittenText]]


def read_recorded_queries(settings: RecordedGenerationSettings) -> RecordedQueries:
    """Read a file with recorded queries.

    Raises:
        InputError: The file is missing, empty or malformed. The message names file and line.
    """
    by_document: dict[str, list[WrittenText]] = {}
    with fetched(settings.path) as path:
        for line, row in read_json_rows(path):
            doc_id, written = _written(row, f"{path}, line {line}")
            by_document.setdefault(doc_id, []).append(written)
        if not by_document:
            raise InputError(f"{path}: there are no queries; write one JSON object with doc_id and text per line")
    return RecordedQueries(settings.generator or Path(settings.path).name, by_document)


def recorded_row(
    recorded: RecordedQueries, passage: SourcePassage, settings: RecordedGenerationSettings
) -> DocumentQueries:
    """Return the recorded queries of a document, with their statuses."""
    queries = check_queries(recorded.by_document.get(passage.doc_id, []), passage, settings)
    return DocumentQueries(query_id=passage.query_id, doc_id=passage.doc_id, queries=queries, generator=recorded.name)


def _written(row: Any, where: str) -> tuple[str, WrittenText]:
    """Read a row. Returns the document id, and text and style of the query."""
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected a JSON object, not {type(row).__name__}")
    doc_id, text, style = row.get("doc_id"), row.get("text"), row.get("style")
    if not isinstance(doc_id, str | int) or isinstance(doc_id, bool):
        raise InputError(f"{where}: 'doc_id' must be the id of a document, not {repr(doc_id)[:40]}")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: 'text' must be the words of a query, not {repr(text)[:40]}")
    if style is not None and style not in STYLES:
        raise InputError(f"{where}: 'style' must be one of {', '.join(STYLES)}, not {repr(style)[:40]}")
    return str(doc_id), (text, style_of(style))
