"""The models that the serving tests serve."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

PLAIN = (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16",
    "float32", "float64",
)  # fmt: skip


def perceptron() -> Model:
    rng = np.random.default_rng(0)
    shapes = {"w1": (64, 64), "b1": (64,), "w2": (10, 64), "b2": (10,)}
    held = {name: Parameter(name, (rng.normal(size=s) / 8).astype(np.float32)) for name, s in shapes.items()}
    read = {name: parameter(name, entry.type) for name, entry in held.items()}
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 64)))
    hidden = ops.relu(ops.linear(x, read["w1"], read["b1"]))
    graph = Graph((x,), (ops.linear(hidden, read["w2"], read["b2"]),))
    return Model({"main": Function(graph, ("y",))}, held)


def every_datatype() -> Model:
    """Each input comes back reversed along its only dynamic axis."""
    inputs = [placeholder(f"in_{name}", TensorType(DType(name), (symbol("n"), 2))) for name in PLAIN]
    outputs = tuple(ops.flip(value, axis=(0,)) for value in inputs)
    return Model({"main": Function(Graph(tuple(inputs), outputs), tuple(f"out_{name}" for name in PLAIN))}, [])


def centred() -> Model:
    """Each sample's result depends on the others of its batch."""
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    graph = Graph((x,), (ops.subtract(x, ops.mean(x, axis=(0,), keepdims=True)),))
    return Model({"main": Function(graph, ("y",))}, [])
