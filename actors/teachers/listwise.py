"""The listwise teacher: a language model in vLLM reads a query's documents in one prompt and writes their order.

Every answer is kept on storage as it came, also one that cannot be used, so an interrupted run asks only
what is left, and a label can be traced to the words behind it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from actors.data.rows import Outcome, PreRankedList
from actors.settings import ComputeSettings, ListwiseTeacherSettings
from actors.teachers.label_outcomes import outcome_of
from actors.teachers.listwise_requests import ListwiseRequester
from actors.vllm.engine import VllmEngine
from actors.vllm.engine_actor import EngineActor, through_teachers
from actors.vllm.model_check import check_model
from actors.vllm.prompt_tokens import PromptFiller
from actors.vllm.response_cache import ResponseCache
from ranking.prompts import load_prompt
from ranking.records import Provenance
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

STRUCTURED = "actors.vllm.structured_output:ListProcessor"


class ListwiseTeacher:
    """Asks for every list, with as many prompt orders as the settings say, again where an answer is unusable."""

    def __init__(
        self, settings: ListwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder
    ) -> None:
        check_model(settings.model, settings.revision, "teacher.model", chat=True)
        self.settings = settings
        self.compute = compute
        self.memory = memory
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=load_prompt(settings.prompt_file).hash,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=json.dumps(
                {"temperature": settings.temperature, "structured": settings.structured, "orders": settings.orders}
            ),
            seed=settings.seed,
            targets="tiers",
        )

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]]:
        """The class that runs its engine, and what that is made with."""
        return ListwiseActor, (self.settings, self.compute, self.memory, self.provenance)

    def label(self, lists: Dataset) -> Dataset:
        """Label lists. lists: rows of PreRankedList. Returns rows of Outcome."""
        return through_teachers(lists, *self.actor, self.compute)


class ListwiseActor(EngineActor):
    """Ray Data actor: lists to outcomes, by an engine of its own."""

    def __init__(
        self, settings: ListwiseTeacherSettings, compute: ComputeSettings, memory: Folder, provenance: Provenance
    ) -> None:
        super().__init__(settings.model, compute, memory)
        self.settings = settings
        self.provenance = provenance
        self.memory = ResponseCache(memory)
        context = settings.engine.get("max_model_len")
        prompt = load_prompt(settings.prompt_file)
        filler = PromptFiller(prompt, settings.model, settings.revision, context, settings.max_document_tokens)
        processors = [*settings.engine.get("logits_processors", []), *([STRUCTURED] if settings.structured else [])]
        arguments = settings.engine | ({"logits_processors": processors} if processors else {})
        engine = VllmEngine(settings.model, settings.revision, "generate", arguments, compute.teacher_gpus, self.deaths)
        self.asker = ListwiseRequester(settings, filler, self.memory, engine.write)

    async def outcome(self, row: PreRankedList) -> Outcome:
        return outcome_of(row, await self.asker.rankings(row), self.settings, self.provenance)

    async def settle(self) -> None:
        await self.memory.write()
