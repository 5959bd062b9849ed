"""A student with passages gives a document the same score in evaluation and in the service."""

import asyncio
import json

import pytest

from actors.data.rows import table_of
from actors.scoring.latency import LatencyProbe
from actors.scoring.scorers import ListScorer, Model
from actors.serving.http_api.schemas import RerankRequest
from actors.serving.scoring.reranker import Reranker
from actors.serving.scoring.tokenizing import TextsToTokenize, TooLongError
from actors.serving.serving_settings import CacheSettings, ServingSettings
from ranking.errors import InputError
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList, content
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students import student_config
from students.scoring import Scorer
from tests.testing.long_texts import QUERY, long_candidates
from tools.untrained_student import untrained_student

PASSAGES = PassageSettings(tokens=32, stride=16, max_per_document=12)
LIST = CandidateList(query_id="q", text=QUERY, candidates=long_candidates())
DOCUMENTS = [{"title": c.title, "text": c.text} for c in LIST.candidates]
TEXTS = [content(c.title, c.text) for c in LIST.candidates]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return untrained_student(tmp_path_factory.mktemp("plain") / "model", 1)


@pytest.fixture(scope="module")
def student(plain, tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("student"))
    plain.copy_to(folder)
    student_config.write_passages(folder, PASSAGES)
    return folder


def reranker_of(model, storage):
    Registry(Folder(storage)).promote(model, "v", "test", "for this test")
    return Reranker(Folder(storage), None, 1000.0, 1, CacheSettings())


@pytest.fixture(scope="module")
def reranker(student, tmp_path_factory):
    return reranker_of(student, tmp_path_factory.mktemp("storage"))


def scores_in_evaluation(model, **options):
    (row,) = ListScorer(Model(model.path, **options))(table_of([LIST], CandidateList)).to_pylist()
    assert row["doc_ids"] == ["other", "answer", "short"]
    return row["scores"], row["shortened"]


def served(reranker, **fields):
    request = RerankRequest.model_validate({"query": QUERY, "documents": DOCUMENTS, **fields})
    texts = TextsToTokenize(
        request.query,
        request.texts_to_score(),
        request.max_tokens_per_doc,
        max_passages_per_doc=request.max_chunks_per_doc,
        heading_lengths=request.title_lengths(),
    )
    return asyncio.run(reranker.score(texts))


def test_evaluation_and_service_give_the_same_scores(student, reranker):
    scores, shortened = scores_in_evaluation(student)
    assert served(reranker).scores == pytest.approx(scores, abs=1e-4)
    assert shortened == 0


