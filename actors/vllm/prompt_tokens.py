"""Fill prompts with documents, and encode them as token ids that fit the teacher's context."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from actors.vllm.chat import ChatTokens
from ranking.labels.listwise_answers import longest_answer
from ranking.prompts import Prompt
from ranking.prompts.choice_prompts import ChoicePrompt

AnyPrompt = TypeVar("AnyPrompt", bound=Prompt | ChoicePrompt)

_EXTRA_ANSWER_TOKENS = 16


@dataclass(frozen=True)
class FilledPrompt:
    """A prompt as token ids.

    Attributes:
        tokens: Token ids of the prompt.
        document_tokens: Maximum tokens per document; longer documents were truncated.
        answer_tokens: Tokens reserved for the answer and the thought before it.
    """

    tokens: list[int]
    document_tokens: int
    answer_tokens: int

    @property
    def request(self) -> list[int]:
        """What the engine's generation function takes."""
        return self.tokens


class DocumentFiller(ABC, Generic[AnyPrompt]):
    """Fills a prompt with a query and documents, which are truncated until the prompt and the answer fit the context.

    Args:
        prompt: The prompt's parts.
        chat: Tokenizer and context of the model.
        document_tokens: Maximum tokens per document.
    """

    def __init__(self, prompt: AnyPrompt, chat: ChatTokens, document_tokens: int) -> None:
        self.prompt = prompt
        self.chat = chat
        self.document_tokens = document_tokens

    @abstractmethod
    def answer_tokens(self, documents: int) -> int:
        """Return the tokens to reserve for the answer about this number of documents."""

    def fill(self, query: str, texts: Sequence[str], seed: str) -> FilledPrompt:
        """Fill the prompt.

        Args:
            query: Text of the query.
            texts: Documents in prompt order.
            seed: Seed of the mark on the lines around the query and each document.

        Raises:
            ValueError: The prompt is too long even if each document is truncated to eight tokens.
        """

        def tokens_with(limit: int) -> list[int]:
            truncated = [self.chat.truncate(text, limit) for text in texts]
            return self.chat.encode(self.prompt.messages(query, truncated, seed, self.chat.special))

        answer_tokens = self.answer_tokens(len(texts))
        tokens, limit = self.chat.fit(tokens_with, self.document_tokens, len(texts), answer_tokens)
        return FilledPrompt(tokens, limit, answer_tokens)


class PromptFiller(DocumentFiller[Prompt]):
    """Fills listwise prompts.

    Args:
        prompt: The prompt's parts.
        model: Folder or Hugging Face id of the teacher.
        revision: Revision of the model on the Hugging Face Hub.
        context: The engine's max_model_len in tokens; None for the model's own maximum.
        document_tokens: Maximum tokens per document.
        template: Arguments of the chat template; None switches thinking off.
        thinking_tokens: Tokens to reserve for a thought, in addition to the answer's.
    """

    def __init__(
        self,
        prompt: Prompt,
        model: str,
        revision: str | None,
        context: int | None,
        document_tokens: int,
        template: Mapping[str, Any] | None = None,
        thinking_tokens: int = 0,
    ) -> None:
        super().__init__(prompt, ChatTokens(model, revision, context, template), document_tokens)
        self.thinking_tokens = thinking_tokens

    def answer_tokens(self, documents: int) -> int:
        """Return the tokens to reserve for a thought and an answer that lists every document."""
        return max_answer_tokens(documents) + self.thinking_tokens


def max_answer_tokens(documents: int) -> int:
    """Return the tokens to reserve for an answer that lists every document.

    That is one token per character, because a model may generate shorter tokens than the tokenizer would choose.
    """
    return len(longest_answer(documents)) + _EXTRA_ANSWER_TOKENS
