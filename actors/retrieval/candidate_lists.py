"""Candidate lists: what the first stages find for a query, fused; or lists that arrive whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from actors.data.rows import FUSED, CandidateList, NamedList, Outcome, QueryCandidates, SplitName, records, table_of
from actors.retrieval.retrievers import DOCUMENTS, make_retriever
from ranking.errors import InputError
from ranking.records import Candidate, Document, Query, Rejection
from ranking.retrieval.deduplication import deduplicate
from ranking.retrieval.fusion import reciprocal_rank_fusion
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder


class CandidateRetriever:
    """Ray Data actor: queries of the log to candidate lists, from all retrievers of the settings, fused.

    Documents of equal text stand once.
    """

    def __init__(self, index: Folder, vectors: Folder, settings: CandidateSettings) -> None:
        self.depth = settings.depth
        self.documents = {document.doc_id: document for document in (index / DOCUMENTS).read_rows(Document)}
        documents = list(self.documents.values())
        self.retrievers = {part.called: make_retriever(part, index, vectors, documents) for part in settings.retrievers}

    def found(self, queries: Sequence[Query]) -> list[dict[str, list[str]]]:
        """Retrieve for each query: {retriever: ids of up to depth documents, best first}."""
        lists = {name: retriever.search(queries, self.depth) for name, retriever in self.retrievers.items()}
        return [{name: per_query[i] for name, per_query in lists.items()} for i in range(len(queries))]

    def __call__(self, batch: pa.Table) -> pa.Table:
        queries = records(batch, Query)
        outcomes = []
        for query, ranked in zip(queries, self.found(queries), strict=True):
            fused = self.candidates(reciprocal_rank_fusion(ranked, sum(map(len, ranked.values()))))
            outcomes.append(
                _list_outcome(
                    query.query_id, query.text, deduplicate(fused)[: self.depth], "no retriever found a document"
                )
            )
        return table_of(outcomes, Outcome)

    def candidates(self, fused: Sequence[tuple[str, float, str]]) -> list[Candidate]:
        """Candidates with their texts, from (doc_id, score, retrievers), best first."""
        return [
            Candidate(
                doc_id=doc_id,
                title=self.documents[doc_id].title,
                text=self.documents[doc_id].text,
                rank=rank,
                score=score,
                retriever=names,
            )
            for rank, (doc_id, score, names) in enumerate(fused, start=1)
        ]


class TestRetriever(CandidateRetriever):
    """Ray Data actor: test queries to every retriever's list and the fused one; a list may be empty, and nothing is duplicates,
    since each document is judged by its own id."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        queries = records(batch, Query)
        outcomes = []
        for query, ranked in zip(queries, self.found(queries), strict=True):
            lists = {
                name: self.candidates(reciprocal_rank_fusion({name: ids}, self.depth)) for name, ids in ranked.items()
            }
            lists[FUSED] = self.candidates(reciprocal_rank_fusion(ranked, self.depth))
            outcomes.append(_test_outcome(query.query_id, query.text, lists))
        return table_of(outcomes, Outcome)


def given_lists(batch: pa.Table, split: SplitName, settings: CandidateSettings) -> pa.Table:
    """Rows that arrived with their candidates to outcomes; what a row of the log lacks is the reason of its rejection."""
    name = settings.retrievers[0].called
    outcomes = []
    for row in batch.to_pylist():
        query_id, text = str(row["query_id"]), row.get("text") or ""
        try:
            candidates = _given(row, name)
            lacking = "the list of candidates is empty" if text.strip() else "the query has no text"
        except (ValidationError, TypeError, KeyError, AttributeError) as error:
            candidates, lacking = (
                [],
                f"a candidate needs doc_id and text, and may have title and score ({_first(error)})",
            )
        if split == "test":
            outcomes.append(
                _test_outcome(query_id, text, {name: candidates[: settings.depth], FUSED: candidates[: settings.depth]})
            )
        else:
            kept = deduplicate(candidates)[: settings.depth] if text.strip() else []
            outcomes.append(_list_outcome(query_id, text, kept, f"{name}: {lacking}"))
    return table_of(outcomes, Outcome)


def without_lists(batch: pa.Table, split: SplitName, settings: CandidateSettings) -> pa.Table:
    """Queries for which no candidates arrived to outcomes."""
    name = settings.retrievers[0].called
    outcomes = []
    for query in records(batch, Query):
        if split == "test":
            outcomes.append(_test_outcome(query.query_id, query.text, {name: [], FUSED: []}))
        else:
            outcomes.append(_list_outcome(query.query_id, query.text, [], f"{name}: the query is not among the lists"))
    return table_of(outcomes, Outcome)


def _list_outcome(query_id: str, text: str, candidates: list[Candidate], lacking: str) -> Outcome:
    """A candidate list, or a rejection with what is lacking where it is empty."""
    if not candidates:
        return Outcome(query_id=query_id, rejection=Rejection(query_id=query_id, stage="candidates", reason=lacking))
    row = CandidateList(query_id=query_id, text=text, candidates=candidates)
    return Outcome(query_id=query_id, row=row.model_dump_json())


def parquet_at(path: str) -> tuple[Folder, str | None]:
    """The folder of a parquet folder or file, and the file's name where it is one."""
    place = Folder(path)
    if not place.is_file():
        return place, None
    parent, _, name = place.uri.rpartition("/")
    return Folder(parent), name


def check_given(path: str) -> None:
    """Raise InputError where there is no parquet, or one of its files lacks a column."""
    folder, part = parquet_at(path)
    names = [part] if part else folder.names(".parquet")
    if not names:
        raise InputError(f"{path}: holds no .parquet file")
    for name in names[:1]:
        try:
            with folder.open(name) as stream:
                columns = pq.read_schema(stream).names
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path}: {name} is no parquet file that can be read ({' '.join(str(error).split())})"
            ) from None
        if lacking := [column for column in ("query_id", "text", "candidates") if column not in columns]:
            raise InputError(
                f"{path}: {name} lacks column {lacking[0]!r}; a row is a query with query_id, text and candidates"
            )


def _given(row: dict[str, Any], source: str) -> list[Candidate]:
    """A row's candidates, best first as they stand; of a document that stands twice, the first.

    Scores that rise down the list, distances say, or lack somewhere, give way to 1 / place.
    """
    first: dict[str, dict[str, Any]] = {}
    for held in row["candidates"] or []:
        first.setdefault(str(held["doc_id"]), held)
    rows = list(first.values())
    scores = [held.get("score") for held in rows]
    if None in scores or any(after > before for before, after in itertools.pairwise(scores)):
        scores = [1.0 / rank for rank in range(1, len(rows) + 1)]
    return [
        Candidate(
            doc_id=str(held["doc_id"]),
            title=held.get("title") or "",
            text=held["text"],
            rank=rank,
            score=score,
            retriever=source,
        )
        for rank, (held, score) in enumerate(zip(rows, scores, strict=True), start=1)
    ]


def _test_outcome(query_id: str, text: str, lists: dict[str, list[Candidate]]) -> Outcome:
    named = [NamedList(name=name, candidates=candidates) for name, candidates in lists.items()]
    row = QueryCandidates(query_id=query_id, text=text, lists=named)
    return Outcome(query_id=query_id, split="test", row=row.model_dump_json())


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__} {error}"
