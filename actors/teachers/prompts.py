"""Filled prompts as tokens that fit the teacher's context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranking.encoders import model_path
from ranking.labelling.answers import longest_answer
from ranking.labelling.prompts import Prompt

FEWEST_TOKENS = 8
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

    def __init__(self, prompt: Prompt, model: str, revision: str | None, context: int | None, document_tokens: int) -> None:
        from transformers import AutoConfig, AutoTokenizer

        path = model_path(model)
        self.prompt = prompt
        self.tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        limit = AutoConfig.from_pretrained(path, revision=revision).get_text_config().max_position_embeddings
        self.context = int(context or limit)
        self.document_tokens = document_tokens
        self._special = [*self.tokenizer.all_special_tokens, *self.tokenizer.get_added_vocab()]

    def fill(self, query: str, texts: Sequence[str], seed: str) -> FilledPrompt:
        """Fill the prompt. texts: documents in the order in which they are shown. seed: of the fence's mark.

        Raises ValueError where not even documents of eight tokens leave room for the answer.
        """
        # a token a character at most: a model need not cut its answer as the tokenizer would
        answer_tokens = len(longest_answer(len(texts))) + _ANSWER_ROOM
        room, limit = self.context - answer_tokens, self.document_tokens
        tokens = self._fill(query, texts, limit, seed)
        while len(tokens) > room and limit > FEWEST_TOKENS:
            limit = max(FEWEST_TOKENS, min(limit - 1, limit - (len(tokens) - room) // max(1, len(texts)) - 1))
            tokens = self._fill(query, texts, limit, seed)
        if len(tokens) > room:
            raise ValueError(
                f"a prompt of {len(tokens)} tokens with {limit} for each of {len(texts)} documents, and {answer_tokens} for the answer, "
                f"do not fit into {self.context}"
            )
        return FilledPrompt(tokens, limit, answer_tokens)

    def _fill(self, query: str, texts: Sequence[str], limit: int, seed: str) -> list[int]:
        messages = self.prompt.messages(query, [self._cut(text, limit) for text in texts], seed, self._special)
        filled = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, enable_thinking=False)
        return list(self.tokenizer.encode(filled, add_special_tokens=False))

    def _cut(self, text: str, limit: int) -> str:
        """Cut a text to so many tokens, at a token's end."""
        head = text[: limit * 32]
        offsets = self.tokenizer(head, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return head[: offsets[limit - 1][1]] if len(offsets) > limit else head
