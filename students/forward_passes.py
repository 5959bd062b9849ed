"""Run tokenized pairs through a model in chunks, for training, scoring and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from students import onnx_file
from students.batches import chunks_by_bucket, chunks_by_length, pad, tokenize

CHUNK_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Maximum tokens per forward pass, by device type. A CPU is fastest if the activations fit into its cache."""


def forward_pairs(model: nn.Module, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """Score (query, document) pairs, each padded to its bucket (see `students.batches.bucket_of`).

    Returns:
        [pairs], float32, in the given order.
    """
    rows = tokenize(tokenizer, pairs, max_length)
    lengths = [len(row["input_ids"]) for row in rows]
    return forward_chunks(
        model, tokenizer, rows, chunks_by_bucket(lengths, CHUNK_TOKENS[device_of(model).type], max_length)
    )


def forward_rows(
    model: nn.Module, tokenizer: Any, rows: Sequence[dict[str, list[int]]], single_chunk: bool = False
) -> Tensor:
    """Score tokenized pairs in chunks of similar length, each padded to its longest pair.

    Args:
        model: The model.
        tokenizer: Tokenizer of the model.
        rows: Tokenized pairs.
        single_chunk: Score all pairs in one forward pass.

    Returns:
        The model's output, [pairs] or [pairs, columns], float32, in the given order.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    if single_chunk and rows:
        chunks = [list(range(len(rows)))]
    else:
        chunks = chunks_by_length(lengths, CHUNK_TOKENS[device_of(model).type])
    return forward_chunks(model, tokenizer, rows, [(None, chunk) for chunk in chunks])


def forward_chunks(
    model: nn.Module,
    tokenizer: Any,
    rows: Sequence[dict[str, list[int]]],
    chunks: Sequence[tuple[int | None, list[int]]],
) -> Tensor:
    """Score tokenized pairs chunk by chunk and return the scores in the order of the pairs.

    Args:
        model: The model.
        tokenizer: Tokenizer of the model.
        rows: Tokenized pairs.
        chunks: For each forward pass, the number of tokens to pad to (None for that of the longest pair) and the
            indices of its pairs.
    """
    device = device_of(model)
    order = [i for _, chunk in chunks for i in chunk]
    batches = (pad(tokenizer, [rows[i] for i in chunk], width) for width, chunk in chunks)
    if isinstance(model, onnx_file.OpenVinoStudent):
        scores = model.many(batches)
    else:
        scores = [model({key: value.to(device) for key, value in batch.items()}) for batch in batches]
    inverse = torch.empty(len(order), dtype=torch.long, device=device)
    inverse[torch.tensor(order, dtype=torch.long, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(scores)[inverse] if scores else torch.zeros(0)


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights, or the CPU for a model without torch weights, such as an ONNX model."""
    return next((weights.device for weights in model.parameters()), torch.device("cpu"))
