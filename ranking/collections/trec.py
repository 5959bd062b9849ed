"""Folders of TREC files: documents, topics and qrels, each plain or gzipped.

Documents: corpus.jsonl as in BEIR; collection.tsv, an id and a text on each line; or corpus.trec, <DOC> after <DOC> with
<DOCNO> and <TEXT>, and perhaps <TITLE> or <HEADLINE>. Topics: topics.tsv, an id and a text; or topics.txt with <top>,
<num> and <title>. Judgements: qrels.<split>.txt, tested whole, or qrels.txt, divided as BEIR's. Runs are candidates
(docs/candidates.md).
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
    """Read a folder. Raises InputError with file and line for whatever is missing or malformed."""
    if not folder.is_dir():
        raise InputError(f"collection.source trec:{folder}: no such folder")
    corpus, topics = _one_of(folder, _DOCUMENTS), _one_of(folder, _TOPICS)
    documents, queries = read_documents(corpus), read_topics(topics)
    files, judgements = [corpus, topics], None
    for name, whole in ((f"qrels.{split}.txt", True), ("qrels.txt", False)):
        path = _present(folder, name)
        if path is not None:
            qrels = beir.read_qrels(path, {query.query_id for query in queries})
            files, judgements = [*files, path], Judgements(qrels, str(path), whole)
            break
    fingerprint = fingerprint_of("trec", split if judgements else "unjudged", [sha256_of(path) for path in files])
    return assembled(folder.resolve().name, fingerprint, documents, queries, judgements)


def read_documents(path: Path) -> list[Document]:
    """Read documents in any of their three forms."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return beir.read_documents(path)
    if name.endswith(".trec"):
        read = list(_tagged_documents(path))
    else:
        read = [Document(doc_id=doc_id, text=text) for doc_id, text in _pairs(path, "document")]
    if not read:
        raise InputError(f"{path}: there are no documents")
    _refuse_twice(path, [document.doc_id for document in read], "document")
    return read


def read_topics(path: Path) -> list[Query]:
    """Read topics in any of their forms; of a TREC topic its title."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        return beir.read_queries(path)
    pairs = list(_pairs(path, "topic") if name.endswith(".tsv") else _tagged_topics(path))
    if not pairs:
        raise InputError(f"{path}: there are no topics")
    _refuse_twice(path, [query_id for query_id, _ in pairs], "topic")
    return [Query(query_id=query_id, text=text) for query_id, text in pairs]


def _pairs(path: Path, what: str) -> Iterator[tuple[str, str]]:
    for line, row in read_lines(path):
        key, tab, text = row.partition("\t")
        if not tab or not key.strip():
            raise InputError(f"{path}, line {line}: an id, a tab and the {what}'s text are expected")
        if what == "topic" and not text.strip():
            raise InputError(f"{path}, line {line}: the topic is empty")
        yield key.strip(), " ".join(text.split())


def _blocks(path: Path, tag: str) -> Iterator[tuple[int, str]]:
    """Yield (line of its start, content) of every <tag>...</tag>; tags of any case."""
    begin, end = f"<{tag}>", f"</{tag}>"
    held: list[str] | None = None
    start = 0
    for line, text in read_lines(path):
        lowered = text.lower().strip()
        if lowered.startswith(begin):
            if held is not None:
                raise InputError(f"{path}, line {line}: {begin} begins before the one of line {start} ends")
            held, start = [], line
        elif lowered.startswith(end):
            if held is None:
                raise InputError(f"{path}, line {line}: {end} ends nothing")
            yield start, "\n".join(held)
            held = None
        elif held is not None:
            held.append(text)
    if held is not None:
        raise InputError(f"{path}, line {start}: {begin} does not end")


def _tagged_documents(path: Path) -> Iterator[Document]:
    for line, block in _blocks(path, "doc"):
        number = _field(block, "docno")
        if not number:
            raise InputError(f"{path}, line {line}: the document has no <DOCNO>")
        title = _field(block, "title") or _field(block, "headline")
        yield Document(doc_id=number, title=title, text=" ".join(_fields(block, "text")))


def _tagged_topics(path: Path) -> Iterator[tuple[str, str]]:
    for line, block in _blocks(path, "top"):
        # older topics do not close their fields: each ends where the next tag begins
        found = {name.lower(): text for name, text in re.findall(r"<(num|title)>([^<]*)", block, re.IGNORECASE)}
        number, title = _NUMBER.sub("", _plain(found.get("num", ""))), _TITLE.sub("", _plain(found.get("title", "")))
        if not number or not title:
            raise InputError(f"{path}, line {line}: the topic has no {'<num>' if not number else '<title>'}")
        yield number, title


def _fields(block: str, tag: str) -> list[str]:
    return [_plain(text) for text in re.findall(rf"<{tag}>(.*?)</{tag}>", block, re.IGNORECASE | re.DOTALL)]


def _field(block: str, tag: str) -> str:
    return next(iter(_fields(block, tag)), "")


def _plain(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


def _refuse_twice(path: Path, ids: list[str], what: str) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise InputError(f"{path}: {what} {one!r} stands twice")
        seen.add(one)


def _present(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        path = _present(folder, name)
        if path is not None:
            return path
    raise InputError(f"{folder}: none of {', '.join(names)} is there")
