"""Equal expressions are computed once; values that only look equal are not merged."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Source, emitting
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.types import DType
from tests.passes.graphs import assert_same, count, graph, loop, names, node, tensor, weight


def test_equal_expressions_are_one() -> None:
    x, y = tensor("x", "float32[b]"), tensor("y", "float32[b]")
    before = graph((x, y), ops.add(ops.exp(ops.add(x, y)), ops.sin(ops.exp(ops.add(x, y)))))
    after = merge_common_subexpressions(before)
    assert names(after) == ["add", "exp", "sin", "add"]
    assert_same(before, after)


def test_the_first_stays_with_its_name() -> None:
    x = tensor("x", "float32[b]")
    with emitting("first", Source("a.py", 1)):
        one = ops.exp(x)
    with emitting("second", Source("b.py", 2)):
        two = ops.exp(x)
    after = merge_common_subexpressions(graph(x, (one, two)))
    assert after.outputs == (one, one)


def test_operands_in_another_order_are_another_expression() -> None:
    x, y = tensor("x", "float32[b]"), tensor("y", "float32[b]")
    before = graph((x, y), (ops.subtract(x, y), ops.subtract(y, x)))
    assert merge_common_subexpressions(before) is before


def test_parameters_are_read_once() -> None:
    x = tensor("x", "float32[3]")
    before = graph(x, ops.add(ops.add(x, weight("w", "float32[3]")), weight("w", "float32[3]")))
    assert len(merge_common_subexpressions(before).nodes()) == 3


@pytest.mark.parametrize("pair", [(0.0, -0.0), (math.nan, 1.0), (1.0, 1.0 + 2**-52)])
def test_numbers_that_python_might_confuse(pair: tuple[float, float]) -> None:
    x = tensor("x", "float32[b]")
    values = [ops.full(shape=(), value=value, dtype=DType.FLOAT32) for value in pair]
    assert count(merge_common_subexpressions(graph(x, [ops.divide(x, v) for v in values])))["full"] == 2


def test_nan_equals_itself_here() -> None:
    x = tensor("x", "float32[b]")
    values = [ops.full(shape=(), value=float("nan"), dtype=DType.FLOAT32) for _ in range(2)]
    assert count(merge_common_subexpressions(graph(x, [ops.add(x, v) for v in values]))) == {"full": 1, "add": 1}


def test_a_bool_is_no_integer_is_no_float() -> None:
    x = tensor("x", "float32[b]")
    for kind, values in ((DType.FLOAT32, (1.0, 1)), (DType.BOOL, (True, 1))):
        filled = [ops.full(shape=(), value=value, dtype=kind) for value in values]
        assert count(merge_common_subexpressions(graph(x, (x, *filled))))["full"] == 2


def test_constants_are_compared_by_bytes() -> None:
    x = tensor("x", "float32[b]")
    arrays = ([1.0, 2.0], [1.0, 2.0], [1.0, 3.0])
    values = [ops.constant(value=Constant(np.array(array, np.float32))) for array in arrays]
    after = merge_common_subexpressions(graph(x, (x, *values)))
    assert after.outputs[1] == after.outputs[2] != after.outputs[3]


def test_dropouts_draw_for_themselves() -> None:
    x = tensor("x", "float32[b]")
    before = graph(x, ops.add(ops.dropout(x, rate=0.5), ops.dropout(x, rate=0.5)))
    assert merge_common_subexpressions(before) is before


def test_sizes_that_the_data_decides_stay_apart() -> None:
    x = tensor("x", "float32[b]")
    before = graph(x, (ops.nonzero(x), ops.nonzero(x)))
    assert merge_common_subexpressions(before) is before


def test_bodies_are_merged_within_themselves() -> None:
    before = loop()
    after = merge_common_subexpressions(before)
    bodies = [node(each, "scan").attrs["body"] for each in (before, after)]
    assert [count(body)["exp"] for body in bodies] == [2, 1]
    assert_same(before, after)
