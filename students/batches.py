"""From pairs of texts to tensors: the one way in which training, evaluation and serving read a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SEGMENTS = "segments"


@dataclass
class ListBatch:
    """Lists of candidates as flat pairs. targets and mask: [lists, candidates]; pairs are the mask's True cells, row by row.

    weights: [lists], how much each list counts.
    """

    pairs: list[tuple[str, str]]
    targets: Tensor
    mask: Tensor
    weights: Tensor

    def spread(self, flat: Tensor) -> Tensor:
        """Put flat scores [pairs] into their cells, [lists, candidates], zeros elsewhere."""
        scores = flat.new_zeros(self.mask.shape)
        return scores.masked_scatter(self.mask.to(flat.device), flat)


def tokenize(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> list[dict[str, list[int]]]:
    """Tokenise (query, document) pairs, cutting the longer side first; nothing is padded.

    Returns for each pair the tokenizer's inputs and `segments`: 1 for query tokens, 2 for document tokens,
    0 for special tokens.
    """
    if not pairs:
        return []
    queries, documents = [query for query, _ in pairs], [document for _, document in pairs]
    encoded = tokenizer(queries, documents, truncation="longest_first", max_length=max_length)
    rows = []
    for i in range(len(pairs)):
        segments = [0 if part is None else part + 1 for part in encoded.sequence_ids(i)]
        rows.append({**{name: values[i] for name, values in encoded.items()}, SEGMENTS: segments})
    return rows


def pad(tokenizer: Any, rows: Sequence[dict[str, list[int]]]) -> dict[str, Tensor]:
    """Pad tokenised pairs to the longest of them. Returns tensors [pairs, tokens]; padding is of segment 0."""
    inputs = [{name: values for name, values in row.items() if name != SEGMENTS} for row in rows]
    padded: dict[str, Tensor] = dict(tokenizer.pad(inputs, return_tensors="pt"))
    segments = torch.zeros(padded["input_ids"].shape, dtype=torch.long)
    for i, row in enumerate(rows):
        tokens = len(row[SEGMENTS])
        start = segments.shape[1] - tokens if tokenizer.padding_side == "left" else 0
        segments[i, start : start + tokens] = torch.tensor(row[SEGMENTS])
    return {**padded, SEGMENTS: segments}


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


def list_batch(lists: Sequence[tuple[str, Sequence[tuple[str, float]]]], weights: Sequence[float] | None = None) -> ListBatch:
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
    return ListBatch(pairs, targets, mask, torch.ones(len(lists)) if weights is None else torch.tensor(weights, dtype=torch.float32))
