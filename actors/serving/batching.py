"""Batches across requests: pairs of one bucket go through a model together, up to its token budget, whoever asked for them."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from students.scoring import TokenizedPair

_SECONDS_PER_TOKEN = 1e-4
_SMOOTHING = 0.05
_SPARE = 1e9
"""Seconds by which spare work is due later."""


class ChunkScorer(Protocol):
    """What a batcher needs of a scorer."""

    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs of one bucket."""

    @property
    def chunk_tokens(self) -> int:
        """Tokens, padding included, that are best scored at once."""

    @property
    def streams(self) -> int:
        """Chunks that are best scored at the same time."""


@dataclass(frozen=True)
class Chunk:
    """What went through a model at once. tokens: without padding. budget: tokens that would have fitted."""

    pairs: int
    tokens: int
    padded: int
    budget: int
    seconds: float


@dataclass
class Batched:
    """A request's scores, in its order. queued: seconds before its first chunk; scored: from there to its last."""

    scores: list[float]
    queued: float
    scored: float


@dataclass(eq=False)
class _Waiting:
    scorer: ChunkScorer
    rows: Sequence[TokenizedPair]
    future: Future[Batched]
    arrived: float
    due: float
    scores: list[float] = field(default_factory=list)
    buckets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    began: float | None = None
    left: int = 0

    def __post_init__(self) -> None:
        self.scores, self.left = [0.0] * len(self.rows), len(self.rows)
        for i, row in enumerate(self.rows):
            self.buckets[row.width].append(i)


class TokenBatcher:
    """A few threads that score all requests of a process.

    The request that is due first decides the bucket, and others fill the chunk. A request is due after the time that it would
    take alone, counted from its arrival: so a small one does not wait for all of a large one that came just before, and
    a large one does not wait for ever.
    """

    def __init__(self, told: Callable[[Chunk], None] = lambda chunk: None, threads: int = 1) -> None:
        """told: is called after each chunk. threads: chunks that are scored at the same time, where a scorer has as many streams."""
        self._told = told
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._under_way: Counter[ChunkScorer] = Counter()
        self._seconds_per_token = _SECONDS_PER_TOKEN
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"batches-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, scorer: ChunkScorer, rows: Sequence[TokenizedPair], spare: bool = False) -> Future[Batched]:
        """Score tokenised pairs; may be cancelled. An exception of the scorer is that of the future.

        spare: only in time that nobody else wants.
        """
        future: Future[Batched] = Future()
        now = time.monotonic()
        if not rows:
            future.set_result(Batched([], 0.0, 0.0))
            return future
        due = now + self._seconds_per_token * sum(row.width for row in rows) + (_SPARE if spare else 0.0)
        with self._changed:
            self._waiting.append(_Waiting(scorer, rows, future, now, due))
            self._changed.notify()
        return future

    def close(self) -> None:
        """End the threads after the chunks that they are at."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next() is not None)
                if self._closed:
                    return
                chosen = self._choose()
                if not chosen:  # the only one that waited was given up just now
                    continue
                scorer = chosen[0][0].scorer
                self._under_way[scorer] += 1
                self._changed.notify()  # there may be more for another thread
            try:
                self._score(scorer, chosen)
            finally:
                with self._changed:
                    self._under_way[scorer] -= 1
                    if not self._under_way[scorer]:
                        del self._under_way[scorer]
                    self._changed.notify()

    def _next(self) -> _Waiting | None:
        """The request that is due first of those that a chunk can be taken of now."""
        self._waiting = [one for one in self._waiting if not one.future.cancelled()]
        ready = (one for one in self._waiting if one.buckets and self._under_way[one.scorer] < one.scorer.streams)
        return min(ready, key=lambda one: one.due, default=None)

    def _choose(self) -> list[tuple[_Waiting, list[int]]]:
        """Take the pairs of the next chunk, by request; none where nothing waits any more."""
        first = self._next()
        if first is None:
            return []
        width = max(first.buckets)
        room = max(1, first.scorer.chunk_tokens // width)
        chosen = []
        for one in sorted(self._waiting, key=lambda one: one.due):
            if one.scorer is not first.scorer or width not in one.buckets or not room:
                continue
            held = one.buckets[width]
            chosen.append((one, held[:room]))
            one.buckets[width] = held[room:]
            room -= len(chosen[-1][1])
            if not one.buckets[width]:
                del one.buckets[width]
        return chosen

    def _score(self, scorer: ChunkScorer, chosen: Sequence[tuple[_Waiting, list[int]]]) -> None:
        began = time.monotonic()
        rows = [one.rows[i] for one, held in chosen for i in held]
        for one, _ in chosen:
            one.began = one.began or began
        try:
            scores = iter(scorer.score_chunk(rows))
        except Exception as error:
            self._fail([one for one, _ in chosen], error)
            return
        ended = time.monotonic()
        padded = rows[0].width * len(rows)
        with self._changed:
            done = []
            for one, held in chosen:
                for i in held:
                    one.scores[i] = next(scores)
                one.left -= len(held)
                if not one.left and one in self._waiting:  # else another chunk of it failed
                    self._waiting.remove(one)
                    done.append(one)
            self._seconds_per_token += _SMOOTHING * ((ended - began) / padded - self._seconds_per_token)
        for one in done:
            assert one.began is not None
            if one.future.set_running_or_notify_cancel():
                one.future.set_result(Batched(one.scores, one.began - one.arrived, ended - one.began))
        self._told(Chunk(len(rows), sum(row.tokens for row in rows), padded, scorer.chunk_tokens, ended - began))

    def _fail(self, those: Sequence[_Waiting], error: Exception) -> None:
        with self._changed:
            failed = [one for one in those if one in self._waiting]
            self._waiting = [one for one in self._waiting if one not in failed]
        for one in failed:
            if one.future.set_running_or_notify_cancel():
                one.future.set_exception(error)
