"""The re-ranker with its caches: a cached request passes the queues, fairness, promotion, tokens and metrics."""

import asyncio
import threading
from types import SimpleNamespace

import pytest

from actors.serving.caches.bounded_cache import CacheSize
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.replica_caches import ReplicaCaches
from actors.serving.http_api.admission import Admission, TooManyRequestsError
from actors.serving.scoring.batching import TokenBatcher
from actors.serving.scoring.reranker import Reranker
from actors.serving.scoring.tokenizing import TextsToTokenize, TokenizerQueue, TooLongError
from actors.serving.serving_settings import CacheSettings, LimitSettings
from students.scoring import TokenizedPair

MAX_LENGTH = 8


class LengthScorer:
    """Scores a pair by the length of its document times `weight`. Blocks while `may_score` is cleared."""

    max_length, chunk_tokens, streams, blend, is_calibrated = MAX_LENGTH, 64, 1, None, True
    passages = None

    def __init__(self, weight=1.0):
        self.weight, self.pairs = weight, 0
        self.entered, self.may_score = threading.Event(), threading.Event()
        self.may_score.set()

    def tokenized(self, pairs):
        return [TokenizedPair({"input_ids": [1] * min(len(text), MAX_LENGTH)}, MAX_LENGTH) for _, text in pairs]

    def is_cut(self, pair):
        return len(pair[1]) > MAX_LENGTH

    def score_chunk(self, rows):
        self.entered.set()
        assert self.may_score.wait(10)
        self.pairs += len(rows)
        return [self.weight * row.tokens for row in rows]


class Models:
    """Replaces LoadedModels, which needs a registry. `promote` switches the champion."""

    def __init__(self, scorer):
        self.promote("v1", scorer)

    def promote(self, version, scorer):
        self.served = SimpleNamespace(version=version, scorer=scorer)

    def of(self, role):
        return self.served

    def versions(self):
        return {"champion": self.served.version}


class Service:
    """A re-ranker with its real queues and caches, and recorded metrics, which would need a Ray cluster."""

    def __init__(self, **cache):
        self.scorer, self.recorded, self.lookups = LengthScorer(), [], []
        self.reranker = Reranker.__new__(Reranker)
        self.models = self.reranker._models = Models(self.scorer)
        self.reranker._tokenizers, self.reranker._batcher = TokenizerQueue(), TokenBatcher(threads=2)
        self.reranker._metrics = SimpleNamespace(record_request=lambda *values: self.recorded.append(values))
        self.reranker._cache = ReplicaCaches(CacheSettings(**cache), lambda name: self)

    def record_lookups(self, lookups, size):
        self.lookups.append((lookups, size))

    async def ask(self, *documents, caller="a", **options):
        return await self.reranker.score(TextsToTokenize("q", documents, **options), caller)

    def close(self):
        self.reranker._tokenizers.close()
        self.reranker._batcher.close()


@pytest.fixture
def make():
    made = []

    def service(**cache):
        made.append(Service(**cache))
        return made[-1]

    yield service
    for each in made:
        each.close()


def test_cached_request_does_not_wait_behind_the_queues(make):
    service = make(scores_mb=1)

    async def scenario():
        first = await service.ask("x", "yy")
        service.scorer.may_score.clear()
        blocked = asyncio.ensure_future(service.ask(*(f"{n}" for n in range(200))))
        assert await asyncio.to_thread(service.scorer.entered.wait, 5)
        second = await asyncio.wait_for(service.ask("yy", "x"), 5)
        assert not blocked.done()
        service.scorer.may_score.set()
        await blocked
        return first, second

    first, second = asyncio.run(scenario())
    assert (first.scores, second.scores) == ([1.0, 2.0], [2.0, 1.0])
    assert (second.tokens, second.queued, second.scored) == (3, 0.0, 0.0)


def test_promotion_while_requests_are_in_flight_leaves_no_stale_score(make):
    service, new = make(scores_mb=1), LengthScorer(10.0)

    async def scenario():
        service.scorer.may_score.clear()
        in_flight = [asyncio.ensure_future(service.ask("x", "yy")) for _ in range(3)]
        assert await asyncio.to_thread(service.scorer.entered.wait, 5)
        service.models.promote("v2", new)
        promoted = await service.ask("x", "yy")
        service.scorer.may_score.set()
        return await asyncio.gather(*in_flight), promoted, await service.ask("x", "yy")

    in_flight, promoted, later = asyncio.run(scenario())
    assert [(result.version, result.scores) for result in in_flight] == [("v1", [1.0, 2.0])] * 3
    assert [(result.version, result.scores) for result in (promoted, later)] == [("v2", [10.0, 20.0])] * 2
    assert (service.scorer.pairs, new.pairs) == (2, 2)


def test_responses_are_the_same_with_and_without_caches(make):
    documents = ["x", "yy", "x", "z" * 20]
    plain, cached = make(), make(scores_mb=1)

    async def ask(service):
        return [await service.ask(*documents, max_tokens_per_doc=None) for _ in range(2)]

    for with_cache, without in zip(asyncio.run(ask(cached)), asyncio.run(ask(plain)), strict=True):
        assert (with_cache.scores, with_cache.tokens) == (without.scores, without.tokens)
    assert (cached.scorer.pairs, plain.scorer.pairs) == (3, 8)


def test_metrics_count_documents_and_the_tokens_that_were_read(make):
    service = make(scores_mb=1)

    async def scenario():
        await service.ask("x", "yy")
        await service.ask("x", "yy", "zzz")

    asyncio.run(scenario())
    assert [values[:4] for values in service.recorded] == [("v1", "champion", 2, 3), ("v1", "champion", 3, 3)]
    (first, small), (second, large) = service.lookups
    assert (first, second) == (Lookups(miss=2), Lookups(hit=2, miss=1))
    assert 0 < small.bytes < large.bytes
    assert large == CacheSize(small.bytes * 3 // 2, 0)


def test_too_long_document_is_refused_even_if_its_score_is_cached(make):
    service = make(scores_mb=1)

    async def scenario():
        await service.ask("x", "much too long")
        await service.ask("x", "much too long", truncate=False)

    with pytest.raises(TooLongError, match=r"documents\[1\] and the query have more than 8 tokens"):
        asyncio.run(scenario())


def test_cached_documents_count_as_in_progress(make):
    service, admission = make(scores_mb=1), Admission(LimitSettings(max_waiting_documents=3))

    async def scenario():
        await service.ask("x", "yy")
        with admission.admit("a", 2):
            await service.ask("x", "yy")
            with pytest.raises(TooManyRequestsError), admission.admit("b", 2):
                pass

    asyncio.run(scenario())


def test_keys_do_not_share_scores_by_default(make):
    private, shared = make(scores_mb=1), make(scores_mb=1, shared_between_keys=True)

    async def scenario(service):
        for caller in "ab":
            await service.ask("x", caller=caller)

    for service in (private, shared):
        asyncio.run(scenario(service))
    assert (private.scorer.pairs, shared.scorer.pairs) == (2, 1)
