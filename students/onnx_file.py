"""An encoder student's ONNX file: model.onnx, float32, any number of pairs and tokens.

It needs no class of ours, and OpenVINO and onnxruntime compute it faster on a processor than torch does. Inputs,
int64 [pairs, tokens]: what the folder's tokenizer gives, and for the `interaction` head `segments`, 1 for the query's
tokens, 2 for the document's, 0 for special tokens and padding. Output: `scores` [pairs].
"""

from __future__ import annotations

import logging
import queue
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from students.batches import inputs_of, pad, tokenize
from students.first_token import first_token_only
from students.heads import ClsHead, Head

NAME = "model.onnx"
LARGEST = 400_000_000
"""Parameters above which no file is written: the format holds 2 GiB."""

_OPSET = 17
_STREAMS = 4
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
        with first_token_only(student), warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
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
    """The file, computed by OpenVINO: the fastest there is on a processor. Takes batches as `OnnxStudent` does, several at once.

    A batch goes through one stream, of one core or a few: cores that wait for no other do more than those that share each product.
    """

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        """threads: as many as torch has when this is made. dtype: bfloat16 or float32, in which it computes."""
        import openvino

        super().__init__()
        threads = torch.get_num_threads()
        self.streams = min(threads, _STREAMS)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # or the threads of two processes would share the same cores, and others stand idle
        }
        core = openvino.Core()
        model = core.read_model(str(path))
        self.names = [held.get_any_name() for held in model.inputs]
        compiled = core.compile_model(model, "CPU", hints)
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.streams):
            self._free.put(compiled.create_infer_request())
        self._pool = ThreadPoolExecutor(self.streams, "streams")
        # one inference alone: where two threads are the first to hand numpy arrays to OpenVINO's bindings, one holds Python's lock and
        # waits for the other's, for ever
        self(dict.fromkeys(self.names, torch.ones(1, 8, dtype=torch.int64)))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. Returns [pairs], float32. May be called by several threads."""
        request = self._free.get()
        try:
            (values,) = request.infer({name: batch[name].numpy() for name in self.names}).values()
            return torch.from_numpy(values.copy())  # the request's own memory is written again at its next call
        finally:
            self._free.put(request)

    def many(self, batches: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        """Score several batches, on all streams."""
        return list(self._pool.map(self, batches))
