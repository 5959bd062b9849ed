"""The pairwise and the setwise teacher: a language model in vLLM that compares a few documents per prompt.

Pairwise ranking prompting: arXiv 2306.17563. Setwise: arXiv 2310.09497. Every raw response is cached on storage, so an
interrupted run requests only the missing ones.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome
from actors.teachers.comparing.choice_requests import ChoiceFiller, ChoiceRequester
from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings, PairwiseTeacherSettings
from actors.teachers.comparing.comparison_outcomes import outcome_of_comparisons
from actors.teachers.comparing.comparison_ranking import ListComparer
from actors.teachers.teacher_models import check_teacher_model
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import EngineActor, through_teachers
from actors.vllm.response_cache import ResponseCache
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.records import Label, PreRankedList, Provenance
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

_CONCURRENT_LISTS = 64
_NOT_SAMPLING = {"kind", "model", "revision", "engine", "prompt", "seed"}


class ComparingTeacher:
    """Teacher whose model compares the documents of every candidate list, two or a few at a time.

    Args:
        settings: Teacher settings.
        compute: Compute settings.
        fingerprint: Hash of all inputs that determine the answers.
        cache: Folder of the response cache.

    Raises:
        InputError: The model or the prompt file is missing or malformed, or the tokenizer has no tokens for letters.
    """

    def __init__(
        self, settings: ComparingTeacherSettings, compute: ComputeSettings, fingerprint: str, cache: Folder
    ) -> None:
        check_teacher_model(settings)
        prompt = load_choice_prompt(settings.prompt_file)
        ChoiceFiller(prompt, settings)  # raises an error before an engine starts
        self.settings = settings
        self.compute = compute
        self.cache = cache
        has_scores = isinstance(settings, PairwiseTeacherSettings) and settings.method == "pairs"
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=prompt.hash,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=json.dumps(settings.model_dump(exclude=_NOT_SAMPLING)),
            seed=settings.seed,
            targets="scores" if has_scores else "tiers",
        )

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]]:
        """Actor class that runs the engine, and its constructor arguments."""
        return ComparingActor, (self.settings, self.compute, self.cache, self.provenance)

    def label(self, lists: Dataset) -> Dataset:
        """Label each candidate list. Maps rows of PreRankedList to rows of Outcome[Label]."""
        return through_teachers(lists, *self.actor, self.compute)


class ComparingActor(EngineActor):
    """Ray Data actor that labels candidate lists by comparisons with its own language model.

    A list of 50 documents has up to 2,450 comparisons, so only some lists are compared at once.
    """

    def __init__(
        self, settings: ComparingTeacherSettings, compute: ComputeSettings, cache: Folder, provenance: Provenance
    ) -> None:
        super().__init__(settings.model, compute, cache)
        self.settings = settings
        self.provenance = provenance
        self.cache = ResponseCache(cache)
        filler = ChoiceFiller(load_choice_prompt(settings.prompt_file), settings)
        engine = VllmEngine(
            settings.model, settings.revision, "generate", settings.engine, compute.teacher_gpus, self.crash_log
        )
        self.requester = ChoiceRequester(settings, filler, self.cache, engine.generate)
        self._lists = asyncio.Semaphore(_CONCURRENT_LISTS)

    async def outcome(self, row: PreRankedList) -> Outcome[Label]:
        """Label one list, which has at least one candidate."""
        async with self._lists:
            compared = await ListComparer(row, self.settings, self.requester).rank()
        return outcome_of_comparisons(row, compared, self.settings, self.provenance)

    async def flush(self) -> None:
        """Write new responses to storage."""
        await self.cache.write()
