"""Batching across requests: chunk contents and size, order of requests, streams, failures and cancellation."""

import threading
import time

import pytest

from actors.serving.scoring.batching import TokenBatcher
from students.scoring import TokenizedPair

BUDGET = 64


class FakeScorer:
    """A scorer whose score of a pair is the pair's first token. Blocks while `may_score` is cleared."""

    chunk_tokens = BUDGET

    def __init__(self, streams=1):
        self.streams = streams
        self.chunks = []
        self.may_score = threading.Event()
        self.may_score.set()
        self.entered = threading.Event()

    def score_chunk(self, rows):
        self.entered.set()
        self.may_score.wait(10)
        assert len({row.width for row in rows}) == 1
        self.chunks.append([row.inputs["input_ids"][0] for row in rows])
        if any(row.inputs["input_ids"][0] < 0 for row in rows):
            raise ValueError("no such pair")
        return [float(row.inputs["input_ids"][0]) for row in rows]


def rows(*tokens, width=8):
    """Make one pair per token: the token repeated `width` - 1 times, plus one padding token."""
    return [TokenizedPair({"input_ids": [token] * (width - 1)}, width) for token in tokens]


@pytest.fixture
def batcher():
    batcher = TokenBatcher()
    yield batcher
    batcher.close()


def test_scores_are_in_request_order_across_buckets(batcher):
    scorer = FakeScorer()
    pairs = [*rows(1, 2), *rows(3, width=16), *rows(4), *rows(5, width=32)]
    result = batcher.submit(scorer, pairs).result(5)
    assert result.scores == [1, 2, 3, 4, 5]
    assert sorted(token for chunk in scorer.chunks for token in chunk) == [1, 2, 3, 4, 5]


