"""Operators as their opset has them, against ONNX Runtime and against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kxchange.errors import UnsupportedOpError
from tests.onnx_nodes import agree, node_model, run_ours

pytestmark = pytest.mark.onnx
RNG = np.random.default_rng(6)
I64 = np.int64


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Any:
    return np.array(values, dtype=I64)


def check(op: str, inputs: dict[str, Any], attributes: dict[str, Any] | None = None, **options: Any) -> None:
    limits = {key: options.pop(key) for key in ("rtol", "atol") if key in options}
    agree(node_model(op, inputs, attributes, **options), inputs, **limits)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize(("opset", "axis"), [(7, 1), (11, 0), (12, 2), (13, 1), (13, -1)])
def test_softmax(op: str, opset: int, axis: int) -> None:
    check(op, {"x": normal(2, 3, 4)}, {"axis": axis}, opset=opset)


def test_softmax_before_13_is_over_all_axes_from_the_named_one() -> None:
    x = np.array([[[1, 1], [2, 2]], [[3, 3], [4, 4]]], np.float32)  # trap A06
    (y,) = run_ours(node_model("Softmax", {"x": x}, {"axis": 1}, opset=12), {"x": x})
    np.testing.assert_allclose(y[0], [[0.134471, 0.134471], [0.365529, 0.365529]], rtol=1e-5)


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_norm(opset: int) -> None:
    operands = {"x": normal(2, 3, 4), "s": normal(3), "b": normal(3), "m": normal(3), "v": np.abs(normal(3)) + 1}
    check("BatchNormalization", operands, {"epsilon": 1e-3}, opset=opset)


@pytest.mark.parametrize("opset", [8, 11, 12, 13])
def test_clip(opset: int) -> None:
    x = normal(20)
    if opset < 11:
        check("Clip", {"x": x}, {"min": -0.5, "max": 0.25}, opset=opset)
    else:
        limits = {"low": np.float32(-0.5), "high": np.float32(0.25)}
        check("Clip", {"x": x}, constants=limits, opset=opset)
        check("Clip", {"x": x}, constants={"high": np.float32(0.25)}, operands=("x", "", "high"), opset=opset)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("opset", [10, 11, 13, 18, 19])
def test_pad(mode: str, opset: int) -> None:
    x = normal(3, 4)
    if opset < 11:
        check("Pad", {"x": x}, {"pads": [1, 0, 2, 1], "mode": mode}, opset=opset)
    else:
        check("Pad", {"x": x}, {"mode": mode}, constants={"pads": ints(1, 0, 2, 1)}, opset=opset)


def test_pad_cuts_where_amounts_are_negative() -> None:
    check("Pad", {"x": normal(4, 5)}, constants={"pads": ints(-1, 1, -2, 0)}, opset=13)


def test_pad_with_axes_and_a_computed_number() -> None:
    inputs = {"x": normal(3, 4), "value": np.float32(7)}
    check("Pad", inputs, constants={"pads": ints(1, 2), "axes": ints(-1)}, operands=("x", "pads", "value", "axes"))


@pytest.mark.parametrize("opset", [7, 11, 13])
def test_squeeze_and_unsqueeze(opset: int) -> None:
    x = normal(2, 1, 3)
    if opset < 13:
        check("Squeeze", {"x": x}, {"axes": [1]}, opset=opset)
        check("Unsqueeze", {"x": x}, {"axes": [0, 3]}, opset=opset)
    else:
        check("Squeeze", {"x": x}, constants={"axes": ints(-2)}, opset=opset)
        check("Unsqueeze", {"x": x}, constants={"axes": ints(0, -1)}, opset=opset)
    check("Squeeze", {"x": x}, opset=opset)


@pytest.mark.parametrize(
    "op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp"]
)
@pytest.mark.parametrize("opset", [11, 13, 18])
def test_reductions(op: str, opset: int) -> None:
    x = normal(2, 3, 4)
    by_operand = opset >= 18 or (op == "ReduceSum" and opset >= 13)
    if by_operand:
        check(op, {"x": x}, {"keepdims": 0}, constants={"axes": ints(1, -1)}, opset=opset)
        check(op, {"x": x}, {"noop_with_empty_axes": 1}, opset=opset)
    else:
        check(op, {"x": x}, {"keepdims": 0, "axes": [1, 2]}, opset=opset)
    check(op, {"x": x}, opset=opset)


def test_reductions_of_integers() -> None:
    x = RNG.integers(-9, 9, (3, 4)).astype(np.int32)
    for op in ("ReduceSum", "ReduceMean", "ReduceMax"):
        check(op, {"x": x}, {"keepdims": 0}, constants={"axes": ints(1)}, opset=18)


@pytest.mark.parametrize("opset", [7, 13, 18])
def test_split(opset: int) -> None:
    x = normal(6, 2)
    outputs = ("a", "b")
    if opset < 13:
        check("Split", {"x": x}, {"split": [2, 4]}, outputs=outputs, opset=opset)
        check("Split", {"x": x}, outputs=outputs, opset=opset)
    else:
        check("Split", {"x": x}, constants={"split": ints(2, 4)}, outputs=outputs, opset=opset)
    if opset == 18:
        check("Split", {"x": normal(5, 2)}, {"num_outputs": 3}, outputs=("a", "b", "c"), opset=opset)  # trap R12


@pytest.mark.parametrize("opset", [9, 10, 13])
def test_slice(opset: int) -> None:
    x = normal(5, 6)
    if opset < 10:
        check("Slice", {"x": x}, {"starts": [1, -3], "ends": [1000, -1], "axes": [0, 1]}, opset=opset)
        return
    limits = {"starts": ints(4, -100), "ends": ints(-1000, 5), "axes": ints(0, 1), "steps": ints(-2, 2)}
    check("Slice", {"x": x}, constants=limits, opset=opset)


@pytest.mark.parametrize("opset", [9, 10, 11])
def test_top_k(opset: int) -> None:
    x = normal(3, 8)
    if opset < 10:
        check("TopK", {"x": x}, {"k": 3}, outputs=("v", "i"), opset=opset)
    else:
        check("TopK", {"x": x}, constants={"k": ints(3)}, outputs=("v", "i"), opset=opset)
    if opset == 11:
        check("TopK", {"x": x}, {"largest": 0, "axis": 0}, constants={"k": ints(2)}, outputs=("v", "i"), opset=opset)


SCALES = np.array([1, 1, 2, 1.5], np.float32)
SHRINKS = np.array([1, 1, 0.5, 0.75], np.float32)


@pytest.mark.parametrize("scales", [SCALES, SHRINKS], ids=["up", "down"])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_resize_of_version_10(mode: str, scales: Any) -> None:
    check("Resize", {"x": normal(1, 2, 4, 8)}, {"mode": mode}, constants={"scales": scales}, opset=10)


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(opset: int, mode: str) -> None:
    x = normal(1, 2, 4, 8)
    if opset == 7:
        check("Upsample", {"x": x}, {"mode": mode, "scales": [1.0, 1.0, 2.0, 1.5]}, opset=opset)
    else:
        check("Upsample", {"x": x}, {"mode": mode}, constants={"scales": SCALES}, opset=opset)


@pytest.mark.parametrize("opset", [11, 13, 18, 19])
@pytest.mark.parametrize("coordinates", ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_resize(opset: int, coordinates: str, mode: str) -> None:
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = "floor"
    # Version 11 has no optional inputs yet: what is left out is empty.
    none = {"none": np.zeros(0, np.float32)} if opset < 13 else {}
    gap = "none" if none else ""
    for sizes in ((1, 2, 7, 3), (1, 2, 2, 8)):
        constants, operands = {"sizes": ints(*sizes), **none}, ("x", gap, gap, "sizes")
        check(
            "Resize",
            {"x": normal(1, 2, 4, 5)},
            attributes,
            constants=constants,
            operands=operands,
            opset=opset,
            atol=1e-5,
        )
    constants, operands = {"s": SCALES, **none}, ("x", gap, "s")
    check(
        "Resize", {"x": normal(1, 2, 4, 8)}, attributes, constants=constants, operands=operands, opset=opset, atol=1e-5
    )


def test_resize_of_chosen_axes_and_proportions() -> None:
    x = normal(2, 6, 8)
    check(
        "Resize", {"x": x}, {"mode": "linear", "axes": [2, 1]}, constants={"s": ints(4, 3)}, operands=("x", "", "", "s")
    )
    attributes = {"mode": "linear", "axes": [1, 2], "keep_aspect_ratio_policy": "not_larger"}
    check("Resize", {"x": x}, attributes, constants={"s": ints(3, 5)}, operands=("x", "", "", "s"))


def test_resize_that_nobody_agrees_on_is_refused() -> None:
    attributes = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    scales = {"s": np.array([1, 1, 0.6, 0.6], np.float32)}
    with pytest.raises(UnsupportedOpError, match="disagree"):
        run_ours(
            node_model("Resize", {"x": normal(1, 1, 2, 4)}, attributes, constants=scales, operands=("x", "", "s")), {}
        )


@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm_scales_per_group_and_then_per_channel(opset: int) -> None:
    x = np.array([1, 2, 3, 10], np.float32).reshape(1, 4, 1)  # trap N07
    scale = np.array([1, 2], np.float32) if opset == 18 else np.array([1, 1, 2, 2], np.float32)
    operands = {"x": x, "s": scale, "b": np.zeros_like(scale)}
    (y,) = run_ours(node_model("GroupNormalization", operands, {"num_groups": 2}, opset=opset), operands)
    np.testing.assert_allclose(y.ravel(), [-0.99998, 0.99998, -2, 2], atol=1e-4)


@pytest.mark.parametrize("opset", [7, 10, 12, 13])
def test_dropout_is_the_identity(opset: int) -> None:
    x = normal(3, 4)
    attributes = {"ratio": 0.5} if opset < 12 else {}
    check("Dropout", {"x": x}, attributes, opset=opset)
    if opset >= 10:
        y, mask = run_ours(node_model("Dropout", {"x": x}, attributes, outputs=("y", "m"), opset=opset), {"x": x})
        assert mask.dtype == np.bool_
        assert mask.all()
        np.testing.assert_array_equal(y, x)


def test_random_dropout_is_refused() -> None:
    model = node_model("Dropout", {"x": normal(2)}, constants={"r": np.float32(0.5), "t": np.array(True)})
    with pytest.raises(UnsupportedOpError, match="random"):
        run_ours(model, {})


@pytest.mark.parametrize("opset", [7, 9, 11, 13])
def test_gemm(opset: int) -> None:
    for attributes in ({}, {"transB": 1}, {"transA": 1, "alpha": 0.5, "beta": 2.0}):
        a = normal(*((4, 3) if attributes.get("transA") else (3, 4)))
        b = normal(*((5, 4) if attributes.get("transB") else (4, 5)))
        for c in (normal(5), normal(3, 1), normal(1)):
            check("Gemm", {"a": a, "b": b, "c": c}, attributes, opset=opset)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("size", [4, 5, 6, 7])
def test_conv_auto_pad(auto_pad: str, size: int) -> None:
    attributes = {"auto_pad": auto_pad, "strides": [2], "kernel_shape": [3]}
    check("Conv", {"x": normal(1, 2, size), "w": normal(3, 2, 3)}, attributes)
    pool = {"auto_pad": auto_pad, "strides": [2], "kernel_shape": [2]}
    for op in ("MaxPool", "AveragePool", "LpPool"):
        check(op, {"x": normal(1, 2, size)}, pool)


@pytest.mark.parametrize(
    "extra", [{"output_shape": [9]}, {"auto_pad": "SAME_UPPER"}, {"output_padding": [1], "pads": [1, 1]}]
)
def test_conv_transpose(extra: dict[str, Any]) -> None:
    check("ConvTranspose", {"x": normal(1, 2, 4), "w": normal(2, 3, 3)}, {"strides": [2], **extra})


@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
def test_average_pool(ceil_mode: int, include: int) -> None:
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    attributes |= {"ceil_mode": ceil_mode, "count_include_pad": include}
    check("AveragePool", {"x": normal(1, 2, 4, 6)}, attributes, opset=19)


@pytest.mark.parametrize("storage_order", [0, 1])
def test_max_pool_with_places_and_back(storage_order: int) -> None:
    attributes = {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 0, 1], "storage_order": storage_order}
    check("MaxPool", {"x": normal(2, 2, 4, 5)}, attributes, outputs=("y", "i"), opset=12)


def test_division_and_remainders() -> None:
    a, b = np.array([-7, 7, -8, 8], np.int32), np.array([2, -2, 3, -3], np.int32)
    check("Div", {"a": a, "b": b})  # trap I02: it truncates
    check("Mod", {"a": a, "b": b})
    check("Mod", {"a": a, "b": b}, {"fmod": 1})
    check("Mod", {"a": a.astype(np.float32) / 2, "b": b.astype(np.float32)}, {"fmod": 1})


def test_power_keeps_the_dtype_of_its_base() -> None:
    check("Pow", {"a": np.abs(normal(4)), "b": np.array([2, 3, 0, 1], I64)})
    check("Pow", {"a": np.array([2, 3, 4], np.int32), "b": np.array([2.0, 0.5, 1.5], np.float32)})


@pytest.mark.parametrize("axis", [0, 1])
def test_gather_elements_shorter_than_the_data(axis: int) -> None:
    check("GatherElements", {"x": normal(3, 4), "i": np.array([[0, -1]], I64)}, {"axis": axis})


def test_one_hot_counts_negative_indices_from_the_end() -> None:
    inputs = {"i": ints(-1, 3, 1)}  # trap X11
    check("OneHot", inputs, constants={"depth": ints(3), "values": np.array([5, 6], np.float32)}, opset=11)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("form", ["peepholes", "coupled", "two activations"])
def test_lstm_of_unusual_cells(direction: str, form: str) -> None:
    ways = 2 if direction == "bidirectional" else 1
    inputs = {"x": normal(4, 2, 3)}
    held = {"w": normal(ways, 20, 3), "r": normal(ways, 20, 5), "b": normal(ways, 40), "h": normal(ways, 2, 5)}
    attributes: dict[str, Any] = {"hidden_size": 5, "direction": direction}
    operands = ["x", "w", "r", "b", "", "h"]
    if form == "peepholes":
        held |= {"p": normal(ways, 15)}
        operands += ["", "p"]
    elif form == "coupled":
        attributes["input_forget"] = 1
    else:
        attributes["activations"] = ["Sigmoid", "Tanh", "Relu"] * ways
    model = node_model("LSTM", inputs, attributes, constants=held, operands=operands, outputs=("y", "yh", "yc"))
    agree(model, inputs, atol=1e-5)


@pytest.mark.parametrize("detect", [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_is_inf(detect: tuple[int, int]) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0], np.float32)
    check("IsInf", {"x": x}, {"detect_negative": detect[0], "detect_positive": detect[1]})


@pytest.mark.parametrize("equation", ["...ij,...jk->...ik", "ij,jk", "bij,bkj->bik", "ij->ji"])
def test_einsum(equation: str) -> None:
    shapes = {
        "...ij,...jk->...ik": [(2, 3, 4), (1, 4, 5)],
        "ij,jk": [(3, 4), (4, 5)],
        "bij,bkj->bik": [(2, 3, 4), (2, 5, 4)],
    }
    inputs = {f"x{i}": normal(*shape) for i, shape in enumerate(shapes.get(equation, [(3, 4)]))}
    check("Einsum", inputs, {"equation": equation}, atol=1e-5)
