"""Have a hosted model grade query-passage pairs, see `actors.judges.llm_judge`.

Pairs whose grades cannot be requested in this job are left out, and the job ends when all others are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from actors.data.rows import records, table_of
from actors.hosted.chat_client import key_of
from actors.hosted.chat_requests import ChatPrompt
from actors.hosted.deferral import gather_present
from actors.hosted.hosted_source import MAX_UNWRITTEN_SECONDS, Answers, HostedSource
from actors.hosted.message_filler import Messages, chat_tokens, fit
from actors.judges.grade_requests import Grader
from actors.vllm.engine_actor import through_engines
from actors.vllm.response_cache import ResponseCache
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.hosted_settings import HostedSettings
from ranking.labels.grade_parsing import GRADE_ANSWER
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.records import PairGrade, PairToGrade
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

SETTING = "evaluation.judge.hosted"


def check_hosted_judge(settings: LlmJudgeSettings) -> None:
    """Check the prompt and the API key before anything is computed.

    Raises:
        InputError: The prompt file is malformed, or the variable with the API key is not set.
    """
    load_pair_prompt(settings.prompt_file)
    if settings.backend == "openai":
        key_of(hosted_of(settings), SETTING)


def hosted_sampling(settings: LlmJudgeSettings) -> dict[str, Any]:
    """Return the sampling arguments: temperature 0, and the key that asks for JSON if answers are structured."""
    sampling: dict[str, Any] = {"temperature": 0.0, "max_tokens": settings.max_tokens}
    return sampling | ({"extra_args": {GRADE_ANSWER: True}} if settings.structured else {})


def hosted_of(settings: LlmJudgeSettings) -> HostedSettings:
    """Return the settings of the hosted model, which are set for hosted backends."""
    assert settings.hosted is not None
    return settings.hosted


class GradeMessageFiller:
    """Fills the prompt of one pair as chat messages.

    Args:
        settings: Judge settings.

    Raises:
        InputError: The prompt file is missing or malformed.
    """

    def __init__(self, settings: LlmJudgeSettings) -> None:
        self.settings = settings
        self.prompt = load_pair_prompt(settings.prompt_file)
        self.chat = chat_tokens(hosted_of(settings))

    def fill(self, query: str, passage: str) -> tuple[ChatPrompt, int]:
        """Fill the prompt, see `PairFiller`. Returns the prompt and the maximum number of passage tokens."""

        def messages_with(limit: int) -> Messages:
            return self.prompt.messages(query, self.chat.truncate(passage, limit), self.chat.special)

        return fit(self.chat, messages_with, self.settings.max_document_tokens, 1, self.settings.max_tokens)


class HostedJudge:
    """Judge that asks a hosted model.

    Args:
        settings: Judge settings.
        cache: Folder of the response cache.

    Raises:
        InputError: The variable with the API key is not set.
    """

    def __init__(self, settings: LlmJudgeSettings, cache: Folder) -> None:
        self.settings = settings
        self.cache = cache
        self.source = HostedSource(settings.backend, hosted_of(settings), SETTING, cache)

    def grade(self, pairs: Dataset) -> Dataset:
        """Grade pairs. Maps rows of PairToGrade to rows of PairGrade, without the deferred pairs."""
        arguments = (self.settings, self.cache, self.source.worker_arguments())
        return through_engines(pairs, HostedJudgeActor, arguments, self.source.pool)


class HostedJudgeActor:
    """Ray Data actor that grades pairs with a hosted model, many of them concurrently."""

    def __init__(self, settings: LlmJudgeSettings, cache: Folder, source: tuple[Any, ...]) -> None:
        self.cache = ResponseCache(cache, MAX_UNWRITTEN_SECONDS)
        self.answers = Answers(settings.model, *source)
        filler = GradeMessageFiller(settings)
        self.grader = Grader(filler, self.cache, self.answers.generate, hosted_sampling(settings))

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Grade a batch with rows of PairToGrade. Returns rows of PairGrade, without the deferred pairs."""
        grades, error = await gather_present(self.grader.grade(pair) for pair in records(batch, PairToGrade))
        await self.cache.write()
        await self.answers.flush()
        if error is not None:
            raise error
        return table_of(grades, PairGrade)
