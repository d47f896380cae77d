"""Picking, writing, ordering and counting on cases worked out by hand (trap identifiers in the names)."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import parse_dim
from kxchange.errors import InputError, TypeInferenceError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, placeholder
from kxchange.reference import evaluate
from kxchange.spec import apply_op
from kxchange.types import DType, TensorType

INF, NAN = float("inf"), float("nan")
ROW = np.array([10.0, 20.0, 30.0])
SPECIAL = np.array([2.0, NAN, 1.0, -INF, INF])


def value(text: str) -> Value:
    return placeholder("x", TensorType.parse(text))


def test_take_counts_negatives_from_the_end_x09(ways) -> None:
    assert ways(ops.take, ROW, [-1, -3], axis=0)[0].tolist() == [30, 10]
    assert ways(ops.take_along_axis, ROW, [-1, -3], axis=0)[0].tolist() == [30, 10]


def test_take_out_of_range_x10() -> None:
    indices = np.array([5, -4, 1])
    with pytest.raises(InputError, match="position 5 of an axis of 3"):
        ops.take(ROW, indices, axis=0)
    assert ops.take(ROW, indices, axis=0, mode="clip").tolist() == [30, 10, 20]
    assert ops.take(ROW, indices, axis=0, mode="wrap").tolist() == [30, 30, 20]
    np.testing.assert_array_equal(ops.take(ROW, indices, axis=0, mode="fill"), [NAN, NAN, 20])
    for dtype, filler in [(np.int32, -(2**31)), (np.uint8, 255), (np.bool_, True)]:
        got = ops.take(np.zeros(3, dtype), indices, axis=0, mode="fill")
        assert got.tolist() == [filler, filler, 0] and got.dtype == dtype


def test_an_unsigned_index_beyond_int64_does_not_wrap() -> None:
    with pytest.raises(InputError):
        ops.take(ROW, np.array([2**64 - 1], np.uint64), axis=0)


def test_take_shapes(infer) -> None:
    assert infer(ops.take, "float32[a, b, c]", "int32[m, n]", axis=-2) == "float32[a, m, n, c]"
    assert infer(ops.take_along_axis, "float32[b, v]", "int64[b, 1]", axis=1) == "float32[b, 1]"
    assert infer(ops.gather_nd, "float32[b, h, w, c]", "int64[b, m, 2]", batch_dims=1) == "float32[b, m, c]"
    with pytest.raises(TypeInferenceError, match="integers"):
        infer(ops.take, "float32[3]", "float32[2]", axis=0)
    with pytest.raises(TypeInferenceError, match="tuple"):
        infer(ops.gather_nd, "float32[3]", "int64[2, 2]")
    with pytest.raises(TypeInferenceError, match="tuple"):
        infer(ops.gather_nd, "float32[3]", "int64[2, k]")


def test_gather_nd() -> None:
    x = np.array([[0, 1, 2], [3, 4, 5]])
    assert ops.gather_nd(x, np.array([[0, 2], [-1, 0]])).tolist() == [2, 3]
    assert ops.gather_nd(x, np.array([[1], [0]])).tolist() == [[3, 4, 5], [0, 1, 2]]
    assert ops.gather_nd(x, np.array([[1], [-1]]), batch_dims=1).tolist() == [1, 5]


def test_one_hot_out_of_range_x11(ways) -> None:
    for got in ways(ops.one_hot, [-1, 3, 1], depth=3, dtype=DType.FLOAT32):
        assert got.dtype == np.float32 and got.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]
    for got in ways(ops.one_hot, [2, 0], depth=3, axis=0, dtype=DType.BOOL):
        assert got.tolist() == [[False, True], [False, False], [True, False]]


def test_one_hot_type(infer) -> None:
    assert infer(ops.one_hot, "int32[b, s]", depth=parse_dim("v"), axis=1, dtype=DType.FLOAT16) == "float16[b, v, s]"


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("set", [7, 20, 5]),
        ("add", [10 + 4 + 7, 20, 35]),
        ("multiply", [280, 20, 150]),
        ("min", [4, 20, 5]),
        ("max", [10, 20, 30]),
    ],
)
def test_scatter_duplicates_in_order_x12(reduction: str, expected: list[float], ways) -> None:
    updates = np.array([4.0, 5.0, 7.0])
    assert ways(ops.scatter, ROW, [0, -1, -3], updates, axis=0, reduction=reduction)[0].tolist() == expected
    assert ways(ops.scatter_nd, ROW, [[0], [2], [0]], updates, reduction=reduction)[0].tolist() == expected


def test_scatter_writes_the_last_duplicate_in_any_memory_layout_x12() -> None:
    indices = np.asfortranarray(np.array([[0, 1], [0, 1], [0, 0]]))
    updates = np.arange(6.0).reshape(3, 2)
    assert ops.scatter(np.zeros((2, 2)), indices, updates, axis=0).tolist() == [[4, 5], [0, 3]]
    assert ops.scatter(np.zeros((3, 2)).T, indices.T, updates.T, axis=1).tolist() == [[4, 0, 0], [5, 3, 0]]


def test_scatter_out_of_range_x13() -> None:
    with pytest.raises(InputError, match="position 3"):
        ops.scatter(ROW, np.array([3]), np.array([1.0]), axis=0)
    with pytest.raises(InputError, match="position -4"):
        ops.scatter_nd(ROW, np.array([[-4]]), np.array([1.0]))


def test_scatter_leaves_its_operand_alone_and_propagates_nan() -> None:
    x = np.array([1.0, 2.0])
    assert np.isnan(ops.scatter(x, np.array([0]), np.array([NAN]), axis=0, reduction="max")[0])
    assert x.tolist() == [1, 2]


def test_scatter_types(infer) -> None:
    assert infer(ops.scatter_nd, "float32[v, d]", "int64[n, 1]", "float32[n, d]") == "float32[v, d]"
    with pytest.raises(TypeInferenceError, match="longer"):
        infer(ops.scatter, "float32[2, 2]", "int64[3, 1]", "float32[3, 1]", axis=1)
    with pytest.raises(TypeInferenceError, match="bool"):
        infer(ops.scatter, "bool[2]", "int64[1]", "bool[1]", axis=0, reduction="add")
    with pytest.raises(TypeInferenceError, match="reduction"):
        infer(ops.scatter, "float32[2]", "int64[1]", "float32[1]", axis=0, reduction="mean")


def test_top_k_ties_x01_x02() -> None:
    assert ops.top_k(np.zeros(20), k=3)[1].tolist() == [0, 1, 2]
    values, places = ops.top_k(np.array([1.0, 2, 5, 4, 5]), k=2)
    assert values.tolist() == [5, 5] and places.tolist() == [2, 4] and places.dtype == np.int64
    assert ops.top_k(np.array([3, 1, 1]), k=2, largest=False)[1].tolist() == [1, 2]


def test_top_k_nan_is_the_largest_x06() -> None:
    np.testing.assert_array_equal(ops.top_k(SPECIAL, k=2)[0], [NAN, INF])
    np.testing.assert_array_equal(ops.top_k(SPECIAL, k=3, largest=False)[0], [-INF, 1, 2])


def test_top_k_type(infer) -> None:
    assert infer(ops.top_k, "float32[b, n]", k=parse_dim("min(n, 100)")) == "float32[b, min(n, 100)]"
    with pytest.raises(TypeInferenceError, match="fewer"):
        infer(ops.top_k, "float32[3]", k=4)


def test_sort_puts_nan_last_or_first_x05() -> None:
    np.testing.assert_array_equal(ops.sort(SPECIAL), [-INF, 1, 2, INF, NAN])
    np.testing.assert_array_equal(ops.sort(SPECIAL, descending=True), [NAN, INF, 2, 1, -INF])


def test_sort_is_stable_both_ways_and_safe_for_unsigned() -> None:
    x = np.array([1, 0, 1, 0], np.uint8)
    assert ops.argsort(x).tolist() == [1, 3, 0, 2]
    assert ops.argsort(x, descending=True).tolist() == [0, 2, 1, 3]
    assert ops.sort(np.array([-128, 127], np.int8), descending=True).tolist() == [127, -128]


def test_searchsorted_sides() -> None:
    rising, wanted = np.array([1.0, 2, 2, 5]), np.array([0.0, 2, 5, 6])
    assert ops.searchsorted(rising, wanted).tolist() == [0, 1, 3, 4]
    assert ops.searchsorted(rising, wanted, side="right").tolist() == [0, 3, 4, 4]
    rows, queries = np.stack([rising, rising + 1]), np.stack([wanted, wanted])
    assert ops.searchsorted(rows, queries).tolist() == [[0, 1, 3, 4], [0, 0, 3, 3]]
    assert ops.searchsorted(rows, queries, side="right").tolist() == [[0, 3, 4, 4], [0, 1, 3, 4]]


def test_batched_searchsorted_is_the_single_one() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 2, 5, 8, 13):
        rows = np.sort(generator.integers(0, 9, (6, size)), axis=-1)
        queries = generator.integers(-1, 10, (6, 20))
        for side in ("left", "right"):
            expected = [np.searchsorted(row, query, side=side) for row, query in zip(rows, queries, strict=True)]
            np.testing.assert_array_equal(ops.searchsorted(rows, queries, side=side), expected)


def test_nonzero_has_one_row_per_element_x08() -> None:
    assert ops.nonzero(np.array([[0, 1], [2, 0]])).tolist() == [[0, 1], [1, 0]]
    assert ops.nonzero(np.array([NAN, 0.0, -0.0])).tolist() == [[0]]
    assert ops.nonzero(np.array(5)).shape == (1, 0)


def test_unique_is_sorted_x07() -> None:
    values, inverse, counts = ops.unique(np.array([[3, 1], [3, 2]]))
    assert values.tolist() == [1, 2, 3] and inverse.tolist() == [[2, 0], [2, 1]] and counts.tolist() == [1, 1, 2]
    values, inverse, counts = ops.unique(np.array([NAN, 1.0, NAN]))
    np.testing.assert_array_equal(values, [1, NAN, NAN])
    assert inverse.tolist() == [1, 0, 2] and counts.tolist() == [1, 1, 1]


def test_fresh_sizes_have_deterministic_distinct_names() -> None:
    def lift() -> list[str]:
        with numbering(taken=["nonzero_1"]):
            x = value("float32[n]")
            found = [ops.nonzero(x), ops.nonzero(x), ops.unique(x)[0]]
            return [str(v.type) for v in found]

    assert lift() == lift() == ["int64[nonzero_0, 1]", "int64[nonzero_2, 1]", "float32[unique_0]"]


def test_a_fresh_size_keeps_its_name_when_types_are_inferred_again() -> None:
    y = ops.nonzero(value("float32[n]"))
    (again,) = apply_op(y.node, (value("float64[n]"),))
    assert again.node is not y.node and again.type == y.type


def test_a_fresh_size_can_be_used_as_a_size() -> None:
    x = value("float64[n]")
    places = ops.nonzero(x)
    count = places.shape[0]
    flat = ops.reshape(places, shape=(count,))
    picked = ops.add(ops.take(x, flat, axis=0), ops.full(shape=(), value=count, dtype=DType.FLOAT64))
    (got,) = evaluate(Graph((x,), (picked,)), [np.array([0.0, 5.0, 0.0, 7.0])])
    assert got.tolist() == [7, 9]
