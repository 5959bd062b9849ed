"""Read folders of TREC files: documents, topics and qrels, each plain or gzipped.

- Documents: corpus.jsonl as in BEIR; collection.tsv with an id and a text on each line; or corpus.trec with <DOC>
  elements that have <DOCNO>, <TEXT>, and optionally <TITLE> or <HEADLINE>.
- Topics: topics.tsv with an id and a text on each line; topics.txt with <top>, <num> and <title>; or queries.jsonl as
  in BEIR.
- Judgements: qrels.<split>.txt, whose queries all become test queries, or qrels.txt, whose queries are divided into
  test queries and queries that can be labelled (`ranking.collections.splits`).

TREC run files are not part of a collection. They can be used as candidate lists (docs/candidates.md).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

from ranking.collections import beir
from ranking.collections.collection import Collection
from ranking.collections.lines import read_lines, sha256_of
from ranking.collections.splits import Judgements, assembled
from ranking.errors import InputError
from ranking.records import Document, Query
from ranking.runs.stages import fingerprint_of

_DOCUMENTS = ("corpus.jsonl", "collection.tsv", "corpus.trec")
_TOPICS = ("topics.tsv", "topics.txt", "queries.jsonl")
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_NUMBER = re.compile(r"^(?:number\s*:?)?\s*", re.IGNORECASE)
_TITLE = re.compile(r"^(?:topic\s*:)?\s*", re.IGNORECASE)


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
    corpus, topics = _first_of(folder, _DOCUMENTS), _first_of(folder, _TOPICS)
    documents, queries = read_documents(corpus), read_topics(topics)
    files, judgements = [corpus, topics], None
    for name, whole in ((f"qrels.{split}.txt", True), ("qrels.txt", False)):
        path = _find(folder, name)
        if path is not None:
            qrels = beir.read_qrels(path, {query.query_id for query in queries})
            files, judgements = [*files, path], Judgements(qrels, str(path), whole)
            break
    fingerprint = fingerprint_of("trec", split if judgements else "unjudged", [sha256_of(path) for path in files])
    return assembled(folder.resolve().name, fingerprint, documents, queries, judgements)


def read_documents(path: Path) -> list[Document]:
    """Read documents from a .jsonl, .tsv or .trec file, plain or gzipped."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return beir.read_documents(path)
    if name.endswith(".trec"):
        documents = list(_tagged_documents(path))
    else:
        documents = [Document(doc_id=doc_id, text=text) for doc_id, text in _pairs(path, "document")]
    if not documents:
        raise InputError(f"{path}: there are no documents")
    _check_unique(path, [document.doc_id for document in documents], "document")
    return documents


def read_topics(path: Path) -> list[Query]:
    """Read topics from a .jsonl, .tsv or .txt file, plain or gzipped. The title of a TREC topic becomes the query."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return beir.read_queries(path)
    pairs = list(_pairs(path, "topic") if name.endswith(".tsv") else _tagged_topics(path))
    if not pairs:
        raise InputError(f"{path}: there are no topics")
    _check_unique(path, [query_id for query_id, _ in pairs], "topic")
    return [Query(query_id=query_id, text=text) for query_id, text in pairs]


def _pairs(path: Path, kind: str) -> Iterator[tuple[str, str]]:
    """Yield (id, text) for each line of a .tsv file.

    Args:
        path: The file.
        kind: "document" or "topic", for error messages. The text of a document may be empty, that of a topic may not.
    """
    for line, row in read_lines(path):
        key, tab, text = row.partition("\t")
        if not tab or not key.strip():
            raise InputError(f"{path}, line {line}: expected an id, a tab and the text of the {kind}")
        if kind == "topic" and not text.strip():
            raise InputError(f"{path}, line {line}: the topic is empty")
        yield key.strip(), " ".join(text.split())


def _blocks(path: Path, tag: str) -> Iterator[tuple[int, str]]:
    """Yield (line number of the opening tag, content) for every <tag>...</tag> element in a file.

    Tags must be at the start of a line, in upper or lower case. The content is the lines between the two tags.
    """
    begin, end = f"<{tag}>", f"</{tag}>"
    lines: list[str] | None = None
    start = 0
    for line, text in read_lines(path):
        lowered = text.lower().strip()
        if lowered.startswith(begin):
            if lines is not None:
                raise InputError(f"{path}, line {line}: {begin} opens before {end} closes the one on line {start}")
            lines, start = [], line
        elif lowered.startswith(end):
            if lines is None:
                raise InputError(f"{path}, line {line}: {end} without {begin}")
            yield start, "\n".join(lines)
            lines = None
        elif lines is not None:
            lines.append(text)
    if lines is not None:
        raise InputError(f"{path}, line {start}: {begin} is not closed")


def _tagged_documents(path: Path) -> Iterator[Document]:
    """Yield the <DOC> elements of a file as documents."""
    for line, block in _blocks(path, "doc"):
        number = _field(block, "docno")
        if not number:
            raise InputError(f"{path}, line {line}: the document has no <DOCNO>")
        title = _field(block, "title") or _field(block, "headline")
        yield Document(doc_id=number, title=title, text=" ".join(_fields(block, "text")))


def _tagged_topics(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (id, title) for each <top> element of a file."""
    for line, block in _blocks(path, "top"):
        # Older topic files do not close their fields, so a field ends at the next tag.
        fields = {name.lower(): text for name, text in re.findall(r"<(num|title)>([^<]*)", block, re.IGNORECASE)}
        number, title = _NUMBER.sub("", _plain(fields.get("num", ""))), _TITLE.sub("", _plain(fields.get("title", "")))
        if not number or not title:
            raise InputError(f"{path}, line {line}: the topic has no {'<num>' if not number else '<title>'}")
        yield number, title


def _fields(block: str, tag: str) -> list[str]:
    """Return the plain text of every <tag> element in a block."""
    return [_plain(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", block, re.IGNORECASE | re.DOTALL)]


def _field(block: str, tag: str) -> str:
    """Return the plain text of the first <tag> element in a block, or an empty string if there is none."""
    return next(iter(_fields(block, tag)), "")


def _plain(text: str) -> str:
    """Remove tags, unescape entities and normalize white space."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def _check_unique(path: Path, ids: list[str], kind: str) -> None:
    """Raise InputError if an id is repeated."""
    seen: set[str] = set()
    for item_id in ids:
        if item_id in seen:
            raise InputError(f"{path}: {kind} id {item_id!r} is repeated; ids must be unique")
        seen.add(item_id)


def _find(folder: Path, name: str) -> Path | None:
    """Return the path of a file, or of its gzipped version (name + ".gz"). Return None if neither exists."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _first_of(folder: Path, names: tuple[str, ...]) -> Path:
    """Return the first existing file of several candidates, plain or gzipped. Raises InputError if none exists."""
    for name in names:
        path = _find(folder, name)
        if path is not None:
            return path
    raise InputError(f"{folder}: none of {', '.join(names)} exists")
