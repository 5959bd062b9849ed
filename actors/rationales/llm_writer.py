"""Rationales by a language model in vLLM that is told whether a passage is relevant, and writes why.

Every answer is kept on storage as it came, so an interrupted run asks only what is left. One that cannot be
learned from stays in its row with its status, and its candidate has no rationale; no query is lost for it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.cluster.placement import rationale_engines
from actors.data.rows import Outcome, records, table_of
from actors.rationales.rationale_requests import Explainer, RationaleFiller
from actors.settings import ComputeSettings, LlmRationaleSettings
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import through_engines
from actors.vllm.model_check import check_model
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.rationale_prompts import RATIONALE, load_rationale_prompt
from ranking.records import Label
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_SETTING = "rationales.model"


class LlmWriter:
    """Has a pool of engines write rationales."""

    def __init__(self, settings: LlmRationaleSettings, compute: ComputeSettings, memory: Folder) -> None:
        check_model(settings.model, settings.revision, _SETTING, chat=True)
        CrashLog(memory).forget()
        self.settings = settings
        self.compute = compute
        self.memory = memory

    def explain(self, labels: Dataset) -> Dataset:
        """Give rationales. labels: rows of Label. Returns rows of Outcome with a ReasonList, one for each label."""
        arguments = (self.settings, self.compute.rationale_gpus, self.memory)
        return through_engines(labels, LlmActor, arguments, rationale_engines(self.compute))


class LlmActor:
    """Ray Data actor: labels to outcomes, by an engine of its own. Labels are under way side by side."""

    def __init__(self, settings: LlmRationaleSettings, gpus: int, memory: Folder) -> None:
        self.deaths = CrashLog(memory)
        self.deaths.check()
        self.memory = ResponseCache(memory)
        prompt = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE)
        filler = RationaleFiller(prompt, settings)
        engine = VllmEngine(settings.model, settings.revision, "generate", settings.engine, gpus, self.deaths, _SETTING)
        self.explainer = Explainer(settings, filler, self.memory, engine.write)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        outcomes = await asyncio.gather(*(self.explainer.outcome(label) for label in records(batch, Label)))
        await self.memory.write()
        return table_of(outcomes, Outcome)
