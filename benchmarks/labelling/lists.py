"""Lists of 50 real candidates, for measuring: the embedded collection's log queries under BM25."""

from __future__ import annotations

import bm25s

from actors.data.rows import PreRankedCandidate, PreRankedList
from ranking.collections import pydoc
from ranking.records import Candidate, Document

CANDIDATES, ENDS = 50, 10


def real_lists(queries: int) -> list[PreRankedList]:
    """The first queries of the log, each with its 50 best documents by BM25, in that order."""
    collection = pydoc.read("test")
    documents = [document for document in collection.documents if document.text.strip()]
    index = bm25s.BM25()
    index.index(bm25s.tokenize([document.content for document in documents], show_progress=False), show_progress=False)
    chosen = collection.log[:queries]
    found, _ = index.retrieve(
        bm25s.tokenize([query.text for query in chosen], show_progress=False), k=CANDIDATES, show_progress=False
    )
    return [
        PreRankedList(
            query_id=query.query_id,
            text=query.text,
            picked=[_picked(documents[row], rank) for rank, row in enumerate(rows, 1)],
        )
        for query, rows in zip(chosen, found.tolist(), strict=True)
    ]


def head_and_tail(row: PreRankedList) -> PreRankedList:
    """What the method shows of a list: its best ten and its worst ten."""
    return row.model_copy(update={"picked": [*row.picked[:ENDS], *row.picked[-ENDS:]]})


def _picked(document: Document, rank: int) -> PreRankedCandidate:
    candidate = Candidate(
        doc_id=document.doc_id, title=document.title, text=document.text, rank=rank, score=1 / rank, retriever="bm25"
    )
    return PreRankedCandidate(candidate=candidate, pre_rank=rank, of_head=rank <= ENDS)
