"""Branches and loops: meaning, types, empty loops, nesting, sizes of the graph around them."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import parse_dim
from kxchange.errors import InputError, TypeInferenceError
from kxchange.graph import Graph, Value, placeholder
from kxchange.reference import evaluate
from kxchange.spec import REGISTRY
from kxchange.types import DType, TensorType


def value(text: str, name: str = "x") -> Value:
    return placeholder(name, TensorType.parse(text))


def body(*types: str, result) -> Graph:
    """A graph of inputs of these types."""
    inputs = tuple(value(text, f"x{i}") for i, text in enumerate(types))
    outputs = result(*inputs)
    return Graph(inputs, outputs if isinstance(outputs, tuple) else (outputs,))


def accumulate(shape: str) -> Graph:
    """(total, x) -> (total + x, 10 * (total + x))."""
    return body(shape, shape, result=lambda total, x: ((after := ops.add(total, x)), ops.multiply(after, 10.0)))


def scanned(*operands: Value, graph: Graph, length: object, carry: int = 1, **attrs: object) -> tuple[Value, ...]:
    return (
        REGISTRY["scan"]
        .emit(operands, {"body": graph, "num_consts": 0, "num_carry": carry, "length": length, **attrs})
        .outputs
    )


def test_cond_takes_the_false_branch_first() -> None:
    flag, x = value("bool[]", "flag"), value("float64[n]")
    double, negative = body("float64[n]", result=lambda x: ops.add(x, x)), body("float64[n]", result=ops.negative)
    y = ops.cond(flag, x, branches=(negative, double))
    graph = Graph((flag, x), (y,))
    assert evaluate(graph, [np.array(True), np.array([1.0, 2.0])])[0].tolist() == [2, 4]
    assert evaluate(graph, [np.array(False), np.array([1.0, 2.0])])[0].tolist() == [-1, -2]


def test_cond_branches_must_agree() -> None:
    flag, x = value("bool[]", "flag"), value("float32[n]")
    same = body("float32[n]", result=ops.negative)
    for other in [
        body("float32[n]", result=lambda x: ops.astype(x, dtype=DType.FLOAT64)),
        body("float32[n]", result=lambda x: ops.sum(x)),
        body("float32[n]", result=lambda x: (x, x)),
        body("float64[n]", result=ops.negative),
        body("float32[n]", "float32[n]", result=ops.add),
    ]:
        with pytest.raises(TypeInferenceError):
            ops.cond(flag, x, branches=(same, other))
    with pytest.raises(TypeInferenceError, match="predicate"):
        ops.cond(x, x, branches=(same, same))


def test_while_loop_counts() -> None:
    # count < limit: count += 1; x *= factor
    test = body("int64[]", "int64[]", "float64[n]", result=lambda limit, count, x: ops.less(count, limit))
    step = body(
        "float64[]",
        "int64[]",
        "float64[n]",
        result=lambda factor, count, x: (ops.add(count, 1), ops.multiply(x, factor)),
    )
    operands = value("int64[]", "limit"), value("float64[]", "factor"), value("int64[]", "count"), value("float64[n]")
    results = ops.while_loop(*operands, cond=test, body=step, cond_consts=1, body_consts=1)
    graph = Graph(operands, results)
    arrays = [np.array(3), np.array(2.0), np.array(0), np.array([1.0, 5.0])]
    count, x = evaluate(graph, arrays)
    assert count == 3 and x.tolist() == [8, 40]
    assert evaluate(graph, [np.array(0), *arrays[1:]])[1].tolist() == [1, 5]


def test_while_loop_carries_one_type() -> None:
    test = body("float32[n]", result=lambda x: ops.less(ops.sum(x), 9.0))
    wider = body("float32[n]", result=lambda x: ops.concat(x, x, axis=0))
    with pytest.raises(TypeInferenceError, match="carried value 0"):
        ops.while_loop(value("float32[n]"), cond=test, body=wider, cond_consts=0, body_consts=0)
    with pytest.raises(TypeInferenceError, match="constants and a carry"):
        ops.while_loop(value("float32[4]"), cond=test, body=wider, cond_consts=1, body_consts=0)


@pytest.mark.parametrize(
    ("reverse", "total", "ys"), [(False, 6, [10, 30, 60]), (True, 6, [60, 50, 30])], ids=["forward", "reverse"]
)
def test_scan(reverse: bool, total: float, ys: list[float]) -> None:
    start, xs = value("float64[]", "start"), value("float64[time]", "xs")
    outputs = scanned(start, xs, graph=accumulate("float64[]"), length=parse_dim("time"), reverse=reverse)
    assert [str(output.type) for output in outputs] == ["float64[]", "float64[time]"]
    carry, stacked = evaluate(Graph((start, xs), outputs), [np.array(0.0), np.array([1.0, 2.0, 3.0])])
    assert carry == total and stacked.tolist() == ys


def test_scan_of_length_zero_has_empty_ys_of_the_bodys_type() -> None:
    start, xs = value("float32[b, 2]", "start"), value("float32[time, b, 2]", "xs")
    outputs = scanned(start, xs, graph=accumulate("float32[b, 2]"), length=parse_dim("time"))
    initial = np.ones((3, 2), np.float32)
    carry, ys = evaluate(Graph((start, xs), outputs), [initial, np.zeros((0, 3, 2), np.float32)])
    assert np.array_equal(carry, initial)
    assert ys.shape == (0, 3, 2) and ys.dtype == np.float32


def test_scan_knows_the_sizes_around_it() -> None:
    # The body makes a [batch] tensor although no input of it has that axis.
    filled = body(
        "float64[]",
        result=lambda x: ops.multiply(ops.full(shape=(parse_dim("batch"),), value=1.0, dtype=DType.FLOAT64), x),
    )
    xs, other = value("float64[time]", "xs"), value("float64[batch]", "other")
    outputs = scanned(xs, graph=filled, length=parse_dim("time"), carry=0)
    result = ops.add(outputs[0], other)
    assert str(result.type) == "float64[time, batch]"
    (got,) = evaluate(Graph((xs, other), (result,)), [np.array([1.0, 2.0]), np.zeros(3)])
    assert got.tolist() == [[1, 1, 1], [2, 2, 2]]


def test_scan_types_are_strict() -> None:
    start, xs = value("float32[]", "start"), value("float32[time]", "xs")
    sums = accumulate("float32[]")
    growing = body("float32[]", "float32[]", result=lambda total, x: (ops.expand_dims(total, axis=(0,)), x))
    for graph, length, attrs in [
        (accumulate("float64[]"), parse_dim("time"), {}),
        (growing, parse_dim("time"), {}),
        (sums, parse_dim("time"), {"num_consts": 2}),
        (sums, -1, {}),
    ]:
        with pytest.raises(TypeInferenceError):
            scanned(start, xs, graph=graph, length=length, **attrs)
    with pytest.raises(TypeInferenceError, match="as long as the loop"):
        scanned(start, value("float32[4]"), graph=sums, length=3)


def test_a_length_that_cannot_be_proven_is_checked_at_run_time() -> None:
    start, xs = value("float64[]", "start"), value("float64[time]", "xs")
    outputs = scanned(start, xs, graph=accumulate("float64[]"), length=2)
    graph = Graph((start, xs), outputs)
    assert evaluate(graph, [np.array(0.0), np.array([1.0, 2.0])])[0] == 3
    with pytest.raises(InputError, match="time=3"):
        evaluate(graph, [np.array(0.0), np.zeros(3)])


def test_loops_nest() -> None:
    # Sum of all rows' running sums, negated where the row's first element is negative.
    def row_sum(total: Value, row: Value) -> Value:
        zero = ops.full(shape=(), value=0.0, dtype=DType.FLOAT64)
        inner, _ = scanned(zero, row, graph=accumulate("float64[]"), length=parse_dim("m"))
        negate = ops.less(ops.take(row, ops.full(shape=(), value=0, dtype=DType.INT64), axis=0), 0.0)
        keep = body("float64[]", result=lambda x: ops.multiply(x, 1.0))
        flipped = ops.cond(negate, inner, branches=(keep, body("float64[]", result=ops.negative)))
        return ops.add(total, flipped)

    start, xs = value("float64[]", "start"), value("float64[time, m]", "xs")
    (total,) = scanned(start, xs, graph=body("float64[]", "float64[m]", result=row_sum), length=parse_dim("time"))
    data = np.array([[1.0, 2.0, 3.0], [-1.0, 5.0, 0.0]])
    assert evaluate(Graph((start, xs), (total,)), [np.array(100.0), data])[0] == 100 + 6 - 4


def test_a_direct_call_takes_arrays() -> None:
    carry, ys = ops.scan(
        np.array(0.0), np.array([1.0, 2.0]), body=accumulate("float64[]"), num_consts=0, num_carry=1, length=2
    )
    assert carry == 3 and ys.tolist() == [10, 30]
