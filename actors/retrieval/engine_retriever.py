"""Ask a search engine for many queries at once, with retries. Base class of the retrievers for each kind of engine."""

from __future__ import annotations

import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ranking.engine_settings import EngineSettings
from ranking.environment_values import EnvironmentValues
from ranking.errors import InputError
from ranking.records import Query
from ranking.retrieval.engine_hits import AnswerError, EngineHit

MAX_WAIT_SECONDS = 300.0
"""Maximum time between two attempts, also if the engine asks for more in Retry-After."""

_FIRST_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.5, 60.0
_PROBE = Query(query_id="", text="search")


class TemporaryFailureError(Exception):
    """An attempt failed for a reason that may pass, such as a lost connection.

    Attributes:
        wait_seconds: Time that the engine asks to wait before the next attempt.
    """

    def __init__(self, problem: str, wait_seconds: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_seconds = wait_seconds


class QueryRefusedError(Exception):
    """The engine refuses one query, for example because it is too long. Other queries may work."""


@dataclass(frozen=True)
class EngineResult:
    """The result of one query: hits, best first, or the reason why the engine refuses the query."""

    hits: list[EngineHit] = field(default_factory=list)
    refusal: str | None = None


class EngineRetriever(ABC):
    """Retriever that asks a search engine.

    Args:
        settings: Settings of the engine.
        address: Address of the engine without credentials, for error messages.
    """

    def __init__(self, settings: EngineSettings, address: str) -> None:
        self.where = f"retriever {settings.list_name!r}, {address}"
        self.concurrency, self.retries = settings.concurrency, settings.retries
        self.environment = EnvironmentValues(f"setting 'candidates.retrievers', {settings.list_name!r}")
        self._failed = threading.Event()
        self._answered = False

    @abstractmethod
    def ask(self, query: Query, depth: int) -> list[EngineHit]:
        """Ask the engine once. Called from several threads.

        Raises:
            TemporaryFailureError: The attempt can be repeated.
            QueryRefusedError: The engine refuses this query.
            AnswerError: The engine cannot be used: it denies access, or its answer is not as configured.
        """

    def results(self, queries: Sequence[Query], depth: int) -> list[EngineResult]:
        """Ask for several queries, `concurrency` at the same time, and return their results in the same order.

        Raises:
            InputError: A query has no answer after all retries, an answer is unusable, or the engine refuses every
                query. The message names the engine and the query.
        """
        self._failed.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            results = list(pool.map(partial(self._result, depth=depth), queries))
        self._answered = self._answered or any(result.refusal is None for result in results)
        if results and not self._answered:
            self._check_probe(queries[0], results[0])
        return results

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt. Returns at once if another query has failed."""
        self._failed.wait(seconds)

    def _result(self, query: Query, depth: int) -> EngineResult:
        try:
            return EngineResult(hits=self._with_retries(query, depth))
        except QueryRefusedError as refused:
            return EngineResult(refusal=self.environment.hide(str(refused)))
        except (TemporaryFailureError, AnswerError) as error:
            self._failed.set()
            raise InputError(
                f"{self.where}: query {query.query_id!r}: {self.environment.hide(str(error))}; finished parts are "
                "kept, run the job again to continue"
            ) from None

    def _with_retries(self, query: Query, depth: int) -> list[EngineHit]:
        for attempt in range(self.retries + 1):
            try:
                return self.ask(query, depth)
            except TemporaryFailureError as failure:
                if attempt == self.retries or self._failed.is_set():
                    raise TemporaryFailureError(f"{failure} (attempt {attempt + 1} of {self.retries + 1})") from None
                self.pause(wait_before_retry(attempt, failure.wait_seconds))
        raise AssertionError("unreachable")

    def _check_probe(self, query: Query, result: EngineResult) -> None:
        """Raise InputError if the engine also refuses a plain query, so the request itself must be wrong."""
        if self._result(_PROBE, 1).refusal is not None:
            raise InputError(
                f"{self.where}: query {query.query_id!r}: {result.refusal}; the query {_PROBE.text!r} is refused too, "
                "so check the request in the retriever's settings"
            )
        self._answered = True


def wait_before_retry(attempt: int, wait_seconds: float = 0.0) -> float:
    """Choose the seconds before the next attempt: exponential backoff with jitter, or more if the engine asks for it.

    Args:
        attempt: Number of the failed attempt, from 0.
        wait_seconds: Time that the engine asks to wait.
    """
    backoff = min(_MAX_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0**attempt) * random.uniform(0.5, 1.0)
    return min(MAX_WAIT_SECONDS, max(backoff, wait_seconds + random.uniform(0.0, 0.5) * bool(wait_seconds)))
