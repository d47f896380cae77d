"""Element types narrower than 16 bits on the backends that have them: rounding, overflow, packing."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import kxchange as kx
from kxchange.errors import UnsupportedOpError
from kxchange.types import DType
from kxchange_onnx.packing import packed, unpacked

pytestmark = pytest.mark.onnx
NAN, INF = float("nan"), float("inf")


def cast_model(source: int, target: int, *, opset: int, **attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("Cast", ["x"], ["y"], to=target, **attributes)
    x, y = (helper.make_tensor_value_info(n, t, ["n"]) for n, t in (("x", source), ("y", target)))
    return helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", opset)])


@pytest.mark.parametrize("backend", ["numpy", "torch", "onnx", "jax"])
@pytest.mark.parametrize(
    ("target", "saturated", "overflown"), [("FLOAT8E4M3FN", 448.0, NAN), ("FLOAT8E5M2", 57344.0, INF)]
)
def test_what_is_beyond_an_8_bit_float(backend: str, target: str, saturated: float, overflown: float) -> None:
    """Values of the ONNX specification of Cast: its table for 8-bit floats."""
    pytest.importorskip({"onnx": "onnxruntime"}.get(backend, backend))
    given = np.array([1e6, -1e6, INF, -INF, NAN, 1.3, 448.0], np.float32)
    exact = [1.25, 448.0]
    for saturate, limit in ((1, saturated), (0, overflown)):
        model = kx.capture(cast_model(TensorProto.FLOAT, getattr(TensorProto, target), opset=19, saturate=saturate))
        found = kx.run(model, {"x": given}, backend=backend)["y"].astype(np.float64)
        np.testing.assert_array_equal(found, [limit, -limit, limit, -limit, NAN, *exact])


@pytest.mark.parametrize("name", ["int4", "uint4", "int2", "uint2"])
def test_elements_of_less_than_a_byte_reach_onnx_runtime(name: str) -> None:
    dtype = DType(name)
    low, high = int(ml_dtypes.iinfo(dtype.numpy).min), int(ml_dtypes.iinfo(dtype.numpy).max)
    numbers = np.array([low, high, 0, 1, high, low, 1], np.int8)
    narrow = getattr(TensorProto, name.upper())
    there = kx.capture(cast_model(narrow, TensorProto.FLOAT, opset=25))
    back = kx.capture(cast_model(TensorProto.FLOAT, narrow, opset=25))
    wide = kx.run(there, {"x": numbers.astype(dtype.numpy)}, backend="onnx")["y"]
    np.testing.assert_array_equal(wide, numbers)
    found = kx.run(back, {"x": wide}, backend="onnx")["y"]
    assert found.dtype == dtype.numpy
    np.testing.assert_array_equal(found.astype(np.int8), numbers)


def test_packing_is_that_of_the_onnx_package() -> None:
    numbers = np.array([-8, 7, 0, -1, 3], ml_dtypes.int4)
    stored = onnx.numpy_helper.from_array(numbers, "x").raw_data
    assert packed(numbers).tobytes() == stored
    np.testing.assert_array_equal(unpacked(np.frombuffer(stored, np.uint8), 5, DType.INT4), numbers)


@pytest.mark.parametrize(("name", "first"), [("FLOAT8E5M2", 19), ("INT4", 21), ("INT2", 25)])
def test_an_opset_without_the_type_is_refused_with_the_one_that_has_it(name: str, first: int) -> None:
    model = kx.capture(cast_model(TensorProto.FLOAT, getattr(TensorProto, name), opset=25))
    with pytest.raises(UnsupportedOpError, match=f"opset {first}"):
        model.to("onnx", opset=13)
    assert model.to("onnx", opset=first).opset_import[0].version == first


@pytest.mark.torch
@pytest.mark.parametrize("largest", [True, False])
def test_of_equal_elements_torch_gives_the_lower_position(largest: bool) -> None:
    torch = pytest.importorskip("torch")
    del torch
    node = helper.make_node("TopK", ["x", "k"], ["v", "i"], largest=int(largest))
    x, v = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("x", "v"))
    i = helper.make_tensor_value_info("i", TensorProto.INT64, None)
    x.type.tensor_type.shape.dim.add(dim_value=300)
    k = helper.make_tensor("k", TensorProto.INT64, [1], [7])
    proto = helper.make_model(
        helper.make_graph([node], "g", [x], [v, i], [k]), opset_imports=[helper.make_opsetid("", 13)]
    )
    given = np.zeros(300, np.float32)
    given[5] = 1 if largest else -1
    places = kx.run(kx.capture(proto), {"x": given}, backend="torch")["i"]
    np.testing.assert_array_equal(places, [5, 0, 1, 2, 3, 4, 6])


@pytest.mark.torch
def test_a_mask_of_fewer_than_two_axes_reaches_torch() -> None:
    pytest.importorskip("torch")
    from kxchange import ops
    from kxchange.graph import Graph, placeholder
    from kxchange.model import Function, Model
    from kxchange.types import TensorType

    type = TensorType(DType.FLOAT64, (2, 3, 4))
    q, k, v = (placeholder(name, type) for name in "qkv")
    generator = np.random.default_rng(0)
    given = {name: generator.standard_normal((2, 3, 4)) for name in "qkv"}
    for mask in (
        ops.full(shape=(), value=-0.5, dtype=DType.FLOAT64),
        placeholder("m", TensorType(DType.FLOAT64, (3,))),
    ):
        inputs = (q, k, v) if mask.node.op == "full" else (q, k, v, mask)
        graph = Graph(inputs, (ops.scaled_dot_product_attention(q, k, v, mask),))
        bias = np.array([0.3, -2.0, 1.0]) if len(inputs) == 4 else np.full(3, -0.5)
        scores = given["q"] @ given["k"].transpose(0, 2, 1) / 2 + bias
        weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        model = Model({"main": Function(graph, ("y",))}, [])
        found = kx.run(model, {**given, **({"m": bias} if len(inputs) == 4 else {})}, backend="torch")["y"]
        np.testing.assert_allclose(found, weights @ given["v"], rtol=1e-12)
