"""Quantized matrix products of a small ONNX model, and the choice of the layers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ranking.quantization_result import QuantizationError
from students import int8_file
from students.int8_file import Range

INPUTS, HIDDEN, PAIRS = 8, 6, 32


@pytest.fixture
def model():
    """x [pairs, 8] is multiplied by "left" and "right", and their product's sum by "last" gives the scores."""
    rng = np.random.default_rng(1)
    weights = {"left": (INPUTS, HIDDEN), "right": (INPUTS, HIDDEN), "last": (HIDDEN, 1)}
    nodes = [
        helper.make_node("MatMul", ["x", "left"], ["a"], "left"),
        helper.make_node("MatMul", ["x", "right"], ["b"], "right"),
        helper.make_node("Mul", ["a", "b"], ["c"], "product"),
        helper.make_node("MatMul", ["c", "last"], ["d"], "last"),
        helper.make_node("Squeeze", ["d", "axes"], ["scores"], "squeeze"),
    ]
    constants = [numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pairs", INPUTS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["pairs"])],
        [*constants, numpy_helper.from_array(np.array([1]), "axes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def batches():
    values = np.random.default_rng(2).uniform(-1, 3, (PAIRS, INPUTS)).astype(np.float32)
    return [{"x": values[:20]}, {"x": values[20:]}]


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero"), [(-1.0, 1.55, 0.01, 100), (0.0, 2.55, 0.01, 0), (-2.55, 0.0, 0.01, 255)]
)
def test_range_maps_to_a_byte(low, high, scale, zero):
    assert Range(low, high).parameters() == (pytest.approx(scale), zero)


def test_products_with_the_same_input_are_a_group(model):
    assert int8_file.groups_of(model) == {"x": ["left", "right"], "c": ["last"]}


def test_range_covers_all_batches(model, batches):
    found = int8_file.measure_ranges(model, ["x", "c"], batches)["x"]
    values = np.concatenate([batch["x"] for batch in batches])
    assert (found.low, found.high) == (pytest.approx(values.min()), pytest.approx(values.max()))


def test_scores_of_the_quantized_model_match_rounded_products(model, batches):
    """An independent computation of the same rounding."""
    groups, weights = {"x": ["left", "right"]}, {c.name: numpy_helper.to_array(c) for c in model.graph.initializer}
    ranges = int8_file.measure_ranges(model, ["x"], batches)
    x = np.concatenate([batch["x"] for batch in batches])
    scale = (ranges["x"].high - ranges["x"].low) / 255
    rounded = (np.round(x / scale) * scale).astype(np.float32)
    steps = {name: np.abs(weights[name]).max(0) / 127 for name in groups["x"]}
    a, b = (rounded @ (np.round(weights[name] / steps[name]) * steps[name]) for name in groups["x"])
    scores = int8_file._scores(int8_file.quantized(model, groups, ranges), batches)
    assert scores == pytest.approx(((a * b) @ weights["last"])[:, 0], abs=1e-3)
    exact = int8_file._scores(model, batches)
    assert 0 < np.abs(scores - exact).max() < 0.1 * exact.std()


def test_quantized_file_has_int8_weights_and_no_copy_of_them(model, batches):
    ranges = int8_file.measure_ranges(model, ["x"], batches)
    changed = int8_file.quantized(model, {"x": ["left", "right"]}, ranges)
    onnx.checker.check_model(changed)
    types = {c.name: c.data_type for c in changed.graph.initializer if len(c.dims) == 2}
    assert types == {
        "last": TensorProto.FLOAT,
        "left_quantized": TensorProto.INT8,
        "right_quantized": TensorProto.INT8,
    }


def test_least_sensitive_groups_are_chosen_within_the_budget():
    errors = {"a": 0.0036, "b": 0.0001, "c": 0.0063, "d": 0.5}
    assert int8_file.choose(errors, 0.1001) == ["b", "a", "c"]
    assert int8_file.choose(errors, 0.07) == ["b", "a"]
    assert int8_file.choose({"a": float("nan")}, 0.1) == []


def test_outlier_in_an_activation_keeps_its_products(model, batches, tmp_path):
    onnx.save(model, tmp_path / "model.onnx")
    target = tmp_path / "int8.onnx"
    assert int8_file.write(tmp_path / "model.onnx", target, batches, batches) == (3, 3)
    outlier = [*batches, {"x": np.full((1, INPUTS), 1000, np.float32)}]  # one step of x is then 4
    with pytest.raises(QuantizationError, match="every layer changes the scores too much"):
        int8_file.write(tmp_path / "model.onnx", target, outlier, batches)


def test_model_without_weights_cannot_be_quantized(model):
    del model.graph.node[:4]
    with pytest.raises(QuantizationError, match="no matrix products with constant weights"):
        int8_file.groups_of(model)
