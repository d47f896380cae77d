"""Elementwise ops on edge cases worked out by hand or printed by two libraries (trap identifiers in the names)."""

from __future__ import annotations

import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import TypeInferenceError
from kxchange.graph import placeholder
from kxchange.spec import REGISTRY
from kxchange.types import DType, TensorType

INF, NAN = float("inf"), float("nan")
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def ints(*values: int, dtype: Any = np.int32) -> np.ndarray:
    return np.array(values, dtype=dtype)


def same(got: np.ndarray, expected: list[Any], dtype: Any) -> None:
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got, np.array(expected, dtype=dtype))


def test_round_is_half_to_even_i01() -> None:
    same(ops.round(np.array([0.5, 1.5, 2.5, -0.5, -1.5])), [0, 2, 2, 0, -2], np.float64)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ("floor_divide", [-4, -4, 3, 3]),
        ("truncated_divide", [-3, -3, 3, 3]),
        ("remainder", [1, -1, 1, -1]),
        ("fmod", [-1, 1, 1, -1]),
    ],
)
def test_integer_division_signs_i02_i04(op: str, expected: list[int]) -> None:
    same(REGISTRY[op](ints(-7, 7, 7, -7), ints(2, -2, 2, -2)), expected, np.int32)


def test_float_remainders_i05() -> None:
    same(ops.remainder(np.array([-7.5]), np.array([2.0])), [0.5], np.float64)
    same(ops.fmod(np.array([-7.5]), np.array([2.0])), [-1.5], np.float64)
    same(ops.truncated_divide(np.array([-7.5]), np.array([2.0])), [-3.0], np.float64)


@pytest.mark.parametrize("op", ["floor_divide", "truncated_divide", "remainder", "fmod"])
@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64])
def test_integers_divided_by_zero_are_zero_i06(op: str, dtype: Any) -> None:
    same(REGISTRY[op](ints(1, 7, 0, dtype=dtype), ints(0, 0, 0, dtype=dtype)), [0, 0, 0], dtype)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_smallest_integer_divided_by_minus_one(dtype: Any) -> None:
    low = int(np.iinfo(dtype).min)
    for op, expected in {"floor_divide": low, "truncated_divide": low, "remainder": 0, "fmod": 0}.items():
        same(REGISTRY[op](ints(low, dtype=dtype), ints(-1, dtype=dtype)), [expected], dtype)


def test_integer_powers_i15() -> None:
    same(ops.pow(ints(2, 1, -1, -1, 0, 0, 3), ints(-1, -5, -2, -3, -1, 0, 4)), [0, 1, 1, -1, 0, 1, 81], np.int32)
    same(ops.pow(ints(2, dtype=np.uint8), ints(9, dtype=np.uint8)), [0], np.uint8)


def test_float_powers_i17() -> None:
    got = ops.pow(np.array([-8.0, 0.0, -8.0, 0.0]), np.array([1 / 3, 0.0, 2.0, -1.0]))
    same(got, [NAN, 1, 64, INF], np.float64)


def test_integers_wrap_i16() -> None:
    same(ops.subtract(ints(1, dtype=np.uint8), ints(2, dtype=np.uint8)), [255], np.uint8)
    same(ops.abs(ints(-128, dtype=np.int8)), [-128], np.int8)
    same(ops.add(ints(INT32_MAX), ints(1)), [INT32_MIN], np.int32)


def test_shifts_i18() -> None:
    same(ops.bitwise_left_shift(ints(1), ints(33)), [0], np.int32)
    same(ops.bitwise_right_shift(ints(-8), ints(1)), [-4], np.int32)


def test_sign_a10() -> None:
    same(ops.sign(np.array([NAN, -3.0, 0.0, 2.0])), [NAN, -1, 0, 1], np.float64)


def test_clip_a11() -> None:
    low, high = np.array(3.0), np.array(1.0)
    same(ops.clip(np.array([NAN, 0.0, 9.0]), low, high), [NAN, 1, 1], np.float64)


@pytest.mark.parametrize("op", ["maximum", "minimum"])
def test_extrema_propagate_nan_a12(op: str) -> None:
    same(REGISTRY[op](np.array([1.0, NAN]), np.array([NAN, 1.0])), [NAN, NAN], np.float64)


def test_casts_i07_i10_d10_d11() -> None:
    same(ops.astype(np.array([300.7, -1.9, 1.9]), dtype=DType.INT32), [300, -1, 1], np.int32)
    assert ops.astype(np.array([NAN, INF, 1e10], np.float32), dtype=DType.INT32).dtype == np.int32
    same(ops.astype(ints(300, -1), dtype=DType.UINT8), [44, 255], np.uint8)
    same(
        ops.astype(np.array([NAN, 0.5, 1e-45, 0.0], np.float32), dtype=DType.BOOL), [True, True, True, False], np.bool_
    )
    same(ops.astype(np.array([70000.0, -1e9]), dtype=DType.FLOAT16), [INF, -INF], np.float16)
    got = ops.astype(np.array([1.00390625, 1.01171875], np.float32), dtype=DType.BFLOAT16)
    same(got, [1.0, 1.015625], ml_dtypes.bfloat16)


