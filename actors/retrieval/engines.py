"""The retriever of each kind of search engine, and what the lists of a finished stage lack."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from actors.retrieval.engine_retriever import EngineRetriever
from actors.retrieval.http_search import HttpSearchRetriever
from actors.retrieval.sql_search import SqlRetriever, check_sql_packages
from ranking.engine_settings import EngineSettings, SqlSettings
from ranking.records import IncompleteList
from ranking.storage.folder import Folder

INCOMPLETE = "incomplete"
"""Name of the folder with `IncompleteList` rows in the folder of a candidates stage."""

ENGINES: dict[str, Any] = {"http_search": HttpSearchRetriever, "sql": SqlRetriever}
"""Class of each kind of search engine."""


def make_engine_retriever(settings: EngineSettings) -> EngineRetriever:
    """Create the retriever of a search engine on a worker.

    Raises:
        InputError: An environment variable or a package is missing.
    """
    retriever: EngineRetriever = ENGINES[settings.kind](settings)
    return retriever


def check_engine(settings: EngineSettings) -> None:
    """Raise InputError if a package for a search engine is not installed."""
    if isinstance(settings, SqlSettings):
        check_sql_packages()


def incomplete_notes(folder: Folder) -> list[str]:
    """Describe in one line per search engine what its lists lack.

    A query counts once, also if a worker was lost and asked again.

    Args:
        folder: Folder with `IncompleteList` rows.
    """
    missing: dict[str, dict[str, int]] = defaultdict(dict)
    refused: dict[str, set[str]] = defaultdict(set)
    for row in folder.read_rows(IncompleteList):
        if row.doc_ids:
            missing[row.retriever][row.query_id] = len(row.doc_ids)
        if row.refusal is not None:
            refused[row.retriever].add(row.query_id)
    return [_note(name, missing[name], len(refused[name])) for name in sorted({*missing, *refused})]


def _note(name: str, missing: dict[str, int], refused: int) -> str:
    parts = []
    if missing:
        parts.append(
            f"{sum(missing.values()):,} documents of {len(missing):,} queries are left out, because neither the answer "
            "nor the collection has their text"
        )
    if refused:
        parts.append(f"refused queries: {refused:,}")
    return f"{name}: {'; '.join(parts)}; see {INCOMPLETE}/"
