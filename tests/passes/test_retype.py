"""A model in another floating type: everything floating moves, nothing else does."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Graph
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.retype import retype
from kxchange.types import DType
from tests.passes.graphs import graph, loop, node, tensor, weight

WIDE = DType.FLOAT64


def model(g: Graph, *parameters: Parameter) -> Model:
    return Model({"main": Function(g, tuple(f"y{i}" for i in range(len(g.outputs))))}, parameters)


def test_inputs_parameters_casts_and_constants() -> None:
    x, index = tensor("x", "float32[b, 3]"), tensor("index", "int64[b]")
    half = ops.astype(ops.add(x, weight("w", "float32[3]")), dtype=DType.BFLOAT16)
    back = ops.astype(half, dtype=DType.FLOAT32)
    fixed = ops.constant(value=Constant(np.array([1, 2, 3], np.float32)))
    y = ops.add(back, fixed)
    count = ops.astype(index, dtype=DType.INT32)
    w = Parameter("w", np.array([0.1, 0.2, 0.3], np.float32))
    table = Parameter("ids", np.arange(3), role=Role.BUFFER)
    wide = retype(model(graph((x, index), (y, count)), w, table), WIDE)
    g = wide.main.graph
    assert [str(v.type) for v in g.inputs] == ["float64[b, 3]", "int64[b]"]
    assert [str(v.type) for v in g.outputs] == ["float64[b, 3]", "int32[b]"]
    assert {t.dtype for n in g.nodes() for t in n.types} == {WIDE, DType.INT32}
    assert wide.parameters["w"].type.dtype is WIDE
    np.testing.assert_array_equal(wide.array("w"), w.array.astype(np.float64))
    assert wide.parameters["ids"] is table
    assert node(g, "constant").attrs["value"].array.dtype == np.float64


def test_a_number_keeps_the_precision_that_the_source_wrote() -> None:
    x = tensor("x", "float32[b]")
    wide = retype(model(graph(x, ops.add(x, 0.1))), WIDE)
    assert wide(x=np.zeros(1))["y0"][0] == 0.1


def test_bodies_move_too() -> None:
    wide = retype(model(loop()), WIDE).main.graph
    body: Graph = node(wide, "scan").attrs["body"]
    assert {t.dtype for each in (wide, body) for n in each.nodes() for t in n.types} == {WIDE}
    assert {v.dtype for v in body.inputs} == {WIDE}


def test_names_sources_signature_and_sizes_stay() -> None:
    before = model(loop())
    after = retype(before, WIDE)
    assert after.input_names == before.input_names
    assert after.output_names == before.output_names
    assert after.dims == before.dims
    assert [n.op for n in after.main.graph.nodes()] == [n.op for n in before.main.graph.nodes()]


def test_sizes_that_the_data_decides_keep_their_symbol() -> None:
    x = tensor("x", "float32[b]")
    rows = ops.nonzero(x)
    flat = ops.reshape(rows, shape=(rows.shape[0],))
    wide = retype(model(graph(x, flat)), WIDE)
    assert wide(x=np.array([0.0, 2.0, 0.0, 3.0]))["y0"].tolist() == [1, 3]


def test_a_narrower_type() -> None:
    x = tensor("x", "float32[b]")
    narrow = retype(model(graph(x, ops.silu(x))), DType.BFLOAT16)
    assert str(narrow.main.graph.outputs[0].type) == "bfloat16[b]"


def test_storage_types_of_8_bits_and_integers_stay() -> None:
    x, y = tensor("x", "float8_e4m3fn[b]"), tensor("y", "int8[b]")
    wide = retype(model(graph((x, y), (ops.astype(x, dtype=DType.FLOAT32), y))), WIDE)
    assert [str(v.type) for v in wide.main.graph.inputs] == ["float8_e4m3fn[b]", "int8[b]"]
    assert str(wide.main.graph.outputs[0].type) == "float64[b]"
