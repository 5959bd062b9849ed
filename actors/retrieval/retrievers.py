"""First stages on a worker: BM25 and dense search over an index, and lists that another system found.

The index is a folder: documents/*.parquet and bm25/ (bm25s' own files). Vectors come from their memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np
import Stemmer

from actors.retrieval.embeddings import TextVectors
from ranking import unsegmented
from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of, read_run
from ranking.records import Document, Query
from ranking.settings import Bm25Settings, DenseSettings, RetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched

DOCUMENTS = "documents"
_TERM = rf"(?u)[{unsegmented.CHARACTERS}]{{1,2}}|\b\w\w+\b"
_HNSW_NEIGHBOURS = 32


class Retriever(Protocol):
    """A first stage."""

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Ids of up to depth documents per query, best first."""


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

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Retrieve up to depth documents per query, best first; documents that share no term are not results."""
        depth = min(depth, len(self.doc_ids))
        found, scores = self.retriever.retrieve(
            _tokens([query.text for query in queries]), k=depth, show_progress=False
        )
        return [
            [self.doc_ids[row] for row, score in zip(rows, row_scores, strict=True) if score > 0]
            for rows, row_scores in zip(found, scores, strict=True)
        ]


class DenseRetriever:
    """The cosine of query and document vector: exact, or by a faiss graph that may miss some."""

    def __init__(self, memory: Folder, settings: DenseSettings, documents: Sequence[Document]) -> None:
        self.doc_ids = [document.doc_id for document in documents]
        self.vectors = TextVectors(memory, settings.model)
        matrix = self.vectors.of([document.content for document in documents])
        self.nearest: Callable[[np.ndarray, int], np.ndarray] = (
            _graph(matrix) if settings.search == "faiss" else _exact(matrix)
        )

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Retrieve depth documents per query, best first; equal scores in the index's order."""
        found = self.nearest(self.vectors.of([query.text for query in queries]), min(depth, len(self.doc_ids)))
        return [[self.doc_ids[row] for row in rows if row >= 0] for rows in found]


class RunRetriever:
    """Lists that another system found, from a run file; documents without text here are left out."""

    def __init__(self, path: str, doc_ids: Sequence[str]) -> None:
        known = set(doc_ids)
        with fetched(path) as local:
            run = read_run(local)
        self.orders = {
            query_id: [doc_id for doc_id in order_of(scores) if doc_id in known] for query_id, scores in run.items()
        }

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """The best depth documents that the run holds for each query; none where it does not hold the query."""
        return [self.orders.get(query.query_id, [])[:depth] for query in queries]


def make_retriever(
    settings: RetrieverSettings, index: Folder, memory: Folder, documents: Sequence[Document]
) -> Retriever:
    """Make the retriever that the settings name."""
    if isinstance(settings, DenseSettings):
        return DenseRetriever(memory, settings, documents)
    doc_ids = [document.doc_id for document in documents]
    if isinstance(settings, RunRetrieverSettings):
        return RunRetriever(settings.path, doc_ids)
    return Bm25Retriever(index, doc_ids)


def check_run(settings: RunRetrieverSettings, doc_ids: set[str], collection: str) -> None:
    """Raise InputError where a run names documents that the collection lacks."""
    with fetched(settings.path) as local:
        unknown = {doc_id for scores in read_run(local).values() for doc_id in scores} - doc_ids
    if unknown:
        raise InputError(
            f"{settings.path}: {len(unknown):,} documents are not in collection {collection}, one of them {min(unknown)!r}; "
            "a run is over the collection's own ids"
        )


def check_faiss() -> None:
    """Raise InputError where faiss is wanted and not installed."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        raise InputError(
            "setting 'candidates.retrievers': search: faiss needs the package faiss-cpu; install '.[faiss]'"
        ) from None


def _exact(matrix: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    def nearest(vectors: np.ndarray, depth: int) -> np.ndarray:
        return np.argsort(-(vectors @ matrix.T), axis=1, kind="stable")[:, :depth]

    return nearest


def _graph(matrix: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    import faiss

    index: Any = faiss.IndexHNSWFlat(matrix.shape[1], _HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.add(matrix)

    def nearest(vectors: np.ndarray, depth: int) -> np.ndarray:
        index.hnsw.efSearch = max(4 * depth, 64)
        rows: np.ndarray = index.search(vectors, depth)[1]
        return rows

    return nearest


def _tokens(texts: Sequence[str]) -> bm25s.tokenization.Tokenized:
    """Words of two characters or more, in English without stop words and by their stems; pairs where a script has no spaces."""
    divided = [unsegmented.spaced(text) for text in texts]
    return bm25s.tokenize(
        divided, token_pattern=_TERM, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False
    )
