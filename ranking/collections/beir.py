"""BEIR folders: corpus.jsonl, queries.jsonl and qrels/<split>.tsv or one qrels.tsv.

Ids may be spelt `_id`, `doc_id`, `query_id` or `id`. A qrels line holds query, document and grade,
with or without a header, or the four columns of TREC. Where the folder has one qrels file only, the
judged queries are divided half and half by a hash of their id: one half to label, the other to test.
The judgements of the first half, or those of qrels/train.tsv, are kept for supervised controls. A folder without
any qrels has no test queries: all of its queries can be labelled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ranking.collections.collection import Collection
from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.stages import fingerprint_of

_ID_KEYS = ("_id", "doc_id", "query_id", "id")


def read(folder: Path, split: str) -> Collection:
    """Read a BEIR folder. Raises InputError with file and line for whatever is missing or malformed."""
    if not folder.is_dir():
        raise InputError(f"collection.source beir:{folder}: no such folder")
    documents = read_documents(folder / "corpus.jsonl")
    queries = read_queries(folder / "queries.jsonl")
    judged_path = _qrels_path(folder, split)
    if judged_path is None:
        return _unjudged(folder, documents, queries)
    qrels = read_qrels(judged_path, {query.query_id for query in queries})
    lacking = _judged_without_text(qrels, {document.doc_id for document in documents}, judged_path)
    files = [folder / "corpus.jsonl", folder / "queries.jsonl", judged_path]
    train_path = folder / "qrels" / "train.tsv"
    if judged_path.parent == folder:
        tested = {query_id for query_id in qrels if is_test_half(query_id)}
        log_qrels = {query_id: qrels[query_id] for query_id in sorted(qrels) if query_id not in tested}
    else:
        tested = set(qrels)
        log_qrels = {}
        if split != "train" and train_path.is_file():
            log_qrels = read_qrels(train_path, {query.query_id for query in queries})
            files.append(train_path)
    log = [query for query in queries if query.query_id not in tested]
    test = [query for query in queries if query.query_id in tested]
    if not test:
        raise InputError(f"{judged_path}: no judged query is left for the split {split!r}")
    notes = _notes_on(documents)
    if lacking:
        notes.append(f"{lacking:,} judged documents are not in the corpus: they count in the ideal ranking, and are never found")
    return Collection(
        name=folder.resolve().name,
        fingerprint=fingerprint_of("beir", split, [_sha256(path) for path in files]),
        documents=documents,
        log=log,
        test=test,
        qrels={query_id: qrels[query_id] for query_id in sorted(tested)},
        notes=notes,
        log_qrels={query_id: grades for query_id, grades in log_qrels.items() if query_id not in tested},
    )


def _unjudged(folder: Path, documents: list[Document], queries: list[Query]) -> Collection:
    """A folder without judgements: all of its queries can be labelled, none is tested."""
    fingerprint = fingerprint_of("beir", "unjudged", [_sha256(folder / name) for name in ("corpus.jsonl", "queries.jsonl")])
    notes = [*_notes_on(documents), "no qrels are there: labels can be made and learned from, but nothing measured"]
    return Collection(folder.resolve().name, fingerprint, documents, log=queries, test=[], qrels={}, notes=notes)


def _notes_on(documents: list[Document]) -> list[str]:
    empty = sum(not document.content.strip() for document in documents)
    return [f"{empty} documents without text are never retrieved"] if empty else []


def is_test_half(query_id: str) -> bool:
    """Whether a query belongs to the half that is tested; the same on every machine and for ever."""
    return hashlib.sha256(query_id.encode("utf-8")).digest()[0] % 2 == 1


def read_documents(path: Path) -> list[Document]:
    """Read corpus.jsonl: an id, `text`, and perhaps `title`, on each line."""
    documents = []
    for line, row in _json_lines(path):
        text, title = row.get("text"), row.get("title") or ""
        if not isinstance(text, str) or not isinstance(title, str):
            raise InputError(f"{path}, line {line}: 'text' must be a string, and 'title' too where there is one")
        documents.append(Document(doc_id=_id_of(row, path, line), title=title, text=text))
    if not documents:
        raise InputError(f"{path}: the corpus is empty; one JSON object a line is expected")
    return documents


def read_queries(path: Path) -> list[Query]:
    """Read queries.jsonl: an id and `text`, and perhaps `frequency`, on each line."""
    queries = []
    for line, row in _json_lines(path):
        text, frequency = row.get("text"), row.get("frequency", 1)
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}, line {line}: the query is empty; 'text' must hold its words")
        if not isinstance(frequency, int) or isinstance(frequency, bool) or frequency < 1:
            raise InputError(f"{path}, line {line}: 'frequency' must be a whole number from 1 up, not {frequency!r}")
        queries.append(Query(query_id=_id_of(row, path, line), text=" ".join(text.split()), frequency=frequency))
    if not queries:
        raise InputError(f"{path}: there are no queries; one JSON object a line is expected")
    return queries


def read_qrels(path: Path, query_ids: set[str]) -> dict[str, dict[str, int]]:
    """Read judgements into {query_id: {doc_id: grade}}.

    Raises InputError for a malformed line, an unknown query, or a pair judged twice.
    """
    qrels: dict[str, dict[str, int]] = {}
    for line, text in read_lines(path):
        fields = text.split("\t") if "\t" in text else text.split()
        if len(fields) not in (3, 4):
            raise InputError(f"{path}, line {line}: 3 or 4 columns are expected (query, document, grade), not {len(fields)}")
        query_id, doc_id, grade = fields[0], fields[-2], fields[-1]
        if line == 1 and not _is_integer(grade):
            continue
        if not _is_integer(grade):
            raise InputError(f"{path}, line {line}: the grade must be a whole number, not {grade!r}")
        if query_id not in query_ids:
            raise InputError(f"{path}, line {line}: query {query_id!r} is not among the queries")
        if doc_id in qrels.setdefault(query_id, {}):
            raise InputError(f"{path}, line {line}: query {query_id!r} and document {doc_id!r} are judged twice")
        qrels[query_id][doc_id] = int(grade)
    if not qrels:
        raise InputError(f"{path}: there are no judgements")
    return qrels


def _judged_without_text(qrels: dict[str, dict[str, int]], doc_ids: set[str], path: Path) -> int:
    """Count judged documents that the corpus lacks. Raises InputError where it lacks them all: the ids are of something else."""
    judged = {doc_id for grades in qrels.values() for doc_id in grades}
    if not judged & doc_ids:
        raise InputError(
            f"{path}: none of its {len(judged):,} documents is in the corpus, {min(judged)!r} for one; the ids must be the same"
        )
    return len(judged - doc_ids)


def _qrels_path(folder: Path, split: str) -> Path | None:
    """Where the judgements of a split are; None for a folder without any. Raises InputError where there are those of other splits only."""
    for path in (folder / "qrels" / f"{split}.tsv", folder / "qrels.tsv"):
        if path.is_file():
            return path
    if not (folder / "qrels").exists():
        return None
    raise InputError(f"{folder}: neither qrels/{split}.tsv nor qrels.tsv is there")


def _id_of(row: dict[str, Any], path: Path, line: int) -> str:
    for key in _ID_KEYS:
        if isinstance(row.get(key), str | int) and not isinstance(row[key], bool) and str(row[key]).strip():
            return str(row[key])
    raise InputError(f"{path}, line {line}: an id is missing; it is called one of {', '.join(_ID_KEYS)}")


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) and refuse an id that comes twice."""
    seen: dict[str, int] = {}
    for line, text in read_lines(path):
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{path}, line {line}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {line}: a JSON object is expected, not {type(row).__name__}")
        row_id = _id_of(row, path, line)
        if row_id in seen:
            raise InputError(f"{path}, line {line}: id {row_id!r} stands on line {seen[row_id]} already")
        seen[row_id] = line
        yield line, row


def _is_integer(text: str) -> bool:
    return text.strip().lstrip("-").isdigit()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
