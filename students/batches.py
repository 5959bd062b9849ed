"""Turn (query, document) pairs into tensors. Training, evaluation and serving all tokenize with this module."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from students.clipping import clip_pairs
from students.token_selection import IGNORED, TokenKeys

BUCKET = 8
"""For scoring, each pair is padded to the next multiple of this number of tokens."""

SEGMENTS, KEYS, TASKS = "segments", "keys", "tasks"
_PADDING = {SEGMENTS: 0, KEYS: IGNORED, TASKS: 0}
"""Padding values of the model inputs that this project adds to those from the tokenizer."""


@dataclass
class ListBatch:
    """A batch of candidate lists, stored as one flat list of (query, document) pairs.

    Attributes:
        pairs: (query, document) pairs, one for each True cell of the mask, row by row.
        targets: Training target of each candidate, [lists, candidates], float.
        mask: [lists, candidates], True for real candidates, False for the padding of shorter lists.
        weights: Weight of each list in the loss, [lists].
        rows: The tokenized pairs from `tokenize`; empty until the pairs are tokenized.
        source_scores: Scores of another student that the student is distilled from, [lists, candidates]; None if there
            is none.
    """

    pairs: list[tuple[str, str]]
    targets: Tensor
    mask: Tensor
    weights: Tensor
    rows: list[dict[str, list[int]]] = field(default_factory=list)
    source_scores: Tensor | None = None

    def split(self, max_tokens: int, padded: bool = False) -> list[ListBatch]:
        """Split into consecutive batches of whole lists with at most `max_tokens` tokens each.

        A list with more tokens becomes a batch by itself.

        Args:
            max_tokens: Maximum tokens per batch.
            padded: Count tokens as if each pair were padded to the longest pair of its batch.
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
                None if self.source_scores is None else self.source_scores[start:end],
            )
            for start, end in itertools.pairwise(bounds)
        ]

    def spread(self, flat: Tensor) -> Tensor:
        """Arrange the scores of the flat pairs, [pairs], as [lists, candidates]. Padding cells are 0."""
        scores = flat.new_zeros(self.mask.shape)
        return scores.masked_scatter(self.mask.to(flat.device), flat)


def tokenize(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int, token_keys: TokenKeys | None = None
) -> list[dict[str, list[int]]]:
    """Tokenize (query, document) pairs without padding, truncating the longer text first.

    Long texts are clipped before they are tokenized (`students.clipping`), so the cost of a pair does not grow with the
    part of its document that the model does not read.

    Args:
        tokenizer: A fast tokenizer.
        pairs: (query, document) pairs.
        max_length: Maximum tokens per pair.
        token_keys: Computes the model input `keys` for Token Selection; None to omit this input.

    Returns:
        For each pair, the model inputs from the tokenizer, plus `segments`: 1 for query tokens, 2 for document tokens,
        0 for special tokens; plus `keys` if `token_keys` is given.
    """
    if not pairs:
        return []
    clipped = clip_pairs(tokenizer, pairs, max_length)
    queries, documents = [query for query, _ in clipped], [document for _, document in clipped]
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
    """Pad tokenized pairs to the same number of tokens and stack them into tensors.

    Args:
        tokenizer: The tokenizer that made the rows.
        rows: Tokenized pairs, at least one.
        width: Number of tokens to pad to; None for that of the longest pair.

    Returns:
        {input name: tensor [pairs, tokens]}. Padding tokens have segment 0.
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
    """Return the inputs of a batch that the Hugging Face model accepts, without those that this project adds."""
    return {name: values for name, values in batch.items() if name not in _PADDING}


def chunks_by_length(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group tokenized pairs of similar length into chunks, longest pairs first.

    Args:
        lengths: Number of tokens of each pair.
        budget: Maximum tokens per chunk, padding included. A longer pair becomes a chunk by itself.

    Returns:
        For each chunk, the indices of its pairs.
    """
    chunks: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if chunks and (len(chunks[-1]) + 1) * lengths[chunks[-1][0]] <= budget:
            chunks[-1].append(i)
        else:
            chunks.append([i])
    return chunks


def bucket_of(tokens: int, max_length: int) -> int:
    """Return the bucket of a pair: the number of tokens that it is padded to for scoring.

    The bucket depends on the pair alone, not on the rest of its batch. Otherwise the pair's score could change with the
    batch, because bf16 matrix products of different shapes can round differently.

    Args:
        tokens: Number of tokens of the pair.
        max_length: Maximum tokens per pair.
    """
    return min(-(-tokens // BUCKET) * BUCKET, max_length)


def chunks_by_bucket(lengths: Sequence[int], budget: int, max_length: int) -> list[tuple[int, list[int]]]:
    """Group tokenized pairs of the same bucket (see `bucket_of`) into chunks, longest pairs first.

    Args:
        lengths: Number of tokens of each pair.
        budget: Maximum tokens per chunk, padding included. A longer pair becomes a chunk by itself.
        max_length: Maximum tokens per pair.

    Returns:
        For each chunk, the bucket in tokens and the indices of its pairs.
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
    lists: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    weights: Sequence[float] | None = None,
    source_scores: Sequence[Sequence[float]] | None = None,
) -> ListBatch:
    """Make a batch of candidate lists, which can have different lengths.

    Args:
        lists: For each list, (query, [(document, target)]).
        weights: Weight of each list in the loss; None for weight 1.
        source_scores: For each list, the scores of its documents by the student to distil from; None for none.
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
    batch = ListBatch(
        pairs, targets, mask, torch.ones(len(lists)) if weights is None else torch.tensor(weights, dtype=torch.float32)
    )
    if source_scores is not None:
        batch.source_scores = batch.spread(torch.tensor([score for row in source_scores for score in row]))
    return batch
