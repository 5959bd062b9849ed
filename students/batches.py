"""From pairs of texts to tensors: the one way in which training, evaluation and serving read a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK_PAIRS = 32


@dataclass
class ListBatch:
    """Lists of candidates as flat pairs. targets and mask: [lists, candidates]; pairs are the mask's True cells, row by row."""

    pairs: list[tuple[str, str]]
    targets: Tensor
    mask: Tensor

    def spread(self, flat: Tensor) -> Tensor:
        """Put flat scores [pairs] into their cells, [lists, candidates], zeros elsewhere."""
        scores = flat.new_zeros(self.mask.shape)
        return scores.masked_scatter(self.mask.to(flat.device), flat)


def encode(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> dict[str, Tensor]:
    """Tokenise (query, document) pairs, cut the longer side first, pad to the longest pair.

    Returns the tokenizer's tensors [pairs, tokens] and `segments`: 1 for query tokens, 2 for document
    tokens, 0 for special tokens and padding.
    """
    encoded = tokenizer(
        [query for query, _ in pairs],
        [document for _, document in pairs],
        truncation="longest_first",
        max_length=max_length,
        padding=True,
        return_tensors="pt",
    )
    segments = np.array([[0 if part is None else part + 1 for part in encoded.sequence_ids(i)] for i in range(len(pairs))], dtype=np.int64)
    return {**encoded, "segments": torch.from_numpy(segments)}


def chunks_by_length(pairs: Sequence[tuple[str, str]], size: int = CHUNK_PAIRS) -> list[list[int]]:
    """Divide pairs into chunks of about the same length of text, longest first; returns indices."""
    order = sorted(range(len(pairs)), key=lambda i: -len(pairs[i][0]) - len(pairs[i][1]))
    return [order[start : start + size] for start in range(0, len(order), size)]


def list_batch(lists: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> ListBatch:
    """Lay out lists of unequal length. lists: (query, [(document, target)])."""
    width = max((len(documents) for _, documents in lists), default=0)
    targets = torch.zeros(len(lists), width)
    mask = torch.zeros(len(lists), width, dtype=torch.bool)
    pairs = []
    for row, (query, documents) in enumerate(lists):
        for column, (document, target) in enumerate(documents):
            pairs.append((query, document))
            targets[row, column] = target
            mask[row, column] = True
    return ListBatch(pairs, targets, mask)
