"""Small models that together use every feature of the kx document."""

from __future__ import annotations

from typing import Any

import numpy as np
from hostile.honest_files import honest_model

from kxchange import ops
from kxchange.constant import Constant
from kxchange.constraints import Constraint
from kxchange.dims import symbol
from kxchange.graph import Graph, Source, emitting, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.types import DType, TensorType

F32 = DType.FLOAT32


def f32(*shape: Any) -> TensorType:
    return TensorType(F32, shape)


def every_feature() -> dict[str, Model]:
    """Models by the feature that each is there for."""
    return {
        "aliases": honest_model(),
        "dtypes": dtypes(),
        "functions": functions(),
        "control flow": control_flow(),
        "dims": dims(),
        "samples": samples(),
        "evidence": evidence(),
        "state": state(),
        "attributes": attributes(),
    }


def dtypes() -> Model:
    """A parameter of every element type; the float ones are added up."""
    entries: list[Parameter] = []
    for dtype in DType:
        values = (
            np.zeros((2, 3), dtype.numpy) if dtype is DType.BOOL else np.arange(6).reshape(2, 3).astype(dtype.numpy)
        )
        entries.append(Parameter(dtype.value, values, role=Role.BUFFER))
    x = placeholder("x", f32(2, 3))
    y = x
    for name in ("float16", "bfloat16", "float32", "int32"):
        leaf = parameter(name, next(entry.type for entry in entries if entry.name == name))
        y = ops.add(y, leaf if name == "float32" else ops.astype(leaf, dtype=F32))
    return Model({"main": Function(Graph((x,), (y,)), ("y",))}, entries)


def functions() -> Model:
    """Two entry points over one weight."""
    weight = Parameter("w", np.arange(6, dtype=np.float32).reshape(2, 3))
    x, z = placeholder("x", f32(symbol("batch"), 3)), placeholder("z", f32(symbol("batch"), 2))
    encode = ops.linear(x, parameter("w", weight.type), None)
    decode = ops.matmul(z, parameter("w", weight.type))
    graphs = {"encode": (Graph((x,), (encode,)), ("code",)), "decode": (Graph((z,), (decode,)), ("y",))}
    return Model({name: Function(*pair) for name, pair in graphs.items()}, [weight])


def control_flow() -> Model:
    """A scan, a loop and a branch."""
    carry, row = placeholder("carry", f32(3)), placeholder("row", f32(3))
    total = ops.add(carry, row)
    body = Graph((carry, row), (total, ops.multiply(total, 2.0)))
    xs, start = placeholder("xs", f32(symbol("time"), 3)), placeholder("start", f32(3))
    last, rows = ops.scan(start, xs, body=body, num_consts=0, num_carry=1, reverse=False, length=symbol("time"))
    v = placeholder("v", f32(3))
    half = ops.while_loop(
        last,
        cond=Graph((v,), (ops.greater(ops.sum(ops.abs(v)), 1.0),)),
        body=Graph((v,), (ops.multiply(v, 0.5),)),
        cond_consts=0,
        body_consts=0,
    )
    half = half[0] if isinstance(half, tuple) else half
    a, b = placeholder("a", f32(3)), placeholder("b", f32(3))
    branches = (Graph((a,), (ops.negative(a),)), Graph((b,), (ops.exp(b),)))
    chosen = ops.cond(ops.greater(ops.sum(start), 0.0), half, branches=branches)
    chosen = chosen[0] if isinstance(chosen, tuple) else chosen
    return Model({"main": Function(Graph((xs, start), (last, rows, half, chosen)), ("last", "rows", "half", "chosen"))})


def dims() -> Model:
    """Expressions as dims, as attributes and as data, with constraints."""
    height, batch = symbol("height"), symbol("batch")
    x = placeholder("x", f32(batch, 2 * height))
    y = ops.reshape(x, shape=(batch * 2, height))
    size = ops.full(shape=(), value=2 * height + 1, dtype=DType.INT64)
    constraints = [Constraint("at_least", height, 1, "given")]
    return Model({"main": Function(Graph((x,), (y, size)), ("y", "size"))}, constraints=constraints)


def samples() -> Model:
    """A recorded case."""
    model = honest_model()
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    w, b = np.arange(16, dtype=np.float32).reshape(4, 4), np.arange(4, dtype=np.float32)
    outputs = {"y": np.maximum(x @ w.T + b, 0)}
    return model.replace(samples=[{"function": "main", "inputs": {"x": x}, "outputs": outputs}])


def evidence() -> Model:
    """A record of a validation, with provenance and metadata."""
    model = honest_model()
    model.evidence = [{"version": "1", "rows": [{"backend": "numpy", "verdict": "SAME", "error": 1.5e-7}]}]
    model.provenance = {"backend": "test", "versions": {"numpy": "2"}, "list": (1, None, float("inf"), "f64:0x0")}
    return model


def state() -> Model:
    """A counter: an input and an output that is its next value, and an output tree."""
    x, count = placeholder("x", f32(symbol("batch"), 3)), placeholder("count", TensorType(DType.INT64, ()))
    with emitting("layer.0", Source("net.py", 7, "layer.0")):
        after = ops.add(count, 1)
        y = ops.multiply(x, ops.astype(after, dtype=F32))
    structure = {"result": {"output": "y"}, "rest": ({"output": "count.next"}, {"value": None})}
    function = Function(Graph((x, count), (y, after)), ("y", "count.next"), {"count.next": "count"}, structure)
    return Model({"main": function})


def attributes() -> Model:
    """Constants inside and outside of the document, infinities and several outputs of one node."""
    x = placeholder("x", f32(4))
    table = ops.constant(value=Constant(np.arange(40, dtype=np.float32)))
    few = ops.constant(value=Constant(np.array([1, 5, 7, 2])))
    values, places = ops.top_k(ops.add(x, ops.take(table, few, axis=0)), k=2)
    y = ops.maximum(ops.add(values, -0.0), float("-inf"))
    return Model({"main": Function(Graph((x,), (y, places)), ("y", "places"))})
