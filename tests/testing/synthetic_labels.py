"""Synthetic teacher labels, made without running a model."""

from ranking.labels.targets import targets_from_scores, tiers_from_order
from ranking.records import Answer, Candidate, Label, Provenance, Usage


def label_of(listed, documents=6, missing=None, targets="tiers", pre_ranks=None):
    """Return a label for documents d1 to dn, whose first half is the head (the top candidates) of the pre-ranking.

    Args:
        listed: Ids of the documents that the teacher listed, best first.
        documents: Number of documents, n.
        missing: Number of documents that the answer omits; None counts those that `listed` lacks.
        targets: Kind of targets, "tiers" or "scores".
        pre_ranks: Pre-rank of each document; None is 1 to n.
    """
    pre_ranked = [
        (
            Candidate(doc_id=f"d{n}", title="", text=f"text {n}", rank=n, score=1.0, retriever="bm25"),
            rank,
            n <= documents // 2,
        )
        for n, rank in zip(range(1, documents + 1), pre_ranks or range(1, documents + 1), strict=True)
    ]
    if targets == "scores":
        candidates = targets_from_scores(pre_ranked, [-listed.index(c.doc_id) for c, _, _ in pre_ranked])
    else:
        candidates = tiers_from_order(pre_ranked, listed)
    missing = documents - len(listed) if missing is None else missing
    return Label(
        query_id="q",
        query="which metal?",
        candidates=candidates,
        answer=Answer(missing=missing),
        provenance=Provenance(teacher="t", fingerprint="f", engine="vllm", targets=targets),
        usage=Usage(),
    )
