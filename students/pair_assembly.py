"""Assemble tokenized (query, document) pairs from a query and documents that were tokenized separately.

A fast tokenizer encodes the two texts of a pair independently, truncates them, and adds special tokens. So a
document's tokens can be reused for other queries. `PairAssembler` derives the special tokens from the tokenizer and
checks the result against `students.batches.tokenize`; for a tokenizer that works in another way there is no assembler.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from students.batches import SEGMENTS, tokenize
from students.clipping import clip

Row = dict[str, list[int]]

_INPUTS = {"input_ids", "attention_mask", "token_type_ids", SEGMENTS}
_PROBE = ("query", "document")
_WORDS = (
    "merge sorted lists",
    "a",
    "",
    " ",
    "Zürich",
    "e\u0301",
    "漢字 仮名",
    "don't (x[1])\n\n",
    "🙂 ok",
    " lead",
    "x" * 40,
)


class PairAssembler:
    """Builds the rows that `students.batches.tokenize` returns, from separate tokens of query and document."""

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        """Derive the special tokens from the row of one pair.

        Args:
            tokenizer: A fast tokenizer.
            max_length: Maximum tokens per pair.

        Raises:
            ValueError: A row has inputs, or an order of its parts, that this class cannot build.
        """
        self._tokenizer, self._max_length = tokenizer, max_length
        row = tokenize(tokenizer, [_PROBE], max_length)[0]
        segments = row[SEGMENTS]
        if not row.keys() <= _INPUTS or 1 not in segments or 2 not in segments:
            raise ValueError("the tokenizer returns other inputs than token ids, types and a mask")
        bounds = [segments.index(1), _last(segments, 1) + 1, segments.index(2), _last(segments, 2) + 1, len(segments)]
        if bounds != sorted(bounds):
            raise ValueError("the document is in front of the query")
        self._names = list(row)
        self._specials = [row["input_ids"][a:b] for a, b in ((0, bounds[0]), (bounds[1], bounds[2]), (bounds[3], None))]
        types = row.get("token_type_ids", [0] * len(segments))
        self._special_types = [types[a:b] for a, b in ((0, bounds[0]), (bounds[1], bounds[2]), (bounds[3], None))]
        self._query_type, self._document_type = types[bounds[0]], types[bounds[2]]
        self.max_tokens = max_length - sum(map(len, self._specials))
        """Maximum tokens of query and document without special tokens."""

    def query(self, text: str) -> list[int] | None:
        """Return the tokens of a query, or None if it is so long that its pairs cannot be assembled.

        Of a query with at most half of the tokens, no token is ever removed by `longest_first` truncation.
        """
        tokens = self.documents([text])[0] if text else array("i")
        return list(tokens) if len(tokens) <= self.max_tokens // 2 and len(text) <= self._longest_query else None

    @property
    def _longest_query(self) -> int:
        """Characters of a query that `students.clipping` never shortens."""
        return 8 * self._max_length

    def documents(self, texts: Sequence[str]) -> list[array[int]]:
        """Return the tokens of documents: as many as can be in a pair."""
        if not texts:
            return []
        clipped = clip(self._tokenizer, texts, self._max_length)
        encoded = self._tokenizer(
            clipped,
            add_special_tokens=False,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        return [array("i", ids[: self.max_tokens]) for ids in encoded["input_ids"]]

    def row(self, query: Sequence[int], document: array[int]) -> Row:
        """Return the model inputs of a pair, truncated to `max_length` tokens."""
        read = document[: self.max_tokens - len(query)].tolist()
        (before, between, after), n = self._specials, len(read)
        values = {
            "input_ids": [*before, *query, *between, *read, *after],
            SEGMENTS: [0] * len(before) + [1] * len(query) + [0] * len(between) + [2] * n + [0] * len(after),
        }
        size = len(values["input_ids"])
        if "attention_mask" in self._names:
            values["attention_mask"] = [1] * size
        if "token_type_ids" in self._names:
            first, second, third = self._special_types
            types = [*first, *[self._query_type] * len(query), *second, *[self._document_type] * n, *third]
            values["token_type_ids"] = types
        return {name: values[name] for name in self._names}


def assembler_of(tokenizer: Any, max_length: int) -> PairAssembler | None:
    """Return an assembler for a tokenizer, or None if pairs cannot be assembled exactly.

    The assembler's rows are compared with those of `students.batches.tokenize` for 170 pairs of texts in several
    scripts and of all lengths around the limit.
    """
    try:
        assembler = PairAssembler(tokenizer, max_length)
    except ValueError:
        return None
    pairs = _probes(assembler.max_tokens)
    expected = tokenize(tokenizer, pairs, max_length)
    for (query, document), row in zip(pairs, expected, strict=True):
        tokens = assembler.query(query)
        if tokens is not None and assembler.row(tokens, assembler.documents([document])[0]) != row:
            return None
    return assembler


def _probes(max_tokens: int) -> list[tuple[str, str]]:
    """Return pairs of texts that are short, as long as the limit, and longer."""
    pairs = [(query, document) for query in _WORDS for document in _WORDS]
    for words in (1, 2, max_tokens // 4, max_tokens // 2 - 1, max_tokens // 2, max_tokens // 2 + 1, max_tokens):
        for others in (max_tokens // 2, *range(max_tokens - words - 2, max_tokens - words + 3), 3 * max_tokens):
            pairs.append((_letters(words), _letters(others)))
    return pairs


def _letters(count: int) -> str:
    """Return a text of letters, without a period that could hide a truncation on the wrong side."""
    return " ".join(chr(ord("a") + i * i // 3 % 26) for i in range(count))


def _last(values: Sequence[int], value: int) -> int:
    return len(values) - 1 - values[::-1].index(value)
