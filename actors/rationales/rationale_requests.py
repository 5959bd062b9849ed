"""Asking a language model for the reasons of one label's candidates, each on its own, none twice."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from actors.data.rows import Outcome
from actors.retrieval.embeddings import text_id_of
from actors.settings import LlmReasonSettings
from actors.vllm.chat import ChatTokens
from actors.vllm.engine import Written
from actors.vllm.response_cache import AnswerMemory, Asked
from ranking.labels.rationales import read_reason
from ranking.labels.relevance import relevance, telling
from ranking.prompts.rationale_prompts import ReasonPrompt
from ranking.records import Label, Reason, ReasonList, Tokens, Usage, content

Write = Callable[[Sequence[int], Mapping[str, Any]], Awaitable[Written]]


class ReasonFiller:
    """Fills the prompt for a reason, the passage cut so that all of it and the answer fit."""

    def __init__(self, prompt: ReasonPrompt, settings: LlmReasonSettings) -> None:
        self.prompt = prompt
        self.settings = settings
        self.chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))

    def fill(self, query: str, passage: str, relevant: bool, seed: str) -> tuple[list[int], int]:
        """The prompt, and to how many tokens the passage was cut. Raises ValueError where no passage would fit."""

        def filled(limit: int) -> list[int]:
            return self.chat.of(self.prompt.messages(query, self.chat.cut(passage, limit), relevant, seed, self.chat.special))

        return self.chat.fit(filled, self.settings.document_tokens, 1, self.settings.max_tokens)


class Explainer:
    """Asks for reasons. write: the engine's. What the memory holds already is not asked again."""

    def __init__(self, settings: LlmReasonSettings, filler: ReasonFiller, memory: AnswerMemory, write: Write) -> None:
        self.settings = settings
        self.filler = filler
        self.memory = memory
        self.write = write

    async def outcome(self, label: Label) -> Outcome:
        """The reasons of the label's telling candidates, all asked for at once."""
        relevant = relevance(label)
        chosen = telling(label, self.settings.per_list)
        passages = [content(label.candidates[i].title, label.candidates[i].text) for i in chosen]
        answers = await asyncio.gather(
            *(self._answer(label.query, passage, relevant[i]) for i, passage in zip(chosen, passages, strict=True))
        )
        reasons = [
            _reason(label.candidates[i].doc_id, passage, relevant[i], asked)
            for i, passage, (asked, _) in zip(chosen, passages, answers, strict=True)
        ]
        found = ReasonList(
            query_id=label.query_id,
            reasons=reasons,
            writer=self.settings.model,
            prompt=self.filler.prompt.hash,
            usage=Usage(
                prompt_tokens=sum(asked.prompt_tokens for asked, _ in answers),
                completion_tokens=sum(asked.completion_tokens for asked, _ in answers),
                seconds=sum(asked.seconds for asked, _ in answers),
            ),
        )
        fresh = Tokens(
            prompt=sum(asked.prompt_tokens for asked, new in answers if new),
            completion=sum(asked.completion_tokens for asked, new in answers if new),
        )
        return Outcome(query_id=label.query_id, row=found.model_dump_json(), tokens=fresh)

    async def _answer(self, query: str, passage: str, relevant: bool) -> tuple[Asked, bool]:
        """What was written about a passage, and whether it was just now."""
        name = text_id_of(json.dumps([query, passage, relevant], ensure_ascii=False))
        held = self.memory.find(name, 0, 0, 1)
        return (held, False) if held else (await self._ask(name, query, passage, relevant), True)

    async def _ask(self, name: str, query: str, passage: str, relevant: bool) -> Asked:
        began = time.monotonic()
        written, error, limit = None, None, 0
        try:
            tokens, limit = await asyncio.to_thread(self.filler.fill, query, passage, relevant, name)
            written = await self.write(tokens, self._sampling(name))
        except ValueError as refused:
            error = " ".join(str(refused).split())
        asked = Asked(
            list_id=name,
            number=0,
            step=0,
            attempt=1,
            raw=written.text if written else None,
            error=error,
            finish_reason=written.finish_reason if written else None,
            document_tokens=limit,
            prompt_tokens=written.prompt_tokens if written else 0,
            cached_tokens=written.cached_tokens if written else 0,
            completion_tokens=written.completion_tokens if written else 0,
            seconds=time.monotonic() - began,
        )
        await self.memory.add(asked)
        return asked

    def _sampling(self, name: str) -> dict[str, Any]:
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens}
        return sampling | ({"seed": int(name[:8], 16)} if self.settings.temperature > 0 else {})


def _reason(doc_id: str, passage: str, relevant: bool, asked: Asked) -> Reason:
    """Read an answer; what the engine refused is a failure with its words."""
    if asked.error is not None:
        return Reason(doc_id=doc_id, relevant=relevant, verdict="failed", text=asked.error)
    verdict, text = read_reason(asked.raw or "", passage, relevant, asked.finish_reason)
    return Reason(doc_id=doc_id, relevant=relevant, verdict=verdict, text=text)
