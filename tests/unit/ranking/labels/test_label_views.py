"""Other readings of a label, by hand."""

from ranking.labels.label_views import graded, viewed
from ranking.labels.targets import tiers_from_order
from ranking.records import Candidate
from tests.unit.ranking.labels.test_rationales import label_of

LABEL = label_of(["d2", "d4"])


def targets(candidates):
    return {c.doc_id: c.target for c in candidates}


def test_as_labelled_by_default():
    assert viewed(LABEL) == LABEL.candidates


def test_left_out_documents_are_listed_last_as_pre_ranked_or_dropped():
    listed = {c.doc_id: c.target for c in LABEL.candidates if c.position is not None}
    left_out = [c.doc_id for c in sorted(LABEL.candidates, key=lambda c: c.pre_rank) if c.position is None]
    assert left_out
    appended = targets(viewed(LABEL, "append"))
    assert {doc_id: appended[doc_id] for doc_id in listed} == listed
    assert [appended[doc_id] for doc_id in left_out] == [min(listed.values()) - n for n in range(1, len(left_out) + 1)]
    assert targets(viewed(LABEL, "drop")) == listed
    assert [c.doc_id for c in viewed(LABEL, "append")] == [c.doc_id for c in LABEL.candidates]


def test_only_the_head_of_the_pre_rankers_order():
    assert {c.pre_rank for c in viewed(LABEL, max_pre_rank=2)} == {1, 2}
    assert viewed(label_of([]), "drop") == []


def test_a_document_stands_for_those_that_were_folded_into_it():
    made = [
        Candidate(
            doc_id=f"d{n}", title="", text=f"text {n}", rank=n, score=1 / n, retriever="bm25", duplicates=[f"e{n}"]
        )
        for n in (1, 2)
    ]
    labelled = tiers_from_order([(candidate, candidate.rank, True) for candidate in made], ["x", "e2", "d2"])
    assert [(c.doc_id, c.position, c.duplicates) for c in labelled] == [("d1", None, ["e1"]), ("d2", 1, ["e2"])]
    assert targets(graded(labelled, {"e1": 2, "d1": 1, "d3": 3}, 1)) == {"d1": 2.0, "d2": 0.0}
