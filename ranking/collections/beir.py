"""Read BEIR folders: corpus.jsonl, queries.jsonl, and qrels/<split>.tsv or one qrels.tsv, each plain or gzipped.

A folder with only corpus.jsonl has no queries. Its queries come from `queries.log` or `queries.generate`.

A .jsonl file has one JSON object per line, or is one array of them. The id field may be named `_id`, `doc_id`,
`query_id` or `id`. Judgements in qrels/train.tsv are kept for supervised baselines. `ranking.collections.qrels` reads
the qrels; `ranking.collections.splits` decides which judged queries become test queries.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.frequencies import frequency_error
from ranking.collections.json_rows import read_json_rows
from ranking.collections.lines import find_file, sha256_of
from ranking.collections.qrels import read_qrels
from ranking.collections.splits import Judgements, assemble_collection
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

NO_QUERIES = "no queries.jsonl: queries must come from queries.log or queries.generate"
"""Note of a collection that consists only of documents."""

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
    corpus, judged_path = _required(folder, "corpus.jsonl"), _qrels_path(folder, split)
    topics = find_file(folder / "queries.jsonl") if judged_path is None else _required(folder, "queries.jsonl")
    notes: list[str] = []
    documents = read_documents(corpus, notes)
    if topics is None:
        return assemble_collection(
            folder.resolve().name,
            fingerprint_of("beir", "documents only", sha256_of(corpus)),
            documents,
            [],
            None,
            [*notes, NO_QUERIES],
        )
    queries = read_queries(topics, notes)
    files = [corpus, topics]
    judgements = None
    if judged_path is not None:
        files.append(judged_path)
        judgements = Judgements(read_qrels(judged_path), str(judged_path), whole=judged_path.parent != folder)
        train_path = find_file(folder / "qrels" / "train.tsv")
        if judgements.whole and split != "train" and train_path is not None:
            judgements.log_qrels = read_qrels(train_path)
            files.append(train_path)
    fingerprint = fingerprint_of("beir", split if judgements else "unjudged", [sha256_of(path) for path in files])
    return assemble_collection(folder.resolve().name, fingerprint, documents, queries, judgements, notes)


def read_documents(path: Path, notes: list[str] | None = None) -> list[Document]:
    """Read a corpus.jsonl file. Each row is a JSON object with an id, `text`, and optionally `title`.

    Args:
        path: The file.
        notes: Receives remarks about repaired rows.
    """
    documents = []
    for line, row in _json_objects(path, notes):
        text, title = row.get("text"), row.get("title") or ""
        if not isinstance(text, str) or not isinstance(title, str):
            raise InputError(f"{path}, line {line}: 'text' must be a string, and 'title' must be a string or absent")
        documents.append(Document(doc_id=_id_of(row, path, line), title=title, text=text))
    if not documents:
        raise InputError(f"{path}: the corpus is empty; write one JSON object per line")
    return documents


def read_queries(path: Path, notes: list[str] | None = None) -> list[Query]:
    """Read a queries.jsonl file. Each row is a JSON object with an id, `text`, and optionally `frequency`.

    Args:
        path: The file.
        notes: Receives remarks about repaired rows.
    """
    queries = []
    for line, row in _json_objects(path, notes):
        text, frequency = row.get("text"), row.get("frequency", 1)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}, line {line}: the query is empty; 'text' must be a string with its words")
        if (problem := frequency_error(frequency)) is not None:
            raise InputError(f"{path}, line {line}: 'frequency' {problem}")
        queries.append(Query(query_id=_id_of(row, path, line), text=" ".join(text.split()), frequency=frequency))
    if not queries:
        raise InputError(f"{path}: there are no queries; write one JSON object per line")
    return queries


def _required(folder: Path, name: str) -> Path:
    """Return the path of a file, plain or gzipped. Raises InputError if neither exists."""
    path = find_file(folder / name)
    if path is None:
        hint = "; write trec: for a folder with collection.tsv" if find_file(folder / "collection.tsv") else ""
        raise InputError(f"{folder / name}: the file cannot be read (No such file or directory){hint}")
    return path


def _qrels_path(folder: Path, split: str) -> Path | None:
    """Return the path of the qrels file for a split, or None if the folder has no judgements.

    Raises:
        InputError: The folder has qrels/ but no judgements for this split.
    """
    for path in (folder / "qrels" / f"{split}.tsv", folder / "qrels.tsv"):
        if (found := find_file(path)) is not None:
            return found
    if not (folder / "qrels").exists():
        return None
    raise InputError(f"{folder}: there is neither qrels/{split}.tsv nor qrels.tsv; check evaluation.split")


def _id_of(row: dict[str, Any], path: Path, line: int) -> str:
    """Return the id of a JSON object."""
    for key in _ID_KEYS:
        if isinstance(row.get(key), str | int) and not isinstance(row[key], bool) and str(row[key]).strip():
            return str(row[key])
    for key in _ID_KEYS:
        if row.get(key) is not None:
            raise InputError(f"{path}, line {line}: the id must be a string or an integer, not {repr(row[key])[:40]}")
    raise InputError(f"{path}, line {line}: the id is missing; name it one of {', '.join(_ID_KEYS)}")


def _json_objects(path: Path, notes: list[str] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, JSON object) for each row. Raises InputError for malformed rows and repeated ids."""
    seen: dict[str, int] = {}
    for line, row in read_json_rows(path, notes):
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {line}: expected a JSON object, not {type(row).__name__}")
        row_id = _id_of(row, path, line)
        if row_id in seen:
            raise InputError(f"{path}, line {line}: id {row_id!r} is already used on line {seen[row_id]}")
        seen[row_id] = line
        yield line, row
