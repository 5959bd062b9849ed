"""Request the rationales of one label from a language model, with one request per candidate."""

from __future__ import annotations

import json
from typing import Any, Protocol

from actors.data.rows import Outcome
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.retrieval.embeddings import text_id_of
from actors.vllm.cached_requests import Generate, ModelRequest, gather_all, request_response
from actors.vllm.chat import ChatTokens
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.labels.rationale_parsing import parse_rationale
from ranking.labels.relevance import candidates_to_explain, relevance
from ranking.prompts.rationale_prompts import RationalePrompt
from ranking.records import Label, Rationale, RationaleList, TokenCounts, Usage, content


class PairFiller(Protocol):
    """Fills rationale prompts."""

    @property
    def prompt(self) -> RationalePrompt:
        """The prompt's parts."""

    def fill(self, query: str, passage: str, relevant: bool, seed: str) -> tuple[Any, int]:
        """Fill the prompt, see `RationaleFiller.fill`. Returns what the generation function takes, and the limit."""


class RationaleFiller:
    """Fills the rationale prompt. The passage is truncated until the prompt and the answer fit the context."""

    def __init__(self, prompt: RationalePrompt, settings: LlmRationaleSettings) -> None:
        self.prompt = prompt
        self.settings = settings
        self.chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))

    def fill(self, query: str, passage: str, relevant: bool, seed: str) -> tuple[list[int], int]:
        """Fill the prompt.

        Args:
            query: Text of the query.
            passage: Text of the candidate.
            relevant: Whether the prompt says that the passage is relevant.
            seed: Seed of the mark on the lines around the passage and the query.

        Returns:
            Token ids of the prompt, and the maximum number of passage tokens that it allows.

        Raises:
            ValueError: The prompt is too long even if the passage is truncated to eight tokens.
        """

        def tokens_with(limit: int) -> list[int]:
            truncated = self.chat.truncate(passage, limit)
            return self.chat.encode(self.prompt.messages(query, truncated, relevant, seed, self.chat.special))

        return self.chat.fit(tokens_with, self.settings.max_document_tokens, 1, self.settings.max_tokens)


class Explainer:
    """Requests rationales from the engine. Cached responses are not requested again.

    Args:
        settings: Rationale settings.
        filler: Fills the prompt.
        cache: Response cache.
        generate: Generation function of the engine.
    """

    def __init__(
        self, settings: LlmRationaleSettings, filler: PairFiller, cache: ResponseCache, generate: Generate
    ) -> None:
        self.settings = settings
        self.filler = filler
        self.cache = cache
        self.generate = generate

    async def outcome(self, label: Label) -> Outcome[RationaleList]:
        """Get the rationales of up to `rationales_per_list` candidates of a label, concurrently."""
        relevant = relevance(label)
        chosen = candidates_to_explain(label, self.settings.rationales_per_list)
        passages = [content(label.candidates[i].title, label.candidates[i].text) for i in chosen]
        responses = await gather_all(
            self._response(label.query, passage, relevant[i]) for i, passage in zip(chosen, passages, strict=True)
        )
        rationales = [
            _rationale(label.candidates[i].doc_id, passage, relevant[i], response)
            for i, passage, (response, _) in zip(chosen, passages, responses, strict=True)
        ]
        rationale_list = RationaleList(
            query_id=label.query_id,
            rationales=rationales,
            writer=self.settings.model,
            prompt=self.filler.prompt.hash,
            usage=Usage(
                prompt_tokens=sum(response.prompt_tokens for response, _ in responses),
                completion_tokens=sum(response.completion_tokens for response, _ in responses),
                seconds=sum(response.seconds for response, _ in responses),
            ),
        )
        tokens = TokenCounts(
            prompt=sum(response.prompt_tokens for response, fresh in responses if fresh),
            completion=sum(response.completion_tokens for response, fresh in responses if fresh),
        )
        return Outcome(query_id=label.query_id, row=rationale_list, tokens=tokens)

    async def _response(self, query: str, passage: str, relevant: bool) -> tuple[CachedResponse, bool]:
        """Return the response about a passage, and whether it was requested now rather than read from the cache."""
        request_id = text_id_of(json.dumps([query, passage, relevant], ensure_ascii=False))
        cached = self.cache.find(request_id, 0, 0, 1)
        return (cached, False) if cached else (await self._request(request_id, query, passage, relevant), True)

    async def _request(self, request_id: str, query: str, passage: str, relevant: bool) -> CachedResponse:
        def make() -> ModelRequest:
            prompt, limit = self.filler.fill(query, passage, relevant, request_id)
            return ModelRequest(prompt, limit, self._sampling(request_id))

        return await request_response(make, self.generate, self.cache, (request_id, 0, 0, 1))

    def _sampling(self, request_id: str) -> dict[str, Any]:
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": self.settings.max_tokens}
        return sampling | ({"seed": int(request_id[:8], 16)} if self.settings.temperature > 0 else {})


def _rationale(doc_id: str, passage: str, relevant: bool, response: CachedResponse) -> Rationale:
    """Parse a response. An engine error becomes a rationale with status `failed` and the error as text."""
    if response.error is not None:
        return Rationale(doc_id=doc_id, relevant=relevant, status="failed", text=response.error)
    status, text = parse_rationale(response.raw or "", passage, relevant, response.finish_reason)
    return Rationale(doc_id=doc_id, relevant=relevant, status=status, text=text)