def test_cast_of_a_narrow_float_is_not_rounded_back() -> None:
    narrow = np.array([1.5, -2.75], ml_dtypes.bfloat16)
    assert REGISTRY["astype"].evaluate([narrow], {"dtype": DType.FLOAT32})[0].dtype == np.float32
    same(REGISTRY["astype"].evaluate([narrow], {"dtype": DType.INT8})[0], [1, -2], np.int8)


def test_bitcast() -> None:
    same(ops.bitcast(np.array([1.0], np.float32), dtype=DType.INT32), [0x3F800000], np.int32)
    with pytest.raises(TypeInferenceError, match="one size in bits"):
        ops.bitcast(placeholder("x", TensorType(DType.FLOAT32, (2,))), dtype=DType.INT64)


def test_denormals_stay_p01() -> None:
    tiny = np.array([1e-40], np.float32)
    same(ops.multiply(tiny, np.array([0.5], np.float32)), [np.float32(1e-40) * np.float32(0.5)], np.float32)
    assert ops.multiply(tiny, np.array([1.0], np.float32))[0] != 0


def test_division_by_zero_is_ieee() -> None:
    got = ops.divide(np.array([1.0, -1.0, 0.0]), np.array([0.0, 0.0, 0.0]))
    same(got, [INF, -INF, NAN], np.float64)
    same(ops.log(np.array([0.0, -1.0])), [-INF, NAN], np.float64)


def test_tails_and_small_arguments() -> None:
    # 2.0884875837625447e-45 is erfc(10) to 17 digits (Abramowitz and Stegun give 2.088487583762545e-45).
    np.testing.assert_allclose(ops.erfc(np.array([10.0])), [2.088487583762545e-45], rtol=1e-14)
    np.testing.assert_allclose(ops.expm1(np.array([1e-12])), [1.0000000000005e-12], rtol=1e-15)
    np.testing.assert_allclose(ops.log1p(np.array([1e-12])), [9.999999999995e-13], rtol=1e-15)
    np.testing.assert_allclose(ops.logaddexp(np.array([1000.0]), np.array([1000.0])), [1000 + np.log(2)], rtol=1e-15)
    np.testing.assert_allclose(ops.hypot(np.array([3e200]), np.array([4e200])), [5e200], rtol=1e-15)


@pytest.mark.parametrize("op", ["add", "where"])
def test_dtypes_are_never_promoted_d01_d05(op: str) -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    y = placeholder("y", TensorType(DType.INT32, (2,)))
    condition = placeholder("c", TensorType(DType.BOOL, (2,)))
    with pytest.raises(TypeInferenceError, match="float32 and int32"):
        REGISTRY[op](*([condition] if op == "where" else []), x, y)


@pytest.mark.parametrize(
    ("op", "dtype"),
    [
        ("divide", DType.INT32),
        ("sqrt", DType.INT64),
        ("add", DType.BOOL),
        ("less", DType.COMPLEX64),
        ("bitwise_and", DType.BOOL),
        ("logical_and", DType.INT8),
        ("erf", DType.COMPLEX64),
        ("maximum", DType.BOOL),
    ],
)
def test_wrong_kinds_are_refused(op: str, dtype: DType) -> None:
    x = placeholder("x", TensorType(dtype, (2,)))
    with pytest.raises(TypeInferenceError, match=f"{op}.*{dtype.value}"):
        REGISTRY[op](*[x] * len(REGISTRY[op].operands))


def test_a_scalar_operand_takes_the_tensors_dtype() -> None:
    x = placeholder("x", TensorType(DType.BFLOAT16, (2,)))
    node = ops.multiply(x, 0.1).node
    assert node.types[0].dtype is DType.BFLOAT16
    assert node.inputs[1].node.attrs["value"] == 0.1


def test_a_scalar_that_does_not_fit_is_refused_d07() -> None:
    x = placeholder("x", TensorType(DType.INT32, (2,)))
    with pytest.raises(TypeInferenceError, match="does not fit int32"):
        ops.add(x, 2**40 + 5)
    with pytest.raises(TypeInferenceError, match="does not fit int32"):
        ops.multiply(x, 2.5)


def test_symbolic_broadcast_needs_equality() -> None:
    x = placeholder("x", TensorType.parse("float32[batch, 3]"))
    y = placeholder("y", TensorType.parse("float32[rows, 1]"))
    node = ops.add(x, y).node
    assert str(node.types[0]) == "float32[batch, 3]"
    assert [c.kind for c in node.constraints] == ["equal"]
    with pytest.raises(TypeInferenceError):
        ops.add(x, placeholder("z", TensorType.parse("float32[batch, 4]")))
