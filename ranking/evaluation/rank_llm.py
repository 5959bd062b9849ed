"""Rankings as RankLLM writes them: JSON, one entry for a query, its documents best first.

Two spellings are read. Since 2024: {"query": {"qid", "text"}, "candidates": [{"docid", "score", "doc"}]}.
Before: {"query": text, "hits": [{"qid", "docid", "rank", "score", "content"}]}. A .json file holds one list
of entries, a .jsonl file one entry a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.lines import read_lines
from ranking.errors import InputError

_HISTORIES = ("invocations_history", "ranking_exec_summary")


def read_rank_llm(path: Path) -> dict[str, dict[str, float]]:
    """Read RankLLM results: {query_id: {doc_id: score}}, the score made from the place, 1 for the last.

    RankLLM moves documents and leaves their scores, so only the order of the list counts. Raises InputError
    with file, entry and field for what is malformed or comes twice.
    """
    run: dict[str, dict[str, float]] = {}
    for where, entry in _entries(path):
        query_id, documents = _ranking(where, entry)
        if query_id in run:
            raise InputError(f"{where}: query {query_id!r} stands twice; one entry for a query is expected")
        run[query_id] = {doc_id: float(len(documents) - place) for place, doc_id in enumerate(documents)}
    if not run:
        raise InputError(f"{path}: the run is empty")
    return run


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (file and entry number, entry)."""
    if path.suffix == ".jsonl":
        for number, line in read_lines(path):
            where = f"{path}, line {number}"
            yield where, _parsed(where, line)
        return
    found = _parsed(str(path), "\n".join(line for _, line in read_lines(path)))
    if not isinstance(found, list):
        raise InputError(
            f"{path}: a JSON list of results is expected, not {_kind(found)}; one result a line belongs in a .jsonl file"
        )
    yield from ((f"{path}, entry {number}", entry) for number, entry in enumerate(found, start=1))


def _parsed(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error})") from None


def _ranking(where: str, entry: Any) -> tuple[str, list[str]]:
    """The query id of an entry and its documents, best first."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: an object with `query` and `candidates` is expected, not {_kind(entry)}")
    if "candidates" in entry:
        query = entry.get("query")
        if not isinstance(query, dict):
            raise InputError(f"{where}, field query: an object with `qid` and `text` is expected, not {_kind(query)}")
        return _identifier(f"{where}, field query.qid", query.get("qid")), _documents(
            f"{where}, candidates", entry["candidates"]
        )
    if "hits" in entry:
        documents = _documents(f"{where}, hits", entry["hits"])
        query_ids = list(
            dict.fromkeys(_identifier(f"{where}, hits, field qid", hit.get("qid")) for hit in entry["hits"])
        )
        if len(query_ids) != 1:
            raise InputError(f"{where}, hits, field qid: one query id is expected in all hits, not {query_ids}")
        return query_ids[0], documents
    if any(name in entry for name in _HISTORIES):
        raise InputError(
            f"{where}: this is RankLLM's history of prompts and answers; the file with its results (`candidates`) is needed"
        )
    raise InputError(
        f"{where}: `candidates` is missing (older files: `hits`); the fields are {', '.join(map(repr, entry)) or 'none'}"
    )


def _documents(where: str, found: Any) -> list[str]:
    """Document ids in the order of the list; ranks, where given, must say the same."""
    if not isinstance(found, list):
        raise InputError(f"{where}: a list is expected, not {_kind(found)}")
    documents: dict[str, None] = {}
    last = float("-inf")
    for number, document in enumerate(found, start=1):
        at = f"{where}, document {number}"
        if not isinstance(document, dict):
            raise InputError(f"{at}: an object with `docid` is expected, not {_kind(document)}")
        doc_id = _identifier(f"{at}, field docid", document.get("docid"))
        if doc_id in documents:
            raise InputError(f"{at}, field docid: {doc_id!r} stands twice")
        rank = document.get("rank", number)
        if isinstance(rank, bool) or not isinstance(rank, int | float) or not rank > last:
            raise InputError(f"{at}, field rank: a number that rises down the list is expected, not {rank!r}")
        documents[doc_id], last = None, rank
    return list(documents)


def _identifier(where: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise InputError(f"{where}: a text or whole number is expected, not {_kind(value)}")
    return str(value)


def _kind(value: Any) -> str:
    """Name a JSON value for an error line."""
    names = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "nothing",
    }
    return names.get(type(value), "an empty text" if value == "" else "a text")
