"""The listwise teacher with a hosted model: a chat-completions server, or a service that takes batch files.

Prompts, parsing, retries and the response cache are those of the teacher in vLLM. Workers need CPUs only. A list whose
answers cannot be requested in this job (spend cap, failing server, batch files without results) gets neither a label
nor a rejection, and the job ends when all other lists are done.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, table_of
from actors.hosted.deferral import gather_present
from actors.hosted.hosted_source import MAX_UNWRITTEN_SECONDS, Answers, HostedSource
from actors.hosted.message_filler import message_filler
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.vllm.engine_actor import EngineActor, through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.hosted_settings import HostedSettings, prices_of
from ranking.prompts import load_prompt
from ranking.records import Label, PreRankedList, Provenance
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

SETTING = "teacher.hosted"


class HostedListwiseTeacher:
    """Teacher whose hosted model ranks every candidate list.

    Args:
        settings: Teacher settings.
        compute: Compute settings.
        fingerprint: Hash of all inputs that determine the answers.
        cache: Folder of the response cache.

    Raises:
        InputError: The prompt file is missing or malformed, or the variable with the API key is not set.
    """

    actor = None

    def __init__(
        self, settings: ListwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, cache: Folder
    ) -> None:
        hosted = hosted_of(settings)
        self.settings = settings
        self.compute = compute
        self.cache = cache
        self.source = HostedSource(settings.backend, hosted, SETTING, cache)
        self.provenance = Provenance(
            teacher=settings.model,
            prompt=load_prompt(settings.prompt_file).hash,
            fingerprint=fingerprint,
            engine=f"{settings.backend} {hosted.host or ''}".strip(),
            sampling=json.dumps(
                {"temperature": settings.temperature, "structured": hosted.structured, "orders": settings.orders}
                | ({"thinking": settings.thinking.budget} if settings.thinking else {})
                | hosted.body
            ),
            seed=settings.seed,
            targets="tiers",
        )

    def label(self, lists: Dataset) -> Dataset:
        """Label candidate lists. Maps rows of PreRankedList to rows of Outcome[Label], without the deferred lists."""
        arguments = (self.settings, self.compute, self.cache, self.provenance, self.source.worker_arguments())
        return through_engines(lists, HostedListwiseActor, arguments, self.source.pool)


class HostedListwiseActor(EngineActor):
    """Ray Data actor that labels candidate lists with a hosted model."""

    def __init__(
        self,
        settings: ListwiseTeacherSettings,
        compute: ComputeSettings,
        cache: Folder,
        provenance: Provenance,
        source: tuple[Any, ...],
    ) -> None:
        super().__init__(settings.model, compute.model_copy(update={"engine_hour_price": None}), cache)
        self.settings = settings
        self.provenance = provenance
        self.prices = prices_of(settings)
        self.cache = ResponseCache(cache, MAX_UNWRITTEN_SECONDS)
        self.answers = Answers(settings.model, *source)
        filler = message_filler(settings)
        self.requester = ListwiseRequester(settings, filler, self.cache, self.answers.generate)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Label a batch with rows of PreRankedList. Returns rows of Outcome[Label], without the deferred lists."""
        outcomes, error = await gather_present(self._measure(row) for row in records(batch, PreRankedList))
        await self.flush()
        if error is not None:
            raise error
        return table_of(outcomes, Outcome[Label])

    async def outcome(self, row: PreRankedList) -> Outcome[Label]:
        """Label one list, which has at least one candidate."""
        outcome = outcome_of(row, await self.requester.rankings(row), self.settings, self.provenance)
        if self.prices is not None:
            self.metrics.add_cost(self.prices.cost(outcome.tokens))
        return outcome

    async def flush(self) -> None:
        """Write new responses, or new batch requests, to storage."""
        await self.cache.write()
        await self.answers.flush()


def hosted_of(settings: ListwiseTeacherSettings) -> HostedSettings:
    """Return the settings of the hosted model, which are set for hosted backends."""
    assert settings.hosted is not None
    return settings.hosted
