"""Request a judge's grades from a language model, with one request per query-passage pair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from actors.retrieval.embeddings import text_id_of
from actors.vllm.cached_requests import Generate, ModelRequest, request_response
from actors.vllm.chat import ChatTokens
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.labels.grade_parsing import parse_grade
from ranking.prompts.pair_prompts import PairPrompt
from ranking.records import PairGrade, PairToGrade


class PairFiller(Protocol):
    """Fills the prompt of one pair for a backend."""

    def fill(self, query: str, passage: str) -> tuple[Any, int]:
        """Fill the prompt.

        Returns:
            The request that the backend's generation function takes, and the maximum number of passage tokens.

        Raises:
            ValueError: The prompt is too long.
        """


class TokenFiller:
    """Fills the prompt as token ids. The passage is truncated until the prompt and the answer fit the context."""

    def __init__(self, prompt: PairPrompt, settings: LlmJudgeSettings) -> None:
        self.prompt = prompt
        self.settings = settings
        self.chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))

    def fill(self, query: str, passage: str) -> tuple[list[int], int]:
        """Fill the prompt, see `PairFiller`. Returns token ids and the maximum number of passage tokens."""

        def tokens_with(limit: int) -> list[int]:
            return self.chat.encode(self.prompt.messages(query, self.chat.truncate(passage, limit), self.chat.special))

        return self.chat.fit(tokens_with, self.settings.max_document_tokens, 1, self.settings.max_tokens)


def request_id_of(pair: PairToGrade) -> str:
    """Hash the texts of a pair. Model and prompt identify the folder of the cache."""
    return text_id_of(json.dumps([pair.query, pair.passage], ensure_ascii=False))


def cached_grade(cache: ResponseCache, pair: PairToGrade) -> PairGrade | None:
    """Return the grade of a pair if no request is needed: its answer is cached, or it has no text. Else None."""
    if not pair.passage.strip():
        return PairGrade(query_id=pair.query_id, doc_id=pair.doc_id, status="no_text")
    response = cache.find(request_id_of(pair), 0, 0, 1)
    return grade_in(response, pair) if response else None


def grade_in(response: CachedResponse, pair: PairToGrade) -> PairGrade:
    """Parse the answer about a pair."""
    if response.error is not None:
        return PairGrade(query_id=pair.query_id, doc_id=pair.doc_id, status="failed")
    status, grade = parse_grade(response.raw or "", response.finish_reason)
    return PairGrade(query_id=pair.query_id, doc_id=pair.doc_id, status=status, grade=grade)


class Grader:
    """Requests grades from a backend. Cached answers are not requested again; failed requests are.

    Args:
        filler: Fills the prompt.
        cache: Response cache of this model and prompt.
        generate: Generation function of the backend.
        sampling: Sampling arguments of every request.
    """

    def __init__(
        self, filler: PairFiller, cache: ResponseCache, generate: Generate, sampling: Mapping[str, Any]
    ) -> None:
        self.filler = filler
        self.cache = cache
        self.generate = generate
        self.sampling = sampling

    async def grade(self, pair: PairToGrade) -> PairGrade:
        """Get the grade of a pair. Pairs with the same texts share an answer."""
        return cached_grade(self.cache, pair) or grade_in(await self._request(request_id_of(pair), pair), pair)

    async def _request(self, request_id: str, pair: PairToGrade) -> CachedResponse:
        def make() -> ModelRequest:
            prompt, limit = self.filler.fill(pair.query, pair.passage)
            return ModelRequest(prompt, limit, self.sampling)

        return await request_response(make, self.generate, self.cache, (request_id, 0, 0, 1))
