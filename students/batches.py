"""Turn pairs of texts into tensors. Training, evaluation and serving all tokenize pairs here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from students.token_selection import IGNORED, TokenKeys

BUCKET = 8
"""Scored pairs are padded to a multiple of this number of tokens."""

SEGMENTS, KEYS, TASKS = "segments", "keys", "tasks"
_PADDING = {SEGMENTS: 0, KEYS: IGNORED, TASKS: 0}
"""Padding value of each input that this project adds to the tokenizer's own."""


@dataclass
class ListBatch:
    """Candidate lists as flat pairs.

    Attributes:
        pairs: (query, document) pairs, one for each True cell of the mask, row by row.
        targets: [lists, candidates], float.
        mask: [lists, candidates], True for real candidates.
        weights: [lists], weight of each list in the loss.
        rows: The tokenized pairs, see `tokenize`; empty if they are not tokenized yet.
    """

    pairs: list[tuple[str, str]]
    targets: Tensor
    mask: Tensor
    weights: Tensor
    rows: list[dict[str, list[int]]] = field(default_factory=list)

    def split(self, max_tokens: int, padded: bool = False) -> list[ListBatch]:
        """Split into batches of whole lists, in order, each of at most `max_tokens` tokens.

        A longer list becomes a batch by itself.

        Args:
            max_tokens: Maximum tokens per batch.
            padded: Count the tokens after padding each pair to the longest of its batch.
        """
        ends = [0, *self.mask.sum(dim=1).cumsum(dim=0).tolist()]
        lengths = [len(pair["input_ids"]) for pair in self.rows]
        bounds = [0]
        for row, end in enumerate(ends[1:]):
            tokens = lengths[ends[bounds[-1]] : end]
            if row > bounds[-1] and (len(tokens) * max(tokens, default=0) if padded else sum(tokens)) > max_tokens:
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
        """Put flat scores, [pairs], into their cells, [lists, candidates]; other cells are 0."""
        scores = flat.new_zeros(self.mask.shape)
        return scores.masked_scatter(self.mask.to(flat.device), flat)


def tokenize(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int, token_keys: TokenKeys | None = None
) -> list[dict[str, list[int]]]:
    """Tokenize (query, document) pairs without padding, truncating the longer text first.

    Args:
        tokenizer: A fast tokenizer.
        pairs: (query, document) pairs.
        max_length: Maximum tokens per pair.
        token_keys: Adds `keys` for Token Selection; None to omit them.

    Returns:
        For each pair the tokenizer's inputs and `segments`: 1 for query tokens, 2 for document tokens, 0 for special
        tokens.
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
            row[KEYS] = token_keys.compute(row["input_ids"], row[SEGMENTS], encoded.word_ids(i))
        rows.append(row)
    return rows


def pad(tokenizer: Any, rows: Sequence[dict[str, list[int]]], width: int | None = None) -> dict[str, Tensor]:
    """Pad tokenized pairs.

    Args:
        tokenizer: The tokenizer that made the rows.
        rows: Tokenized pairs, at least one.
        width: Tokens to pad to; None for the longest pair.

    Returns:
        Tensors [pairs, tokens] by input name. Padding has segment 0.
    """
    inputs = [{name: values for name, values in row.items() if name not in _PADDING} for row in rows]
    options = {"padding": True} if width is None else {"padding": "max_length", "max_length": width}
    padded: dict[str, Tensor] = dict(tokenizer.pad(inputs, return_tensors="pt", **options))
    for name in _PADDING.keys() & rows[0].keys():
        padded[name] = torch.full(padded["input_ids"].shape, _PADDING[name], dtype=torch.long)
        for i, row in enumerate(rows):
            tokens = len(row[name])
            start = padded[name].shape[1] - tokens if tokenizer.padding_side == "left" else 0
            padded[name][i, start : start + tokens] = torch.tensor(row[name])
    return padded


def inputs_of(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the inputs of the Hugging Face model, without those that this project adds."""
    return {name: values for name, values in batch.items() if name not in _PADDING}


def chunks_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group rows of similar length into chunks of at most `budget` padded tokens, longest first.

    Args:
        lengths: Tokens of each row.
        budget: Maximum tokens per chunk. A longer row becomes a chunk by itself.

    Returns:
        Row indices of each chunk.
    """
    chunks: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if chunks and (len(chunks[-1]) + 1) * lengths[chunks[-1][0]] <= budget:
            chunks[-1].append(i)
        else:
            chunks.append([i])
    return chunks


def bucket_of(tokens: int, max_length: int) -> int:
    """Return the width in tokens that a scored pair of this length is always padded to.

    The width depends on the pair alone. bf16 matrix products of different shapes can round differently, and a pair's
    score must not depend on the rest of its batch.
    """
    return min(-(-tokens // BUCKET) * BUCKET, max_length)


def chunks_by_bucket(lengths: Sequence[int], budget: int, max_length: int) -> list[tuple[int, list[int]]]:
    """Group rows of the same bucket into chunks of at most `budget` padded tokens, longest first.

    Args:
        lengths: Tokens of each row.
        budget: Maximum tokens per chunk. A longer row becomes a chunk by itself.
        max_length: Maximum tokens per row.

    Returns:
        Width in tokens and row indices of each chunk.
    """
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
    """Make a batch of lists that can have different lengths.

    Args:
        lists: (query, [(document, target)]) for each list.
        weights: Weight of each list; None for 1.
    """
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
