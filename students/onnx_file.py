"""Export an encoder student to an ONNX file, model.onnx, and score with it in onnxruntime or OpenVINO.

The file needs none of this project's code, and OpenVINO and onnxruntime are faster than torch on a CPU. The weights are
float32; the numbers of pairs and tokens are dynamic.
Inputs: those from the tokenizer in the same folder, int64, [pairs, tokens]. Output: `scores`, [pairs].
"""

from __future__ import annotations

import functools
import logging
import queue
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ranking import usage_statistics
from students.batches import inputs_of, pad, tokenize
from students.classifier import PairClassifier
from students.first_token import first_token_only

_log = logging.getLogger("rradistill")

NAME = "model.onnx"
"""Name of the ONNX file in a student's folder."""

INT8_NAME = "model.int8.onnx"
"""Name of the quantized ONNX file in a student's folder (`students.int8_file`)."""

MAX_PARAMETERS = 400_000_000
"""Larger models are not exported, because an ONNX file is limited to 2 GiB."""

_OPSET = 17
_MAX_STREAMS = 4
_EXAMPLES = [("a query", "a document of a few words"), ("another query here", "text")]


class _PositionalInputs(nn.Module):
    """Wraps a student to take its inputs as positional arguments, as the ONNX exporter requires."""

    def __init__(self, student: PairClassifier, names: Sequence[str]) -> None:
        super().__init__()
        self.student, self.names = student, names

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.student(dict(zip(self.names, inputs, strict=True)))
        return scores


def write(student: PairClassifier, tokenizer: Any, folder: Path) -> None:
    """Export a student to an ONNX file.

    Args:
        student: The student, in evaluation mode and float32, on the CPU.
        tokenizer: Tokenizer of the student.
        folder: Folder to write the file to.
    """
    batch = inputs_of(pad(tokenizer, tokenize(tokenizer, _EXAMPLES, 64)))
    names = list(batch)
    dynamic_axes = {name: {0: "pairs", 1: "tokens"} for name in names} | {"scores": {0: "pairs"}}
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with first_token_only(student), warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _PositionalInputs(student, names).eval(),
                tuple(batch.values()),
                str(folder / NAME),
                input_names=names,
                output_names=["scores"],
                dynamic_axes=dynamic_axes,
                opset_version=_OPSET,
                dynamo=False,  # the dynamo exporter needs an additional package
            )
    finally:
        exporter.setLevel(level)


class OnnxStudent(nn.Module):
    """Scores batches with the ONNX file in onnxruntime, on the CPU."""

    def __init__(self, path: Path) -> None:
        """Load the file. Scoring uses the number of threads that torch is set to at this moment."""
        import onnxruntime

        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [node.name for node in self.session.get_inputs()]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score a batch from `students.batches.pad`. Returns [pairs], float32."""
        (scores,) = self.session.run(None, {name: batch[name].numpy() for name in self.names})
        return torch.from_numpy(scores)


class OpenVinoStudent(nn.Module):
    """Scores several batches at once with the ONNX file in OpenVINO, the fastest engine on a CPU.

    The head computes in float32 whatever the precision of the base; it is a small part of the model. Each batch runs on
    one OpenVINO stream, which uses one or a few cores. Independent streams have a higher throughput than cores that
    share each matrix product and wait for each other.
    """

    def __init__(self, path: Path, dtype: torch.dtype) -> None:
        """Load the file. Scoring uses the number of threads that torch is set to at this moment.

        Args:
            path: The ONNX file.
            dtype: Precision of the base, bfloat16 or float32.
        """
        super().__init__()
        threads = torch.get_num_threads()
        self.streams = min(threads, _MAX_STREAMS)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if dtype == torch.bfloat16 else "f32",
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": self.streams,
            "INFERENCE_NUM_THREADS": threads,
            # With pinning, two processes pin their threads to the same cores and leave the others idle.
            "ENABLE_CPU_PINNING": False,
        }
        core = _openvino_core()
        model = core.read_model(str(path))
        self.names = [node.get_any_name() for node in model.inputs]
        base, *head = split_head(model) if dtype == torch.bfloat16 else [model]
        if dtype == torch.bfloat16 and not head:
            _log.warning(
                "%s: cannot separate the head from the base, so the scores are computed in bf16 and can be tied", path
            )
        compiled = [core.compile_model(base, "CPU", hints)]
        compiled += [core.compile_model(part, "CPU", hints | {"INFERENCE_PRECISION_HINT": "f32"}) for part in head]
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(self.streams):
            self._free.put([part.create_infer_request() for part in compiled])
        self._pool = ThreadPoolExecutor(self.streams, "streams")
        # Run the first inference here, in a single thread. If two threads pass the first numpy arrays to OpenVINO's
        # bindings at the same time, they deadlock: one has Python's GIL and waits for a lock of the other.
        self(dict.fromkeys(self.names, torch.ones(1, 8, dtype=torch.int64)))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Score a batch from `students.batches.pad`. Returns [pairs], float32. Thread-safe."""
        requests = self._free.get()
        try:
            (output,) = requests[0].infer({name: batch[name].numpy() for name in self.names}).values()
            for request in requests[1:]:
                (output,) = request.infer([output]).values()
            return torch.from_numpy(output.copy())  # the request's next call overwrites its buffer
        finally:
            self._free.put(requests)

    def many(self, batches: Iterable[dict[str, Tensor]]) -> list[Tensor]:
        """Score several batches in parallel on all streams. Returns the scores of each batch, in order."""
        return list(self._pool.map(self, batches))


