"""Structured output for listwise answers: which tokens may follow, so that nothing but an answer in form is written."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ranking.labels.listwise_answers import may_end, may_go_on

DOCUMENTS = "rank_documents"
"""Key of a request's extra arguments: how many documents its prompt shows. Other requests are left alone."""

_LETTERS = frozenset("[]> 0123456789")


class ListRules:
    """Which tokens of a vocabulary may follow which, so that the text becomes an answer in form."""

    def __init__(self, tokenizer: Any) -> None:
        self.end = int(tokenizer.eos_token_id)
        special = set(tokenizer.all_special_ids)
        start = tokenizer.encode("[", add_special_tokens=False)[-1]
        before = tokenizer.decode([start])
        self.text: dict[int, str] = {}
        for token in range(len(tokenizer)):
            if token not in special:
                # decoded behind another token, so that a leading space is kept whichever way the tokenizer marks it
                text = tokenizer.decode([start, token])[len(before) :]
                if text and _LETTERS.issuperset(text):
                    self.text[token] = text
        self._allowed = lru_cache(maxsize=65_536)(self._find_allowed)

    def allowed(self, output_ids: tuple[int, ...], documents: int) -> list[int]:
        """Tokens that may follow what was written; the end-of-sequence token after a whole chain."""
        return self._allowed("".join(self.text.get(token, "") for token in output_ids), documents)

    def _find_allowed(self, text: str, documents: int) -> list[int]:
        allowed = [token for token, more in self.text.items() if may_go_on(text + more, documents)]
        return [*allowed, self.end] if may_end(text, documents) or not allowed else allowed
