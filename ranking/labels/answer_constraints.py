"""Structured output for listwise answers such as `[3] > [1] > [2]`.

In each decoding step, only tokens that continue a well-formed answer are allowed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ranking.labels.listwise_answers import is_answer_prefix, is_complete_answer

DOCUMENTS = "rank_documents"
"""Key of the number of documents in the prompt, in `extra_args` of a vLLM request's sampling parameters.

The output of a request without this key is unconstrained.
"""

_LETTERS = frozenset("[]> 0123456789")


class ListRules:
    """Determines which tokens of a tokenizer's vocabulary may come next, given the tokens generated so far.

    Attributes:
        end: Id of the end-of-sequence token.
        text: {token id: text}, for the tokens that can occur in an answer.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.end = int(tokenizer.eos_token_id)
        special = set(tokenizer.all_special_ids)
        start = tokenizer.encode("[", add_special_tokens=False)[-1]
        prefix = tokenizer.decode([start])
        self.text: dict[int, str] = {}
        for token in range(len(tokenizer)):
            if token not in special:
                # Decode after another token: some tokenizers drop or mark a leading space at the start of a sequence.
                text = tokenizer.decode([start, token])[len(prefix) :]
                if text and _LETTERS.issuperset(text):
                    self.text[token] = text
        self._allowed = lru_cache(maxsize=65_536)(self._find_allowed)

    def allowed_tokens(self, output_ids: tuple[int, ...], documents: int) -> list[int]:
        """Return the ids of the tokens that may follow the output.

        They include the end-of-sequence token only if the output is a complete answer or no other token may follow.

        Args:
            output_ids: Ids of the tokens generated so far.
            documents: Number of documents in the prompt.
        """
        return self._allowed("".join(self.text.get(token, "") for token in output_ids), documents)

    def _find_allowed(self, text: str, documents: int) -> list[int]:
        allowed = [token for token, piece in self.text.items() if is_answer_prefix(text + piece, documents)]
        return [*allowed, self.end] if is_complete_answer(text, documents) or not allowed else allowed
