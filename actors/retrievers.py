"""First-stage retrieval on a worker: BM25 and dense search over an index, fused by reciprocal rank.

The index is a folder: documents/*.parquet and bm25/ (bm25s' own files). Vectors come from their memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import Stemmer

from actors.rows import FUSED, CandidateList, NamedList, Outcome, TestLists, records, table_of
from actors.vectors import TextVectors
from ranking.labelling.fusion import reciprocal_rank_fusion
from ranking.records import Candidate, Document, Query, Rejection
from ranking.settings import Bm25Settings, CandidateSettings, DenseSettings
from ranking.storage import Folder

DOCUMENTS = "documents"


def build_bm25(documents: Sequence[Document], settings: Bm25Settings, target: Folder) -> None:
    """Index documents with bm25s and write the index; documents keep their order."""
    retriever = bm25s.BM25(method="lucene", k1=settings.k1, b=settings.b)
    retriever.index(_tokens([document.content for document in documents]), show_progress=False)
    with tempfile.TemporaryDirectory() as local:
        retriever.save(local)
        Folder(local).copy_to(target)


class Bm25Retriever:
    """Lucene's BM25 over the documents of an index."""

    def __init__(self, index: Folder, doc_ids: Sequence[str]) -> None:
        self.doc_ids = doc_ids
        with tempfile.TemporaryDirectory() as local:
            (index / "bm25").copy_to(Folder(Path(local) / "bm25"))
            self.retriever = bm25s.BM25.load(str(Path(local) / "bm25"))

    def search(self, queries: Sequence[str], depth: int) -> list[list[str]]:
        """Retrieve up to depth documents per query, best first; documents that share no term are not results."""
        depth = min(depth, len(self.doc_ids))
        found, scores = self.retriever.retrieve(_tokens(queries), k=depth, show_progress=False)
        return [
            [self.doc_ids[row] for row, score in zip(rows, row_scores, strict=True) if score > 0]
            for rows, row_scores in zip(found, scores, strict=True)
        ]


class DenseRetriever:
    """Exact search: the cosine of query and document vector."""

    def __init__(self, memory: Folder, model: str, documents: Sequence[Document]) -> None:
        self.doc_ids = [document.doc_id for document in documents]
        self.vectors = TextVectors(memory, model)
        self.matrix = self.vectors.of([document.content for document in documents])

    def search(self, queries: Sequence[str], depth: int) -> list[list[str]]:
        """Retrieve depth documents per query, best first; equal scores in the index's order."""
        scores = self.vectors.of(queries) @ self.matrix.T
        best = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        return [[self.doc_ids[row] for row in rows] for rows in best]


class CandidateRetriever:
    """Ray Data actor: queries to candidate lists, from all retrievers of the settings, fused."""

    def __init__(self, index: Folder, vectors: Folder, settings: CandidateSettings) -> None:
        self.depth = settings.depth
        self.documents = {document.doc_id: document for document in (index / DOCUMENTS).read_rows(Document)}
        doc_ids = list(self.documents)
        self.retrievers: dict[str, Bm25Retriever | DenseRetriever] = {}
        for part in settings.retrievers:
            if isinstance(part, DenseSettings):
                self.retrievers[part.kind] = DenseRetriever(vectors, part.model, list(self.documents.values()))
            else:
                self.retrievers[part.kind] = Bm25Retriever(index, doc_ids)

    def lists(self, queries: Sequence[Query]) -> list[dict[str, list[Candidate]]]:
        """Retrieve for each query: {"bm25": ..., "dense": ..., "fused": ...}, each up to depth candidates."""
        texts = [query.text for query in queries]
        found = {name: retriever.search(texts, self.depth) for name, retriever in self.retrievers.items()}
        per_query = []
        for i in range(len(queries)):
            ranked = {name: lists[i] for name, lists in found.items()}
            lists = {name: self._candidates(reciprocal_rank_fusion({name: ids}, self.depth)) for name, ids in ranked.items()}
            lists[FUSED] = self._candidates(reciprocal_rank_fusion(ranked, self.depth))
            per_query.append(lists)
        return per_query

    def __call__(self, batch: pa.Table) -> pa.Table:
        queries = records(batch, Query)
        outcomes = []
        for query, lists in zip(queries, self.lists(queries), strict=True):
            if lists[FUSED]:
                row = CandidateList(query_id=query.query_id, text=query.text, candidates=lists[FUSED])
                outcomes.append(Outcome(query_id=query.query_id, row=row.model_dump_json()))
            else:
                rejection = Rejection(query_id=query.query_id, stage="candidates", reason="no retriever found a document")
                outcomes.append(Outcome(query_id=query.query_id, rejection=rejection))
        return table_of(outcomes, Outcome)

    def _candidates(self, fused: Sequence[tuple[str, float, str]]) -> list[Candidate]:
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
    """Ray Data actor: test queries to every retriever's list and the fused one; a list may be empty."""

    def __call__(self, batch: pa.Table) -> pa.Table:
        queries = records(batch, Query)
        outcomes = []
        for query, lists in zip(queries, self.lists(queries), strict=True):
            named = [NamedList(name=name, candidates=candidates) for name, candidates in lists.items()]
            row = TestLists(query_id=query.query_id, text=query.text, lists=named)
            outcomes.append(Outcome(query_id=query.query_id, split="test", row=row.model_dump_json()))
        return table_of(outcomes, Outcome)


def _tokens(texts: Sequence[str]) -> bm25s.tokenization.Tokenized:
    return bm25s.tokenize(list(texts), stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
