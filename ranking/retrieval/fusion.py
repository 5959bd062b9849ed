"""Reciprocal rank fusion, which merges the ranked lists of several retrievers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_CONSTANT = 60


def reciprocal_rank_fusion(lists: Mapping[str, Sequence[str]], depth: int) -> list[tuple[str, float, str]]:
    """Fuse ranked lists of document ids with reciprocal rank fusion (Cormack et al., SIGIR 2009).

        score(d) = sum over the lists that contain d of 1 / (60 + rank(d)),  rank from 1

    Args:
        lists: {name of the retriever: document ids, best first}.
        depth: Maximum number of documents to return.

    Returns:
        The best documents as triples of document id, score, and the names of the retrievers that returned it, joined
        with "+". Documents with the same score are ordered by the first list that contains them, then by their rank in
        that list.
    """
    scores: dict[str, float] = {}
    retrievers: dict[str, list[str]] = {}
    for name, ranked in lists.items():
        for rank, doc_id in enumerate(ranked, start=1):
            scores[doc_id] = scores.get(doc_id, 0.0) + 1.0 / (RRF_CONSTANT + rank)
            retrievers.setdefault(doc_id, []).append(name)
    ordered = sorted(scores, key=lambda doc_id: -scores[doc_id])
    return [(doc_id, scores[doc_id], "+".join(retrievers[doc_id])) for doc_id in ordered[:depth]]
