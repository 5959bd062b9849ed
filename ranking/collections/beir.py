"""Read BEIR folders: corpus.jsonl, queries.jsonl, and qrels/<split>.tsv or one qrels.tsv.

The id field may be named `_id`, `doc_id`, `query_id` or `id`. A qrels file has either the three columns query, document
and grade or the four columns of a TREC qrels file, with or without a header. Judgements in qrels/train.tsv are kept for
supervised baselines. `ranking.collections.splits` decides which judged queries become test queries.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.lines import read_lines, sha256_of
from ranking.collections.splits import Judgements, assembled
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

_ID_KEYS = ("_id", "doc_id", "query_id", "id")


def read(folder: Path, split: str) -> Collection:
    """Read a BEIR folder.

    Args:
        folder: The folder.
        split: Name of the judged split, such as "test".

    Raises:
        InputError: A file is missing, or a line is malformed. The message names file and line.
    """
    if not folder.is_dir():
        raise InputError(f"collection.source beir:{folder}: no such folder")
    documents = read_documents(folder / "corpus.jsonl")
    queries = read_queries(folder / "queries.jsonl")
    judged_path = _qrels_path(folder, split)
    files = [folder / "corpus.jsonl", folder / "queries.jsonl"]
    judgements = None
    if judged_path is not None:
        files.append(judged_path)
        known = {query.query_id for query in queries}
        judgements = Judgements(read_qrels(judged_path, known), str(judged_path), whole=judged_path.parent != folder)
        train_path = folder / "qrels" / "train.tsv"
        if judgements.whole and split != "train" and train_path.is_file():
            judgements.log_qrels = read_qrels(train_path, known)
            files.append(train_path)
    fingerprint = fingerprint_of("beir", split if judgements else "unjudged", [sha256_of(path) for path in files])
    return assembled(folder.resolve().name, fingerprint, documents, queries, judgements)


def read_documents(path: Path) -> list[Document]:
    """Read a corpus.jsonl file. Each line is a JSON object with an id, `text`, and optionally `title`."""
    documents = []
    for line, row in _json_lines(path):
        text, title = row.get("text"), row.get("title") or ""
        if not isinstance(text, str) or not isinstance(title, str):
            raise InputError(f"{path}, line {line}: 'text' must be a string, and 'title' must be a string or absent")
        documents.append(Document(doc_id=_id_of(row, path, line), title=title, text=text))
    if not documents:
        raise InputError(f"{path}: the corpus is empty; write one JSON object per line")
    return documents


def read_queries(path: Path) -> list[Query]:
    """Read a queries.jsonl file. Each line is a JSON object with an id, `text`, and optionally `frequency`."""
    queries = []
    for line, row in _json_lines(path):
        text, frequency = row.get("text"), row.get("frequency", 1)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}, line {line}: the query is empty; 'text' must be a string with its words")
        if not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1:
            raise InputError(f"{path}, line {line}: 'frequency' must be an integer of at least 1, not {frequency!r}")
        queries.append(Query(query_id=_id_of(row, path, line), text=" ".join(text.split()), frequency=frequency))
    if not queries:
        raise InputError(f"{path}: there are no queries; write one JSON object per line")
    return queries


def read_qrels(path: Path, query_ids: set[str] | None) -> dict[str, dict[str, int]]:
    """Read the judgements of a qrels file.

    Args:
        path: A qrels file.
        query_ids: Ids of the known queries. None accepts any query id.

    Returns:
        {query_id: {doc_id: grade}}.

    Raises:
        InputError: A line is malformed, a query is unknown, or a query-document pair is judged twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for line, text in read_lines(path):
        fields = text.split("\t") if "\t" in text else text.split()
        if len(fields) not in (3, 4):
            raise InputError(
                f"{path}, line {line}: expected 3 columns (query, document, grade) or the 4 of TREC, not {len(fields)}"
            )
        query_id, doc_id, grade = fields[0], fields[-2], fields[-1]
        if line == 1 and not _is_integer(grade):
            continue
        if not _is_integer(grade):
            raise InputError(f"{path}, line {line}: the grade must be an integer, not {grade!r}")
        if query_ids is not None and query_id not in query_ids:
            raise InputError(f"{path}, line {line}: query {query_id!r} is not in the queries file")
        if doc_id in qrels.setdefault(query_id, {}):
            raise InputError(f"{path}, line {line}: document {doc_id!r} is judged twice for query {query_id!r}")
        qrels[query_id][doc_id] = int(grade)
    if not qrels:
        raise InputError(f"{path}: there are no judgements")
    return qrels


def _qrels_path(folder: Path, split: str) -> Path | None:
    """Return the path of the qrels file for a split, or None if the folder has no judgements.

    Raises:
        InputError: The folder has qrels/ but no judgements for this split.
    """
    for path in (folder / "qrels" / f"{split}.tsv", folder / "qrels.tsv"):
        if path.is_file():
            return path
    if not (folder / "qrels").exists():
        return None
    raise InputError(f"{folder}: there is neither qrels/{split}.tsv nor qrels.tsv; check evaluation.split")


def _id_of(row: dict[str, Any], path: Path, line: int) -> str:
    """Return the id of a JSON object."""
    for key in _ID_KEYS:
        if isinstance(row.get(key), str | int) and not isinstance(row[key], bool) and str(row[key]).strip():
            return str(row[key])
    raise InputError(f"{path}, line {line}: the id is missing; name it one of {', '.join(_ID_KEYS)}")


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, JSON object) for each line. Raises InputError for malformed JSON and for a repeated id."""
    seen: dict[str, int] = {}
    for line, text in read_lines(path):
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}, line {line}: not valid JSON ({error.msg} at character {error.pos + 1})"
            ) from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {line}: expected a JSON object, not {type(row).__name__}")
        row_id = _id_of(row, path, line)
        if row_id in seen:
            raise InputError(f"{path}, line {line}: id {row_id!r} is already used on line {seen[row_id]}")
        seen[row_id] = line
        yield line, row


def _is_integer(text: str) -> bool:
    """Return whether a text is a decimal integer."""
    return re.fullmatch(r"-?[0-9]+", text.strip()) is not None