def test_requests_share_chunks_within_the_budget(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    first = batcher.submit(scorer, rows(0))  # occupies the scorer while the others arrive
    assert scorer.entered.wait(5)
    futures = [batcher.submit(scorer, rows(*range(10 * n, 10 * n + 5))) for n in range(1, 5)]
    scorer.may_score.set()
    assert first.result(5).scores == [0]
    assert [future.result(5).scores for future in futures] == [[10 * n + i for i in range(5)] for n in range(1, 5)]
    assert [len(chunk) for chunk in scorer.chunks] == [1, 8, 8, 4]  # 8 pairs of 8 tokens fill the budget of 64


def test_a_small_request_does_not_wait_for_all_of_a_large_one(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    large = batcher.submit(scorer, rows(*range(1000), width=16))
    assert scorer.entered.wait(5)
    small = batcher.submit(scorer, rows(5000))
    scorer.may_score.set()
    small.result(5)
    assert scorer.chunks[1] == [5000]
    assert large.result(5).scores == list(map(float, range(1000)))


def test_low_priority_requests_wait_for_all_others(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    first = batcher.submit(scorer, rows(0))
    assert scorer.entered.wait(5)
    background = batcher.submit(scorer, rows(1, 2, width=16), low_priority=True)
    others = [batcher.submit(scorer, rows(*range(100 * n, 100 * n + 20))) for n in range(1, 4)]
    scorer.may_score.set()
    assert [len(future.result(5).scores) for future in (first, background, *others)] == [1, 2, 20, 20, 20]
    assert scorer.chunks[-1] == [1, 2]


def test_a_chunk_has_one_scorer_and_its_failure_affects_only_its_requests(batcher):
    good, bad = FakeScorer(), FakeScorer()
    good.may_score.clear()
    waiting = batcher.submit(good, rows(1))
    assert good.entered.wait(5)
    failing, fine = batcher.submit(bad, rows(-1)), batcher.submit(good, rows(2))
    good.may_score.set()
    with pytest.raises(ValueError, match="no such pair"):
        failing.result(5)
    assert (waiting.result(5).scores, fine.result(5).scores) == ([1], [2])
    assert -1 not in [token for chunk in good.chunks for token in chunk]


def test_cancelled_requests_are_not_scored_and_empty_ones_return_at_once(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    first = batcher.submit(scorer, rows(1))
    assert scorer.entered.wait(5)
    second = batcher.submit(scorer, rows(2))
    assert second.cancel()
    assert batcher.submit(scorer, []).result(1).scores == []
    scorer.may_score.set()
    assert first.result(5).scores == [1]
    assert batcher.submit(scorer, rows(3)).result(5).scores == [3]
    assert scorer.chunks == [[1], [3]]


def test_a_pair_longer_than_the_budget_gets_its_own_chunk(batcher):
    scorer = FakeScorer()
    assert batcher.submit(scorer, rows(1, 2, width=200)).result(5).scores == [1, 2]
    assert [len(chunk) for chunk in scorer.chunks] == [1, 1]


def test_on_chunk_receives_the_chunk_statistics():
    chunks = []
    batcher = TokenBatcher(chunks.append)
    batcher.submit(FakeScorer(), rows(1, 2, 3)).result(5)
    batcher.close()
    assert [(chunk.pairs, chunk.tokens, chunk.padded, chunk.budget) for chunk in chunks] == [(3, 21, 24, BUDGET)]


class CountingScorer(FakeScorer):
    """A scorer that counts the chunks that are scored concurrently."""

    def __init__(self, streams):
        super().__init__(streams)
        self.concurrent, self.max_concurrent, self.lock = 0, 0, threading.Lock()

    def score_chunk(self, rows):
        with self.lock:
            self.concurrent += 1
            self.max_concurrent = max(self.max_concurrent, self.concurrent)
        time.sleep(0.02)
        try:
            return super().score_chunk(rows)
        finally:
            with self.lock:
                self.concurrent -= 1


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_a_scorer_gets_as_many_concurrent_chunks_as_it_has_streams(streams):
    batcher, scorer, other = TokenBatcher(threads=4), CountingScorer(streams), CountingScorer(1)
    futures = [batcher.submit(scorer, rows(*range(100 * n, 100 * n + 30))) for n in range(4)]
    futures.append(batcher.submit(other, rows(*range(20))))
    assert [future.result(10).scores for future in futures[:4]] == [[100 * n + i for i in range(30)] for n in range(4)]
    assert futures[4].result(10).scores == list(range(20))
    assert (scorer.max_concurrent, other.max_concurrent) == (streams, 1)
    assert len(scorer.chunks) == 15  # 120 pairs, 8 per chunk
    batcher.close()


def test_a_failed_chunk_fails_its_request_while_another_chunk_is_scored():
    batcher, scorer = TokenBatcher(threads=2), CountingScorer(2)
    failing = batcher.submit(scorer, [*rows(-1, width=16), *rows(*range(40))])
    with pytest.raises(ValueError, match="no such pair"):
        failing.result(5)
    assert batcher.submit(scorer, rows(7)).result(5).scores == [7]
    batcher.close()


def test_a_single_request_uses_all_streams():
    class BarrierScorer(FakeScorer):
        """A scorer that waits until `streams` chunks are being scored concurrently."""

        def __init__(self, streams):
            super().__init__(streams)
            self.barrier = threading.Barrier(streams, timeout=5)

        def score_chunk(self, rows):
            self.barrier.wait()
            return super().score_chunk(rows)

    batcher = TokenBatcher(threads=4)
    try:
        time.sleep(0.1)  # until all threads wait for a request
        result = batcher.submit(BarrierScorer(4), rows(*range(4 * BUDGET // 8))).result(10)
    finally:
        batcher.close()
    assert result.scores == list(range(32))


def test_cancelling_just_before_scoring_does_not_stop_the_thread(batcher, monkeypatch):
    real, cancelled = TokenBatcher._take_chunk, []

    def cancel_and_take_chunk(batcher):
        if not cancelled:
            cancelled.append(batcher._pending[0].future.cancel())
        return real(batcher)

    monkeypatch.setattr(TokenBatcher, "_take_chunk", cancel_and_take_chunk)
    scorer = FakeScorer()
    batcher.submit(scorer, rows(1))
    deadline = time.monotonic() + 5
    while not cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert cancelled == [True]
    assert batcher.submit(scorer, rows(2)).result(5).scores == [2]
    assert scorer.chunks == [[2]]


def test_a_caller_with_large_requests_does_not_delay_another_caller(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    large = [batcher.submit(scorer, rows(*range(1000), width=16), "a") for _ in range(3)]
    assert scorer.entered.wait(5)
    small = batcher.submit(scorer, rows(5000, width=16), "b")
    scorer.may_score.set()
    small.result(5)
    assert scorer.chunks[1] == [5000]  # alone, because rows of a large request would only delay it
    assert [len(future.result(5).scores) for future in large] == [1000] * 3


def test_callers_with_large_requests_get_equal_shares(batcher):
    scorer = FakeScorer()
    scorer.may_score.clear()
    futures = [batcher.submit(scorer, rows(*[n] * 400, width=16), caller) for n, caller in enumerate("aaab")]
    scorer.may_score.set()
    for future in futures:
        future.result(5)
    first_half = [chunk[0] for chunk in scorer.chunks[:200]]
    assert 90 <= first_half.count(3) <= 100
