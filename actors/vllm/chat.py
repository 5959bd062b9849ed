"""Encode chat messages as token ids, and truncate documents until the prompt fits the model's context."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ranking.model_paths import manifest_of_model, model_path
from ranking.prompts import control_tokens

MIN_DOCUMENT_TOKENS = 8


class ChatTokens:
    """Tokenizer and context length of a chat model.

    Args:
        model: Folder or Hugging Face id.
        revision: Revision of the model on the Hugging Face Hub.
        context: The engine's max_model_len in tokens; None for the maximum in the model's manifest or configuration.
        template: Arguments of the chat template; None switches thinking off.

    Attributes:
        context: Context length in tokens.
        special: Control tokens of the tokenizer, which prompts must not contain as text.
        context_setting: Name of the setting of the context length, for error messages.
    """

    context_setting = "engine.max_model_len"

    def __init__(
        self, model: str, revision: str | None, context: int | None, template: Mapping[str, Any] | None = None
    ) -> None:
        from transformers import AutoConfig, AutoTokenizer

        path = model_path(model)
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=False)
        manifest = manifest_of_model(model)
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=False)
        positions = config.get_text_config().max_position_embeddings
        self.context = int(context or (manifest.max_tokens if manifest else positions))
        self.special = control_tokens(self.tokenizer)
        self._template = {"enable_thinking": False} if template is None else dict(template)

    def encode(self, messages: list[dict[str, str]]) -> list[int]:
        """Apply the chat template, with the generation prompt, and return the token ids."""
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, **self._template
        )
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def truncate(self, text: str, max_tokens: int) -> str:
        """Truncate a text after `max_tokens` tokens.

        Only the first 32 * `max_tokens` characters are tokenized, so the result is never longer than that.
        """
        head = text[: max_tokens * 32]
        offsets = self.tokenizer(head, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return head[: offsets[max_tokens - 1][1]] if len(offsets) > max_tokens else head

    def fit(
        self, fill: Callable[[int], list[int]], limit: int, documents: int, answer_tokens: int
    ) -> tuple[list[int], int]:
        """Fill a prompt, truncating its documents until the prompt and the answer fit the context.

        Args:
            fill: Maps a limit to the token ids of the prompt in which each document has at most that many tokens.
            limit: Maximum tokens per document, to start with.
            documents: Number of documents in the prompt.
            answer_tokens: Tokens to reserve for the answer.

        Returns:
            The prompt's token ids, and the final limit of tokens per document.

        Raises:
            ValueError: The prompt is too long even if each document is truncated to eight tokens.
        """
        max_prompt_tokens = self.context - answer_tokens
        tokens = fill(limit)
        while len(tokens) > max_prompt_tokens and limit > MIN_DOCUMENT_TOKENS:
            excess = len(tokens) - max_prompt_tokens
            limit = max(MIN_DOCUMENT_TOKENS, min(limit - 1, limit - excess // max(1, documents) - 1))
            tokens = fill(limit)
        if len(tokens) > max_prompt_tokens:
            raise ValueError(
                f"prompt exceeds the context of {self.context} tokens: {len(tokens)} with {limit} for each of "
                f"{documents} documents, plus {answer_tokens} for the answer; show fewer documents or raise "
                f"{self.context_setting}"
            )
        return tokens, limit
