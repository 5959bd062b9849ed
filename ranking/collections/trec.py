"""Read folders of TREC or MS MARCO files, each plain or gzipped.

- Documents: corpus.jsonl as in BEIR; collection.tsv with an id and a text on each line; msmarco-docs.tsv with id, URL,
  title and text; or corpus.trec with <DOC> elements (`ranking.collections.trec_markup`).
- Topics: topics.tsv or queries.tsv with an id and a text on each line; topics.txt or topics.xml with tags; or
  queries.jsonl as in BEIR. A name with the split, such as queries.dev.tsv, comes first; then queries.train.tsv, if it
  exists, has the queries to label.
- Judgements: qrels.<split>.txt or .tsv, whose queries all become test queries, or qrels.txt or .tsv, whose queries are
  divided into test queries and queries that can be labelled (`ranking.collections.splits`). Judgements in
  qrels.train.txt or .tsv are kept for supervised baselines.

A .tsv file may have a header that names its columns. TREC run files are not part of a collection. They can be used as
candidate lists (docs/candidates.md).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.collections.lines import find_file, read_bytes, sha256_of, suffix_of
from ranking.collections.qrels import read_qrels
from ranking.collections.splits import Judgements, assemble_collection
from ranking.collections.text_tables import MSMARCO_DOCUMENT_COLUMNS, read_text_table
from ranking.collections.trec_markup import read_tagged_documents, read_tagged_topics
from ranking.collections.xml_topics import read_xml_topics
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

_DOCUMENTS = ("corpus.jsonl", "collection.tsv", "corpus.trec", "msmarco-docs.tsv")
_TOPICS = ("topics.tsv", "topics.txt", "topics.xml", "queries.jsonl", "queries.tsv")
_XML_STARTS = (b"<?xml", b"<!doctype", b"<topic", b"<xml")

Row = TypeVar("Row", Document, Query)


def read(folder: Path, split: str) -> Collection:
    """Read a folder of TREC files.

    Args:
        folder: The folder.
        split: Name of the judged split, such as "test".

    Raises:
        InputError: A file is missing, or a line is malformed. The message names file and line.
    """
    if not folder.is_dir():
        raise InputError(f"collection.source trec:{folder}: no such folder")
    corpus, topics = _first_of(folder, _DOCUMENTS), _topic_files(folder, split)
    notes: list[str] = []
    documents = read_documents(corpus, notes)
    queries = _read_all_topics(topics, notes)
    files, judgements = [corpus, *topics], None
    split_path, path = _find_qrels(folder, f".{split}"), _find_qrels(folder, "")
    if (judged_path := split_path or path) is not None:
        judgements = Judgements(read_qrels(judged_path), str(judged_path), whole=split_path is not None)
        files.append(judged_path)
        train_path = _find_qrels(folder, ".train")
        if judgements.whole and split != "train" and train_path is not None:
            judgements.log_qrels = read_qrels(train_path)
            files.append(train_path)
    fingerprint = fingerprint_of("trec", split if judgements else "unjudged", [sha256_of(path) for path in files])
    return assemble_collection(folder.resolve().name, fingerprint, documents, queries, judgements, notes)


def read_documents(path: Path, notes: list[str] | None = None) -> list[Document]:
    """Read documents from a .jsonl, .tsv or .trec file, plain or gzipped.

    Args:
        path: The file.
        notes: Receives remarks about repaired or incomplete rows.
    """
    notes = [] if notes is None else notes
    if suffix_of(path) == ".jsonl":
        return beir.read_documents(path, notes)
    rows = read_tagged_documents(path, notes) if suffix_of(path) == ".trec" else _table_documents(path)
    documents = _unique(path, "document", ((line, document.doc_id, document) for line, document in rows))
    if not documents:
        raise InputError(f"{path}: there are no documents")
    return documents


def read_topics(path: Path, notes: list[str] | None = None) -> list[Query]:
    """Read topics from a .jsonl, .tsv, .txt or .xml file, plain or gzipped.

    Args:
        path: The file. The <title> or <query> of a topic becomes the query.
        notes: Receives remarks about repaired rows.
    """
    if suffix_of(path) == ".jsonl":
        return beir.read_queries(path, notes)
    rows = _table_topics(path) if suffix_of(path) == ".tsv" else _markup_topics(path)
    queries = _unique(path, "topic", ((line, key, Query(query_id=key, text=text)) for line, key, text in rows))
    if not queries:
        raise InputError(f"{path}: there are no topics")
    return queries


def _table_documents(path: Path) -> Iterator[tuple[int, Document]]:
    """Yield (line number, document) for each row of a .tsv file."""
    columns = MSMARCO_DOCUMENT_COLUMNS if path.name.startswith("msmarco-docs") else ()
    for row in read_text_table(path, "document", columns):
        yield row.line, Document(doc_id=row.row_id, title=row.title, text=row.text)


def _table_topics(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, id, text) for each row of a .tsv file."""
    for row in read_text_table(path, "topic"):
        if not row.text:
            raise InputError(f"{path}, line {row.line}: the topic is empty")
        yield row.line, row.row_id, row.text


