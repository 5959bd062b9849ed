"""Batches across requests: each pair once, in its bucket, within the budget; small requests do not wait for large ones."""

import threading
import time

import pytest

from actors.serving.batching import TokenBatcher
from students.scoring import TokenizedPair

BUDGET = 64


class FakeScorer:
    """Scores a pair by its first token; every chunk waits until it is let go."""

    chunk_tokens = BUDGET

    def __init__(self, streams=1):
        self.streams = streams
        self.chunks = []
        self.going = threading.Event()
        self.going.set()
        self.inside = threading.Event()

    def score_chunk(self, rows):
        self.inside.set()
        self.going.wait(10)
        assert len({row.width for row in rows}) == 1
        self.chunks.append([row.inputs["input_ids"][0] for row in rows])
        if any(row.inputs["input_ids"][0] < 0 for row in rows):
            raise ValueError("no such pair")
        return [float(row.inputs["input_ids"][0]) for row in rows]


def rows(*names, width=8):
    return [TokenizedPair({"input_ids": [name] * (width - 1)}, width) for name in names]


@pytest.fixture
def batcher():
    held = TokenBatcher()
    yield held
    held.close()


def test_scores_come_back_in_the_order_given_whatever_the_buckets(batcher):
    scorer = FakeScorer()
    asked = [*rows(1, 2), *rows(3, width=16), *rows(4), *rows(5, width=32)]
    found = batcher.submit(scorer, asked).result(5)
    assert found.scores == [1, 2, 3, 4, 5]
    assert sorted(name for chunk in scorer.chunks for name in chunk) == [1, 2, 3, 4, 5]


def test_requests_share_chunks_within_the_budget(batcher):
    scorer = FakeScorer()
    scorer.going.clear()
    first = batcher.submit(scorer, rows(0))  # is in the model while the others arrive
    assert scorer.inside.wait(5)
    futures = [batcher.submit(scorer, rows(*range(10 * n, 10 * n + 5))) for n in range(1, 5)]
    scorer.going.set()
    assert first.result(5).scores == [0]
    assert [future.result(5).scores for future in futures] == [[10 * n + i for i in range(5)] for n in range(1, 5)]
    assert [len(chunk) for chunk in scorer.chunks] == [1, 8, 8, 4]  # eight pairs of eight tokens fill 64


def test_a_small_request_does_not_wait_for_all_of_a_large_one(batcher):
    scorer = FakeScorer()
    scorer.going.clear()
    large = batcher.submit(scorer, rows(*range(1000), width=16))
    assert scorer.inside.wait(5)
    small = batcher.submit(scorer, rows(5000))
    scorer.going.set()
    small.result(5)
    assert scorer.chunks[1] == [5000]
    assert large.result(5).scores == list(map(float, range(1000)))


def test_spare_work_waits_for_all_others(batcher):
    scorer = FakeScorer()
    scorer.going.clear()
    first = batcher.submit(scorer, rows(0))
    assert scorer.inside.wait(5)
    spare = batcher.submit(scorer, rows(1, 2, width=16), spare=True)
    others = [batcher.submit(scorer, rows(*range(100 * n, 100 * n + 20))) for n in range(1, 4)]
    scorer.going.set()
    assert [len(future.result(5).scores) for future in (first, spare, *others)] == [1, 2, 20, 20, 20]
    assert scorer.chunks[-1] == [1, 2]


def test_models_are_not_mixed_and_a_failure_is_that_of_its_own_requests(batcher):
    good, bad = FakeScorer(), FakeScorer()
    good.going.clear()
    waiting = batcher.submit(good, rows(1))
    assert good.inside.wait(5)
    failing, fine = batcher.submit(bad, rows(-1)), batcher.submit(good, rows(2))
    good.going.set()
    with pytest.raises(ValueError, match="no such pair"):
        failing.result(5)
    assert (waiting.result(5).scores, fine.result(5).scores) == ([1], [2])
    assert -1 not in [name for chunk in good.chunks for name in chunk]


