"""Targets mixed from a teacher's labels and clicks."""

import pytest

from actors.serving.http_api.request_documents import MAX_ID_CHARACTERS
from ranking.clicks.click_mixing import RECORDED_ID_CHARACTERS, ListClicks, click_weight, list_clicks, with_clicks
from ranking.records import DocumentClicks, LabelledCandidate, QueryClicks


def candidates(*targets, duplicates=None):
    return [
        LabelledCandidate(
            doc_id=f"d{n}",
            title="",
            text="",
            pre_rank=n + 1,
            prompt_position=n + 1,
            tier="listed",
            position=n + 1,
            target=target,
            duplicates=(duplicates or {}).get(f"d{n}", []),
        )
        for n, target in enumerate(targets)
    ]


def mixed(teacher, relevance, weight, targets="scores", **options):
    found = with_clicks(candidates(*teacher, **options), ListClicks(weight, relevance), targets)
    return [candidate.target for candidate in found]


def test_weight_rises_with_exposures_and_vanishes_in_the_tail():
    assert click_weight(0.8, 0, 100) == 0.0
    assert click_weight(0.8, 100, 100) == pytest.approx(0.4)
    assert click_weight(0.8, 900, 100) == pytest.approx(0.72)
    assert click_weight(0.8, 10**9, 100) == pytest.approx(0.8)


def test_row_gives_weight_and_relevance():
    documents = [DocumentClicks(doc_id="d1", relevance=0.25, shown=40, clicks=5, examined=20.0)]
    row = QueryClicks(query="q", exposures=300, documents=documents)
    assert list_clicks(row, 0.4, 100) == ListClicks(pytest.approx(0.3), {"d1": 0.25})


def test_clicks_are_brought_to_the_scale_of_the_scores():
    # the teacher's targets have mean 2 and standard deviation 1; so do the clicks after scaling: 1, 3
    assert mixed([3.0, 1.0], {"d0": 0.1, "d1": 0.3}, 1.0) == pytest.approx([1.0, 3.0])
    assert mixed([3.0, 1.0], {"d0": 0.1, "d1": 0.3}, 0.25) == pytest.approx([2.5, 1.5])


def test_scale_of_the_clicks_does_not_matter():
    rates = {"d0": 0.1, "d1": 0.3, "d2": 0.2}
    scaled = {doc_id: 7 * rate for doc_id, rate in rates.items()}
    assert mixed([9.0, 4.0, 0.0], rates, 0.6) == pytest.approx(mixed([9.0, 4.0, 0.0], scaled, 0.6))


def test_tiers_are_mixed_with_ranks():
    # an outlier among the click rates counts by its rank only
    few, outlier = ({"d0": 0.1, "d1": 0.2, "d2": top} for top in (0.3, 0.9))
    assert mixed([4.0, 3.0, 2.0], few, 0.5, "tiers") == mixed([4.0, 3.0, 2.0], outlier, 0.5, "tiers")
    assert mixed([4.0, 3.0, 2.0], few, 0.5) == pytest.approx([3.0, 3.0, 3.0])
    assert mixed([4.0, 3.0, 2.0], few, 1.0, "tiers") == pytest.approx([2.0, 3.0, 4.0])


def test_documents_without_clicks_keep_their_target():
    found = mixed([5.0, 3.0, 1.0, 0.5], {"d0": 0.1, "d2": 0.3}, 1.0)
    assert found == pytest.approx([1.0, 3.0, 5.0, 0.5])


def test_zero_weight_changes_nothing():
    assert mixed([5.0, 3.0], {"d0": 0.1, "d1": 0.3}, 0.0) == [5.0, 3.0]


@pytest.mark.parametrize("relevance", [{}, {"d1": 0.3}, {"d0": 0.2, "d1": 0.2}, {"other": 0.4}])
def test_clicks_without_a_preference_change_nothing(relevance):
    assert mixed([5.0, 3.0], relevance, 0.5) == [5.0, 3.0]


def test_clicks_order_documents_that_the_teacher_ties():
    found = mixed([2.0, 2.0, 5.0], {"d0": 0.1, "d1": 0.3}, 0.5)
    assert found[0] < 2.0 < found[1] < found[2]
    assert mixed([2.0, 2.0], {"d0": 0.1, "d1": 0.3}, 0.5) == pytest.approx([1.5, 2.5])


def test_clicks_on_a_duplicate_count_for_its_candidate():
    found = mixed([3.0, 1.0], {"copy": 0.1, "d1": 0.3}, 1.0, duplicates={"d0": ["other", "copy"]})
    assert found == pytest.approx([1.0, 3.0])


def test_long_ids_are_compared_as_the_service_records_them():
    assert RECORDED_ID_CHARACTERS == MAX_ID_CHARACTERS
    long = [c.model_copy(update={"doc_id": c.doc_id + "x" * 300}) for c in candidates(3.0, 1.0)]
    recorded = {c.doc_id[:MAX_ID_CHARACTERS]: rate for c, rate in zip(long, (0.1, 0.3), strict=True)}
    found = with_clicks(long, ListClicks(1.0, recorded), "scores")
    assert [c.target for c in found] == pytest.approx([1.0, 3.0])
