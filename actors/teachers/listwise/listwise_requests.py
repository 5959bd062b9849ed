"""Request a listwise teacher's rankings of one candidate list, in one or more prompt orders, with retries.

A list that is too long for one prompt is ranked with a sliding window.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from actors.retrieval.embeddings import text_id_of
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings, WindowSettings
from actors.vllm.cached_requests import Generate, Key, ModelRequest, gather_all, request_response
from actors.vllm.prompt_tokens import PromptFiller
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.hosted_settings import is_hosted
from ranking.labels.answer_constraints import DOCUMENTS
from ranking.labels.json_answers import chain_of_json
from ranking.labels.listwise_answers import ParsedAnswer, read_answer
from ranking.labels.permutations import prompt_order
from ranking.labels.windows import reorder_after_window, windows
from ranking.prompts import Prompt, load_prompt
from ranking.records import PreRankedList, content


class Filled(Protocol):
    """A filled prompt: `FilledPrompt` for an engine, `FilledMessages` for a hosted model."""

    @property
    def request(self) -> Any:
        """What the generation function takes."""

    @property
    def document_tokens(self) -> int:
        """Maximum tokens per document."""

    @property
    def answer_tokens(self) -> int:
        """Tokens reserved for the answer."""


class Filler(Protocol):
    """Fills prompts."""

    @property
    def prompt(self) -> Prompt:
        """The prompt's parts."""

    def fill(self, query: str, texts: Sequence[str], seed: str) -> Filled:
        """Fill the prompt, see `PromptFiller.fill`."""


@dataclass(frozen=True)
class ParsedResponse:
    """A response and its parsed answer.

    Attributes:
        response: The raw response.
        answer: The parsed answer.
        shown: Documents in prompt order, as indices into the candidate list.
        fresh: True if the response was requested now, False if it was read from the cache.
    """

    response: CachedResponse
    answer: ParsedAnswer
    shown: Sequence[int]
    fresh: bool

    @property
    def listed(self) -> list[int]:
        """Documents that the answer lists, best first, as indices into the candidate list."""
        return [self.shown[identifier - 1] for identifier in self.answer.order]


@dataclass
class ListRanking:
    """Ranking of a candidate list from one prompt order.

    Attributes:
        order: Documents, best first, as indices into the candidate list; None if the model gave no usable answer.
        responses: All responses, in order of request.
        windowed: Whether a sliding window ranked the list.
    """

    order: list[int] | None = None
    responses: list[ParsedResponse] = field(default_factory=list)
    windowed: bool = False

    @property
    def last(self) -> ParsedResponse:
        """The last response, which determines the result."""
        return self.responses[-1]


