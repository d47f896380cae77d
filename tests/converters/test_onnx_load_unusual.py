"""Unusual but valid ONNX files, as exporters and optimizers leave them: ONNX Runtime says what they mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import kxchange as kx
from kxchange.errors import FormatError
from tests.onnx_nodes import run_theirs

pytestmark = pytest.mark.onnx
FLOAT = TensorProto.FLOAT
node, info = helper.make_node, helper.make_tensor_value_info
Made = tuple[onnx.ModelProto, dict[str, Any]]
CASES: dict[str, Callable[[], Made]] = {}


def case(build: Callable[[], Made]) -> Callable[[], Made]:
    CASES[build.__name__] = build
    return build


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    held: dict[str, Any] | None = None,
    *,
    opset: int = 17,
    ir: int = 8,
    infos: Sequence[Any] = (),
    microsoft: bool = False,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (held or {}).items()]
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), tensors, value_info=list(infos))
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid("com.microsoft", 1)] * microsoft
    return helper.make_model(graph, opset_imports=imports, ir_version=ir)


def of(name: str, *shape: Any, type: int = FLOAT) -> onnx.ValueInfoProto:
    return info(name, type, list(shape))


def open_shape(name: str, type: int = FLOAT) -> onnx.ValueInfoProto:
    return info(name, type, None)


@case
def nodes_in_any_order() -> Made:
    nodes = [node("Relu", ["a"], ["y"]), node("MatMul", ["x", "w"], ["a"])]
    return build(nodes, [of("x", "N", 3)], [open_shape("y")], {"w": numbers(3, 4)}), {"x": numbers(2, 3)}


@case
def a_branch_reads_what_is_made_behind_it() -> Made:
    then = helper.make_graph([node("Relu", ["a"], ["o"])], "t", [], [open_shape("o")])
    other = helper.make_graph([node("Neg", ["a"], ["o"])], "e", [], [open_shape("o")])
    nodes = [node("If", ["c"], ["y"], then_branch=then, else_branch=other), node("Abs", ["x"], ["a"])]
    inputs = [of("x", "N", 3), of("c", type=TensorProto.BOOL)]
    return build(nodes, inputs, [open_shape("y")]), {"x": numbers(2, 3), "c": np.array(True)}


@case
def initializers_that_are_inputs() -> Made:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Add", ["a", "b"], ["y"])]
    inputs = [of("x", 2, 3), of("w", 3, 4), of("b", 4)]
    return build(nodes, inputs, [of("y", 2, 4)], {"w": numbers(3, 4), "b": numbers(4)}, opset=8, ir=3), {
        "x": numbers(2, 3)
    }


@case
def sizes_with_odd_names() -> Made:
    return build([node("Relu", ["x"], ["y"])], [of("x", "?", "unk__12", "-1", "")], [open_shape("y")]), {
        "x": numbers(2, 3, 4, 5)
    }


@case
def a_size_of_minus_one() -> Made:
    return build([node("Relu", ["x"], ["y"])], [of("x", -1, 3)], [of("y", -1, 3)]), {"x": numbers(2, 3)}


@case
def sizes_that_are_expressions() -> Made:
    inputs = [of("x", "batch size", "seq-1"), of("p", "batch size", "past_len + 1")]
    return build([node("Concat", ["x", "p"], ["y"], axis=1)], inputs, [of("y", "batch size", "total")]), {
        "x": numbers(2, 3),
        "p": numbers(2, 5),
    }


@case
def wrong_shapes_of_values_within() -> Made:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])]
    return build(nodes, [of("x", "N", 3)], [of("y", "M", "K")], {"w": numbers(3, 4)}, infos=[of("b", "Q", 7, 7)]), {
        "x": numbers(2, 3)
    }


@case
def absent_operands() -> Made:
    nodes = [
        node("Clip", ["x", "", "m"], ["a"]),
        node("LSTM", ["q", "w", "r", "", "", "h"], ["", "b"], hidden_size=2),
        node("Clip", ["x", "m", ""], ["c"]),
    ]
    held = {"m": np.float32(0.3), "w": numbers(1, 8, 3), "r": numbers(1, 8, 2), "h": numbers(1, 1, 2)}
    outputs = [open_shape(name) for name in "abc"]
    return build(nodes, [of("x", 2), of("q", "T", 1, 3)], outputs, held), {"x": numbers(2), "q": numbers(4, 1, 3)}


@case
def constants_in_a_form_that_the_opset_has_not() -> Made:
    nodes = [node("Constant", [], ["k"], value_float=2.0), node("Mul", ["x", "k"], ["y"])]
    return build(nodes, [of("x", -1, 2)], [open_shape("y")], opset=11), {"x": numbers(2, 2)}


@case
def outputs_that_are_inputs_and_initializers() -> Made:
    outputs = [of("y", 2), of("x", 2), of("c", 3)]
    return build([node("Relu", ["x"], ["y"])], [of("x", 2)], outputs, {"c": numbers(3)}), {"x": numbers(2)}


@case
def nothing_to_read() -> Made:
    return build([node("Add", ["c", "c"], ["y"])], [], [of("y", 3)], {"c": numbers(3)}), {}


@case
def an_empty_tensor_within() -> Made:
    nodes = [node("Concat", ["x", "z"], ["a"], axis=0), node("ReduceSum", ["a"], ["y"], keepdims=0)]
    return build(nodes, [of("x", "N", 3)], [of("y")], {"z": numbers(0, 3)}), {"x": numbers(2, 3)}


@case
def a_branch_on_a_vector_of_one() -> Made:
    then = helper.make_graph([node("Relu", ["x"], ["tmp"]), node("Neg", ["tmp"], ["o"])], "t", [], [open_shape("o")])
    other = helper.make_graph([node("Abs", ["x"], ["tmp"]), node("Neg", ["tmp"], ["o"])], "e", [], [open_shape("o")])
    nodes = [node("If", ["c"], [y], then_branch=then, else_branch=other) for y in ("y", "z")]
    inputs = [of("x", "N", 3), of("c", 1, type=TensorProto.BOOL)]
    return build(nodes, inputs, [open_shape("y"), open_shape("z")]), {"x": numbers(2, 3), "c": np.array([True])}


@case
def channels_behind_in_a_quantized_pool() -> Made:
    made = node(
        "NhwcMaxPool", ["x"], ["y"], domain="com.microsoft", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]
    )
    byte = TensorProto.UINT8
    given = np.random.default_rng(0).integers(0, 255, (1, 5, 5, 3)).astype(np.uint8)
    inputs, outputs = [of("x", "B", 5, 5, 3, type=byte)], [open_shape("y", byte)]
    return build([made], inputs, outputs, microsoft=True), {"x": given}


@case
def an_embedding_without_a_mask() -> Made:
    made = node("EmbedLayerNormalization", ["i", "", "w", "p", "", "g", "b"], ["y", "m"], domain="com.microsoft")
    held = {"w": numbers(9, 6), "p": numbers(8, 6), "g": numbers(6), "b": numbers(6)}
    ids = np.arange(8, dtype=np.int32).reshape(2, 4)
    inputs, outputs = [of("i", "B", "S", type=TensorProto.INT32)], [open_shape("y"), open_shape("m", TensorProto.INT32)]
    return build([made], inputs, outputs, held, microsoft=True), {"i": ids}


@case
def a_shape_in_pieces_as_tensorflow_has_it() -> Made:
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        node("Conv", ["t", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
        node("Transpose", ["c"], ["u"], perm=[0, 2, 3, 1]),
        node("Shape", ["u"], ["s"]),
        node("Cast", ["s"], ["s32"], to=TensorProto.INT32),
        node("Slice", ["s32", "first", "last"], ["b"]),
        node("Concat", ["b", "rest"], ["sh"], axis=0),
        node("Cast", ["sh"], ["sh64"], to=TensorProto.INT64),
        node("Reshape", ["u", "sh64"], ["y"]),
    ]
    held = {name: np.array([n], np.int32) for name, n in (("first", 0), ("last", 1), ("rest", -1))}
    inputs = [of("x", "unk__1", 8, 8, 2)]
    return build(nodes, inputs, [of("y", "unk__2", "unk__3")], {**held, "w": numbers(4, 2, 3, 3)}, opset=13), {
        "x": numbers(2, 8, 8, 2)
    }


@pytest.mark.parametrize("backend", ["numpy", "torch", "onnx"])
@pytest.mark.parametrize("name", CASES)
def test_it_means_what_onnx_runtime_says(name: str, backend: str) -> None:
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    model, inputs = CASES[name]()
    lifted = kx.capture(model)
    found = kx.run(lifted, {key: value for key, value in inputs.items() if key in lifted.input_names}, backend=backend)
    wanted = run_theirs(model, inputs)
    assert list(found) == [item.name for item in model.graph.output]
    for a, b in zip(found.values(), wanted, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_nodes_that_form_a_cycle_are_refused_by_name() -> None:
    nodes = [node("Relu", ["b"], ["a"]), node("Neg", ["a"], ["b"])]
    with pytest.raises(FormatError, match="cycle"):
        kx.capture(build(nodes, [of("x", 2)], [of("a", 2)]))


def test_a_scalar_parameter_is_still_one_after_a_trip_through_onnx() -> None:
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Mul", ["a", "k"], ["y"])]
    model = kx.capture(build(nodes, [of("x", 2, 3)], [of("y", 2, 4)], {"w": numbers(3, 4), "k": numbers(1)}))
    entry = model.parameters["k"]
    assert entry.trainable
    from kxchange import ops
    from kxchange.graph import Graph, parameter, placeholder
    from kxchange.model import Function, Model, Parameter
    from kxchange.types import DType, TensorType

    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    scale = Parameter("scale", np.array(3.0, np.float32))
    graph = Graph((x,), (ops.multiply(x, parameter("scale", scale.type)),))
    again = kx.capture(Model({"main": Function(graph, ("y",))}, [scale]).to("onnx"))
    assert again.parameters["scale"].trainable
    assert float(again.parameters["scale"].array) == 3.0
