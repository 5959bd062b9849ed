"""Have a language model in vLLM explain why a passage is or is not relevant.

Every raw response is cached on storage, so an interrupted run requests only the missing ones. An unusable response
is stored with the status that makes it unusable, and its candidate is treated as one without a rationale. No query is
rejected because of it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.cluster.placement import rationale_engines
from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, table_of
from actors.rationales.rationale_requests import Explainer, RationaleFiller
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.rationale_prompts import RATIONALE, load_rationale_prompt
from ranking.records import Label, RationaleList
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_SETTING = "rationales.model"


def check_writer_model(settings: LlmRationaleSettings) -> None:
    """Raise InputError if the model is incomplete or is not a language model with a chat template."""
    from students.model_check import check_vllm_model  # imports torch, which not every process needs

    check_vllm_model(settings.model, settings.revision, _SETTING, "generate", chat=True)


class LlmWriter:
    """Rationale writer that runs a language model in a pool of vLLM engines.

    Args:
        settings: Rationale settings.
        compute: Compute settings.
        cache: Folder of the response cache and crash log.

    Raises:
        InputError: The model is missing or malformed.
    """

    def __init__(self, settings: LlmRationaleSettings, compute: ComputeSettings, cache: Folder) -> None:
        check_writer_model(settings)
        CrashLog(cache).forget()
        self.settings = settings
        self.compute = compute
        self.cache = cache

    def explain(self, labels: Dataset) -> Dataset:
        """Write rationales. Maps rows of Label to rows of Outcome[RationaleList], one per label."""
        arguments = (self.settings, self.compute.rationale_gpus, self.cache)
        return through_engines(labels, LlmActor, arguments, rationale_engines(self.compute))


class LlmActor:
    """Ray Data actor that writes rationales with its own engine, for many labels concurrently."""

    def __init__(self, settings: LlmRationaleSettings, gpus: int, cache: Folder) -> None:
        self.crash_log = CrashLog(cache)
        self.crash_log.check()
        self.cache = ResponseCache(cache)
        prompt = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE)
        filler = RationaleFiller(prompt, settings)
        engine = VllmEngine(
            settings.model, settings.revision, "generate", settings.engine, gpus, self.crash_log, _SETTING
        )
        self.explainer = Explainer(settings, filler, self.cache, engine.generate)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the rationales of a batch with rows of Label. Returns rows of Outcome[RationaleList]."""
        outcomes = await asyncio.gather(*(self.explainer.outcome(label) for label in records(batch, Label)))
        await self.cache.write()
        return table_of(outcomes, Outcome[RationaleList])
