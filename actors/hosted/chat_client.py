"""Ask a chat-completions server, many requests at once, with rate limits, retries and a spend cap."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
from collections.abc import Mapping
from typing import Any, Protocol

import httpx

from actors.hosted.chat_requests import JSON_SCHEMA, PATH, ChatPrompt, body_of, completion_of
from actors.hosted.hosted_errors import (
    RequestDeferredError,
    RetryError,
    Stop,
    StopError,
    UnsupportedFormatError,
    error_of,
    message_of,
)
from actors.hosted.rate_limiter import RateLimiter
from actors.hosted.retry_delays import backoff, retry_after
from actors.vllm.completion import Completion
from ranking.errors import InputError
from ranking.hosted_settings import HostedSettings
from ranking.records import TokenCounts


class Ledger(Protocol):
    """What the client needs of a `SpendLedger`, in this process or another."""

    async def reserve(self, amount: float) -> int | None:
        """Reserve the maximum price of a request. None: send no further requests."""

    async def settle(self, reservation: int, paid: float, answered: bool, retries: int = 0) -> None:
        """Replace a reservation by what was paid."""

    async def stop(self, stop: Stop) -> None:
        """Stop the job."""


class ChatClient:
    """Asks one model of a chat-completions server. One client per worker.

    Args:
        settings: Settings of the hosted model.
        model: Name of the model.
        ledger: Spend of the job, and whether it has stopped.
        setting: Name of the settings, such as `teacher.hosted`, for error messages.
        seed: Seed of the jitter; None for a random one.

    Raises:
        InputError: The environment variable with the key is not set.
    """

    def __init__(
        self, settings: HostedSettings, model: str, ledger: Ledger, setting: str, seed: int | None = None
    ) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # otherwise it logs every request
        self.settings, self.model, self.ledger = settings, model, ledger
        self._key = key_of(settings, setting)
        self._url = f"{settings.url}{PATH}"
        self._structured = settings.structured != "none"
        self._proven = False
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._limits = _limiters(settings)
        self._resume_at = 0.0
        self._stopped = asyncio.Event()
        self._random = random.Random(seed)
        self._http: httpx.AsyncClient | None = None

    async def generate(self, prompt: ChatPrompt, sampling: Mapping[str, Any]) -> Completion:
        """Generate an answer.

        Args:
            prompt: The prompt.
            sampling: See `body_of`.

        Raises:
            RefusedPromptError: The server refuses this prompt.
            RequestDeferredError: The job has stopped; `ledger` knows why.
        """
        async with self._slots:
            reservation = await self.ledger.reserve(self._max_price(prompt, sampling))
            if reservation is None:
                raise RequestDeferredError
            paid, answered, failures = 0.0, False, [0]
            try:
                completion = await self._answer(prompt, sampling, failures)
                paid, answered = self._price(completion.prompt_tokens, completion.completion_tokens), True
                return completion
            except StopError as error:
                self._stopped.set()
                await self.ledger.stop(error.stop)
                raise RequestDeferredError from None
            finally:
                await self.ledger.settle(reservation, paid, answered, failures[0])

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _answer(self, prompt: ChatPrompt, sampling: Mapping[str, Any], failures: list[int]) -> Completion:
        """Send a request until it is answered. Counts failed attempts in `failures`."""
        while True:
            try:
                return await self._attempt(prompt, sampling)
            except RetryError as error:
                failures[0] += 1
                await self._wait_after(error, failures[0])

    async def _attempt(self, prompt: ChatPrompt, sampling: Mapping[str, Any]) -> Completion:
        """Send a request once, without the response format if the server turns out not to support it."""
        await self._wait_for_turn(prompt.tokens + int(sampling["max_tokens"]))
        structured = self._structured and bool(sampling.get("extra_args") or sampling.get(JSON_SCHEMA))
        body = body_of(self.settings, self.model, prompt, sampling, structured)
        try:
            completion = self._completion(await self._post(body), prompt)
        except UnsupportedFormatError as error:
            if self.settings.structured == "json_schema":
                reason = f"the server refuses the response format ({error}); set hosted.structured to none"
                raise StopError(Stop("input", reason)) from None
            self._structured = False
            return await self._attempt(prompt, sampling)
        self._proven = True
        return completion

    def _completion(self, response: httpx.Response, prompt: ChatPrompt) -> Completion:
        """Read the answer in a response with status 200."""
        try:
            return completion_of(response.json(), prompt)
        except (ValueError, RecursionError) as error:
            raise RetryError(f"damaged answer: {message_of(str(error), self._key)}") from None

    async def _post(self, body: Mapping[str, Any]) -> httpx.Response:
        """Send a body. Returns the response if its status is 200, else raises the corresponding error."""
        try:
            async with asyncio.timeout(self.settings.timeout_seconds):
                response = await self._client().post(self._url, json=body)
        except TimeoutError:
            raise RetryError(f"no answer within {self.settings.timeout_seconds:g} s") from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise StopError(Stop("input", f"the URL is wrong ({error})")) from None
        except httpx.HTTPError as error:
            raise RetryError(message_of(f"{type(error).__name__}: {error}", self._key)) from None
        if response.status_code == 200:
            return response
        raise error_of(
            response.status_code,
            response.text,
            retry_after(response.headers),
            structured="response_format" in body,
            proven=self._proven,
            model=self.model,
            key=self._key,
        )

    async def _wait_for_turn(self, tokens: int) -> None:
        """Wait for the rate limits, and while the server wants no requests."""
        wait = max(limit.book(tokens if of_tokens else 1) for limit, of_tokens in self._limits) if self._limits else 0.0
        now = asyncio.get_running_loop().time()
        await self._sleep(max(wait, self._resume_at - now))

    async def _wait_after(self, error: RetryError, failures: int) -> None:
        """Wait after a failed attempt.

        Raises:
            StopError: There were too many failures, or the server asks for too long a wait.
        """
        longest = self.settings.max_wait_seconds
        if failures > self.settings.max_retries:
            reason = f"{self.settings.host} failed {failures} times in a row, last: {error}"
            raise StopError(Stop("service", reason)) from None
        if error.wait is not None and error.wait > longest:
            reason = f"{self.settings.host} asks to wait {error.wait:,.0f} s, longer than max_wait_seconds ({error})"
            raise StopError(Stop("service", reason)) from None
        wait = min(longest, max(error.wait or 0.0, backoff(failures, self._random)))
        if error.throttled:
            self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + (error.wait or 0.0))
        await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Sleep. Gives up if the job stops meanwhile."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise RequestDeferredError

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.settings.concurrency)
            self._http = httpx.AsyncClient(headers=headers, limits=limits, timeout=self.settings.timeout_seconds)
        return self._http

    def _max_price(self, prompt: ChatPrompt, sampling: Mapping[str, Any]) -> float:
        return self._price(prompt.tokens, int(sampling["max_tokens"]))

    def _price(self, prompt_tokens: int, completion_tokens: int) -> float:
        prices = self.settings.prices
        return prices.cost(TokenCounts(prompt=prompt_tokens, completion=completion_tokens)) if prices else 0.0


def key_of(settings: HostedSettings, setting: str) -> str | None:
    """Read the API key from the environment; None if the server needs no key.

    Args:
        settings: Settings of the hosted model.
        setting: Name of the settings, for the error message.

    Raises:
        InputError: The variable is not set.
    """
    name = settings.api_key_env
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise InputError(
            f"setting '{setting}.api_key_env': environment variable {name} is not set; set it on every machine of the "
            "cluster before Ray starts, or set api_key_env to null for a server without keys"
        )
    return key


def _limiters(settings: HostedSettings) -> list[tuple[RateLimiter, bool]]:
    """Make this worker's share of the rate limits. True marks the limit of tokens."""
    limits = ((settings.requests_per_minute, False), (settings.tokens_per_minute, True))
    return [(RateLimiter(limit / settings.workers), of_tokens) for limit, of_tokens in limits if limit is not None]
