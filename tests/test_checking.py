"""`kx check` says what a conversion would: it asks the converter itself."""

from __future__ import annotations

import numpy as np
import pytest

from kxchange import ops
from kxchange.checking import check_model
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType


@pytest.fixture(scope="module")
def channels_first():
    kernel = Parameter("kernel", np.ones((4, 3, 3, 3), np.float32))
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 3, 8, 8)))
    y = ops.conv(
        x, parameter("kernel", kernel.type), None,
        strides=(1, 1), padding=((0, 0), (0, 0)), dilations=(1, 1), groups=1, channel_axis=1,
    )  # fmt: skip
    return Model({"main": Function(Graph((x,), (y,)), ("y",))}, [kernel])


@pytest.mark.parametrize("target", ["keras", "tensorflow", "torch", "onnx", "jax"])
def test_another_layout_is_no_blocker(channels_first, target):
    pytest.importorskip({"onnx": "onnxruntime"}.get(target, target))
    found = check_model(channels_first, target)
    channels_first.to(target)  # it can be built
    assert found.blockers == []
    assert "conv" not in found.decomposed


def test_what_keras_refuses_is_a_blocker():
    pytest.importorskip("keras")
    row = TensorType(DType.FLOAT32, (3,))
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 3)))
    carry, step = placeholder("carry", row), placeholder("step", row)
    body = Graph((carry, step), (ops.add(carry, step),))
    start = ops.full(shape=(3,), value=0.0, dtype=DType.FLOAT32)
    y = ops.scan(start, x, body=body, num_consts=0, num_carry=1, length=symbol("batch"))
    model = Model({"main": Function(Graph((x,), (y,)), ("y",))}, [])
    assert [blocker.op for blocker in check_model(model, "keras").blockers] == ["scan"]