def _markup_topics(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, id, text) for each topic of an XML file or a file of <top> elements."""
    first = b"".join(read_bytes(path)[:1000].removeprefix(codecs.BOM_UTF8).split(maxsplit=1)[:1]).lower()
    is_xml = first.startswith(_XML_STARTS) or (suffix_of(path) == ".xml" and not first.startswith(b"<top>"))
    return read_xml_topics(path) if is_xml else read_tagged_topics(path)


def _unique(path: Path, kind: str, rows: Iterable[tuple[int, str, Row]]) -> list[Row]:
    """Return the rows of (line number, id, row) tuples. Raises InputError if an id is repeated."""
    lines: dict[str, int] = {}
    unique = []
    for line, row_id, row in rows:
        if row_id in lines:
            raise InputError(
                f"{path}, line {line}: {kind} id {row_id!r} is repeated; it is already used on line {lines[row_id]}"
            )
        lines[row_id] = line
        unique.append(row)
    return unique


def _read_all_topics(paths: Sequence[Path], notes: list[str]) -> list[Query]:
    """Read one or several files of topics. Raises InputError if two of them share an id."""
    queries: dict[str, Query] = {}
    for path in paths:
        for query in read_topics(path, notes):
            if query.query_id in queries:
                raise InputError(f"{path}: topic id {query.query_id!r} is also in {paths[0].name}; ids must be unique")
            queries[query.query_id] = query
    return list(queries.values())


def _topic_files(folder: Path, split: str) -> list[Path]:
    """Return the file of topics; or the file of the split, and that of the split "train" if it exists."""
    of_split = _find_topics(folder, f".{split}")
    if of_split is None:
        return [_first_of(folder, _TOPICS)]
    train = None if split == "train" else _find_topics(folder, ".train")
    return [of_split, *([train] if train else [])]


def _find_topics(folder: Path, split: str) -> Path | None:
    """Return the first existing file of topics for a split, given as a dot and its name."""
    names = (f"{Path(name).stem}{split}{Path(name).suffix}" for name in _TOPICS)
    return next((path for name in names if (path := find_file(folder / name))), None)


def _find_qrels(folder: Path, split: str) -> Path | None:
    """Return the first existing qrels file for a split, given as a dot and its name, or as an empty text."""
    names = (f"qrels{split}.txt", f"qrels{split}.tsv")
    return next((path for name in names if (path := find_file(folder / name))), None)


def _first_of(folder: Path, names: Sequence[str]) -> Path:
    """Return the first existing file of several candidates, plain or gzipped. Raises InputError if none exists."""
    path = next((path for name in names if (path := find_file(folder / name))), None)
    if path is None:
        raise InputError(f"{folder}: none of {', '.join(names)} exists")
    return path