def test_a_cancelled_request_is_not_scored_and_an_empty_one_is_done_at_once(batcher):
    scorer = FakeScorer()
    scorer.going.clear()
    first = batcher.submit(scorer, rows(1))
    assert scorer.inside.wait(5)
    second = batcher.submit(scorer, rows(2))
    assert second.cancel()
    assert batcher.submit(scorer, []).result(1).scores == []
    scorer.going.set()
    assert first.result(5).scores == [1]
    assert batcher.submit(scorer, rows(3)).result(5).scores == [3]
    assert scorer.chunks == [[1], [3]]


def test_a_pair_longer_than_the_budget_is_a_chunk_of_its_own(batcher):
    scorer = FakeScorer()
    assert batcher.submit(scorer, rows(1, 2, width=200)).result(5).scores == [1, 2]
    assert [len(chunk) for chunk in scorer.chunks] == [1, 1]


def test_chunks_are_told_with_their_fill():
    told = []
    batcher = TokenBatcher(told.append)
    batcher.submit(FakeScorer(), rows(1, 2, 3)).result(5)
    batcher.close()
    assert [(chunk.pairs, chunk.tokens, chunk.padded, chunk.budget) for chunk in told] == [(3, 21, 24, BUDGET)]


class Counting(FakeScorer):
    """Knows how many chunks were in it at the same time."""

    def __init__(self, streams):
        super().__init__(streams)
        self.now, self.most, self.lock = 0, 0, threading.Lock()

    def score_chunk(self, rows):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        try:
            return super().score_chunk(rows)
        finally:
            with self.lock:
                self.now -= 1


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_as_many_chunks_at_once_as_a_scorer_has_streams(streams):
    batcher, scorer, other = TokenBatcher(threads=4), Counting(streams), Counting(1)
    futures = [batcher.submit(scorer, rows(*range(100 * n, 100 * n + 30))) for n in range(4)]
    futures.append(batcher.submit(other, rows(*range(20))))
    assert [future.result(10).scores for future in futures[:4]] == [[100 * n + i for i in range(30)] for n in range(4)]
    assert futures[4].result(10).scores == list(range(20))
    assert (scorer.most, other.most) == (streams, 1)
    assert len(scorer.chunks) == 15  # 120 pairs, eight a chunk
    batcher.close()


def test_a_failed_chunk_fails_its_request_once_while_another_of_it_is_scored():
    batcher, scorer = TokenBatcher(threads=2), Counting(2)
    failing = batcher.submit(scorer, [*rows(-1, width=16), *rows(*range(40))])
    with pytest.raises(ValueError, match="no such pair"):
        failing.result(5)
    assert batcher.submit(scorer, rows(7)).result(5).scores == [7]
    batcher.close()


def test_chunks_of_a_lone_request_go_through_all_streams_at_once():
    class Meeting(FakeScorer):
        """Scores only where so many chunks are scored at the same time."""

        def __init__(self, streams):
            super().__init__(streams)
            self.met = threading.Barrier(streams, timeout=5)

        def score_chunk(self, rows):
            self.met.wait()
            return super().score_chunk(rows)

    batcher = TokenBatcher(threads=4)
    try:
        time.sleep(0.1)  # all threads wait by then
        found = batcher.submit(Meeting(4), rows(*range(4 * BUDGET // 8))).result(10)
    finally:
        batcher.close()
    assert found.scores == list(range(32))


def test_a_request_that_is_given_up_at_the_last_moment_ends_no_thread(batcher, monkeypatch):
    real, given_up = TokenBatcher._choose, []

    def choose(held):
        if not given_up:
            given_up.append(held._waiting[0].future.cancel())
        return real(held)

    monkeypatch.setattr(TokenBatcher, "_choose", choose)
    scorer = FakeScorer()
    batcher.submit(scorer, rows(1))
    deadline = time.monotonic() + 5
    while not given_up and time.monotonic() < deadline:
        time.sleep(0.01)
    assert given_up == [True]
    assert batcher.submit(scorer, rows(2)).result(5).scores == [2]
    assert scorer.chunks == [[2]]
