"""First-stage retrievers for workers: BM25, dense retrieval, and TREC runs of other systems.

The index is a folder with documents/*.parquet and bm25/, which has the index files of bm25s. Document vectors come from
the embedding cache.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import bm25s
import numpy as np

from actors.retrieval.bm25_tokens import read_language, tokenize, write_language
from actors.retrieval.embeddings import TextVectors
from ranking.errors import InputError
from ranking.evaluation.trec_runs import order_of, read_run
from ranking.records import Document, Query
from ranking.settings import Bm25Settings, DenseSettings, RetrieverSettings, RunRetrieverSettings
from ranking.storage.checksums import check_files, write_checksums
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched

DOCUMENTS = "documents"
_INDEX_AGAIN = "delete the folder index/ of the run and run the job again"
_HNSW_NEIGHBOURS = 32


class Retriever(Protocol):
    """A first-stage retriever."""

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Return the ids of up to `depth` documents for each query, best first."""


def build_bm25(documents: Sequence[Document], settings: Bm25Settings, target: Folder, language: str) -> None:
    """Index documents with bm25s and write the index to `target`. Row i of the index is document i."""
    retriever = bm25s.BM25(method="lucene", k1=settings.k1, b=settings.b)
    retriever.index(tokenize([document.content for document in documents], language), show_progress=False)
    with tempfile.TemporaryDirectory() as local:
        retriever.save(local)
        write_language(Path(local), language)
        write_checksums(Folder(local))
        Folder(local).copy_to(target)


class Bm25Retriever:
    """BM25 as in Lucene. Queries are tokenized in the language of the index.

    Args:
        index: Folder of the index.
        doc_ids: Ids of the indexed documents, in the order of the index.
    """

    def __init__(self, index: Folder, doc_ids: Sequence[str]) -> None:
        self.doc_ids = doc_ids
        with tempfile.TemporaryDirectory() as local:
            copy = Folder(Path(local) / "bm25")
            (index / "bm25").copy_to(copy)
            check_files(copy, _INDEX_AGAIN, f"{index.uri}/bm25")
            self.retriever = bm25s.BM25.load(str(Path(local) / "bm25"))
            self.language = read_language(Path(local) / "bm25")

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Return the ids of up to `depth` documents for each query, best first.

        Documents that share no term with the query are left out.
        """
        depth = min(depth, len(self.doc_ids))
        results, scores = self.retriever.retrieve(
            tokenize([query.text for query in queries], self.language), k=depth, show_progress=False
        )
        return [
            [self.doc_ids[row] for row, score in zip(rows, row_scores, strict=True) if score > 0]
            for rows, row_scores in zip(results, scores, strict=True)
        ]


class DenseRetriever:
    """Dense retrieval by cosine similarity: exact search, or approximate search in a faiss HNSW graph.

    Args:
        cache: Folder of the embedding cache.
        settings: Sentence encoder and kind of search.
        documents: Documents to search.
    """

    def __init__(self, cache: Folder, settings: DenseSettings, documents: Sequence[Document]) -> None:
        self.doc_ids = [document.doc_id for document in documents]
        self.vectors = TextVectors(cache, settings.model, settings.revision)
        matrix = self.vectors.of([document.content for document in documents])
        self.nearest: Callable[[np.ndarray, int], np.ndarray] = (
            _graph(matrix) if settings.search == "faiss" else _exact(matrix)
        )

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Return the ids of up to `depth` documents for each query, best first.

        Exact search breaks ties by the index order.
        """
        results = self.nearest(self.vectors.of([query.text for query in queries]), min(depth, len(self.doc_ids)))
        return [[self.doc_ids[row] for row in rows if row >= 0] for rows in results]


class RunRetriever:
    """Retriever that returns another system's results from a TREC run file or RankLLM's JSON.

    Args:
        path: Path or URI of the run file.
        doc_ids: Document ids of the collection. Results with other ids are dropped.
    """

    def __init__(self, path: str, doc_ids: Sequence[str]) -> None:
        known = set(doc_ids)
        with fetched(path) as local:
            run = read_run(local)
        self.orders = {
            query_id: [doc_id for doc_id in order_of(scores) if doc_id in known] for query_id, scores in run.items()
        }

    def search(self, queries: Sequence[Query], depth: int) -> list[list[str]]:
        """Return the first `depth` documents of the run for each query, or an empty list if the run lacks the query."""
        return [self.orders.get(query.query_id, [])[:depth] for query in queries]


def make_retriever(
    settings: RetrieverSettings, index: Folder, cache: Folder, documents: Sequence[Document]
) -> Retriever:
    """Create a retriever from its settings.

    Args:
        settings: Settings of the retriever.
        index: Folder of the index.
        cache: Folder of the embedding cache.
        documents: Documents of the index, in its order.
    """
    if isinstance(settings, DenseSettings):
        return DenseRetriever(cache, settings, documents)
    doc_ids = [document.doc_id for document in documents]
    if isinstance(settings, RunRetrieverSettings):
        return RunRetriever(settings.path, doc_ids)
    return Bm25Retriever(index, doc_ids)


def check_run(settings: RunRetrieverSettings, doc_ids: set[str], collection: str) -> None:
    """Raise InputError if a run contains documents that are not in the collection."""
    with fetched(settings.path) as local:
        unknown = {doc_id for scores in read_run(local).values() for doc_id in scores} - doc_ids
    if unknown:
        raise InputError(
            f"{settings.path}: {len(unknown):,} documents are not in collection {collection}, such as {min(unknown)!r}"
            "; the run must use the document ids of the collection"
        )


def check_faiss() -> None:
    """Raise InputError if faiss is not installed."""
    try:
        import faiss  # noqa: F401
    except ImportError:
        raise InputError(
            "setting 'candidates.retrievers': search: faiss needs the package faiss-cpu; install the extra '.[faiss]'"
        ) from None


def _exact(matrix: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function that searches a matrix of document vectors, [documents, dimensions], exactly.

    The function takes query vectors [queries, dimensions] and a depth, and returns the row indices of the best
    documents, [queries, depth].
    """

    def nearest(vectors: np.ndarray, depth: int) -> np.ndarray:
        return np.argsort(-(vectors @ matrix.T), axis=1, kind="stable")[:, :depth]

    return nearest


def _graph(matrix: np.ndarray) -> Callable[[np.ndarray, int], np.ndarray]:
    """Return a function like that of `_exact` that searches an HNSW graph approximately. Missing results are -1."""
    import faiss

    index: Any = faiss.IndexHNSWFlat(matrix.shape[1], _HNSW_NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    index.add(matrix)

    def nearest(vectors: np.ndarray, depth: int) -> np.ndarray:
        index.hnsw.efSearch = max(4 * depth, 64)
        rows: np.ndarray = index.search(vectors, depth)[1]
        return rows

    return nearest
