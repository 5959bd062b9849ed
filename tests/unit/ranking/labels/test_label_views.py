"""Views of a label, which change how its candidates are used in training."""

from ranking.labels.label_views import training_candidates, with_judgement_targets
from ranking.labels.targets import tiers_from_order
from ranking.records import Candidate
from tests.testing.synthetic_labels import label_of

LABEL = label_of(["d2", "d4"])


def targets(candidates):
    return {c.doc_id: c.target for c in candidates}


def test_default_view_keeps_the_label_unchanged():
    assert training_candidates(LABEL) == LABEL.candidates


def test_omitted_documents_are_appended_in_pre_rank_order_or_dropped():
    listed = {c.doc_id: c.target for c in LABEL.candidates if c.position is not None}
    omitted = [c.doc_id for c in sorted(LABEL.candidates, key=lambda c: c.pre_rank) if c.position is None]
    assert omitted
    appended = targets(training_candidates(LABEL, "append"))
    assert {doc_id: appended[doc_id] for doc_id in listed} == listed
    assert [appended[doc_id] for doc_id in omitted] == [min(listed.values()) - n for n in range(1, len(omitted) + 1)]
    assert targets(training_candidates(LABEL, "drop")) == listed
    assert [c.doc_id for c in training_candidates(LABEL, "append")] == [c.doc_id for c in LABEL.candidates]


def test_max_pre_rank_drops_lower_candidates():
    assert {c.pre_rank for c in training_candidates(LABEL, max_pre_rank=2)} == {1, 2}
    assert training_candidates(label_of([]), "drop") == []


def test_duplicates_share_the_label_and_grade_of_their_candidate():
    unique = [
        Candidate(
            doc_id=f"d{n}", title="", text=f"text {n}", rank=n, score=1 / n, retriever="bm25", duplicates=[f"e{n}"]
        )
        for n in (1, 2)
    ]
    labelled = tiers_from_order([(candidate, candidate.rank, True) for candidate in unique], ["x", "e2", "d2"])
    assert [(c.doc_id, c.position, c.duplicates) for c in labelled] == [("d1", None, ["e1"]), ("d2", 1, ["e2"])]
    assert targets(with_judgement_targets(labelled, {"e1": 2, "d1": 1, "d3": 3}, 1)) == {"d1": 2.0, "d2": 0.0}
