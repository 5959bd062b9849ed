"""Batch across requests: pairs of the same padded length share a batch, whichever request they belong to."""

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
_LOW_PRIORITY_DELAY = 1e9
"""Seconds added to the deadline of low-priority requests."""


class ChunkScorer(Protocol):
    """The interface that the batcher needs of a scorer."""

    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs that are all padded to the same width."""

    @property
    def chunk_tokens(self) -> int:
        """Best size of a chunk in tokens, padding included."""

    @property
    def streams(self) -> int:
        """Best number of chunks to score concurrently."""


@dataclass(frozen=True)
class Chunk:
    """Statistics of a batch that was scored.

    Attributes:
        pairs: Pairs in the batch.
        tokens: Tokens without padding.
        padded: Tokens with padding.
        budget: Token budget of the scorer.
        seconds: Time in the model.
    """

    pairs: int
    tokens: int
    padded: int
    budget: int
    seconds: float


@dataclass
class BatchedScores:
    """The scores of one request.

    Attributes:
        scores: One score per pair, in request order.
        queued: Seconds before the request's first chunk.
        scored: Seconds from its first chunk to its last.
    """

    scores: list[float]
    queued: float
    scored: float


@dataclass(eq=False)
class _PendingRequest:
    """A request with pairs to score. `buckets` maps a padded width to the indices of the rows that still wait."""

    scorer: ChunkScorer
    rows: Sequence[TokenizedPair]
    future: Future[BatchedScores]
    arrived: float
    due: float
    scores: list[float] = field(default_factory=list)
    buckets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    started: float | None = None
    unscored: int = 0

    def __post_init__(self) -> None:
        self.scores, self.unscored = [0.0] * len(self.rows), len(self.rows)
        for i, row in enumerate(self.rows):
            self.buckets[row.width].append(i)


class TokenBatcher:
    """A few threads that score all requests of a process.

    The request with the earliest deadline determines the bucket, and other requests fill up the chunk. A deadline is
    the arrival time plus the time that the request would take alone. A small request therefore does not wait for all of
    a large one that arrived just before it, and a large one is not postponed indefinitely.
    """

    def __init__(self, on_chunk: Callable[[Chunk], None] = lambda chunk: None, threads: int = 1) -> None:
        """Start the threads.

        Args:
            on_chunk: Called after each chunk.
            threads: Maximum number of chunks to score concurrently. A scorer's `streams` also limits its own chunks.
        """
        self._on_chunk = on_chunk
        self._changed = threading.Condition()
        self._pending: list[_PendingRequest] = []
        self._running: Counter[ChunkScorer] = Counter()
        self._seconds_per_token = _SECONDS_PER_TOKEN
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"batches-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(
        self, scorer: ChunkScorer, rows: Sequence[TokenizedPair], low_priority: bool = False
    ) -> Future[BatchedScores]:
        """Queue tokenised pairs for scoring.

        Args:
            scorer: Model to score with.
            rows: Tokenised pairs.
            low_priority: Whether all other requests go first. Its pairs may still fill up their chunks.

        Returns:
            A future, which may be cancelled. It raises the exception of the scorer if the scorer fails.
        """
        future: Future[BatchedScores] = Future()
        now = time.monotonic()
        if not rows:
            future.set_result(BatchedScores([], 0.0, 0.0))
            return future
        seconds = self._seconds_per_token * sum(row.width for row in rows)
        due = now + seconds + (_LOW_PRIORITY_DELAY if low_priority else 0.0)
        with self._changed:
            self._pending.append(_PendingRequest(scorer, rows, future, now, due))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Stop the threads once their current chunks are scored."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._next_request() is not None)
                if self._closed:
                    return
                chunk = self._take_chunk()
                if not chunk:  # the only pending request was cancelled just now
                    continue
                scorer = chunk[0][0].scorer
                self._running[scorer] += 1
                self._changed.notify()  # another thread may find a second chunk
            try:
                self._score(scorer, chunk)
            finally:
                with self._changed:
                    self._running[scorer] -= 1
                    if not self._running[scorer]:
                        del self._running[scorer]
                    self._changed.notify()

    def _next_request(self) -> _PendingRequest | None:
        """Return the request with the earliest deadline among those that have rows left and a free stream."""
        self._pending = [request for request in self._pending if not request.future.cancelled()]
        ready = (
            request
            for request in self._pending
            if request.buckets and self._running[request.scorer] < request.scorer.streams
        )
        return min(ready, key=lambda request: request.due, default=None)

    def _take_chunk(self) -> list[tuple[_PendingRequest, list[int]]]:
        """Take the rows of the next chunk, grouped by request. Returns an empty list if no request is pending."""
        first = self._next_request()
        if first is None:
            return []
        width = max(first.buckets)
        room = max(1, first.scorer.chunk_tokens // width)
        chunk = []
        for request in sorted(self._pending, key=lambda request: request.due):
            if request.scorer is not first.scorer or width not in request.buckets or not room:
                continue
            indices = request.buckets[width]
            chunk.append((request, indices[:room]))
            request.buckets[width] = indices[room:]
            room -= len(chunk[-1][1])
            if not request.buckets[width]:
                del request.buckets[width]
        return chunk

    def _score(self, scorer: ChunkScorer, chunk: Sequence[tuple[_PendingRequest, list[int]]]) -> None:
        started = time.monotonic()
        rows = [request.rows[i] for request, indices in chunk for i in indices]
        for request, _ in chunk:
            request.started = request.started or started
        try:
            scores = iter(scorer.score_chunk(rows))
        except Exception as error:
            self._fail([request for request, _ in chunk], error)
            return
        ended = time.monotonic()
        padded = rows[0].width * len(rows)
        with self._changed:
            done = []
            for request, indices in chunk:
                for i in indices:
                    request.scores[i] = next(scores)
                request.unscored -= len(indices)
                if not request.unscored and request in self._pending:  # not there if another of its chunks failed
                    self._pending.remove(request)
                    done.append(request)
            self._seconds_per_token += _SMOOTHING * ((ended - started) / padded - self._seconds_per_token)
        for request in done:
            assert request.started is not None
            if request.future.set_running_or_notify_cancel():
                request.future.set_result(
                    BatchedScores(request.scores, request.started - request.arrived, ended - request.started)
                )
        self._on_chunk(Chunk(len(rows), sum(row.tokens for row in rows), padded, scorer.chunk_tokens, ended - started))

    def _fail(self, requests: Sequence[_PendingRequest], error: Exception) -> None:
        with self._changed:
            failed = [request for request in requests if request in self._pending]
            self._pending = [request for request in self._pending if request not in failed]
        for request in failed:
            if request.future.set_running_or_notify_cancel():
                request.future.set_exception(error)
