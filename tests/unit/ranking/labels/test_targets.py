"""Reciprocal rank fusion, and targets from a teacher's answer."""

import pytest

from ranking.labels.targets import head_and_tail, targets_from_scores, tiers_from_order
from ranking.records import Candidate
from ranking.retrieval.fusion import reciprocal_rank_fusion


def candidates(ids):
    return [
        Candidate(doc_id=i, title="", text=i, rank=n, score=1 / n, retriever="bm25") for n, i in enumerate(ids, start=1)
    ]


def test_fusion_sums_reciprocal_ranks():
    fused = reciprocal_rank_fusion({"bm25": ["a", "b"], "dense": ["b", "c"]}, depth=2)
    assert [(doc_id, names) for doc_id, _, names in fused] == [("b", "bm25+dense"), ("a", "bm25")]
    assert fused[0][1] == pytest.approx(1 / 62 + 1 / 61)


@pytest.mark.parametrize(("count", "expected"), [(5, ["0", "1", "4"]), (3, ["0", "1", "2"]), (2, ["0", "1"]), (0, [])])
def test_head_and_tail_take_each_document_once(count, expected):
    pre_ranked = head_and_tail(candidates(str(n) for n in range(count)), top=2, bottom=1)
    assert [candidate.doc_id for candidate, _, _ in pre_ranked] == expected


def test_omitted_documents_become_hard_or_easy_negatives():
    pre_ranked = head_and_tail(candidates("abcdef"), top=3, bottom=2)
    labelled = {c.doc_id: c for c in tiers_from_order(pre_ranked, ["f", "unknown", "a", "f"])}
    assert [(c.doc_id, c.tier, c.position, c.target) for c in labelled.values()] == [
        ("a", "listed", 2, 2.0),
        ("b", "hard_negative", None, 1.0),
        ("c", "hard_negative", None, 1.0),
        ("e", "easy_negative", None, 0.0),
        ("f", "listed", 1, 3.0),
    ]


def test_scores_become_positions_and_ties_keep_pre_rank_order():
    pre_ranked = head_and_tail(candidates("abc"), top=3, bottom=0)
    labelled = targets_from_scores(pre_ranked, [0.1, 0.9, 0.1])
    assert [c.position for c in labelled] == [2, 1, 3]
    assert [c.target for c in labelled] == [0.1, 0.9, 0.1]
