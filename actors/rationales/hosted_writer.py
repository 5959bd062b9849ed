"""Have a hosted model explain why a passage is or is not relevant, see `actors.rationales.llm_writer`.

Labels whose rationales cannot be requested in this job are left out, and the job ends when all others are done.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.data.rows import Outcome, records, table_of
from actors.hosted.deferral import gather_present
from actors.hosted.hosted_source import MAX_UNWRITTEN_SECONDS, Answers, HostedSource
from actors.hosted.message_filler import PairMessageFiller
from actors.rationales.rationale_requests import Explainer
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.vllm.engine_actor import through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.rationale_prompts import RATIONALE, load_rationale_prompt
from ranking.records import Label, RationaleList
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

SETTING = "rationales.hosted"


class HostedWriter:
    """Rationale writer that asks a hosted model.

    Args:
        settings: Rationale settings.
        cache: Folder of the response cache.

    Raises:
        InputError: The variable with the API key is not set.
    """

    def __init__(self, settings: LlmRationaleSettings, cache: Folder) -> None:
        assert settings.hosted is not None
        self.settings = settings
        self.cache = cache
        self.source = HostedSource(settings.backend, settings.hosted, SETTING, cache)

    def explain(self, labels: Dataset) -> Dataset:
        """Write rationales. Maps rows of Label to rows of Outcome[RationaleList], without the deferred labels."""
        arguments = (self.settings, self.cache, self.source.worker_arguments())
        return through_engines(labels, HostedWriterActor, arguments, self.source.pool)


class HostedWriterActor:
    """Ray Data actor that writes rationales with a hosted model, for many labels concurrently."""

    def __init__(self, settings: LlmRationaleSettings, cache: Folder, source: tuple[Any, ...]) -> None:
        assert settings.hosted is not None
        self.cache = ResponseCache(cache, MAX_UNWRITTEN_SECONDS)
        self.answers = Answers(settings.model, *source)
        prompt = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE)
        filler = PairMessageFiller(prompt, settings, settings.hosted)
        self.explainer = Explainer(settings, filler, self.cache, self.answers.generate)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the rationales of a batch with rows of Label. Returns rows of Outcome[RationaleList]."""
        outcomes, error = await gather_present(self.explainer.outcome(label) for label in records(batch, Label))
        await self.cache.write()
        await self.answers.flush()
        if error is not None:
            raise error
        return table_of(outcomes, Outcome[RationaleList])
