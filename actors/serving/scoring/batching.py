"""Batch query-document pairs across requests: pairs of the same padded length share a batch, from any request."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from actors.serving.scoring.fair_order import FairOrder
from students.scoring import TokenizedPair

_SECONDS_PER_TOKEN = 1e-4
_SMOOTHING = 0.05
_LOW_PRIORITY_DELAY = 1e9
"""Seconds added to the deadline of low-priority requests."""


class ChunkScorer(Protocol):
    """Interface of a scorer, as the batcher uses it. A chunk is a batch of pairs that are padded to the same width."""

    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score the pairs of one chunk."""

    @property
    def chunk_tokens(self) -> int:
        """Best size of a chunk in tokens, padding included."""

    @property
    def streams(self) -> int:
        """Best number of chunks to score concurrently."""


@dataclass(frozen=True)
class Chunk:
    """Statistics of a scored chunk (a batch of pairs).

    Attributes:
        pairs: Number of pairs.
        tokens: Number of tokens without padding.
        padded: Number of tokens with padding.
        budget: The scorer's `chunk_tokens`, the best size of a chunk.
        seconds: Seconds in the model.
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
        queued: Seconds from the request's arrival to the start of its first chunk.
        scored: Seconds from the start of its first chunk to the end of its last chunk.
    """

    scores: list[float]
    queued: float
    scored: float


@dataclass(eq=False)
class _PendingRequest:
    """A request with pairs to score. `buckets` is {padded width: indices of the rows that are not yet in a chunk}."""

    scorer: ChunkScorer
    rows: Sequence[TokenizedPair]
    future: Future[BatchedScores]
    arrived: float
    due: float
    caller: str
    low_priority: bool
    scores: list[float] = field(default_factory=list)
    buckets: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    started: float | None = None
    unscored: int = 0

    def __post_init__(self) -> None:
        self.scores, self.unscored = [0.0] * len(self.rows), len(self.rows)
        for i, row in enumerate(self.rows):
            self.buckets[row.width].append(i)


class TokenBatcher:
    """Scores all requests of a process in a few threads, chunk by chunk.

    The pairs of a chunk have the same padded width. The next request determines the width, and other requests fill up
    the chunk. The next request is one of the caller who has received the least service (`FairOrder`), and of these the
    one with the earliest deadline. A request's deadline is its arrival time plus the time that scoring it alone would
    take. A small request therefore does not wait for all of a large one that arrived just before it, a large one is
    not postponed indefinitely, and no caller can occupy the model.
    """

    def __init__(self, on_chunk: Callable[[Chunk], None] = lambda chunk: None, threads: int = 1) -> None:
        """Start the threads.

        Args:
            on_chunk: Called after each chunk.
            threads: Maximum number of chunks to score concurrently, over all scorers. Each scorer's `streams` limits
                its own chunks.
        """
        self._on_chunk = on_chunk
        self._changed = threading.Condition()
        self._pending: list[_PendingRequest] = []
        self._order = FairOrder()
        self._running: Counter[ChunkScorer] = Counter()
        self._seconds_per_token = _SECONDS_PER_TOKEN
        self._closed = False
        self._threads = [threading.Thread(target=self._run, name=f"batches-{n}", daemon=True) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(
        self, scorer: ChunkScorer, rows: Sequence[TokenizedPair], caller: str = "", low_priority: bool = False
    ) -> Future[BatchedScores]:
        """Queue the tokenized pairs of a request for scoring.

        Args:
            scorer: Model to score with.
            rows: Tokenized pairs.
            caller: Name of the caller, who shares the model fairly with other callers.
            low_priority: Whether all other requests go first. Its pairs may still fill up the chunks of other requests.

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
            self._pending.append(_PendingRequest(scorer, rows, future, now, due, caller, low_priority))
            self._order.activate(caller)
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
                self._changed.notify()  # another thread may be able to score another chunk
            try:
                self._score(scorer, chunk)
            finally:
                with self._changed:
                    self._running[scorer] -= 1
                    if not self._running[scorer]:
                        del self._running[scorer]
                    self._changed.notify()

    def _next_request(self) -> _PendingRequest | None:
        """Return the next request among those with rows left whose scorer is free."""
        self._pending = [request for request in self._pending if not request.future.cancelled()]
        self._order.retain(request.caller for request in self._pending)
        ready = (
            request
            for request in self._pending
            if request.buckets and self._running[request.scorer] < request.scorer.streams
        )
        return min(
            ready,
            key=lambda request: (request.low_priority, *self._order.rank(request.caller), request.due),
            default=None,
        )

    def _take_chunk(self) -> list[tuple[_PendingRequest, list[int]]]:
        """Take the rows of the next chunk, grouped by request. Returns an empty list if no request is pending."""
        first = self._next_request()
        if first is None:
            return []
        width = max(first.buckets)
        room = full = max(1, first.scorer.chunk_tokens // width)
        chunk = []
        for request in [first, *sorted(self._pending, key=lambda request: request.due)]:
            indices = request.buckets.get(width, [])
            fills_its_own_chunk = request is not first and len(indices) >= full and request.caller != first.caller
            if request.scorer is not first.scorer or not indices or not room or fills_its_own_chunk:
                continue
            chunk.append((request, indices[:room]))
            request.buckets[width] = indices[room:]
            room -= len(chunk[-1][1])
            self._order.charge(request.caller, width * len(chunk[-1][1]))
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
                if not request.unscored and request in self._pending:  # already removed if another of its chunks failed
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
