"""The NumPy runner: sizes are bound and checked, budgets kept, and references held to their types."""

from __future__ import annotations

import numpy as np
import pytest
from bounded import bounded

import kxchange.ops as ops
from kxchange.dims import parse_dim
from kxchange.errors import InputError, KxchangeError, LimitError, WeightError
from kxchange.graph import Graph, Node, parameter, placeholder
from kxchange.reference import evaluate, evaluate_node
from kxchange.types import DType, TensorType


def graph_of(text: str, build, *more: str) -> Graph:
    inputs = tuple(placeholder(f"x{i}", TensorType.parse(t)) for i, t in enumerate((text, *more)))
    return Graph(inputs, (build(*inputs),))


def test_dims_are_bound_from_the_inputs() -> None:
    n = parse_dim("n")
    graph = graph_of("float32[n, 2]", lambda x: ops.multiply(x, ops.full(shape=(n, 2), value=n, dtype=DType.FLOAT32)))
    for size in (0, 1, 5):
        (result,) = evaluate(graph, [np.ones((size, 2), np.float32)])
        np.testing.assert_array_equal(result, np.full((size, 2), size, np.float32))


def test_dims_inside_nested_attributes_are_bound() -> None:
    n = parse_dim("n")
    graph = graph_of("float32[n]", lambda x: ops.pad(x, padding=((n, 2 * n),), value=7.0))
    assert evaluate(graph, [np.zeros(2, np.float32)])[0].tolist() == [7, 7, 0, 0, 7, 7, 7, 7]


def test_known_dims_may_be_passed_and_are_checked() -> None:
    graph = graph_of("float32[n]", lambda x: x)
    assert evaluate(graph, [np.zeros(2, np.float32)], dims={"n": 2})[0].shape == (2,)
    with pytest.raises(InputError, match="'x0'"):
        evaluate(graph, [np.zeros(3, np.float32)], dims={"n": 2})
    outer = Graph((), (ops.arange(start=0, stop=parse_dim("n"), dtype=DType.INT64),))
    assert evaluate(outer, [], dims={"n": 3})[0].tolist() == [0, 1, 2]


def test_inputs_of_another_dtype_or_shape_are_refused() -> None:
    graph = graph_of("float32[n, 2]", ops.exp)
    for wrong in (np.zeros((1, 2)), np.zeros((1, 3), np.float32), np.zeros(2, np.float32)):
        with pytest.raises(InputError, match="'x0'"):
            evaluate(graph, [wrong])


def test_constraints_are_checked_with_the_node_named() -> None:
    graph = graph_of("float32[a]", ops.add, "float32[b]")
    assert evaluate(graph, [np.ones(2, np.float32)] * 2)[0].tolist() == [2, 2]
    with pytest.raises(InputError, match=r"'add' node cannot run with a=1, b=2"):
        evaluate(graph, [np.ones(1, np.float32), np.ones(2, np.float32)])


def test_parameters_are_read_by_name() -> None:
    weight = parameter("layer.weight", TensorType(DType.FLOAT32, (2,)))
    graph = Graph((), (ops.negative(weight),))
    assert evaluate(graph, [], {"layer.weight": np.array([1, 2], np.float32)})[0].tolist() == [-1, -2]
    for wrong in ({}, {"layer.weight": np.zeros(3, np.float32)}, {"layer.weight": np.zeros(2)}):
        with pytest.raises(WeightError, match=r"layer\.weight"):
            evaluate(graph, [], wrong)


def test_the_budget_is_checked_before_anything_is_allocated() -> None:
    n = parse_dim("n")
    graph = graph_of("float32[n]", lambda x: ops.full(shape=(n, n, 2**40), value=0, dtype=DType.FLOAT32))
    with pytest.raises(LimitError, match="budget"):
        evaluate(graph, [np.zeros(1000, np.float32)])
    small = graph_of("float32[n]", ops.exp)
    assert evaluate(small, [np.zeros(4, np.float32)], budget=16)[0].shape == (4,)
    with pytest.raises(LimitError):
        evaluate(small, [np.zeros(5, np.float32)], budget=16)


def test_a_size_that_the_data_decides_is_bound_by_its_node() -> None:
    def build(x):
        found = ops.nonzero(x)
        return ops.add(found, ops.full(shape=(found.shape[0], 1), value=found.shape[0], dtype=DType.INT64))

    graph = graph_of("int64[n]", build)
    assert evaluate(graph, [np.array([0, 3, 0, 4])])[0].tolist() == [[3], [5]]
    assert evaluate(graph, [np.array([0, 0])])[0].tolist() == []


def test_a_reference_that_breaks_its_type_rule_is_found() -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    lying = Node("exp", (x,), {}, (TensorType(DType.FLOAT32, (3,)),), "block.exp")
    with pytest.raises(KxchangeError, match=r"disagree on 'block\.exp'"):
        evaluate_node(lying, [np.zeros(2, np.float32)], {})
    with pytest.raises(KxchangeError, match="no op 'no_such_op'"):
        evaluate_node(Node("no_such_op", (), {}, ()), [], {})


def test_many_nodes_take_little_time() -> None:
    value = x = placeholder("x", TensorType(DType.FLOAT64, (2,)))
    for _ in range(20_000):
        value = ops.negative(value)
    with bounded():  # no recursion, nothing quadratic
        (result,) = evaluate(Graph((x,), (value,)), [np.array([1.0, -2.0])])
    assert result.tolist() == [1.0, -2.0]
