"""Constant expressions become constants, where that says as much and takes no more room."""

from __future__ import annotations

import numpy as np
import pytest

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Source, Value, emitting
from kxchange.passes.fold_constants import fold_constants
from kxchange.types import DType
from tests.passes.graphs import assert_same, graph, names, node, tensor, weight

F32 = DType.FLOAT32


def filled(value: float, *shape: int) -> Value:
    return ops.full(shape=shape, value=value, dtype=F32)


def test_an_expression_becomes_its_value() -> None:
    x = tensor("x", "float32[b, 3]")
    before = graph(x, ops.multiply(x, ops.add(filled(2.0, 3), filled(3.0, 3))))
    after = fold_constants(before)
    assert names(after) == ["constant", "multiply"]
    np.testing.assert_array_equal(node(after, "constant").attrs["value"].array, np.full(3, 5, np.float32))
    assert_same(before, after)


def test_leaves_stay_what_they_say() -> None:
    x = tensor("x", "int64[b, 3]")
    before = graph(x, ops.add(x, ops.arange(start=0, stop=3, dtype=DType.INT64)))
    assert fold_constants(before) is before


@pytest.mark.parametrize("size", [16, 17])
def test_a_large_result_stays_an_expression(size: int) -> None:
    x = tensor("x", f"float32[{size}]")
    before = graph(x, ops.add(x, ops.negative(filled(1.0, size))))
    assert names(fold_constants(before, limit=16)) == (
        ["constant", "add"] if size == 16 else ["full", "negative", "add"]
    )


def test_a_small_result_of_a_large_constant() -> None:
    x = tensor("x", "float32[]")
    before = graph(x, ops.add(x, ops.sum(filled(1.0, 5000))))
    assert fold_constants(before) is before


def test_every_output_of_an_op() -> None:
    x = tensor("x", "float32[b, 2]")
    first, second = ops.split(ops.constant(value=Constant(np.arange(4.0, dtype=np.float32))), sizes=(2, 2), axis=0)
    before = graph(x, ops.add(ops.add(x, ops.negative(first)), ops.square(second)))
    after = fold_constants(before)
    assert sorted(names(after)) == ["add", "add", "constant", "constant"]
    assert_same(before, after)


def test_what_depends_on_a_parameter_an_input_or_a_size_stays() -> None:
    x = tensor("x", "float32[b, 3]")
    rows = ops.astype(ops.arange(start=0, stop=x.shape[0], dtype=DType.INT64), dtype=F32)
    before = graph(x, (ops.negative(weight("w", "float32[3]")), ops.exp(x), rows))
    assert fold_constants(before) is before


def test_what_cannot_be_computed_stays() -> None:
    table = ops.constant(value=Constant(np.zeros(2, np.float32)))
    index = ops.constant(value=Constant(np.array(7)))
    x = tensor("x", "float32[]")
    before = graph(x, ops.add(x, ops.take(table, index, axis=0, mode="error")))
    assert fold_constants(before) is before


def test_bodies_are_folded() -> None:
    carry, x = tensor("c", "float32[3]"), tensor("x", "float32[3]")
    body = graph(carry, ops.add(carry, ops.negative(filled(1.0, 3))))
    before = graph(x, ops.scan(x, body=body, num_consts=0, num_carry=1, length=2))
    after = fold_constants(before)
    assert names(node(after, "scan").attrs["body"]) == ["constant", "add"]
    assert_same(before, after)


def test_name_and_source_stay() -> None:
    x = tensor("x", "float32[3]")
    with emitting("shift", Source("net.py", 2)):
        shift = ops.negative(filled(1.0, 3))
    found = node(fold_constants(graph(x, ops.add(x, shift))), "constant")
    assert (found.name, found.source) == ("shift", Source("net.py", 2))
