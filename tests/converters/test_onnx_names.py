"""A parameter may be called as this converter calls constants of a graph, and stays a parameter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.onnx
pytest.importorskip("onnx")

import kxchange as kx  # noqa: E402
from kxchange import ops  # noqa: E402
from kxchange.constant import Constant  # noqa: E402
from kxchange.graph import Graph, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter  # noqa: E402
from kxchange.types import DType, TensorType  # noqa: E402


def test_a_parameter_called_as_constants_are_stays_one(tmp_path: Path) -> None:
    entries = [
        Parameter("constant_0", np.arange(4, dtype=np.float32)),
        Parameter("constant_2", np.array(3.5, np.float32)),
        Parameter("constant_x", np.array([1.5], np.float32)),
    ]
    first, second, third = (parameter(entry.name, entry.type) for entry in entries)
    x = placeholder("x", TensorType(DType.FLOAT32, (2, 4)))
    table = ops.constant(value=Constant(np.array([1, 2, 3, 5], np.float32)))
    y = ops.add(ops.multiply(ops.add(ops.add(x, first), table), ops.add(second, 2.25)), third)
    model = Model({"main": Function(Graph((x,), (y,)), ("y",))}, entries)
    kx.save(model, tmp_path / "net.onnx")
    back = kx.load(tmp_path / "net.onnx")
    assert list(back.parameters) == ["constant_0", "constant_2", "constant_x"]
    for entry in entries:
        np.testing.assert_array_equal(back.parameters[entry.name].array, entry.array)
    given = np.ones((2, 4), np.float32)
    expected = (given + np.arange(4) + [1, 2, 3, 5]) * 5.75 + 1.5
    np.testing.assert_allclose(back(x=given)["y"], expected, rtol=1e-6)


def test_an_integer_parameter_stays_one_where_all_that_it_feeds_is_known(tmp_path: Path) -> None:
    """A quantized bias, less its zero point and as floats, is known before the run: it is a parameter all the same."""
    bias = Parameter("bias_quantized", np.arange(8, dtype=np.int32))
    x = placeholder("x", TensorType(DType.FLOAT32, (2, 8)))
    wide = ops.astype(ops.subtract(parameter(bias.name, bias.type), 3), dtype=DType.FLOAT32)
    model = Model({"main": Function(Graph((x,), (ops.add(x, wide),)), ("y",))}, [bias])
    kx.save(model, tmp_path / "net.onnx")
    back = kx.load(tmp_path / "net.onnx")
    assert list(back.parameters) == ["bias_quantized"]
    np.testing.assert_array_equal(back.parameters["bias_quantized"].array, np.arange(8))
    kx.save(back, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (tmp_path / "net.onnx").read_bytes()
