"""Real lists for benchmarks: log queries of the embedded collection with their 50 best candidates by BM25."""

from __future__ import annotations

import bm25s

from ranking.collections import pydoc
from ranking.records import Candidate, Document, PreRankedCandidate, PreRankedList

CANDIDATES, ENDS = 50, 10


def real_lists(queries: int) -> list[PreRankedList]:
    """Return the first queries of the log, each with its 50 best documents by BM25, best first."""
    collection = pydoc.read("test")
    documents = [document for document in collection.documents if document.text.strip()]
    index = bm25s.BM25()
    index.index(bm25s.tokenize([document.content for document in documents], show_progress=False), show_progress=False)
    log_queries = collection.log[:queries]
    rows_by_query, _ = index.retrieve(
        bm25s.tokenize([query.text for query in log_queries], show_progress=False), k=CANDIDATES, show_progress=False
    )
    return [
        PreRankedList(
            query_id=query.query_id,
            text=query.text,
            picked=[_pre_ranked(documents[row], rank) for rank, row in enumerate(rows, 1)],
        )
        for query, rows in zip(log_queries, rows_by_query.tolist(), strict=True)
    ]


def head_and_tail(row: PreRankedList) -> PreRankedList:
    """Reduce a list to the candidates that the listwise teacher sees: the ten best and the ten worst."""
    return row.model_copy(update={"picked": [*row.picked[:ENDS], *row.picked[-ENDS:]]})


def _pre_ranked(document: Document, rank: int) -> PreRankedCandidate:
    candidate = Candidate(
        doc_id=document.doc_id, title=document.title, text=document.text, rank=rank, score=1 / rank, retriever="bm25"
    )
    return PreRankedCandidate(candidate=candidate, pre_rank=rank, of_head=rank <= ENDS)
