"""The ONNX file of a student whose form no Hugging Face class has: model.onnx, float32, any number of pairs and tokens.

Inputs, int64 [pairs, tokens]: what the folder's tokenizer gives, and `segments`, 1 for the query's tokens, 2 for the
document's, 0 for special tokens and padding. Output: `scores` [pairs].
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from students.batches import chunks_by_length, pad, tokenize
from students.heads import InteractionHead

NAME = "model.onnx"
_OPSET = 17
_EXAMPLES = [("a query", "a document of a few words"), ("another query here", "text")]


class _ByPosition(nn.Module):
    """The student with its inputs one after the other, as the exporter wants them."""

    def __init__(self, student: InteractionHead, names: Sequence[str]) -> None:
        super().__init__()
        self.student, self.names = student, names

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.student(dict(zip(self.names, inputs, strict=True)))
        return scores


def write(student: InteractionHead, tokenizer: Any, folder: Path) -> None:
    """Write the file. student: in evaluation mode, float32, on the processor."""
    batch = pad(tokenizer, tokenize(tokenizer, _EXAMPLES, 64))
    names = list(batch)
    free = {name: {0: "pairs", 1: "tokens"} for name in names} | {"scores": {0: "pairs"}}
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _ByPosition(student, names).eval(),
                tuple(batch.values()),
                str(folder / NAME),
                input_names=names,
                output_names=["scores"],
                dynamic_axes=free,
                opset_version=_OPSET,
                dynamo=False,  # the other exporter needs one more package
            )
    finally:
        exporter.setLevel(level)


def scores(tokenizer: Any, folder: Path, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """Score (query, document) pairs with onnxruntime. Returns [pairs], float32, in the order given."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / NAME), providers=["CPUExecutionProvider"])
    rows = tokenize(tokenizer, pairs, max_length)
    found = torch.zeros(len(rows))
    for chunk in chunks_by_length([len(row["input_ids"]) for row in rows], 1024):
        batch = pad(tokenizer, [rows[i] for i in chunk])
        (values,) = session.run(None, {name: value.numpy() for name, value in batch.items()})
        found[torch.tensor(chunk)] = torch.from_numpy(values)
    return found
