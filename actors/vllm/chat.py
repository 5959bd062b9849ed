"""A chat model's tokenizer and context: texts cut to tokens, messages as tokens, as much of a text as fits."""

from __future__ import annotations

from collections.abc import Callable

from ranking.model_paths import model_path
from ranking.prompts import control_tokens

FEWEST_TOKENS = 8


class ChatTokens:
    """What a chat model reads. context: the engine's max_model_len; None for the model's own."""

    def __init__(self, model: str, revision: str | None, context: int | None) -> None:
        from transformers import AutoConfig, AutoTokenizer

        path = model_path(model)
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        limit = AutoConfig.from_pretrained(path, revision=revision).get_text_config().max_position_embeddings
        self.context = int(context or limit)
        self.special = control_tokens(self.tokenizer)

    def of(self, messages: list[dict[str, str]]) -> list[int]:
        """Messages as the tokens before which the model answers."""
        filled = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return list(self.tokenizer.encode(filled, add_special_tokens=False))

    def cut(self, text: str, limit: int) -> str:
        """Cut a text to so many tokens, at a token's end."""
        head = text[: limit * 32]
        offsets = self.tokenizer(head, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return head[: offsets[limit - 1][1]] if len(offsets) > limit else head

    def fit(
        self, fill: Callable[[int], list[int]], limit: int, documents: int, answer_tokens: int
    ) -> tuple[list[int], int]:
        """Fill a prompt so that it leaves room for the answer. fill: makes it of documents of at most so many tokens.

        limit: the most tokens a document gets. Returns the prompt and the limit that was used. Raises ValueError
        where not even documents of eight tokens leave the room.
        """
        room = self.context - answer_tokens
        tokens = fill(limit)
        while len(tokens) > room and limit > FEWEST_TOKENS:
            limit = max(FEWEST_TOKENS, min(limit - 1, limit - (len(tokens) - room) // max(1, documents) - 1))
            tokens = fill(limit)
        if len(tokens) > room:
            raise ValueError(
                f"a prompt of {len(tokens)} tokens with {limit} for each of {documents} documents, and {answer_tokens} for the answer, "
                f"do not fit into {self.context}"
            )
        return tokens, limit