@functools.cache
def _openvino_core() -> Any:
    """Return the one `openvino.Core` of this process.

    OpenVINO's CPU plugin gives the thread that compiles a model an alternate signal stack and unmaps it with the Core
    (https://github.com/openvinotoolkit/openvino/pull/11894). If a process makes several Cores, a thread may be left
    with an unmapped stack, and the next signal, such as SIGTERM, ends the process with a segmentation fault.
    """
    usage_statistics.turn_off_openvino()
    import openvino

    return openvino.Core()


def split_head(model: Any) -> list[Any]:
    """Split an OpenVINO model into its base and its head.

    The split is at a value with one vector per pair, [pairs, hidden], such as the state of [CLS]. If there are several,
    it is the one closest to the tokens.

    Returns:
        [base, head]: the base computes that value, and the head computes the scores from it. [model] if the model has
        no such value.
    """
    from openvino import Model, PartialShape, opset13

    order: dict[str, int] = {}
    varying: set[str] = set()  # nodes whose value depends on the model's inputs
    for node in model.get_ordered_ops():
        order[node.get_friendly_name()] = len(order)
        if node.get_type_name() == "Parameter" or any(_name(value) in varying for value in node.input_values()):
            varying.add(node.get_friendly_name())
    score = model.outputs[0].get_node().input_value(0)
    needed, state = {_name(score): score}, None
    # Walk from the scores back to the tokens. The scores are computed from the values in `needed`. Replace the value
    # that is computed last by its inputs. Whenever `needed` has a single value, the model can be split there.
    while True:
        value = needed.pop(max(needed, key=order.__getitem__))
        if not needed and len(value.get_partial_shape()) == 2:
            state = value
        inputs = {_name(source): source for source in value.get_node().input_values() if _name(source) in varying}
        if not all(_is_per_pair(source.get_partial_shape()) for source in inputs.values()):
            break
        needed.update(inputs)
    if state is None:
        return [model]
    base = Model([opset13.result(state)], model.get_parameters(), "base")
    states = opset13.parameter(PartialShape([-1, state.get_partial_shape()[1]]), state.get_element_type())
    for consumer in state.get_target_inputs():
        if consumer.get_node().get_type_name() != "Result":
            consumer.replace_source_output(states.output(0))
    return [base, Model([opset13.result(score)], [states], "head")]


def _is_per_pair(shape: Any) -> bool:
    """Return whether a value has one number or one vector per pair, but no dimension for tokens."""
    return len(shape) in (1, 2) and shape[0].is_dynamic and all(size.is_static for size in list(shape)[1:])


def _name(value: Any) -> str:
    """Return the name of the node that computes a value. It is unique: nodes of these models have one output each."""
    name: str = value.get_node().get_friendly_name()
    return name
