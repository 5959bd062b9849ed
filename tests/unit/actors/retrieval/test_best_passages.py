"""Passages in pre-ranking: the best one determines the score and replaces the text of the candidate."""

import pyarrow as pa
import pytest

from actors.data.rows import records, table_of
from actors.retrieval.best_passages import PassageSelector, PassageSplitter
from actors.retrieval.pre_ranking import PreRanker, all_candidates, all_test_candidates
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList, NamedList, PreRankedList, QueryCandidates
from ranking.settings import PreRankerSettings
from ranking.storage.folder import Folder
from tests.testing.long_texts import ANSWER, QUERY, candidate, long_candidates, long_text

PASSAGES = PassageSettings(tokens=32, stride=16)
LISTS = table_of([CandidateList(query_id="q", text=QUERY, candidates=long_candidates())], CandidateList)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("vectors"))


def pre_ranker(cache, passages, **settings):
    return PreRanker(cache, PreRankerSettings(**settings), passages=passages)


def picked_in(table):
    (row,) = records(table, PreRankedList)
    return {picked.candidate.doc_id: picked for picked in row.picked}


def check_passages(picked):
    """Check that the text of each candidate is its passage, an exact substring of its document."""
    for original in long_candidates():
        one = picked[original.doc_id]
        assert one.candidate.text == original.text[one.passage.start : one.passage.end]
        assert one.candidate.title == original.title
    assert ANSWER in picked["answer"].candidate.text
    assert len(picked["answer"].candidate.text) < 300
    assert picked["short"].candidate.text == "A short text about the moon."


def test_pre_ranker_finds_and_keeps_the_passage_deep_in_a_document(cache):
    picked = picked_in(pre_ranker(cache, PASSAGES, top=10, bottom=0)(LISTS))
    assert picked["answer"].pre_rank == 1
    check_passages(picked)


def test_score_of_a_document_is_the_score_of_its_best_passage(cache):
    with_passages, without = pre_ranker(cache, PASSAGES), pre_ranker(cache, None)
    candidates = long_candidates()
    picked = picked_in(with_passages(LISTS))
    passages = [picked[c.doc_id].candidate for c in candidates]
    assert with_passages.scores(QUERY, candidates) == pytest.approx(without.scores(QUERY, passages), abs=1e-6)
    assert with_passages.scores(QUERY, candidates)[1] > without.scores(QUERY, candidates)[1]
    assert with_passages.scores(QUERY, []) == []


def test_head_and_tail_keep_their_own_passages(cache):
    (row,) = records(pre_ranker(cache, PASSAGES, top=1, bottom=1)(LISTS), PreRankedList)
    originals = {c.doc_id: c for c in long_candidates()}
    assert [(one.pre_rank, one.of_head) for one in row.picked] == [(1, True), (3, False)]
    for one in row.picked:
        assert originals[one.candidate.doc_id].text[one.passage.start : one.passage.end] == one.candidate.text


def test_lists_without_pre_ranker_get_the_same_passages(cache):
    selector = PassageSelector(cache, "minilm", None, PASSAGES)
    by_selector = picked_in(selector(all_candidates(LISTS)))
    check_passages(by_selector)
    assert [picked.pre_rank for picked in by_selector.values()] == [1, 2, 3]
    pre_ranked = picked_in(pre_ranker(cache, PASSAGES)(LISTS))
    assert {key: one.passage for key, one in by_selector.items()} == {k: one.passage for k, one in pre_ranked.items()}
    named = NamedList(name="bm25", candidates=long_candidates())
    tests = table_of([QueryCandidates(query_id="q", text=QUERY, lists=[named])], QueryCandidates)
    (row,) = records(selector(all_test_candidates(tests, ["bm25"])), PreRankedList)
    assert row.split == "test"
    assert {one.candidate.doc_id: one.passage for one in row.picked} == {
        k: one.passage for k, one in pre_ranked.items()
    }


def test_without_passages_candidates_are_unchanged(cache):
    picked = picked_in(pre_ranker(cache, None)(LISTS))
    assert sorted((one.candidate for one in picked.values()), key=lambda c: c.rank) == long_candidates()
    assert {one.passage for one in picked.values()} == {None}


def test_splitter_returns_the_texts_that_the_pre_ranker_encodes(cache):
    rows = pa.Table.from_pylist([{"title": c.title, "text": c.text} for c in long_candidates()])
    split = PassageSplitter("minilm", None, PASSAGES)(rows)
    ranker = pre_ranker(cache, PASSAGES)
    ranker.scores(QUERY, long_candidates())
    texts = split["text"].to_pylist()
    encoded = []
    ranker.vectors._encode = lambda new: encoded.append(new)
    ranker.vectors.of([QUERY, *texts])
    assert (encoded, sum(split["shortened"].to_pylist())) == ([], 0)
    limited = PassageSplitter("minilm", None, PassageSettings(tokens=32, stride=16, max_per_document=2))(rows)
    assert limited["shortened"].to_pylist() == [1, 0, 1, 0, 0]


def test_document_with_an_empty_text_is_scored_by_its_title(cache):
    ranker = pre_ranker(cache, PASSAGES)
    scores = ranker.scores(QUERY, [candidate("t", "", title="why dough gets bigger"), candidate("l", long_text("x"))])
    assert scores[0] > 0.6 > scores[1]
