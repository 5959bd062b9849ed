"""What hosted teachers and rationale writers have in common: where answers come from, and why a job ends early."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actors.cluster.placement import EnginePool, Placement
from actors.cluster.remote import start_actor
from actors.hosted.batch_publication import publish
from actors.hosted.batch_requests import BatchRequests
from actors.hosted.batch_results import ingest
from actors.hosted.batch_state import BatchFolders
from actors.hosted.chat_client import ChatClient, key_of
from actors.hosted.chat_requests import ChatPrompt
from actors.hosted.hosted_errors import Stop
from actors.hosted.spend_ledger import LedgerSummary, RemoteLedger, SpendLedger
from actors.vllm.completion import Completion
from ranking.errors import InputError
from ranking.external_ends import ServiceError, WaitingError
from ranking.hosted_settings import Backend, HostedSettings
from ranking.storage.folder import Folder

MAX_UNWRITTEN_SECONDS = 2.0
"""Maximum age of an answer that is not on storage yet. Answers of hosted models are paid for one by one."""

_WORKER_CPUS = 0.5
_PARTS_SHOWN = 3


class HostedSource:
    """The driver's side of a hosted teacher or rationale writer.

    Args:
        backend: `openai` or `batch`.
        settings: Settings of the hosted model.
        setting: Name of these settings, such as `teacher.hosted`.
        cache: Folder of the response cache. Batch files are in a subfolder.

    Raises:
        InputError: The environment variable with the key is not set.
    """

    def __init__(self, backend: Backend, settings: HostedSettings, setting: str, cache: Folder) -> None:
        self.backend, self.settings, self.setting, self.cache = backend, settings, setting, cache
        self.folders = BatchFolders(cache)
        self._ledger: Any = None
        if backend == "openai":
            key_of(settings, setting)

    @property
    def pool(self) -> EnginePool:
        """The pool of workers. A single one writes batch files, because each request must be written once."""
        workers = self.settings.workers if self.backend == "openai" else 1
        return EnginePool(workers, workers, Placement(_WORKER_CPUS))

    def prepare(self) -> list[str]:
        """Get ready for requests, on the driver. For batch files, reads the results in the results folder.

        Returns:
            Lines for the user.
        """
        import ray

        if self.backend == "batch":
            task = ray.remote(ingest).options(num_cpus=0.25)
            lines: list[str] = ray.get(task.remote(self.folders, self.settings.max_retries))
            return lines
        return []

    def worker_arguments(self) -> tuple[Backend, HostedSettings, str, Folder, Any]:
        """Return what a worker needs to make its `Answers`. Starts the ledger that all workers share."""
        if self.backend == "openai" and self._ledger is None:
            settings = self.settings
            lease = (settings.timeout_seconds + settings.max_wait_seconds) * (settings.max_retries + 1)
            self._ledger = start_actor(
                SpendLedger,
                (self.cache, settings.prices, settings.spend_cap, lease),
                num_cpus=0,
                max_concurrency=2 * settings.workers * settings.concurrency + 16,
            )
        return self.backend, self.settings, self.setting, self.cache, self._ledger

    def conclude(self, remaining: int, unit: str) -> list[str]:
        """Check why there are rows without a result, at the end of a pass over all rows.

        Args:
            remaining: Number of rows without a result.
            unit: What the rows are, such as `lists`.

        Returns:
            Lines for the user.

        Raises:
            InputError: The spend cap is reached, or the user has to change something.
            ServiceError: The server failed.
            WaitingError: Batch files wait for their results.
        """
        import ray

        if self.backend == "batch":
            task = ray.remote(publish).options(num_cpus=0.25)
            waiting, requests = ray.get(task.remote(self.folders, self.settings))
            if remaining:
                raise WaitingError(self._waiting_text(waiting, requests, remaining, unit))
            return []
        summary: LedgerSummary = ray.get(self._ledger.summary.remote())
        if remaining:
            raise stop_error(summary.stop, self.setting, remaining, unit)
        return [f"{summary.answers:,} answers, {summary.retries:,} failed attempts repeated"] if summary.retries else []

    def _waiting_text(self, parts: list[str], requests: int, remaining: int, unit: str) -> str:
        shown = ", ".join(parts[:_PARTS_SHOWN]) + (f" and {len(parts) - _PARTS_SHOWN} more" if len(parts) > 3 else "")
        return (
            f"{requests:,} requests wait for results, {remaining:,} {unit} remain; submit {shown} in "
            f"{self.folders.requests.uri} to the batch service, each as one batch for /v1/chat/completions, and put "
            f"all result and error files into {self.folders.results.uri}"
        )


def stop_error(stop: Stop | None, setting: str, remaining: int, unit: str) -> Exception:
    """Return the error that ends the job.

    Args:
        stop: Why the job stopped.
        setting: Name of the settings, such as `teacher.hosted`.
        remaining: Number of rows without a result.
        unit: What the rows are.
    """
    left = f"{remaining:,} {unit} remain, and all answers so far are kept"
    if stop is None:
        return RuntimeError(f"{remaining} {unit} have no result, although the job did not stop")
    if stop.kind == "service":
        return ServiceError(f"{stop.reason}; {left}")
    if stop.kind == "cap":
        return InputError(
            f"setting '{setting}.spend_cap': {stop.reason}; {left}; raise the cap and run the job again to continue"
        )
    return InputError(f"setting '{setting}': {stop.reason}; {left}")


class Answers:
    """A worker's side of a hosted model: its generation function.

    Args:
        model: Name of the model.
        backend: `openai` or `batch`.
        settings: Settings of the hosted model.
        setting: Name of these settings.
        cache: Folder of the response cache.
        ledger: Handle of the ledger; None for batch files.

    Raises:
        InputError: The environment variable with the key is not set on this machine.
    """

    def __init__(
        self, model: str, backend: Backend, settings: HostedSettings, setting: str, cache: Folder, ledger: Any
    ) -> None:
        self._requests: BatchRequests | None = None
        self.generate: Callable[[ChatPrompt, Mapping[str, Any]], Awaitable[Completion]]
        if backend == "batch":
            self._requests = BatchRequests(settings, model, BatchFolders(cache))
            self.generate = self._requests.generate
        else:
            self.generate = ChatClient(settings, model, RemoteLedger(ledger), setting).generate

    async def flush(self) -> None:
        """Write new batch requests to storage."""
        if self._requests is not None:
            await self._requests.write()


def source_of(owner: object) -> HostedSource | None:
    """Return the source of a hosted teacher or rationale writer; None for all others."""
    source = getattr(owner, "source", None)
    return source if isinstance(source, HostedSource) else None
