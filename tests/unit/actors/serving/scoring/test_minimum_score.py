"""The minimum score of a request: which documents it keeps, blended scores, and uncalibrated models."""

import asyncio
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from actors.serving.caches.replica_caches import ReplicaCaches
from actors.serving.http_api.schemas import FirstStage
from actors.serving.scoring.reranker import NotCalibratedError, Reranker, ScoredRequest
from actors.serving.scoring.tokenizing import TextsToTokenize, TokenizedTexts
from actors.serving.serving_settings import CacheSettings
from ranking.blending import Blend

SCORES = [0.2, -1.0, 3.0, 0.0]


def scored(scores, student_scores=None):
    return ScoredRequest(scores, "a", 9, 0.0, 0.0, student_scores=student_scores)


@pytest.mark.parametrize(
    ("min_score", "top_n", "expected"),
    [
        (None, None, [2, 0, 3, 1]),
        (0.0, None, [2, 0, 3, 1]),
        (0.5, None, [2, 0, 3]),  # the sigmoid of 0 is exactly 0.5
        (0.51, None, [2, 0]),
        (0.5, 2, [2, 0]),
        (1.0, None, []),
    ],
)
def test_documents_below_the_minimum_are_left_out_before_top_n(min_score, top_n, expected):
    assert scored(SCORES).order(min_score, top_n) == expected


def test_minimum_applies_to_the_student_and_not_to_blended_scores():
    blended = scored([5.0, 4.0, -4.0, -5.0], student_scores=SCORES)
    # document 1 is second by blended score, and its probability is 0.27; document 2 is third, with 0.95
    assert blended.order(0.5) == [0, 2, 3]


class LoadedModel:
    """Replaces LoadedModels, TokenizerQueue and TokenBatcher: one model with fixed scores."""

    def __init__(self, is_calibrated):
        blend = Blend(form="scores", weights={"scores": 0.0, "ranks": 0.0})
        self.scorer = SimpleNamespace(blend=blend, is_calibrated=is_calibrated)
        self.version = "v1"

    def of(self, role):
        return self

    def versions(self):
        return {"champion": self.version}

    def submit(self, *arguments):
        future = Future()
        is_tokenizer = isinstance(arguments[1], TextsToTokenize)
        future.set_result(TokenizedTexts() if is_tokenizer else SimpleNamespace(scores=SCORES, queued=0.0, scored=0.0))
        return future


def reranker(is_calibrated):
    made = Reranker.__new__(Reranker)
    made._models = made._tokenizers = made._batcher = LoadedModel(is_calibrated)
    made._metrics = SimpleNamespace(record_request=lambda *_: None)
    made._cache = ReplicaCaches(CacheSettings(), lambda name: None)
    return made


def test_blended_request_keeps_the_scores_of_the_student():
    texts = TextsToTokenize("q", ["a", "b", "c", "d"])
    first_stage = FirstStage([1.0, 2.0, 3.0, 4.0])
    result = asyncio.run(reranker(True).score(texts, first_stage=first_stage, needs_calibration=True))
    assert result.student_scores == SCORES != result.scores
    assert result.order() == [3, 2, 1, 0]
    assert result.order(0.5) == [3, 2, 0]


def test_uncalibrated_model_is_refused_only_if_calibration_is_needed():
    texts = TextsToTokenize("q", ["a", "b", "c", "d"])
    assert asyncio.run(reranker(False).score(texts)).order() == [2, 0, 3, 1]
    with pytest.raises(
        NotCalibratedError, match="the scores of version v1 are not calibrated; leave min_score out, or"
    ):
        asyncio.run(reranker(False).score(texts, needs_calibration=True))
