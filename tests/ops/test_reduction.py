"""Reductions on edge cases worked out by hand (trap identifiers in the names)."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import InputError, TypeInferenceError
from kxchange.graph import Graph, placeholder
from kxchange.reference import evaluate
from kxchange.spec import REGISTRY
from kxchange.types import DType, TensorType

INF, NAN = float("inf"), float("nan")
EMPTY = np.zeros((2, 0), np.float32)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_integer_sums_keep_their_dtype_and_wrap_i11_i12() -> None:
    got = ops.sum(np.array([100, 100], np.int8))
    assert got.dtype == np.int8 and got == -56
    assert ops.prod(np.array([2**31, 2], np.uint32)).dtype == np.uint32


def test_reductions_of_nothing_r17_r20() -> None:
    np.testing.assert_array_equal(ops.sum(EMPTY, axis=(1,)), [0, 0])
    np.testing.assert_array_equal(ops.prod(EMPTY, axis=(1,)), [1, 1])
    np.testing.assert_array_equal(ops.mean(EMPTY, axis=(1,)), [NAN, NAN])
    np.testing.assert_array_equal(ops.any(EMPTY != 0, axis=(1,)), [False, False])
    np.testing.assert_array_equal(ops.all(EMPTY != 0, axis=(1,)), [True, True])
    for name in ("max", "min", "argmax", "argmin", "logsumexp"):
        axis = 1 if name.startswith("arg") else (1,)
        with pytest.raises(InputError, match=f"{name} cannot reduce"):
            REGISTRY[name](EMPTY, axis=axis)
        with pytest.raises(TypeInferenceError):
            REGISTRY[name](placeholder("x", TensorType(DType.FLOAT32, (2, 0))), axis=axis)


def test_an_axis_that_may_be_empty_is_a_constraint() -> None:
    x = placeholder("x", TensorType.parse("float32[2, seq]"))
    y = ops.max(x, axis=(1,))
    assert [str(c.left) for c in y.node.constraints] == ["seq"]
    with pytest.raises(InputError, match="seq=0"):
        evaluate(Graph((x,), (y,)), [EMPTY])


def test_nan_wins_a12_x04() -> None:
    x = np.array([1.0, NAN, 2.0, NAN])
    assert math.isnan(ops.max(x)) and math.isnan(ops.min(x))
    assert ops.argmax(x, axis=0) == 1 and ops.argmin(x, axis=0) == 1


def test_first_of_ties_x03_and_dtype_d08() -> None:
    got = ops.argmax(np.array([1.0, 2.0, 5.0, 4.0, 5.0]), axis=0)
    assert got == 2 and got.dtype == np.int64
    assert ops.argmin(np.array([3, 1, 1]), axis=0, keepdims=True).tolist() == [1]


def test_mean_takes_no_integers_i14() -> None:
    with pytest.raises(TypeInferenceError, match="int32"):
        ops.mean(placeholder("x", TensorType(DType.INT32, (2,))))
    with pytest.raises(TypeInferenceError, match="bool"):
        ops.sum(placeholder("x", TensorType(DType.BOOL, (2,))))


def test_half_precision_means_do_not_overflow() -> None:
    x = np.full(4, 60000.0, np.float16)
    assert REGISTRY["mean"].evaluate([x], {"axis": None, "keepdims": False})[0] == 60000.0
    p = placeholder("x", TensorType(DType.FLOAT16, (4,)))
    rule = REGISTRY["mean"].decompose_rule
    assert rule is not None
    assert evaluate(Graph((p,), (rule(p, axis=None, keepdims=False),)), [x])[0] == 60000.0


def test_variance_and_its_correction() -> None:
    x = np.array([[1.0, 2.0, 3.0, 6.0]])  # mean 3, deviations -2 -1 0 3, squares sum to 14
    assert ops.var(x, axis=(1,)).tolist() == [3.5]
    assert ops.var(x, axis=(1,), correction=1)[0] == pytest.approx(14 / 3, rel=1e-15)
    assert ops.var(x, axis=(1,), correction=4).tolist() == [INF]
    assert math.isnan(ops.var(x, axis=(0,), correction=1)[0])


def test_logsumexp_at_the_ends() -> None:
    x = np.array([[-INF, -INF], [INF, 1.0], [1e4, 1e4], [NAN, 1.0], [-1e4, -1e4]])
    expected = [-INF, INF, 1e4 + math.log(2), NAN, -1e4 + math.log(2)]
    np.testing.assert_allclose(ops.logsumexp(x, axis=(1,)), expected, rtol=1e-15)


def test_long_sums_are_accurate_p02_p03() -> None:
    x = np.full(10**6, 0.1, np.float32)
    exact = 10**6 * float(np.float32(0.1))
    assert float(ops.sum(x)) == np.float32(exact)
    assert float(ops.sum(np.stack([x, x], axis=1), axis=(0,))[0]) == np.float32(exact)
    assert float(ops.cumulative_sum(x, axis=0)[-1]) == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize(
    ("exclusive", "reverse", "expected"),
    [
        (False, False, [1, 3, 6, 10]),
        (True, False, [0, 1, 3, 6]),
        (False, True, [10, 9, 7, 4]),
        (True, True, [9, 7, 4, 0]),
    ],
)
def test_cumulative_sum(exclusive: bool, reverse: bool, expected: list[int]) -> None:
    x = np.array([[1], [2], [3], [4]])
    got = ops.cumulative_sum(x, axis=0, exclusive=exclusive, reverse=reverse)
    assert got[:, 0].tolist() == expected and got.dtype == x.dtype


def test_cumulative_product_and_extrema() -> None:
    x = np.array([2.0, 3.0, 1.0])
    assert ops.cumulative_prod(x, axis=0).tolist() == [2, 6, 6]
    assert ops.cumulative_prod(x, axis=0, exclusive=True, reverse=True).tolist() == [3, 1, 1]
    assert ops.cumulative_max(x, axis=-1).tolist() == [2, 3, 3]
    np.testing.assert_array_equal(ops.cumulative_min(np.array([2.0, NAN, 1.0]), axis=0), [2, NAN, NAN])


def test_axes() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 3, seq]"))
    assert str(ops.sum(x, axis=(-1, 0)).type) == "float32[3]"
    assert str(ops.sum(x, axis=(-1,), keepdims=True).type) == "float32[batch, 3, 1]"
    assert str(ops.sum(x, axis=()).type) == str(x.type)
    assert str(ops.argmax(x, axis=-1).type) == "int64[batch, 3]"
    for axis in ((0, -3), (3,)):
        with pytest.raises(TypeInferenceError):
            ops.sum(x, axis=axis)
    with pytest.raises(TypeInferenceError, match="tuple"):
        ops.sum(x, axis=1)


def test_the_mean_of_a_symbolic_axis_divides_by_its_size() -> None:
    x = placeholder("x", TensorType.parse("float64[seq]"))
    rule = REGISTRY["mean"].decompose_rule
    assert rule is not None
    graph = Graph((x,), (rule(x, axis=None, keepdims=False),))
    assert evaluate(graph, [np.array([1.0, 2.0, 6.0])])[0] == 3.0
    assert evaluate(graph, [np.array([1.0, 2.0])])[0] == 1.5
