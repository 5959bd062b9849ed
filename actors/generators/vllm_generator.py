"""Have a language model in vLLM write queries for documents.

Every raw answer is cached on storage, so an interrupted run requests only the missing ones.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.cluster.placement import teacher_engines
from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, records, table_of
from actors.generators.generator_settings import LlmGenerationSettings
from actors.generators.query_requests import QueryWriter, TokenFiller, answer_schema
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.generation_prompts import load_generation_prompt
from ranking.records import DocumentQueries, SourcePassage
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_SETTING = "queries.generate.model"


def check_generator_model(settings: LlmGenerationSettings) -> None:
    """Check model, prompt and example queries.

    Raises:
        InputError: The model is incomplete or is not a language model with a chat template, or a file is malformed.
    """
    from students.model_check import check_vllm_model  # imports torch, which not every process needs

    load_generation_prompt(settings.prompt_file)
    settings.all_examples()
    check_vllm_model(settings.model, settings.revision, _SETTING, "generate", chat=True)


class VllmGenerator:
    """Generator that runs a language model in a pool of vLLM engines.

    Args:
        settings: Settings of the generator.
        compute: Compute settings.
        cache: Folder of the response cache and crash log.
        language: Language of the collection.

    Raises:
        InputError: The model is missing or malformed.
    """

    def __init__(self, settings: LlmGenerationSettings, compute: ComputeSettings, cache: Folder, language: str) -> None:
        check_generator_model(settings)
        CrashLog(cache).forget()
        self.settings, self.compute, self.cache, self.language = settings, compute, cache, language

    def write(self, passages: Dataset) -> Dataset:
        """Write queries. Maps rows of SourcePassage to rows of Outcome[DocumentQueries], one per document."""
        arguments = (self.settings, self.compute.teacher_gpus, self.cache, self.language)
        return through_engines(passages, GeneratorActor, arguments, teacher_engines(self.compute))


def sampling_of(settings: LlmGenerationSettings) -> dict[str, Any]:
    """Return the sampling arguments that constrain the answer to its JSON form; empty if this is turned off."""
    if not settings.structured:
        return {}
    from vllm.sampling_params import StructuredOutputsParams

    return {"structured_outputs": StructuredOutputsParams(json=answer_schema(settings))}


class GeneratorActor:
    """Ray Data actor that writes queries with its own engine, for many documents concurrently."""

    def __init__(self, settings: LlmGenerationSettings, gpus: int, cache: Folder, language: str) -> None:
        self.crash_log = CrashLog(cache)
        self.crash_log.check()
        self.cache = ResponseCache(cache)
        filler = TokenFiller(settings, language)
        engine = VllmEngine(
            settings.model, settings.revision, "generate", settings.engine, gpus, self.crash_log, _SETTING
        )
        self.writer = QueryWriter(settings, filler, self.cache, engine.generate, sampling_of(settings))

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Write the queries of a batch with rows of SourcePassage. Returns rows of Outcome[DocumentQueries]."""
        outcomes = await asyncio.gather(*(self.writer.outcome(passage) for passage in records(batch, SourcePassage)))
        await self.cache.write()
        return table_of(outcomes, Outcome[DocumentQueries])