class ListwiseRequester:
    """Requests rankings of candidate lists. Cached responses are not requested again.

    Args:
        settings: Teacher settings.
        filler: Fills the prompt.
        cache: Response cache.
        generate: Generation function of the engine.
    """

    def __init__(
        self, settings: ListwiseTeacherSettings, filler: Filler, cache: ResponseCache, generate: Generate
    ) -> None:
        self.settings = settings
        self.filler = filler
        self.cache = cache
        self.generate = generate

    async def rankings(self, row: PreRankedList) -> list[ListRanking]:
        """Rank a list once per prompt order, all orders concurrently.

        A list with more documents than the prompt can show is ranked with a sliding window, see `window_of`.

        Returns:
            One ranking per prompt order.
        """
        window = window_of(self.settings, self.filler.prompt.max_documents, len(row.picked))
        rankings = (
            self._rank_with_window(row, list_id_of(row), number, window)
            if window
            else self._rank_in_one_prompt(row, list_id_of(row), number)
            for number in range(self.settings.orders)
        )
        return await gather_all(rankings)

    async def _rank_in_one_prompt(self, row: PreRankedList, list_id: str, number: int) -> ListRanking:
        responses = await self._until_usable(row, list_id, number, 0, range(len(row.picked)), shuffle_first=True)
        return ListRanking(responses[-1].listed if responses[-1].answer.usable else None, responses)

    async def _rank_with_window(
        self, row: PreRankedList, list_id: str, number: int, window: WindowSettings
    ) -> ListRanking:
        """Rank a list window by window, as in RankGPT.

        In each window, documents that the answer omits follow the listed ones and keep their relative order.
        """
        ranking, order = ListRanking(windowed=True), list(range(len(row.picked)))
        for step, (start, end) in enumerate(windows(len(order), window.size, window.stride)):
            responses = await self._until_usable(row, list_id, number, step, order[start:end], shuffle_first=number > 0)
            ranking.responses += responses
            if not responses[-1].answer.usable:
                return ranking
            order = reorder_after_window(order, start, end, responses[-1].listed)
        ranking.order = order
        return ranking

    async def _until_usable(
        self, row: PreRankedList, list_id: str, number: int, step: int, indices: Sequence[int], shuffle_first: bool
    ) -> list[ParsedResponse]:
        """Request answers until one is usable, the engine fails or attempts run out.

        Each retry shuffles the documents into another order.
        """
        responses: list[ParsedResponse] = []
        for attempt in range(1, self.settings.max_attempts + 1):
            shown = list(indices)
            if shuffle_first or attempt > 1:
                shown = [
                    shown[place] for place in draw_order(len(shown), self.settings.seed, list_id, number, step, attempt)
                ]
            cached = self.cache.find(list_id, number, step, attempt)
            response = cached or await self._request(row, shown, (list_id, number, step, attempt))
            answer = read_response(response, len(shown), self.settings)
            responses.append(ParsedResponse(response, answer, shown, fresh=cached is None))
            if answer.usable or response.error is not None:  # another order would not help against an engine error
                break
        return responses

    async def _request(self, row: PreRankedList, shown: Sequence[int], key: Key) -> CachedResponse:
        texts = [content(row.picked[index].candidate.title, row.picked[index].candidate.text) for index in shown]

        def make() -> ModelRequest:
            filled = self.filler.fill(row.text, texts, " ".join(map(str, key)))
            return ModelRequest(filled.request, filled.document_tokens, self._sampling(filled, len(shown), key))

        return await request_response(make, self.generate, self.cache, key)

    def _sampling(self, filled: Filled, documents: int, key: Key) -> dict[str, Any]:
        sampling: dict[str, Any] = {"temperature": self.settings.temperature, "max_tokens": filled.answer_tokens}
        if self.settings.temperature > 0:
            sampling["seed"] = int(text_id_of(f"{self.settings.seed} {key}")[:8], 16)
        thinking = self.settings.thinking
        if self.settings.structured and (thinking is None or is_hosted(self.settings)):
            sampling["extra_args"] = {DOCUMENTS: documents}  # in vLLM, constraints would forbid the thought
        if thinking is not None and thinking.template and is_hosted(self.settings):
            sampling["chat_template_kwargs"] = thinking.template
        return sampling


def prompt_filler(settings: ListwiseTeacherSettings) -> PromptFiller:
    """Return what fills the prompts of a listwise teacher in vLLM."""
    thinking = settings.thinking
    return PromptFiller(
        load_prompt(settings.prompt_file),
        settings.model,
        settings.revision,
        settings.engine.get("max_model_len"),
        settings.max_document_tokens,
        thinking.template if thinking else None,
        thinking.budget if thinking else 0,
    )


def read_response(response: CachedResponse, documents: int, settings: ListwiseTeacherSettings) -> ParsedAnswer:
    """Parse a response. A hosted model may answer in JSON, see `ranking.labels.json_answers`."""
    raw = response.raw or ""
    return read_answer(chain_of_json(raw) if is_hosted(settings) else raw, documents, response.finish_reason)


def window_of(settings: ListwiseTeacherSettings, max_documents: int | None, documents: int) -> WindowSettings | None:
    """Choose the sliding window for a list.

    Args:
        settings: Teacher settings.
        max_documents: Maximum number of documents that the prompt can show; None for no limit.
        documents: Number of documents in the list.

    Returns:
        The window in the settings, if any. Without one, a list that is too long for the prompt gets a window of
        `max_documents` documents with half of that as stride. None: rank the list in one prompt.
    """
    if settings.window is None and max_documents is not None and documents > max_documents >= 2:
        return WindowSettings(size=max_documents, stride=max_documents // 2)
    return settings.window


def draw_order(documents: int, seed: int, list_id: str, number: int, step: int, attempt: int) -> list[int]:
    """Draw a prompt order. Returns document indices in that order, the same for the same arguments."""
    return prompt_order(documents, seed, f"{list_id} {number} {step}", attempt)


def list_id_of(row: PreRankedList) -> str:
    """Hash a list's query text and the ids, titles and texts of its documents."""
    shown = [[picked.candidate.doc_id, picked.candidate.title, picked.candidate.text] for picked in row.picked]
    return text_id_of(json.dumps([row.text, shown], ensure_ascii=False))
