"""The listwise teacher: a language model in vLLM that ranks the documents of a query in one prompt.

Every raw response is cached on storage, including unusable ones. An interrupted run requests only the missing
responses, and each label can be traced to the responses that it was made from.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester, prompt_filler
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.teacher_models import check_teacher_model
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import EngineActor, through_teachers
from actors.vllm.response_cache import ResponseCache
from ranking.prompts import load_prompt
from ranking.records import Label, PreRankedList, Provenance
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

STRUCTURED = "actors.vllm.structured_output:ListProcessor"
"""Import path of the logits processor, as vLLM's engine argument `logits_processors` expects it."""


class ListwiseTeacher:
    """Teacher whose model ranks every candidate list, in one or more prompt orders, with retries for unusable answers.

    Args:
        settings: Teacher settings.
        compute: Compute settings.
        fingerprint: Hash of all inputs that determine the answers.
        cache: Folder of the response cache.

    Raises:
        InputError: The model or the prompt file is missing or malformed.
    """

    def __init__(
        self, settings: ListwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, cache: Folder
    ) -> None:
        check_teacher_model(settings)
        self.settings = settings
        self.compute = compute
        self.cache = cache
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=load_prompt(settings.prompt_file).hash,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=json.dumps(
                {"temperature": settings.temperature, "structured": settings.structured, "orders": settings.orders}
                | ({"thinking": settings.thinking.budget} if settings.thinking else {})
            ),
            seed=settings.seed,
            targets="tiers",
        )

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]]:
        """Actor class that runs the engine, and its constructor arguments."""
        return ListwiseActor, (self.settings, self.compute, self.cache, self.provenance)

    def label(self, lists: Dataset) -> Dataset:
        """Label each candidate list. Maps rows of PreRankedList to rows of Outcome[Label]."""
        return through_teachers(lists, *self.actor, self.compute)


class ListwiseActor(EngineActor):
    """Ray Data actor that labels candidate lists with its own language model."""

    def __init__(
        self, settings: ListwiseTeacherSettings, compute: ComputeSettings, cache: Folder, provenance: Provenance
    ) -> None:
        super().__init__(settings.model, compute, cache)
        self.settings = settings
        self.provenance = provenance
        self.cache = ResponseCache(cache)
        structured = settings.structured and settings.thinking is None
        processors = [*settings.engine.get("logits_processors", []), *([STRUCTURED] if structured else [])]
        arguments = settings.engine | ({"logits_processors": processors} if processors else {})
        engine = VllmEngine(
            settings.model, settings.revision, "generate", arguments, compute.teacher_gpus, self.crash_log
        )
        self.requester = ListwiseRequester(settings, prompt_filler(settings), self.cache, engine.generate)

    async def outcome(self, row: PreRankedList) -> Outcome[Label]:
        """Label one list, which has at least one candidate."""
        return outcome_of(row, await self.requester.rankings(row), self.settings, self.provenance)

    async def flush(self) -> None:
        """Write new responses to storage."""
        await self.cache.write()