def test_score_is_the_maximum_over_the_passages_with_the_title(student, plain):
    scorer, candidate = Scorer(student.path), LIST.candidates[1]
    ids = scorer.tokenizer(candidate.text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [start for start, _ in ids["offset_mapping"]]
    ends = [*starts, len(candidate.text)]
    last = -(-max(0, len(starts) - 32) // 16) * 16
    passages = [candidate.text[starts[i] : ends[min(i + 32, len(starts))]] for i in range(0, last + 1, 16)]
    assert len(passages) > 5
    expected = max(scorer.score([(QUERY, f"Kitchen\n{passage}") for passage in passages]))
    (_, score, _), _ = scores_in_evaluation(student)
    assert score == pytest.approx(expected, abs=1e-5)
    (_, beginning, _), _ = scores_in_evaluation(plain)
    assert beginning == pytest.approx(scorer.score([(QUERY, TEXTS[1])])[0], abs=1e-5)
    assert beginning != pytest.approx(expected, abs=1e-3)


def test_max_chunks_per_doc_limits_the_passages_of_a_request(student, reranker, plain):
    limited = served(reranker, max_chunks_per_doc=1)
    scorer, whole = Scorer(student.path), served(reranker)
    offsets = scorer.tokenizer(DOCUMENTS[0]["text"], add_special_tokens=False, return_offsets_mapping=True)
    first = DOCUMENTS[0]["text"][: offsets["offset_mapping"][32][0]]
    assert limited.scores[0] == pytest.approx(scorer.score([(QUERY, first)])[0], abs=1e-4)
    assert limited.scores[2] == pytest.approx(whole.scores[2], abs=1e-4)
    assert all(one <= best + 1e-4 for one, best in zip(limited.scores, whole.scores, strict=True))
    assert limited.tokens < whole.tokens / 3
    assert served(reranker, max_chunks_per_doc=500).tokens == whole.tokens


def test_max_tokens_per_doc_shortens_a_document_before_it_is_split(student, reranker):
    assert served(reranker, max_tokens_per_doc=500).scores == pytest.approx(served(reranker).scores, abs=1e-4)
    scorer = Scorer(student.path)
    beginnings = [(QUERY, scorer.cut(text, 20)) for text in TEXTS]
    assert served(reranker, max_tokens_per_doc=20).scores == pytest.approx(scorer.score(beginnings), abs=1e-4)


def test_passages_count_as_documents_in_progress(reranker):
    assert reranker.splits_documents
    assert reranker.pairs_to_score(TextsToTokenize(QUERY, ["short", "x" * 4 * 64])) == 1 + 3
    assert reranker.pairs_to_score(TextsToTokenize(QUERY, ["x" * 100_000])) == 12
    assert reranker.pairs_to_score(TextsToTokenize(QUERY, ["x" * 100_000], max_passages_per_doc=2)) == 2


def test_document_beyond_the_passages_is_refused_if_it_must_not_be_truncated(reranker):
    texts = TextsToTokenize(QUERY, ["short", "word " * 1000], truncate=False)
    with pytest.raises(TooLongError, match=r"documents\[1\] has more than 12 passages"):
        asyncio.run(reranker.score(texts))
    within = TextsToTokenize(QUERY, ["short", "word " * 150], truncate=False)
    assert len(asyncio.run(reranker.score(within)).scores) == 2


def test_student_without_passages_is_served_as_before(plain, tmp_path):
    reranker = reranker_of(plain, tmp_path)
    texts = TextsToTokenize(QUERY, TEXTS, max_passages_per_doc=2)
    assert (reranker.splits_documents, reranker.pairs_to_score(texts)) == (False, 3)
    expected, shortened = scores_in_evaluation(plain)
    assert asyncio.run(reranker.score(texts)).scores == pytest.approx(expected, abs=1e-4)
    assert shortened == 0


def test_saved_student_keeps_its_own_passages_and_a_classifier_gets_the_runs(student, plain):
    other = PassageSettings(tokens=16, stride=16)
    assert Model(student.path, passages=other).load().passages == PASSAGES
    assert Model(plain.path, passages=other).load().passages is None
    assert Model(plain.path, 64, as_classifier=True, passages=other).load().passages == other
    with pytest.raises(InputError, match="passages of 64 tokens leave no room for the query in its 64 tokens"):
        Model(plain.path, 64, as_classifier=True, passages=PassageSettings(tokens=64)).load()


def test_number_of_shortened_documents_is_reported(plain):
    passages = PassageSettings(tokens=32, stride=16, max_per_document=2)
    _, shortened = scores_in_evaluation(plain, max_length=64, as_classifier=True, passages=passages)
    assert shortened == 2


def test_latency_is_measured_over_all_passages(student, monkeypatch):
    scored = []
    score = Scorer.score
    monkeypatch.setattr(Scorer, "score", lambda scorer, pairs: scored.append(len(pairs)) or score(scorer, pairs))
    measured = LatencyProbe(ServingSettings()).time(Model(student.path), [LIST] * 4)
    assert measured.latency.p50 > 0
    assert [count for count in scored if count > 10] == [scored[0]] * 4  # three calls to warm up, and one


def test_damaged_passages_in_the_config_are_one_error(student, tmp_path):
    folder = Folder(tmp_path)
    student.copy_to(folder)
    folder.write_text(student_config.NAME, json.dumps(student_config.read(folder) | {"passages": {"tokens": 1}}))
    with pytest.raises(InputError, match=r"rradistill.json has invalid passages \(input should be greater than"):
        Scorer(folder.path)
