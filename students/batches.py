"""From pairs of texts to tensors: the one way in which training, evaluation and serving read a pair."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from students.token_selection import IGNORED, TokenKeys

BUCKET = 8
"""Scored pairs are padded to a multiple of so many tokens."""

SEGMENTS, KEYS, SIDES = "segments", "keys", "sides"
_PADDING = {SEGMENTS: 0, KEYS: IGNORED, SIDES: 0}
"""What stands beside a tokenizer's own inputs, and how it is padded."""


@dataclass
class ListBatch:
    """Lists of candidates as flat pairs. targets and mask: [lists, candidates]; pairs are the mask's True cells, row by row.

    weights: [lists], how much each list counts. rows: the pairs as `tokenize` gives them, where that was done already.
    """

    pairs: list[tuple[str, str]]
    targets: Tensor
    mask: Tensor
    weights: Tensor
    rows: list[dict[str, list[int]]] = field(default_factory=list)

    def within(self, tokens: int, padded: bool = False) -> list[ListBatch]:
        """Divide into batches of whole lists, in order, of at most so many tokens; a longer list is one of its own.

        padded: a batch's pairs are padded to the longest of them, and padding counts.
        """
        ends = [0, *self.mask.sum(dim=1).cumsum(dim=0).tolist()]
        lengths = [len(pair["input_ids"]) for pair in self.rows]
        bounds = [0]
        for row, end in enumerate(ends[1:]):
            held = lengths[ends[bounds[-1]] : end]
            if row > bounds[-1] and (len(held) * max(held, default=0) if padded else sum(held)) > tokens:
                bounds.append(row)
        bounds.append(self.mask.shape[0])
        return [
            ListBatch(
                self.pairs[ends[start] : ends[end]],
                self.targets[start:end],
                self.mask[start:end],
                self.weights[start:end],
                self.rows[ends[start] : ends[end]],
            )
            for start, end in itertools.pairwise(bounds)
        ]

    def spread(self, flat: Tensor) -> Tensor:
        """Put flat scores [pairs] into their cells, [lists, candidates], zeros elsewhere."""
        scores = flat.new_zeros(self.mask.shape)
        return scores.masked_scatter(self.mask.to(flat.device), flat)


def tokenize(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int, token_keys: TokenKeys | None = None
) -> list[dict[str, list[int]]]:
    """Tokenise (query, document) pairs, cutting the longer side first; nothing is padded.

    Returns for each pair the tokenizer's inputs and `segments`: 1 for query tokens, 2 for document tokens,
    0 for special tokens. token_keys: adds `keys`, by which Token Selection compares them; None: not needed.
    """
    if not pairs:
        return []
    queries, documents = [query for query, _ in pairs], [document for _, document in pairs]
    encoded = tokenizer(queries, documents, truncation="longest_first", max_length=max_length)
    rows = []
    for i in range(len(pairs)):
        row = {name: values[i] for name, values in encoded.items()}
        row[SEGMENTS] = [0 if part is None else part + 1 for part in encoded.sequence_ids(i)]
        if token_keys is not None:
            row[KEYS] = token_keys.of(row["input_ids"], row[SEGMENTS], encoded.word_ids(i))
        rows.append(row)
    return rows


def pad(tokenizer: Any, rows: Sequence[dict[str, list[int]]], width: int | None = None) -> dict[str, Tensor]:
    """Pad tokenised pairs to `width` tokens, or to the longest of them. Returns tensors [pairs, tokens]; padding is of segment 0."""
    inputs = [{name: values for name, values in row.items() if name not in _PADDING} for row in rows]
    how = {"padding": True} if width is None else {"padding": "max_length", "max_length": width}
    padded: dict[str, Tensor] = dict(tokenizer.pad(inputs, return_tensors="pt", **how))
    for name in _PADDING.keys() & rows[0].keys():
        padded[name] = torch.full(padded["input_ids"].shape, _PADDING[name], dtype=torch.long)
        for i, row in enumerate(rows):
            tokens = len(row[name])
            start = padded[name].shape[1] - tokens if tokenizer.padding_side == "left" else 0
            padded[name][i, start : start + tokens] = torch.tensor(row[name])
    return padded


def inputs_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a batch a Hugging Face model takes."""
    return {name: values for name, values in batch.items() if name not in _PADDING}


def chunks_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Divide rows into chunks of like length, longest first, of at most `budget` tokens once padded.

    lengths: tokens of each row. Returns indices; a row longer than the budget is a chunk of its own.
    """
    chunks: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if chunks and (len(chunks[-1]) + 1) * lengths[chunks[-1][0]] <= budget:
            chunks[-1].append(i)
        else:
            chunks.append([i])
    return chunks


def bucket_of(tokens: int, max_length: int) -> int:
    """The width that a pair of so many tokens is always padded to when it is scored.

    It depends on the pair alone: a matrix product of another shape may round bf16 otherwise, so a score would move with what
    else is in the batch.
    """
    return min(-(-tokens // BUCKET) * BUCKET, max_length)


def chunks_by_bucket(lengths: Sequence[int], budget: int, max_length: int) -> list[tuple[int, list[int]]]:
    """Divide rows into chunks of one bucket each, longest first, of at most `budget` tokens; returns widths and indices."""
    chunks: list[tuple[int, list[int]]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        width = bucket_of(lengths[i], max_length)
        if chunks and chunks[-1][0] == width and (len(chunks[-1][1]) + 1) * width <= budget:
            chunks[-1][1].append(i)
        else:
            chunks.append((width, [i]))
    return chunks


def list_batch(
    lists: Sequence[tuple[str, Sequence[tuple[str, float]]]], weights: Sequence[float] | None = None
) -> ListBatch:
    """Lay out lists of unequal length. lists: (query, [(document, target)]). weights: of the lists; None for ones."""
    width = max((len(documents) for _, documents in lists), default=0)
    targets = torch.zeros(len(lists), width)
    mask = torch.zeros(len(lists), width, dtype=torch.bool)
    pairs = []
    for row, (query, documents) in enumerate(lists):
        for column, (document, target) in enumerate(documents):
            pairs.append((query, document))
            targets[row, column] = target
            mask[row, column] = True
    return ListBatch(
        pairs, targets, mask, torch.ones(len(lists)) if weights is None else torch.tensor(weights, dtype=torch.float32)
    )
