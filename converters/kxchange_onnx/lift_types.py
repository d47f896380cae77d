"""Constants, casts, and values passed on as they are."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.known import Array, python_number
from kxchange_onnx.lift import SCOPE, lift, refuse
from kxchange_onnx.operands_in import dims
from kxchange_onnx.types_in import dtype_of


@lift.rule("Identity")
def _(x: Any) -> Any:
    return x


@lift.rule("Constant")
def _(
    *,
    value: Array | None,
    sparse_value: Array | None,
    value_float: float | None,
    value_floats: tuple[float, ...] | None,
    value_int: int | None,
    value_ints: tuple[int, ...] | None,
    value_string: str | None,
    value_strings: tuple[str, ...] | None,
) -> Value:
    if value_string is not None or value_strings is not None:
        return refuse("kxchange has no string tensors")
    numbers = {np.float32: (value_float, value_floats), np.int64: (value_int, value_ints)}
    arrays = [np.asarray(v, dtype=dtype) for dtype, values in numbers.items() for v in values if v is not None]
    arrays += [array for array in (value, sparse_value) if array is not None]
    return SCOPE.lifter.tensor(arrays[0]) if len(arrays) == 1 else refuse(f"it has {len(arrays)} values")


@lift.rule("Cast")
def _(x: Value, *, to: Any) -> Value:
    return cast_to(x, target(to), saturate=False)


@lift.rule("Cast", since=19)
def _(x: Value, *, to: int, saturate: int) -> Value:
    return cast_to(x, target(to), saturate=bool(saturate))


@lift.rule("Cast", since=24)
def _(x: Value, *, to: int, saturate: int, round_mode: str) -> Value:
    return cast_to(x, target(to), saturate=bool(saturate), round_mode=round_mode)


@lift.rule("CastLike")
def _(x: Value, like: Value) -> Value:
    return cast_to(x, like.dtype, saturate=False)


@lift.rule("CastLike", since=19)
def _(x: Value, like: Value, *, saturate: int) -> Value:
    return cast_to(x, like.dtype, saturate=bool(saturate))


@lift.rule("CastLike", since=24)
def _(x: Value, like: Value, *, saturate: int, round_mode: str) -> Value:
    return cast_to(x, like.dtype, saturate=bool(saturate), round_mode=round_mode)


def target(to: int | str) -> DType:
    """The element type an attribute names, by code or (before version 6) by name."""
    return dtype_of(to) if isinstance(to, int) else DType(to.lower())


FLOAT8 = frozenset({DType.FLOAT8_E4M3FN, DType.FLOAT8_E4M3FNUZ, DType.FLOAT8_E5M2, DType.FLOAT8_E5M2FNUZ})


def cast_to(x: Value, dtype: DType, *, saturate: bool, round_mode: str = "up") -> Value:
    """X in another element type; to 8-bit floats, what is out of range becomes the greatest value if `saturate`."""
    if x.dtype is dtype:
        return x
    if dtype is DType.FLOAT8_E8M0FNU:
        return _power_of_two(x, saturate, round_mode)
    if dtype in FLOAT8 and saturate and x.dtype.is_floating and x.dtype.bits > 8:
        top = float(ml_dtypes.finfo(dtype.numpy).max)
        x = ops.clip(x, -top, top)
    return ops.astype(x, dtype=dtype)


def _power_of_two(x: Value, saturate: bool, round_mode: str) -> Value:
    """The magnitude rounded to a power of two: the exponent bits of float32, counted up where the rest says so."""
    if round_mode not in ("up", "down", "nearest"):
        return refuse(f"its round_mode {round_mode!r} is unknown")
    single = x if x.dtype is DType.FLOAT32 else ops.astype(x, dtype=DType.FLOAT32)
    bits = ops.astype(ops.bitcast(single, dtype=DType.INT32), dtype=DType.INT64)
    exponent = ops.bitwise_and(ops.bitwise_right_shift(bits, 23), 0xFF)
    rest = ops.bitwise_and(bits, 0x7FFFFF)
    if round_mode == "nearest":
        above, half = ops.greater(rest, 0x400000), ops.equal(rest, 0x400000)
        counts = ops.logical_or(above, ops.logical_and(half, ops.greater(exponent, 0)))
    else:
        counts = ops.logical_and(ops.greater(rest, 0), ops.less(exponent, 0xFF if round_mode == "up" else 0))
    counted = ops.add(exponent, ops.astype(counts, dtype=DType.INT64))
    room = ops.add(exponent, 0 if saturate else 1)
    top = ops.maximum(ops.minimum(room, 0xFF), 0xFE)
    top = ops.maximum(top, exponent)
    return ops.bitcast(ops.astype(ops.minimum(counted, top), dtype=DType.UINT8), dtype=DType.FLOAT8_E8M0FNU)


@lift.rule("BitCast")
def _(x: Value, *, to: int) -> Value:
    dtype = dtype_of(to)
    # A bool is one byte, 0 or 1.
    x = ops.astype(x, dtype=DType.UINT8) if x.dtype.is_bool and dtype.bits == 8 else x
    return x if x.dtype is dtype else ops.bitcast(x, dtype=dtype)


@lift.rule("ConstantOfShape")
def _(shape: Value, *, value: Array | None) -> Value:
    filler = np.zeros(1, dtype=np.float32) if value is None else value.reshape(-1)
    if filler.size != 1:
        return refuse(f"its value has {filler.size} elements, not 1")
    dtype = DType.of(filler.dtype)
    return ops.full(shape=dims(shape, "shape"), value=python_number(filler.reshape(()), dtype), dtype=dtype)
