"""Filled prompts as tokens that fit the teacher's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actors.vllm.chat import ChatTokens
from ranking.labels.listwise_answers import longest_answer
from ranking.prompts import Prompt

_ANSWER_ROOM = 16


@dataclass(frozen=True)
class FilledPrompt:
    """A prompt as tokens. document_tokens: to which each document was cut. answer_tokens: room for the answer."""

    tokens: list[int]
    document_tokens: int
    answer_tokens: int


class PromptFiller:
    """Fills a prompt with a query and documents, these cut so that all of it fits.

    context: the engine's max_model_len; None for the model's own. document_tokens: the most a document gets.
    """

    def __init__(
        self, prompt: Prompt, model: str, revision: str | None, context: int | None, document_tokens: int
    ) -> None:
        self.prompt = prompt
        self.chat = ChatTokens(model, revision, context)
        self.document_tokens = document_tokens

    def fill(self, query: str, texts: Sequence[str], seed: str) -> FilledPrompt:
        """Fill the prompt. texts: documents in the order in which they are shown. seed: of the fence's mark.

        Raises ValueError where not even documents of eight tokens leave room for the answer.
        """

        def filled(limit: int) -> list[int]:
            return self.chat.of(
                self.prompt.messages(query, [self.chat.cut(text, limit) for text in texts], seed, self.chat.special)
            )

        # a token a character at most: a model need not cut its answer as the tokenizer would
        answer_tokens = len(longest_answer(len(texts))) + _ANSWER_ROOM
        tokens, limit = self.chat.fit(filled, self.document_tokens, len(texts), answer_tokens)
        return FilledPrompt(tokens, limit, answer_tokens)
