"""A cache of the scores of (query, document) pairs, which also shares computations between concurrent requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from actors.serving.caches.bounded_cache import BoundedCache
from actors.serving.caches.lookups import Lookups
from actors.serving.caches.pair_keys import PairKeys, select_documents
from actors.serving.scoring.tokenizing import TextsToTokenize

SCORE_BYTES = 128
"""Upper bound of the memory of a `PairScore` in the cache."""

_Lane = tuple[str, bool]
"""Caller and whether the request has low priority."""


@dataclass(frozen=True, slots=True)
class PairScore:
    """The score of one pair, the version that computed it, and the tokens that it read."""

    score: float
    tokens: int
    version: str


@dataclass(frozen=True)
class ComputedScores:
    """The scores of one request.

    Attributes:
        scores: Raw scores, in document order.
        tokens: For each document, the tokens that the model reads or has read, without padding.
        queued: Seconds until the first chunk, or until the scores of a concurrent request were there.
        scored: Seconds in the model. 0 if all scores were cached.
        computed_tokens: Tokens that the model read for this request.
    """

    scores: list[float]
    tokens: list[int]
    queued: float
    scored: float
    computed_tokens: int


Compute = Callable[[TextsToTokenize], Awaitable[ComputedScores]]


@dataclass(eq=False)
class _Computation:
    """Pairs that a request is computing. `scores` is None until it succeeds."""

    pairs: int
    ended: asyncio.Future[None]
    scores: dict[bytes, PairScore] | None = None
    was_cancelled: bool = False


@dataclass
class _Request:
    """A request for scores: its texts, one key per document, and the scores that are known so far."""

    version: str
    texts: TextsToTokenize
    lane: _Lane
    keys: list[bytes]
    found: dict[bytes, PairScore] = field(default_factory=dict)
    times: list[ComputedScores] = field(default_factory=list)

    @property
    def missing(self) -> list[bytes]:
        """Keys without a score, without duplicates."""
        return [key for key in dict.fromkeys(self.keys) if key not in self.found]

    def subset(self, keys: Collection[bytes]) -> TextsToTokenize:
        """Return the texts with only the documents of `keys`, in the order of `keys`."""
        first = {key: i for i, key in reversed(list(enumerate(self.keys)))}
        return select_documents(self.texts, [first[key] for key in keys])


class ScoreCache:
    """Scores the pairs of a request that are not cached, and caches their scores.

    A request waits for the scores that a concurrent one is computing only if waiting cannot be slower than its own
    computation: the other request must have the same caller and priority, and not more pairs to compute. It cannot wait
    in a circle, because a request computes its own pairs before it waits.

    The cache belongs to one event loop.
    """

    def __init__(self, max_bytes: int, shared_between_keys: bool, on_lookup: Callable[[Lookups], None]) -> None:
        """Create an empty cache.

        Args:
            max_bytes: Maximum size in bytes.
            shared_between_keys: Whether callers share scores.
            on_lookup: Called after each request.
        """
        self.entries = BoundedCache[PairScore](max_bytes, lambda score: SCORE_BYTES)
        self._shared_between_keys, self._on_lookup = shared_between_keys, on_lookup
        self._keys = PairKeys()
        self._versions: frozenset[str] = frozenset()
        self._computations: dict[tuple[_Lane, bytes], _Computation] = {}

    def retain(self, versions: Collection[str]) -> None:
        """Drop the scores of all versions except the given ones, which are loaded."""
        if self._versions != (loaded := frozenset(versions)):
            self._versions = loaded
            self.entries.drop(lambda score: score.version not in loaded)

    async def scores(
        self, version: str, texts: TextsToTokenize, caller: str, low_priority: bool, compute: Compute
    ) -> ComputedScores:
        """Return the scores of a request.

        Args:
            version: Version to score with.
            texts: The texts. Requests that must not be truncated are computed without the cache, because their errors
                depend on all documents.
            caller: Name of the caller.
            low_priority: Whether the request has low priority.
            compute: Scores some of the documents with this version.

        Raises:
            Exception: What `compute` raises. A failure of another request is not raised: its pairs are computed again.
        """
        if not texts.truncate:
            return await compute(texts)
        keys = self._keys.of_texts(version, caller if not self._shared_between_keys else "", texts)
        request = _Request(version, texts, (caller, low_priority), keys)
        hit, miss, started, may_wait = 0, 0, time.monotonic(), True
        while missing := request.missing:
            cached = self.entries.get(missing)
            hit += len(cached)
            request.found.update(cached)
            missing = [key for key in missing if key not in cached]
            awaited = self._computations_to_await(request.lane, missing) if may_wait else {}
            own = [key for key in missing if key not in awaited]
            miss += len(own)
            if own:
                await self._compute(request, own, compute)
            may_wait = await _wait(request, awaited)
        self._on_lookup(Lookups(hit, miss, len(request.found) - hit - miss))
        return _result(request, time.monotonic() - started if len(request.found) > hit else 0.0)

    def _computations_to_await(self, lane: _Lane, missing: Sequence[bytes]) -> dict[bytes, _Computation]:
        running = {key: self._computations.get((lane, key)) for key in missing}
        return {key: other for key, other in running.items() if other is not None and other.pairs <= len(missing)}

    async def _compute(self, request: _Request, keys: Sequence[bytes], compute: Compute) -> None:
        with self._announce(request.lane, keys) as computation:
            result = await compute(request.subset(keys))
            scores = {
                key: PairScore(score, tokens, request.version)
                for key, score, tokens in zip(keys, result.scores, result.tokens, strict=True)
            }
            if request.version in self._versions:  # it may have been replaced in the meantime
                self.entries.put(list(scores.items()))
            computation.scores = scores
        request.found.update(scores)
        request.times.append(result)

    @contextmanager
    def _announce(self, lane: _Lane, keys: Sequence[bytes]) -> Iterator[_Computation]:
        """Let other requests wait for a computation while the context is open."""
        computation = _Computation(len(keys), asyncio.get_running_loop().create_future())
        for key in keys:
            self._computations.setdefault((lane, key), computation)
        try:
            yield computation
        except asyncio.CancelledError:
            computation.was_cancelled = True
            raise
        finally:
            for key in keys:
                if self._computations.get((lane, key)) is computation:
                    del self._computations[lane, key]
            computation.ended.set_result(None)


async def _wait(request: _Request, awaited: dict[bytes, _Computation]) -> bool:
    """Wait for computations and take their scores. Returns whether the request may wait again for those that failed.

    A cancelled computation does not say anything about its texts, so the next request takes over and the others wait
    for it. After an error each request computes by itself, so a failing model does not form a queue.
    """
    if awaited:
        await asyncio.wait({computation.ended for computation in awaited.values()})
    failed = set()
    for key, computation in awaited.items():
        if computation.scores is None:
            failed.add(computation)
        else:
            request.found[key] = computation.scores[key]
    return all(computation.was_cancelled for computation in failed)


def _result(request: _Request, seconds: float) -> ComputedScores:
    """Collect the scores of a request. `seconds` is its time to compute or to wait."""
    pairs = [request.found[key] for key in request.keys]
    return ComputedScores(
        [pair.score for pair in pairs],
        [pair.tokens for pair in pairs],
        request.times[0].queued if request.times else seconds,
        sum(result.scored for result in request.times),
        sum(result.computed_tokens for result in request.times),
    )
