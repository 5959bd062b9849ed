"""Ask a model for the best of a few documents. Cached responses are not requested again."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.retrieval.embeddings import text_id_of
from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.vllm.cached_requests import Generate, ModelRequest, request_response
from actors.vllm.chat import ChatTokens
from actors.vllm.completion import Completion
from actors.vllm.prompt_tokens import DocumentFiller
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.errors import InputError
from ranking.labels.choice_answers import (
    LETTERS,
    ParsedChoice,
    read_choice,
    read_log_probabilities,
    write_log_probabilities,
)
from ranking.prompts.choice_prompts import ChoicePrompt
from ranking.records import PreRankedList, content

MAX_TEXT_TOKENS = 16
"""Maximum tokens of an answer that is not constrained to a letter."""

_MAX_PROMPTS_IN_MEMORY = 512


@dataclass(frozen=True)
class Choice:
    """A response and its parsed answer.

    Attributes:
        response: The raw response.
        parsed: The parsed answer.
        shown: Documents in prompt order, as indices into the candidate list.
        fresh: True if the response was requested now, False if it was read from the cache.
    """

    response: CachedResponse
    parsed: ParsedChoice
    shown: tuple[int, ...]
    fresh: bool

    @property
    def usable(self) -> bool:
        """Whether the answer chooses a document."""
        return bool(self.parsed.shares)

    @property
    def best(self) -> int:
        """The chosen document, as an index into the candidate list. Only for usable answers."""
        return self.shown[self.parsed.best]

    def share(self, document: int) -> float:
        """Return the share of a document, given as an index into the candidate list. Only for usable answers."""
        return self.parsed.shares[self.shown.index(document)]


class ChoiceFiller(DocumentFiller[ChoicePrompt]):
    """Fills pairwise and setwise prompts.

    Args:
        prompt: The prompt's parts.
        settings: Teacher settings.

    Attributes:
        letters: Token ids of each letter: those of the bare letter and of the letter after a space.
        max_tokens: Maximum tokens of an answer.

    Raises:
        InputError: The tokenizer has no token for a letter, and the answer is not `text`.
    """

    def __init__(self, prompt: ChoicePrompt, settings: ComparingTeacherSettings) -> None:
        chat = ChatTokens(settings.model, settings.revision, settings.engine.get("max_model_len"))
        super().__init__(prompt, chat, settings.max_document_tokens)
        self.max_tokens = MAX_TEXT_TOKENS if settings.answer == "text" else 1
        self.letters = [self._tokens_of(letter) for letter in LETTERS]
        if settings.answer != "text" and not all(self.letters):
            letter = LETTERS[self.letters.index([])]
            raise InputError(
                f"teacher.model {settings.model!r}: the tokenizer has no token for the letter {letter}; "
                "set teacher.answer to text"
            )

    def answer_tokens(self, documents: int) -> int:
        """Return the maximum tokens of an answer."""
        return self.max_tokens

    def _tokens_of(self, letter: str) -> list[int]:
        tokenizer = self.chat.tokenizer
        ends = [tokenizer.encode(text, add_special_tokens=False)[-1] for text in (letter, f" {letter}")]
        return list(dict.fromkeys(token for token in ends if tokenizer.decode([token]).strip() == letter))


class ChoiceRequester:
    """Asks which of several documents of a candidate list is the best.

    Args:
        settings: Teacher settings.
        filler: Fills the prompt.
        cache: Response cache.
        generate: Generation function of the engine.
    """

    def __init__(
        self, settings: ComparingTeacherSettings, filler: ChoiceFiller, cache: ResponseCache, generate: Generate
    ) -> None:
        self.settings = settings
        self.filler = filler
        self.cache = cache
        self.generate = generate
        self._slots = asyncio.Semaphore(_MAX_PROMPTS_IN_MEMORY)

    async def choose(self, row: PreRankedList, shown: Sequence[int], attempt: int = 1) -> Choice:
        """Ask for the best of several documents.

        Args:
            row: The candidate list.
            shown: Documents in prompt order, as indices into the list.
            attempt: Number of the attempt, from 1.
        """
        list_id = choice_id_of(row, shown)
        cached = self.cache.find(list_id, 0, 0, attempt)
        response = cached or await self._request(row, shown, list_id, attempt)
        return Choice(response, self._parse(response, len(shown)), tuple(shown), fresh=cached is None)

    def _parse(self, response: CachedResponse, documents: int) -> ParsedChoice:
        if response.raw is None:
            return ParsedChoice("empty")
        if self.settings.answer == "logprobs":
            return read_log_probabilities(response.raw)
        return read_choice(response.raw, documents, response.finish_reason)

    async def _request(self, row: PreRankedList, shown: Sequence[int], list_id: str, attempt: int) -> CachedResponse:
        texts = [content(row.picked[index].candidate.title, row.picked[index].candidate.text) for index in shown]

        def make() -> ModelRequest:
            filled = self.filler.fill(row.text, texts, f"{list_id} {attempt}")
            return ModelRequest(filled.tokens, filled.document_tokens, self._sampling(len(shown)))

        def read(completion: Completion) -> str:
            return self._raw(completion, len(shown))

        async with self._slots:
            return await request_response(make, self.generate, self.cache, (list_id, 0, 0, attempt), read)

    def _sampling(self, documents: int) -> dict[str, Any]:
        letters = [token for tokens in self.filler.letters[:documents] for token in tokens]
        constraint: dict[str, dict[str, Any]] = {
            "letter": {"allowed_token_ids": letters},
            "logprobs": {"logprob_token_ids": letters},
            "text": {},
        }
        return {"temperature": 0.0, "max_tokens": self.filler.max_tokens, **constraint[self.settings.answer]}

    def _raw(self, completion: Completion, documents: int) -> str:
        """Return the text to cache: the generated text, or the log-probability of each letter in prompt order."""
        if self.settings.answer != "logprobs":
            return completion.text
        of_token = completion.log_probabilities
        return write_log_probabilities(
            [
                _log_sum([of_token.get(token, -math.inf) for token in tokens])
                for tokens in self.filler.letters[:documents]
            ]
        )


def choice_id_of(row: PreRankedList, shown: Sequence[int]) -> str:
    """Hash a query text and the ids, titles and texts of the shown documents, in prompt order."""
    documents = [row.picked[index].candidate for index in shown]
    texts = [[document.doc_id, document.title, document.text] for document in documents]
    return text_id_of(json.dumps([row.text, texts], ensure_ascii=False))


def _log_sum(values: Sequence[float]) -> float:
    """Return log(sum(exp(values)))."""
    highest = max(values, default=-math.inf)
    if highest == -math.inf:
        return highest
    return highest + math.log(sum(math.exp(value - highest) for value in values))
