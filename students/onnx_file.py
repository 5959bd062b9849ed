"""An encoder student's ONNX file: model.onnx, float32, any number of pairs and tokens.

onnxruntime computes it about twice as fast on a processor as torch does in fp32, and it needs no class of ours. Inputs,
int64 [pairs, tokens]: what the folder's tokenizer gives, and for the `interaction` head `segments`, 1 for the query's
tokens, 2 for the document's, 0 for special tokens and padding. Output: `scores` [pairs].
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from students.batches import inputs_of, pad, tokenize
from students.heads import ClsHead, Head

NAME = "model.onnx"
LARGEST = 400_000_000
"""Parameters above which no file is written: the format holds 2 GiB."""

_OPSET = 17
_EXAMPLES = [("a query", "a document of a few words"), ("another query here", "text")]


class _ByPosition(nn.Module):
    """The student with its inputs one after the other, as the exporter wants them."""

    def __init__(self, student: Head, names: Sequence[str]) -> None:
        super().__init__()
        self.student, self.names = student, names

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.student(dict(zip(self.names, inputs, strict=True)))
        return scores


def write(student: Head, tokenizer: Any, folder: Path) -> None:
    """Write the file. student: in evaluation mode, float32, on the processor."""
    batch = pad(tokenizer, tokenize(tokenizer, _EXAMPLES, 64))
    if isinstance(student, ClsHead):
        batch = inputs_of(batch)
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


class OnnxStudent(nn.Module):
    """The file, ready to score; takes batches as `students.batches.pad` makes them, on the processor."""

    def __init__(self, path: Path) -> None:
        """threads: as many as torch has when this is made."""
        import onnxruntime

        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [held.name for held in self.session.get_inputs()]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. Returns [pairs], float32."""
        (values,) = self.session.run(None, {name: batch[name].numpy() for name in self.names})
        return torch.from_numpy(values)


class OpenVinoStudent(nn.Module):
    """The file, computed by OpenVINO: in bf16 the fastest there is on a processor with bf16 units. Takes batches as `OnnxStudent` does."""

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        """threads: as many as torch has when this is made. dtype: bfloat16 or float32, in which it computes."""
        import openvino

        super().__init__()
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        core = openvino.Core()
        model = core.read_model(str(path))
        self.names = [held.get_any_name() for held in model.inputs]
        self.request = core.compile_model(model, "CPU", hints).create_infer_request()

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. Returns [pairs], float32."""
        (values,) = self.request.infer({name: batch[name].numpy() for name in self.names}).values()
        return torch.from_numpy(values.copy())  # the request's own memory is written again at its next call
