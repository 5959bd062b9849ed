"""Request the queries of documents from a language model, with one request per document."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from actors.data.rows import Outcome
from actors.generators.generator_settings import LlmGenerationSettings
from actors.hosted.chat_requests import ChatPrompt
from actors.hosted.message_filler import chat_tokens, fit
from actors.retrieval.embeddings import text_id_of
from actors.vllm.chat import ChatTokens
from actors.vllm.completion import Completion
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.generation.query_answers import MIXED, parse_answer, query_schema, unusable
from ranking.prompts.generation_prompts import GenerationPrompt, load_generation_prompt
from ranking.records import DocumentQueries, QueryStyle, SourcePassage, TokenCounts, Usage, WrittenQuery

Generate = Callable[[Any, Mapping[str, Any]], Awaitable[Completion]]
"""Generation function of a backend. Maps what its `PassageFiller` returns, and sampling arguments, to an answer."""


class PassageFiller(Protocol):
    """Fills the prompt of one document for a backend."""

    @property
    def prompt(self) -> GenerationPrompt:
        """The prompt's parts."""

    def fill(self, passage: SourcePassage) -> tuple[Any, int]:
        """Fill the prompt.

        Returns:
            The request that the backend's generation function takes, and the maximum number of document tokens.

        Raises:
            ValueError: The prompt is too long.
        """


class _Filler:
    """Base class of the fillers: the messages of a prompt with a truncated document.

    Args:
        settings: Settings of the generator.
        language: Language of the collection.
        chat: Counts tokens.
    """

    def __init__(self, settings: LlmGenerationSettings, language: str, chat: ChatTokens) -> None:
        self.prompt = load_generation_prompt(settings.prompt_file)
        self.settings, self.language, self.chat = settings, language, chat
        self.examples = settings.all_examples()

    def messages(self, passage: SourcePassage, limit: int) -> list[dict[str, str]]:
        """Return the messages with at most `limit` tokens of the document."""
        return self.prompt.messages(
            self.chat.truncate(passage.text, limit),
            self.settings.queries_per_document,
            self.language,
            self.examples,
            passage.query_id,
            self.chat.special,
        )


class TokenFiller(_Filler):
    """Fills the prompt as token ids, for vLLM."""

    def __init__(self, settings: LlmGenerationSettings, language: str) -> None:
        chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))
        super().__init__(settings, language, chat)

    def fill(self, passage: SourcePassage) -> tuple[list[int], int]:
        """Fill the prompt, see `PassageFiller`. Returns token ids and the maximum number of document tokens."""
        return self.chat.fit(
            lambda limit: self.chat.encode(self.messages(passage, limit)),
            self.settings.max_document_tokens,
            1,
            self.settings.max_tokens,
        )


class ChatFiller(_Filler):
    """Fills the prompt as chat messages, for a hosted model."""

    def __init__(self, settings: LlmGenerationSettings, language: str) -> None:
        assert settings.hosted is not None
        super().__init__(settings, language, chat_tokens(settings.hosted))

    def fill(self, passage: SourcePassage) -> tuple[ChatPrompt, int]:
        """Fill the prompt, see `PassageFiller`. Returns messages and the maximum number of document tokens."""
        limit = self.settings.max_document_tokens
        return fit(self.chat, lambda limit: self.messages(passage, limit), limit, 1, self.settings.max_tokens)


def styles_of(examples: Sequence[str]) -> tuple[QueryStyle, ...]:
    """Return the styles that a query can have."""
    return ("example",) if examples else MIXED


class QueryWriter:
    """Requests queries from a backend. Cached answers are not requested again; failed requests are.

    Args:
        settings: Settings of the generator.
        filler: Fills the prompt.
        cache: Response cache of this model and prompt.
        generate: Generation function of the backend.
        sampling: Sampling arguments of every request, besides temperature, seed and maximum tokens.
    """

    def __init__(
        self,
        settings: LlmGenerationSettings,
        filler: PassageFiller,
        cache: ResponseCache,
        generate: Generate,
        sampling: Mapping[str, Any],
    ) -> None:
        self.settings, self.filler, self.cache, self.generate = settings, filler, cache, generate
        self.sampling = {"temperature": settings.temperature, "max_tokens": settings.max_tokens, **sampling}

    async def outcome(self, passage: SourcePassage) -> Outcome[DocumentQueries]:
        """Get the queries of a document."""
        request_id = text_id_of(passage.text)
        cached = self.cache.find(request_id, 0, 0, 1)
        response = cached or await self._request(request_id, passage)
        row = DocumentQueries(
            query_id=passage.query_id,
            doc_id=passage.doc_id,
            queries=self._queries(response, passage),
            generator=self.settings.model,
            prompt=self.filler.prompt.hash,
            usage=Usage(
                prompt_tokens=response.prompt_tokens,
                completion_tokens=response.completion_tokens,
                seconds=response.seconds,
            ),
        )
        fresh = TokenCounts(prompt=response.prompt_tokens, completion=response.completion_tokens)
        return Outcome(query_id=passage.query_id, row=row, tokens=TokenCounts() if cached else fresh)

    def _queries(self, response: CachedResponse, passage: SourcePassage) -> list[WrittenQuery]:
        if response.error is not None:
            return [unusable(passage, "failed", response.error)]
        return parse_answer(response.raw or "", response.finish_reason, passage, self.settings)

    async def _request(self, request_id: str, passage: SourcePassage) -> CachedResponse:
        start = time.monotonic()
        completion, error, limit = None, None, 0
        try:
            request, limit = await asyncio.to_thread(self.filler.fill, passage)
            seed = {"seed": int(request_id[:8], 16)} if self.settings.temperature > 0 else {}
            completion = await self.generate(request, {**self.sampling, **seed})
        except ValueError as failure:
            error = " ".join(str(failure).split())
        response = CachedResponse(
            list_id=request_id,
            number=0,
            step=0,
            attempt=1,
            raw=completion.text if completion else None,
            error=error,
            finish_reason=completion.finish_reason if completion else None,
            document_tokens=limit,
            prompt_tokens=completion.prompt_tokens if completion else 0,
            cached_tokens=completion.cached_tokens if completion else 0,
            completion_tokens=completion.completion_tokens if completion else 0,
            seconds=time.monotonic() - start,
        )
        await self.cache.add(response)
        return response


def answer_schema(settings: LlmGenerationSettings) -> dict[str, Any]:
    """Return the JSON schema of the answers."""
    return query_schema(styles_of(settings.all_examples()), settings.queries_per_document)
