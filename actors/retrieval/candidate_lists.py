"""Make candidate lists: retrieve and fuse the results of the first stages, or read existing lists from Parquet."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from actors.data.rows import Outcome, records, table_of
from actors.retrieval.engine_retriever import EngineResult
from actors.retrieval.engines import make_engine_retriever
from actors.retrieval.retrieved import FusedDocument, RetrievedDocuments
from actors.retrieval.retrievers import DOCUMENTS, make_retriever
from ranking.errors import InputError
from ranking.records import (
    FUSED,
    Candidate,
    CandidateList,
    Document,
    NamedList,
    Query,
    QueryCandidates,
    Rejection,
    SplitName,
)
from ranking.retrieval.deduplication import deduplicate
from ranking.retrieval.engine_hits import usable_scores
from ranking.settings import CandidateSettings
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name

_OUTCOMES: dict[SplitName, type[Outcome[Any]]] = {"log": Outcome[CandidateList], "test": Outcome[QueryCandidates]}


class CandidateRetriever:
    """Ray Data actor that retrieves candidates for log queries from all configured retrievers and fuses them.

    Documents with the same text are merged into one candidate.

    Args:
        index: Folder of the index.
        vectors: Folder of the embedding cache.
        settings: Settings of the retrievers.
        incomplete: Folder for what the lists of search engines lack (`IncompleteList`). None does not store it.
    """

    def __init__(
        self, index: Folder, vectors: Folder, settings: CandidateSettings, incomplete: Folder | None = None
    ) -> None:
        self.depth = settings.depth
        self.incomplete = incomplete
        self.documents = {document.doc_id: document for document in (index / DOCUMENTS).read_rows(Document)}
        documents = list(self.documents.values())
        self.engines = {engine.list_name: make_engine_retriever(engine) for engine in settings.engines}
        self.retrievers = {
            retriever.list_name: make_retriever(retriever, index, vectors, documents)
            for retriever in settings.without_engines().retrievers
        }
        self.names = [retriever.list_name for retriever in settings.retrievers]

    def retrieve(self, queries: Sequence[Query]) -> list[RetrievedDocuments]:
        """Run every retriever. Returns up to `depth` documents per retriever for each query."""
        lists = {name: retriever.search(queries, self.depth) for name, retriever in self.retrievers.items()}
        results = {name: engine.results(queries, self.depth) for name, engine in self.engines.items()}
        return [
            self._retrieved(
                query.query_id,
                {name: per_query[i] for name, per_query in lists.items()},
                {name: per_query[i] for name, per_query in results.items()},
            )
            for i, query in enumerate(queries)
        ]

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Map rows of Query to rows of Outcome[CandidateList]. Rejects queries without a result."""
        queries = records(batch, Query)
        retrieved = self.retrieve(queries)
        self.store_incomplete(retrieved)
        outcomes = []
        for query, found in zip(queries, retrieved, strict=True):
            problem = found.problem()
            fused = [] if problem else found.fused(sum(map(len, found.lists.values())))
            distinct = deduplicate(self.candidates(fused, found.documents))[: self.depth]
            outcomes.append(_list_outcome(query.query_id, query.text, distinct, problem or ""))
        return table_of(outcomes, Outcome[CandidateList])

    def candidates(
        self, fused: Sequence[FusedDocument], documents: Mapping[str, Document] = MappingProxyType({})
    ) -> list[Candidate]:
        """Make candidates from fused results, with rank, title and text.

        Args:
            fused: The results, best first.
            documents: Documents that take precedence over those of the collection, by document id.
        """
        texts = ChainMap(dict(documents), self.documents)
        return [
            Candidate(
                doc_id=doc_id,
                title=texts[doc_id].title,
                text=texts[doc_id].text,
                rank=rank,
                score=score,
                retriever=names,
            )
            for rank, (doc_id, score, names) in enumerate(fused, start=1)
        ]

    def store_incomplete(self, retrieved: Sequence[RetrievedDocuments]) -> None:
        """Store what the lists of search engines lack, before the lists themselves are stored."""
        rows = [incomplete for found in retrieved for incomplete in found.incomplete]
        if rows and self.incomplete is not None:
            self.incomplete.write_rows(part_name(found.query_id for found in retrieved), rows)

    def _retrieved(
        self, query_id: str, lists: Mapping[str, list[str]], results: Mapping[str, EngineResult]
    ) -> RetrievedDocuments:
        """Collect the lists of one query, in the order of the settings."""
        found = RetrievedDocuments(query_id)
        for result in results.values():
            found.add_texts(result, self.documents)
        for name in self.names:
            if name in results:
                found.add_engine(name, results[name], self.documents)
            else:
                found.lists[name] = lists[name]
        return found


