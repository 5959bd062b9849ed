"""Write a student's model.int8.onnx: model.onnx with int8 matrix products where they hardly change the scores.

Weights are symmetric int8 per output channel, activations asymmetric uint8 per tensor, in ONNX's QuantizeLinear and
DequantizeLinear form (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018), which OpenVINO and onnxruntime compute with int8 instructions. Embeddings, layer norms, products
of two activations and the head stay as they are.

Post-training quantization of all layers can change the scores a lot, because a few layers have activations with large
outliers. So each group of matrix products with the same input is quantized alone first, and the change of the scores
of some calibration pairs is measured. The least sensitive groups are quantized, as long as the expected change of the
scores stays small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ranking.quantization_result import QuantizationError

MAX_ERROR = 0.05
"""Maximum expected change of a score (root mean square), as a share of the standard deviation of the scores.

With 0.1, nDCG@10 of single queries changes so much that the quality gate would need more than a hundred queries.
"""

Batch = dict[str, np.ndarray]
"""Inputs of one forward pass by name, each [pairs, tokens], int64."""


@dataclass(frozen=True)
class Range:
    """Lowest and highest value of an activation. The range contains 0."""

    low: float
    high: float

    def parameters(self) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and zero point that map the range to 0 to 255."""
        scale = max(self.high - self.low, 1e-6) / 255
        return np.array(scale, np.float32), np.array(round(-self.low / scale), np.uint8)


def write(source: Path, target: Path, batches: Sequence[Batch], probes: Sequence[Batch]) -> tuple[int, int]:
    """Quantize an ONNX file of a student.

    Args:
        source: model.onnx.
        target: File to write.
        batches: Inputs to measure the ranges of the activations on.
        probes: Inputs to measure the sensitivity of the layers on; fewer, because each layer needs a pass.

    Returns:
        The number of matrix products with weights in the base, and the number of those in int8.

    Raises:
        QuantizationError: If there is no matrix product that can be quantized.
    """
    model = onnx.load(source)
    groups = groups_of(model)
    ranges = measure_ranges(model, list(groups), batches)
    chosen = choose(sensitivities(model, groups, ranges, probes), MAX_ERROR)
    names = [name for tensor in chosen for name in groups[tensor]]
    if not names:
        raise QuantizationError("every layer changes the scores too much in int8")
    onnx.save(quantized(model, {tensor: groups[tensor] for tensor in chosen}, ranges), target)
    return sum(map(len, groups.values())), len(names)


def groups_of(model: Any) -> dict[str, list[str]]:
    """Return the matrix products with constant weights, {name of their input: names of the nodes}.

    Raises:
        QuantizationError: If there are none.
    """
    weights = {constant.name for constant in model.graph.initializer if len(constant.dims) == 2}
    groups: dict[str, list[str]] = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            groups.setdefault(node.input[0], []).append(node.name)
    if not groups:
        raise QuantizationError("the model has no matrix products with constant weights")
    return groups


def measure_ranges(model: Any, tensors: Sequence[str], batches: Sequence[Batch]) -> dict[str, Range]:
    """Measure the lowest and highest value of activations.

    Args:
        model: The ONNX model.
        tensors: Names of the activations.
        batches: Inputs, at least one.
    """
    probed = _copy(model)
    probed.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in tensors)
    session = _session(probed)
    low, high = dict.fromkeys(tensors, 0.0), dict.fromkeys(tensors, 0.0)
    for batch in batches:
        for name, values in zip(tensors, session.run(list(tensors), _inputs(session, batch)), strict=True):
            low[name], high[name] = min(low[name], float(values.min())), max(high[name], float(values.max()))
    return {name: Range(low[name], high[name]) for name in tensors}


def sensitivities(
    model: Any, groups: Mapping[str, Sequence[str]], ranges: Mapping[str, Range], batches: Sequence[Batch]
) -> dict[str, float]:
    """Measure how much each group changes the scores if only this group is quantized.

    Returns:
        {name of the group's input: mean squared change of a score, divided by the variance of the scores}
    """
    expected = _scores(model, batches)
    variance = max(float(expected.var()), 1e-12)
    errors = {}
    for tensor, names in groups.items():
        changed = _scores(quantized(model, {tensor: names}, ranges), batches)
        errors[tensor] = float(((changed - expected) ** 2).mean()) / variance
    return errors


