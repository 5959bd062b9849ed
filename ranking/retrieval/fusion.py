"""Reciprocal rank fusion of several retrievers' lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_CONSTANT = 60


def reciprocal_rank_fusion(lists: Mapping[str, Sequence[str]], depth: int) -> list[tuple[str, float, str]]:
    """Fuse ranked lists of document ids (Cormack et al., SIGIR 2009).

        score(d) = sum over the lists that hold d of 1 / (60 + rank(d)),  rank from 1

    lists: {retriever: [doc_id, best first]}. Returns the best `depth` as (doc_id, score, retrievers joined
    with "+"); equal scores are ordered by the first list that holds the document, then by its rank there.
    """
    scores: dict[str, float] = {}
    found_by: dict[str, list[str]] = {}
    for name, ranked in lists.items():
        for rank, doc_id in enumerate(ranked, start=1):
            scores[doc_id] = scores.get(doc_id, 0.0) + 1.0 / (RRF_CONSTANT + rank)
            found_by.setdefault(doc_id, []).append(name)
    ordered = sorted(scores, key=lambda doc_id: -scores[doc_id])
    return [(doc_id, scores[doc_id], "+".join(found_by[doc_id])) for doc_id in ordered[:depth]]
