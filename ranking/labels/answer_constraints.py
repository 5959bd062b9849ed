"""Structured output for listwise answers: only tokens that continue a well-formed answer are allowed."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ranking.labels.listwise_answers import is_answer_prefix, is_complete_answer

DOCUMENTS = "rank_documents"
"""Key in a request's extra arguments: the number of documents in its prompt. Requests without it are unconstrained."""

_LETTERS = frozenset("[]> 0123456789")


class ListRules:
    """Allowed next tokens of a vocabulary, given the text generated so far.

    Attributes:
        end: id of the end-of-sequence token.
        text: text by token id, for the tokens that can occur in an answer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.end = int(tokenizer.eos_token_id)
        special = set(tokenizer.all_special_ids)
        start = tokenizer.encode("[", add_special_tokens=False)[-1]
        prefix = tokenizer.decode([start])
        self.text: dict[int, str] = {}
        for token in range(len(tokenizer)):
            if token not in special:
                # Decode after another token: tokenizers drop or mark a leading space at the start of a sequence.
                text = tokenizer.decode([start, token])[len(prefix) :]
                if text and _LETTERS.issuperset(text):
                    self.text[token] = text
        self._allowed = lru_cache(maxsize=65_536)(self._find_allowed)

    def allowed(self, output_ids: tuple[int, ...], documents: int) -> list[int]:
        """Return the tokens that may follow the output; the end-of-sequence token only after a complete answer."""
        return self._allowed("".join(self.text.get(token, "") for token in output_ids), documents)

    def _find_allowed(self, text: str, documents: int) -> list[int]:
        allowed = [token for token, piece in self.text.items() if is_answer_prefix(text + piece, documents)]
        return [*allowed, self.end] if is_complete_answer(text, documents) or not allowed else allowed
