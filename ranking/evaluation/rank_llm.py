"""Reader for RankLLM result files: JSON with one entry per query and documents in ranked order.

Two formats of entries are supported:

- since 2024: {"query": {"qid", "text"}, "candidates": [{"docid", "score", "doc"}]}
- before 2024: {"query": text, "hits": [{"qid", "docid", "rank", "score", "content"}]}

A .json file contains a list of entries, a .jsonl file one entry per line or a list. Each may be gzipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.json_rows import is_array, read_json_rows
from ranking.collections.lines import read_text, suffix_of
from ranking.errors import InputError
from ranking.json_text import parse_json

_HISTORIES = ("invocations_history", "ranking_exec_summary")


def read_rank_llm(path: Path) -> dict[str, dict[str, float]]:
    """Read RankLLM results.

    RankLLM reorders documents without updating their scores, so only the order of the list is used.

    Returns:
        {query_id: {doc_id: score}}. Scores are derived from the rank: n for the first of n documents, 1 for the last.

    Raises:
        InputError: An entry is malformed or duplicated. The message names file, entry and field.
    """
    run: dict[str, dict[str, float]] = {}
    for where, entry in _entries(path):
        query_id, documents = _ranking(where, entry)
        if query_id in run:
            raise InputError(f"{where}: query {query_id!r} appears twice, expected one entry per query")
        run[query_id] = {doc_id: float(len(documents) - rank) for rank, doc_id in enumerate(documents)}
    if not run:
        raise InputError(f"{path}: the run is empty")
    return run


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (location, entry) pairs. The location names the file and the line or entry number."""
    is_list = suffix_of(path) == ".json"
    if is_list and not is_array(path):
        _refuse(path)
    unused_texts: list[str] = []  # only ids are read, so half surrogate pairs in the texts do not matter
    for number, (line, entry) in enumerate(read_json_rows(path, unused_texts), start=1):
        yield f"{path}, {f'entry {number}' if is_list else f'line {line}'}", entry


def _refuse(path: Path) -> None:
    """Raise an InputError for a .json file that is not a list."""
    try:
        found = _kind(parse_json(read_text(path)))
    except ValueError as error:
        raise InputError(f"{path}: {error}; for one result per line use the suffix .jsonl") from None
    raise InputError(
        f"{path}: expected a JSON list of results, not {found}; for one result per line use the suffix .jsonl"
    )


def _ranking(where: str, entry: Any) -> tuple[str, list[str]]:
    """Return the query id of an entry and its document ids, best first."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with `query` and `candidates`, not {_kind(entry)}")
    if "candidates" in entry:
        query = entry.get("query")
        if not isinstance(query, dict):
            raise InputError(f"{where}, field query: expected an object with `qid` and `text`, not {_kind(query)}")
        return _identifier(f"{where}, field query.qid", query.get("qid")), _documents(
            f"{where}, candidates", entry["candidates"]
        )
    if "hits" in entry:
        documents = _documents(f"{where}, hits", entry["hits"])
        query_ids = list(
            dict.fromkeys(_identifier(f"{where}, hits, field qid", hit.get("qid")) for hit in entry["hits"])
        )
        if len(query_ids) != 1:
            raise InputError(f"{where}, hits, field qid: expected the same query id in all hits, not {query_ids}")
        return query_ids[0], documents
    if any(name in entry for name in _HISTORIES):
        raise InputError(
            f"{where}: this is RankLLM's history of prompts and answers; use the file with its results (`candidates`) "
            "instead"
        )
    raise InputError(
        f"{where}: `candidates` is missing (older files: `hits`); found the fields "
        f"{', '.join(map(repr, entry)) or 'none'}"
    )


def _documents(where: str, value: Any) -> list[str]:
    """Return the document ids of an entry in list order. The entry may state ranks, which must increase."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, not {_kind(value)}")
    documents: dict[str, None] = {}
    last = float("-inf")
    for number, document in enumerate(value, start=1):
        at = f"{where}, document {number}"
        if not isinstance(document, dict):
            raise InputError(f"{at}: expected an object with `docid`, not {_kind(document)}")
        doc_id = _identifier(f"{at}, field docid", document.get("docid"))
        if doc_id in documents:
            raise InputError(f"{at}, field docid: {doc_id!r} appears twice")
        rank = document.get("rank", number)
        if isinstance(rank, bool) or not isinstance(rank, int | float) or not rank > last:
            raise InputError(f"{at}, field rank: expected a number greater than the previous rank, not {rank!r}")
        documents[doc_id], last = None, rank
    return list(documents)


def _identifier(where: str, value: Any) -> str:
    """Return an id as a string. Raises InputError unless it is a non-empty string or an integer."""
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f"{where}: expected a string or an integer, not {_kind(value)}")
    return str(value)


def _kind(value: Any) -> str:
    """Name the type of a JSON value for an error message."""
    names = {
        dict: "an object",
        list: "a list",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), "an empty string" if value == "" else "a string")