def choose(errors: Mapping[str, float], max_error: float) -> list[str]:
    """Choose the least sensitive groups whose squared errors add up to at most the square of `max_error`.

    Rounding errors of different layers are independent, so their squares add up.
    """
    chosen, total = [], 0.0
    for tensor, error in sorted(errors.items(), key=lambda item: item[1]):
        total += error
        if not total <= max_error**2:
            break
        chosen.append(tensor)
    return chosen


def quantized(model: Any, groups: Mapping[str, Sequence[str]], ranges: Mapping[str, Range]) -> Any:
    """Return a copy of an ONNX model with quantized matrix products.

    Args:
        model: The model.
        groups: Nodes to quantize, {name of their input: names of the nodes}.
        ranges: Range of each input.
    """
    result = _copy(model)
    group_of = {name: tensor for tensor, names in groups.items() for name in names}
    constants = {constant.name: constant for constant in result.graph.initializer}
    nodes: list[Any] = []
    added: dict[str, Any] = {}
    for node in result.graph.node:
        tensor = group_of.get(node.name)
        if tensor is not None:
            nodes += [
                *_activation_nodes(tensor, ranges[tensor], added),
                *_weight_nodes(constants[node.input[1]], added),
            ]
            node.input[0], node.input[1] = f"{tensor}_dequantized", f"{node.input[1]}_dequantized"
        nodes.append(node)
    used = {name for node in nodes for name in node.input}
    kept = [constant for constant in result.graph.initializer if constant.name in used]
    del result.graph.initializer[:], result.graph.node[:]
    result.graph.initializer.extend([*kept, *added.values()])
    result.graph.node.extend(nodes)
    return result


def _activation_nodes(tensor: str, measured: Range, added: dict[str, Any]) -> list[Any]:
    """Return the nodes that round an activation to uint8; none if an earlier matrix product has added them."""
    names = [f"{tensor}_scale", f"{tensor}_zero_point"]
    if names[0] in added:
        return []
    added.update(
        {name: numpy_helper.from_array(value, name) for name, value in zip(names, measured.parameters(), strict=True)}
    )
    rounded, restored = f"{tensor}_quantized", f"{tensor}_dequantized"
    return [
        helper.make_node("QuantizeLinear", [tensor, *names], [rounded], f"{tensor}_quantize"),
        helper.make_node("DequantizeLinear", [rounded, *names], [restored], f"{tensor}_dequantize"),
    ]


def _weight_nodes(constant: Any, added: dict[str, Any]) -> list[Any]:
    """Quantize a weight, [inputs, outputs], with one scale per output. Returns the node that dequantizes it."""
    name = constant.name
    if f"{name}_quantized" in added:
        return []
    weight = numpy_helper.to_array(constant)
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-8).astype(np.float32) / 127
    parts = {
        "quantized": np.round(weight / scale).astype(np.int8),
        "scale": scale,
        "zero_point": np.zeros(len(scale), np.int8),
    }
    added.update({f"{name}_{key}": numpy_helper.from_array(value, f"{name}_{key}") for key, value in parts.items()})
    inputs = [f"{name}_{key}" for key in parts]
    return [helper.make_node("DequantizeLinear", inputs, [f"{name}_dequantized"], f"{name}_dequantize", axis=1)]


def _scores(model: Any, batches: Sequence[Batch]) -> np.ndarray:
    """Score batches with onnxruntime. Returns [pairs]."""
    session = _session(model)
    return np.concatenate(list(_outputs(session, batches)))


def _outputs(session: Any, batches: Sequence[Batch]) -> Iterator[np.ndarray]:
    for batch in batches:
        yield session.run(["scores"], _inputs(session, batch))[0]


def _inputs(session: Any, batch: Batch) -> Batch:
    """Select the inputs that a model has."""
    return {node.name: batch[node.name] for node in session.get_inputs()}


def _session(model: Any) -> Any:
    """Load a model in onnxruntime with the number of threads that torch is set to."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _copy(model: Any) -> Any:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy
