"""The spend of a job on a hosted model, shared by all of its workers, and why the job stops.

A request reserves its maximum price before it is sent. If the reserved amounts do not fit under the cap, a request
waits until others are done; with no other in flight, it is sent as long as the cap is not reached. The spend therefore
exceeds the cap by less than the price of one request, apart from errors of token estimates.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.hosted.hosted_errors import Stop
from ranking.records import TokenCounts
from ranking.storage.folder import Folder
from ranking.token_prices import TokenPrices

_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class LedgerSummary:
    """State of a ledger.

    Attributes:
        spent: Price of all answers, also of earlier jobs of the run; 0 without prices.
        stop: Why no further requests are sent; None if nothing stopped the job.
        answers: Answers of this job.
        retries: Failed attempts of this job that were repeated.
    """

    spent: float
    stop: Stop | None
    answers: int
    retries: int


class SpendLedger:
    """Counts spend and reserves it before requests are sent.

    Args:
        cache: Folder of the response cache, whose answers count as spent; None to begin with 0.
        prices: Prices per million tokens; None if they are unknown.
        cap: Maximum spend; None for no limit.
        lease_seconds: Seconds after which a reservation expires, because its worker was lost.
        clock: Returns the current time in seconds.
    """

    def __init__(
        self,
        cache: Folder | None,
        prices: TokenPrices | None,
        cap: float | None,
        lease_seconds: float = 3600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cap, self._lease_seconds, self._clock = cap, lease_seconds, clock
        self._spent = prices.cost(tokens_in(cache)) if cache is not None and prices is not None else 0.0
        self._reserved: dict[int, tuple[float, float]] = {}
        self._ids = itertools.count()
        self._stop: Stop | None = None
        self._answers = self._retries = 0
        self._changed = asyncio.Condition()

    async def reserve(self, amount: float) -> int | None:
        """Reserve the maximum price of a request, waiting until it fits.

        Returns:
            Id of the reservation; None if the job sends no further requests.
        """
        async with self._changed:
            while not self._fits(amount):
                if self._stop is not None:
                    return None
                try:
                    await asyncio.wait_for(self._changed.wait(), _CHECK_SECONDS)
                except TimeoutError:
                    self._expire()
            reservation = next(self._ids)
            self._reserved[reservation] = (amount, self._clock() + self._lease_seconds)
            return reservation

    async def settle(self, reservation: int, paid: float, answered: bool, retries: int = 0) -> None:
        """Replace a reservation by what was paid.

        Args:
            reservation: Id of the reservation.
            paid: Price of the answer; 0 without an answer.
            answered: Whether there was an answer.
            retries: Failed attempts that were repeated.
        """
        async with self._changed:
            self._reserved.pop(reservation, None)
            self._spent += paid
            self._answers += answered
            self._retries += retries
            self._changed.notify_all()

    async def stop(self, stop: Stop) -> None:
        """Stop the job. The first reason counts."""
        async with self._changed:
            self._stop = self._stop or stop
            self._changed.notify_all()

    async def summary(self) -> LedgerSummary:
        """Return the current state."""
        return LedgerSummary(self._spent, self._stop, self._answers, self._retries)

    def _fits(self, amount: float) -> bool:
        """Return whether a request may be sent now. Stops the job if the cap is reached."""
        if self._stop is not None:
            return False
        if self._cap is None:
            return True
        if self._spent >= self._cap:
            self._stop = Stop("cap", f"spent {self._spent:,.4f} of {self._cap:,.4f}")
            return False
        reserved = sum(price for price, _ in self._reserved.values())
        return not self._reserved or self._spent + reserved + amount <= self._cap

    def _expire(self) -> None:
        now = self._clock()
        self._reserved = {key: entry for key, entry in self._reserved.items() if entry[1] > now}


class RemoteLedger:
    """A ledger in another process.

    Args:
        handle: Handle of a Ray actor of class `SpendLedger`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    async def reserve(self, amount: float) -> int | None:
        """Reserve the maximum price of a request, see `SpendLedger.reserve`."""
        reservation: int | None = await self._handle.reserve.remote(amount)
        return reservation

    async def settle(self, reservation: int, paid: float, answered: bool, retries: int = 0) -> None:
        """Replace a reservation by what was paid, see `SpendLedger.settle`."""
        await self._handle.settle.remote(reservation, paid, answered, retries)

    async def stop(self, stop: Stop) -> None:
        """Stop the job."""
        await self._handle.stop.remote(stop)


def tokens_in(cache: Folder) -> TokenCounts:
    """Sum the tokens of all answers in a response cache."""
    prompt = completion = 0
    for table in cache.read_tables(["prompt_tokens", "completion_tokens"]):
        prompt += sum(table["prompt_tokens"].to_pylist())
        completion += sum(table["completion_tokens"].to_pylist())
    return TokenCounts(prompt=prompt, completion=completion)
