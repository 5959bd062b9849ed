"""Fill prompts for hosted models. Documents are truncated by a tokenizer, or by an estimate of the number of tokens."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.hosted.chat_requests import ChatPrompt, tokens_of_text
from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings, ThinkingSettings
from actors.vllm.chat import ChatTokens
from actors.vllm.prompt_tokens import max_answer_tokens
from ranking.hosted_settings import HostedSettings
from ranking.prompts import Prompt, load_prompt
from ranking.prompts.rationale_prompts import RationalePrompt

Messages = list[dict[str, str]]

_BYTES_PER_TOKEN = 4
_TOKENS_PER_MESSAGE = 4
_CONTROL_TOKENS = [
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>"),
    *("<|end_header_id|>", "<|system|>", "<|user|>", "<|assistant|>", "<start_of_turn>", "<end_of_turn>", "<s>"),
    *("</s>", "[INST]", "[/INST]", "<think>", "</think>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>"),
]
"""Control tokens of common chat models, which prompts must not contain as text."""


class EstimatedTokens(ChatTokens):
    """Counts tokens without a tokenizer: four bytes of text are one token.

    Args:
        context: Context of the model in tokens; None for no limit.
    """

    context_setting = "hosted.context"

    def __init__(self, context: int | None) -> None:
        self.context = context or sys.maxsize
        self.special = _CONTROL_TOKENS

    def encode(self, messages: Messages) -> list[int]:
        """Return as many zeros as the messages have tokens."""
        return [0] * sum(tokens_of_text(message["content"]) + _TOKENS_PER_MESSAGE for message in messages)

    def truncate(self, text: str, max_tokens: int) -> str:
        """Truncate a text after `max_tokens` tokens."""
        head = text[: max_tokens * _BYTES_PER_TOKEN].encode("utf-8")
        return head[: max_tokens * _BYTES_PER_TOKEN].decode("utf-8", errors="ignore")


@dataclass(frozen=True)
class FilledMessages:
    """A filled listwise prompt.

    Attributes:
        request: The prompt, which the generation function takes.
        document_tokens: Maximum tokens per document; longer documents were truncated.
        answer_tokens: Tokens reserved for the answer and the thought before it.
    """

    request: ChatPrompt
    document_tokens: int
    answer_tokens: int


class MessageFiller:
    """Fills listwise prompts.

    Args:
        prompt: The prompt's parts.
        settings: Settings of the hosted model.
        document_tokens: Maximum tokens per document.
        thinking: Settings of the thought before the answer; None if the model does not think.
    """

    def __init__(
        self, prompt: Prompt, settings: HostedSettings, document_tokens: int, thinking: ThinkingSettings | None = None
    ) -> None:
        self.prompt = prompt
        self.settings = settings
        self.document_tokens = document_tokens
        self.thinking_tokens = thinking.budget if thinking else 0
        self.chat = chat_tokens(settings, thinking.template if thinking else None)

    def fill(self, query: str, texts: Sequence[str], seed: str) -> FilledMessages:
        """Fill the prompt.

        Args:
            query: Text of the query.
            texts: Documents in prompt order.
            seed: Seed of the mark on the lines around the query and each document.

        Raises:
            ValueError: The prompt is too long even if each document is truncated to eight tokens.
        """

        def messages_with(limit: int) -> Messages:
            truncated = [self.chat.truncate(text, limit) for text in texts]
            return self.prompt.messages(query, truncated, seed, self.chat.special)

        answer_tokens = (self.settings.max_output_tokens or max_answer_tokens(len(texts))) + self.thinking_tokens
        prompt, limit = fit(self.chat, messages_with, self.document_tokens, len(texts), answer_tokens)
        return FilledMessages(prompt, limit, answer_tokens)


class PairMessageFiller:
    """Fills rationale prompts.

    Args:
        prompt: The prompt's parts.
        settings: Settings of the rationale writer.
        hosted: Settings of the hosted model.
    """

    def __init__(self, prompt: RationalePrompt, settings: LlmRationaleSettings, hosted: HostedSettings) -> None:
        self.prompt = prompt
        self.settings = settings
        self.chat = chat_tokens(hosted)

    def fill(self, query: str, passage: str, relevant: bool, seed: str) -> tuple[ChatPrompt, int]:
        """Fill the prompt, see `RationaleFiller.fill`. Returns the prompt and the limit of passage tokens."""

        def messages_with(limit: int) -> Messages:
            truncated = self.chat.truncate(passage, limit)
            return self.prompt.messages(query, truncated, relevant, seed, self.chat.special)

        return fit(self.chat, messages_with, self.settings.max_document_tokens, 1, self.settings.max_tokens)


def message_filler(settings: ListwiseTeacherSettings) -> MessageFiller:
    """Return what fills the prompts of a hosted listwise teacher."""
    assert settings.hosted is not None
    prompt = load_prompt(settings.prompt_file)
    return MessageFiller(prompt, settings.hosted, settings.max_document_tokens, settings.thinking)


def chat_tokens(settings: HostedSettings, template: Mapping[str, Any] | None = None) -> ChatTokens:
    """Return what counts the tokens of a hosted model's prompts, with these arguments of the chat template."""
    if settings.tokenizer is None:
        return EstimatedTokens(settings.context)
    return ChatTokens(settings.tokenizer, None, settings.context, template)


def fit(
    chat: ChatTokens, messages_with: Callable[[int], Messages], limit: int, documents: int, answer_tokens: int
) -> tuple[ChatPrompt, int]:
    """Fill a prompt, truncating its documents until the prompt and the answer fit the context.

    Args:
        chat: Counts tokens.
        messages_with: Maps a limit to the messages in which each document has at most that many tokens.
        limit: Maximum tokens per document, to start with.
        documents: Number of documents in the prompt.
        answer_tokens: Tokens to reserve for the answer.

    Returns:
        The prompt, and the final limit of tokens per document.

    Raises:
        ValueError: The prompt is too long even if each document is truncated to eight tokens.
    """
    filled: list[Messages] = []

    def tokens_with(limit: int) -> list[int]:
        filled.append(messages_with(limit))
        return chat.encode(filled[-1])

    tokens, limit = chat.fit(tokens_with, limit, documents, answer_tokens)
    return ChatPrompt(filled[-1], len(tokens)), limit