class TestRetriever(CandidateRetriever):
    """Ray Data actor that retrieves test queries: one list for every retriever, and the fused list.

    Lists may be empty. Documents with the same text are not merged, because relevance judgments refer to document ids.
    """

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Map rows of Query to rows of Outcome[QueryCandidates]."""
        queries = records(batch, Query)
        retrieved = self.retrieve(queries)
        self.store_incomplete(retrieved)
        outcomes = []
        for query, found in zip(queries, retrieved, strict=True):
            lists = {name: self.candidates(found.of(name), found.documents) for name in found.lists}
            lists[FUSED] = self.candidates(found.fused(self.depth), found.documents)
            outcomes.append(_test_outcome(query.query_id, query.text, lists))
        return table_of(outcomes, Outcome[QueryCandidates])


def parquet_lists(batch: pa.Table, split: SplitName, settings: CandidateSettings) -> pa.Table:
    """Convert candidate lists that were read from Parquet files to outcomes.

    Malformed or empty lists of the log are rejected with a reason. In the test split they become empty lists.

    Args:
        batch: Rows of the Parquet files: query_id, text and candidates.
        split: Origin of the queries, "log" or "test".
        settings: Settings whose only retriever is of kind `parquet`.
    """
    name = settings.retrievers[0].list_name
    outcomes: list[Outcome[Any]] = []
    for row in batch.to_pylist():
        query_id, text = str(row["query_id"]), row.get("text") or ""
        try:
            candidates = _parquet_candidates(row, name)
            problem = "the list of candidates is empty" if text.strip() else "the query has no text"
        except (ValidationError, TypeError, KeyError, AttributeError) as error:
            candidates, problem = (
                [],
                f"a candidate needs doc_id and text, and may have title and score ({_first_problem(error)})",
            )
        if split == "test":
            outcomes.append(
                _test_outcome(query_id, text, {name: candidates[: settings.depth], FUSED: candidates[: settings.depth]})
            )
        else:
            distinct = deduplicate(candidates)[: settings.depth] if text.strip() else []
            outcomes.append(_list_outcome(query_id, text, distinct, f"{name}: {problem}"))
    return table_of(outcomes, _OUTCOMES[split])


def without_lists(batch: pa.Table, split: SplitName, settings: CandidateSettings) -> pa.Table:
    """Make outcomes for queries that the Parquet files lack: rejections for the log, empty lists for the test split."""
    name = settings.retrievers[0].list_name
    outcomes: list[Outcome[Any]] = []
    for query in records(batch, Query):
        if split == "test":
            outcomes.append(_test_outcome(query.query_id, query.text, {name: [], FUSED: []}))
        else:
            outcomes.append(
                _list_outcome(query.query_id, query.text, [], f"{name}: there is no candidate list for this query")
            )
    return table_of(outcomes, _OUTCOMES[split])


def _list_outcome(query_id: str, text: str, candidates: list[Candidate], problem: str) -> Outcome[CandidateList]:
    """Make the outcome of a log query: a candidate list, or a rejection for `problem` if the list is empty."""
    if not candidates:
        return Outcome(query_id=query_id, rejection=Rejection(query_id=query_id, stage="candidates", reason=problem))
    row = CandidateList(query_id=query_id, text=text, candidates=candidates)
    return Outcome(query_id=query_id, row=row)


def parquet_at(path: str) -> tuple[Folder, str | None]:
    """Resolve a path: for a folder return (folder, None), for a file (parent folder, file name)."""
    place = Folder(path)
    if not place.is_file():
        return place, None
    parent, _, name = place.uri.rpartition("/")
    return Folder(parent), name


def check_parquet_lists(path: str) -> None:
    """Check that candidate lists can be read from the Parquet files at a path.

    Raises:
        InputError: There is no Parquet file, or the first file is unreadable or lacks a column.
    """
    folder, part = parquet_at(path)
    names = [part] if part else folder.names(".parquet")
    if not names:
        raise InputError(f"{path}: no .parquet file found")
    for name in names[:1]:
        try:
            with folder.open(name) as stream:
                columns = pq.read_schema(stream).names
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"{path}: {name} cannot be read as a Parquet file ({' '.join(str(error).split())})"
            ) from None
        if missing := [column for column in ("query_id", "text", "candidates") if column not in columns]:
            raise InputError(
                f"{path}: {name} has no column {missing[0]!r}; required columns are query_id, text and candidates"
            )


def _parquet_candidates(row: dict[str, Any], source: str) -> list[Candidate]:
    """Read the candidates of a row, whose order is taken as best first. Keeps the first entry of a repeated document.

    Scores that cannot be used become 1 / rank, see `usable_scores`.
    """
    by_id: dict[str, dict[str, Any]] = {}
    for entry in row["candidates"] or []:
        by_id.setdefault(str(entry["doc_id"]), entry)
    rows = list(by_id.values())
    scores = usable_scores([entry.get("score") for entry in rows])
    return [
        Candidate(
            doc_id=str(entry["doc_id"]),
            title=entry.get("title") or "",
            text=entry["text"],
            rank=rank,
            score=score,
            retriever=source,
        )
        for rank, (entry, score) in enumerate(zip(rows, scores, strict=True), start=1)
    ]


def _test_outcome(query_id: str, text: str, lists: dict[str, list[Candidate]]) -> Outcome[QueryCandidates]:
    """Make the outcome of a test query."""
    named = [NamedList(name=name, candidates=candidates) for name, candidates in lists.items()]
    row = QueryCandidates(query_id=query_id, text=text, lists=named)
    return Outcome(query_id=query_id, split="test", row=row)


def _first_problem(error: Exception) -> str:
    """Describe the first problem that an error reports."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"{type(error).__name__} {error}"
