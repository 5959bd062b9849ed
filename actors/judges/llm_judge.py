"""Have a language model in vLLM grade query-passage pairs.

Every raw response is cached on storage, so an interrupted evaluation requests only the missing ones. The judge runs on
the teacher's resources, after the teacher.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.cluster.placement import teacher_engines
from actors.compute_settings import ComputeSettings
from actors.data.rows import records, table_of
from actors.judges.grade_requests import Grader, TokenFiller
from actors.vllm.crash_log import CrashLog
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import through_engines
from actors.vllm.engine_dtype import engine_with_dtype
from actors.vllm.response_cache import ResponseCache
from ranking.errors import InputError
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.labels.grade_parsing import GRADES
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.records import PairGrade, PairToGrade
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_SETTING = "evaluation.judge.model"


def check_judge_model(settings: LlmJudgeSettings) -> None:
    """Check the judge's model, engine arguments and prompt.

    Raises:
        InputError: The model is incomplete or is not a language model with a chat template, the engine has another
            dtype than the model needs, or the prompt file is malformed.
    """
    from students.model_check import check_vllm_model  # imports torch, which not every process needs

    judge_engine(settings)
    load_pair_prompt(settings.prompt_file)
    check_vllm_model(settings.model, settings.revision, _SETTING, "generate", chat=True)


def judge_engine(settings: LlmJudgeSettings) -> dict[str, Any]:
    """Return the engine arguments, with the dtype in the model's manifest.

    Raises:
        InputError: The arguments have another dtype.
    """
    try:
        return engine_with_dtype(settings.model, settings.engine)
    except ValueError as error:
        raise InputError(f"setting 'evaluation.judge.engine': {error}") from None


def sampling_of(settings: LlmJudgeSettings) -> dict[str, Any]:
    """Return the sampling arguments: greedy decoding, and the allowed answers if decoding is constrained."""
    sampling: dict[str, Any] = {"temperature": 0.0, "max_tokens": settings.max_tokens}
    if settings.structured:
        from vllm.sampling_params import StructuredOutputsParams

        sampling["structured_outputs"] = StructuredOutputsParams(choice=list(GRADES))
    return sampling


class LlmJudge:
    """Judge that runs a language model in a pool of vLLM engines.

    Args:
        settings: Judge settings.
        compute: Compute settings.
        cache: Folder of the response cache and crash log.
    """

    def __init__(self, settings: LlmJudgeSettings, compute: ComputeSettings, cache: Folder) -> None:
        CrashLog(cache).forget()
        self.settings = settings
        self.compute = compute
        self.cache = cache

    def grade(self, pairs: Dataset) -> Dataset:
        """Grade pairs. Maps rows of PairToGrade to rows of PairGrade, one per pair."""
        arguments = (self.settings, self.compute.teacher_gpus, self.cache)
        return through_engines(pairs, JudgeActor, arguments, teacher_engines(self.compute))


class JudgeActor:
    """Ray Data actor that grades pairs with its own engine, many of them concurrently."""

    def __init__(self, settings: LlmJudgeSettings, gpus: int, cache: Folder) -> None:
        self.crash_log = CrashLog(cache)
        self.crash_log.check()
        self.cache = ResponseCache(cache)
        filler = TokenFiller(load_pair_prompt(settings.prompt_file), settings)
        arguments = judge_engine(settings)
        engine = VllmEngine(settings.model, settings.revision, "generate", arguments, gpus, self.crash_log, _SETTING)
        self.grader = Grader(filler, self.cache, engine.generate, sampling_of(settings))

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Grade a batch with rows of PairToGrade. Returns rows of PairGrade, one per pair."""
        grades = await asyncio.gather(*(self.grader.grade(pair) for pair in records(batch, PairToGrade)))
        await self.cache.write()
        return table_of(grades, PairGrade)
