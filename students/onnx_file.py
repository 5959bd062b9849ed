"""An encoder student's ONNX file: model.onnx, float32, any number of pairs and tokens.

It needs no class of ours, and OpenVINO and onnxruntime compute it faster on a processor than torch does. Inputs,
int64 [pairs, tokens]: what the folder's tokenizer gives. Output: `scores` [pairs].
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
from students.classifier import PairClassifier
from students.first_token import first_token_only

_log = logging.getLogger("rradistill")

NAME = "model.onnx"
LARGEST = 400_000_000
"""Parameters above which no file is written: the format holds 2 GiB."""

_OPSET = 17
_STREAMS = 4
_EXAMPLES = [("a query", "a document of a few words"), ("another query here", "text")]


class _ByPosition(nn.Module):
    """The student with its inputs one after the other, as the exporter wants them."""

    def __init__(self, student: PairClassifier, names: Sequence[str]) -> None:
        super().__init__()
        self.student, self.names = student, names

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.student(dict(zip(self.names, inputs, strict=True)))
        return scores


def write(student: PairClassifier, tokenizer: Any, folder: Path) -> None:
    """Write the file. student: in evaluation mode, float32, on the processor."""
    batch = inputs_of(pad(tokenizer, tokenize(tokenizer, _EXAMPLES, 64)))
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

    The head, which is little, is computed in float32, whatever the rest is in.
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
        base, *head = divided(model) if dtype == torch.bfloat16 else [model]
        if dtype == torch.bfloat16 and not head:
            _log.warning(
                "%s: no head can be told from the rest, so its scores are computed in bf16 and have steps", path
            )
        compiled = [core.compile_model(base, "CPU", hints)]
        compiled += [core.compile_model(held, "CPU", hints | {"INFERENCE_PRECISION_HINT": "f32"}) for held in head]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.streams):
            self._free.put([part.create_infer_request() for part in compiled])
        self._pool = ThreadPoolExecutor(self.streams, "streams")
        # one inference alone: where two threads are the first to hand numpy arrays to OpenVINO's bindings, one holds Python's lock and
        # waits for the other's, for ever
        self(dict.fromkeys(self.names, torch.ones(1, 8, dtype=torch.int64)))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score pairs. Returns [pairs], float32. May be called by several threads."""
        requests = self._free.get()
        try:
            (held,) = requests[0].infer({name: batch[name].numpy() for name in self.names}).values()
            for request in requests[1:]:
                (held,) = request.infer([held]).values()
            return torch.from_numpy(held.copy())  # the request's own memory is written again at its next call
        finally:
            self._free.put(requests)

    def many(self, batches: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        """Score several batches, on all streams."""
        return list(self._pool.map(self, batches))


def divided(model: Any) -> list[Any]:
    """The model up to one state of each pair, [pairs, hidden], as near to the tokens as there is one, and what makes scores of it.

    The whole where there is no such state.
    """
    from openvino import Model, PartialShape, opset13

    place: dict[str, int] = {}
    varies: set[str] = set()
    for node in model.get_ordered_ops():
        place[node.get_friendly_name()] = len(place)
        if node.get_type_name() == "Parameter" or any(_name(given) in varies for given in node.input_values()):
            varies.add(node.get_friendly_name())
    score = model.outputs[0].get_node().input_value(0)
    needed, state = {_name(score): score}, None
    while True:  # from the scores to the tokens, always what is computed last; where it is all that is needed, it is such a state
        value = needed.pop(max(needed, key=place.__getitem__))
        if not needed and len(value.get_partial_shape()) == 2:
            state = value
        given = {_name(held): held for held in value.get_node().input_values() if _name(held) in varies}
        if not all(_is_of_pairs(held.get_partial_shape()) for held in given.values()):
            break
        needed.update(given)
    if state is None:
        return [model]
    base = Model([opset13.result(state)], model.get_parameters(), "base")
    states = opset13.parameter(PartialShape([-1, state.get_partial_shape()[1]]), state.get_element_type())
    for read in state.get_target_inputs():
        if read.get_node().get_type_name() != "Result":
            read.replace_source_output(states.output(0))
    return [base, Model([opset13.result(score)], [states], "head")]


def _is_of_pairs(shape: Any) -> bool:
    """Whether a value has one entry or one vector for each pair, and nothing for each token."""
    return len(shape) in (1, 2) and shape[0].is_dynamic and all(size.is_static for size in list(shape)[1:])


def _name(value: Any) -> str:
    """Of the node that gives a value; all that are met here give one."""
    name: str = value.get_node().get_friendly_name()
    return name
