"""Lowering of elementwise ops to `keras.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kxchange.table import Table
from kxchange.types import DType
from kxchange_keras.lowering import dtype_of, output_type

Tensor = Any
ops: Any = keras.ops
lower = Table("keras")
NARROW = (DType.INT8, DType.INT16, DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64)


def widened(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that computes rare integers in a type that every backend's kernels take, with the same low bits."""

    def run(*xs: Tensor, **attrs: Any) -> Tensor:
        dtypes = [dtype_of(x) for x in xs if hasattr(x, "dtype")]
        if not dtypes or dtypes[0] not in NARROW:
            return compute(*xs, **attrs)
        wide = "int32" if dtypes[0].bits < 32 else "int64"
        given = [ops.cast(x, wide) if hasattr(x, "dtype") and dtype_of(x) is dtypes[0] else x for x in xs]
        result = compute(*given, **attrs)
        return ops.cast(result, dtypes[0].value) if dtype_of(result).value == wide else result

    return run


lower.direct(
    acos=ops.arccos,
    acosh=ops.arccosh,
    asin=ops.arcsin,
    asinh=ops.arcsinh,
    atan=ops.arctan,
    atan2=ops.arctan2,
    atanh=ops.arctanh,
    cos=ops.cos,
    cosh=ops.cosh,
    divide=ops.divide,
    erfc=ops.erfc,
    erfinv=ops.erfinv,
    exp=ops.exp,
    expm1=ops.expm1,
    isfinite=ops.isfinite,
    isinf=ops.isinf,
    isnan=ops.isnan,
    log=ops.log,
    log1p=ops.log1p,
    log2=ops.log2,
    log10=ops.log10,
    logical_and=ops.logical_and,
    logical_not=ops.logical_not,
    logical_or=ops.logical_or,
    logical_xor=ops.logical_xor,
    sin=ops.sin,
    sinh=ops.sinh,
    sqrt=ops.sqrt,
    tan=ops.tan,
    tanh=ops.tanh,
    abs=widened(ops.absolute),
    add=widened(ops.add),
    multiply=widened(ops.multiply),
    negative=widened(ops.negative),
    subtract=widened(ops.subtract),
    square=widened(ops.square),
    reciprocal=ops.reciprocal,
    rsqrt=ops.rsqrt,
)


def _ordered(compare: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(x1: Tensor, x2: Tensor) -> Tensor:
        given = [x for x in (x1, x2) if hasattr(x, "dtype")]
        if dtype_of(given[0]).is_bool:
            x1, x2 = (ops.cast(x, "int32") if hasattr(x, "dtype") else x for x in (x1, x2))
        return compare(x1, x2)

    return rule


lower.direct(
    greater=_ordered(ops.greater),
    greater_equal=_ordered(ops.greater_equal),
    less=_ordered(ops.less),
    less_equal=_ordered(ops.less_equal),
    equal=ops.equal,
    not_equal=ops.not_equal,
)


@lower.rule("where")
def _(condition: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    return ops.where(condition, x1, x2)


@lower.rule("erf")
def _(x: Tensor) -> Tensor:
    # TensorFlow's float64 kernel gives NaN at infinity; from 30 on the result is 1 in every type.
    return ops.erf(ops.where(ops.greater(ops.absolute(x), 30.0), ops.multiply(ops.sign(x), 30.0), x))


@lower.rule("sign")
def _(x: Tensor) -> Tensor:
    dtype = output_type().dtype
    return ops.sign(x) if dtype.is_floating or dtype.is_signed else ops.cast(ops.not_equal(x, 0), dtype.value)


def _rounding(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: compute(x) if output_type().dtype.is_floating else x


lower.direct(ceil=_rounding(ops.ceil), floor=_rounding(ops.floor), round=_rounding(ops.round))
lower.direct(trunc=_rounding(ops.trunc))


@lower.rule("maximum")
def maximum(x1: Tensor, x2: Tensor) -> Tensor:
    """The larger; NaN wins on either side."""
    dtype = output_type().dtype
    if dtype.is_bool:
        return ops.logical_or(x1, x2)
    return _with_nan(widened(ops.maximum)(x1, x2), x1, x2, dtype)


@lower.rule("minimum")
def minimum(x1: Tensor, x2: Tensor) -> Tensor:
    """The smaller; NaN wins on either side."""
    dtype = output_type().dtype
    if dtype.is_bool:
        return ops.logical_and(x1, x2)
    return _with_nan(widened(ops.minimum)(x1, x2), x1, x2, dtype)


def _with_nan(found: Tensor, x1: Tensor, x2: Tensor, dtype: DType) -> Tensor:
    """TensorFlow's kernels lose a NaN on one side."""
    if not dtype.is_floating:
        return found
    for x in (x1, x2):
        if not hasattr(x, "dtype") or isinstance(x, np.ndarray):
            if np.isnan(x).any():
                return ops.add(found, x)
        else:
            found = ops.where(ops.isnan(x), x, found)
    return found


def _bits(found: Callable[..., Tensor], logical: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(*xs: Tensor) -> Tensor:
        return logical(*xs) if output_type().dtype.is_bool else found(*xs)

    return rule


lower.direct(
    bitwise_and=_bits(ops.bitwise_and, ops.logical_and),
    bitwise_or=_bits(ops.bitwise_or, ops.logical_or),
    bitwise_xor=_bits(ops.bitwise_xor, ops.logical_xor),
    bitwise_invert=_bits(ops.bitwise_not, ops.logical_not),
)


@lower.rule("bitwise_left_shift")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    beyond = ops.logical_or(ops.less(x2, 0), ops.greater_equal(x2, output_type().dtype.bits))
    shifted = ops.bitwise_left_shift(x1, ops.where(beyond, ops.zeros_like(x2), x2))
    return ops.where(beyond, ops.zeros_like(shifted), shifted)


@lower.rule("bitwise_right_shift")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    dtype = output_type().dtype
    beyond = ops.logical_or(ops.less(x2, 0), ops.greater_equal(x2, dtype.bits))
    last = ops.cast(ops.full_like(x2, dtype.bits - 1), dtype.value)
    shifted = ops.bitwise_right_shift(x1, ops.where(beyond, last, x2))
    return shifted if dtype.is_signed else ops.where(beyond, ops.zeros_like(shifted), shifted)


def _guarded(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Integer division that gives 0 where the divisor is 0, instead of stopping (trap I06)."""

    @widened
    def run(x1: Tensor, x2: Tensor) -> Tensor:
        if not hasattr(x2, "dtype"):
            return compute(x1, x2) if x2 else ops.zeros_like(x1)
        zero = ops.equal(x2, 0)
        found = compute(x1, ops.where(zero, ops.ones_like(x2), x2))
        return ops.where(zero, ops.zeros_like(found), found)

    return run


def _is_whole() -> bool:
    return not output_type().dtype.is_floating


def _truncated(x1: Tensor, x2: Tensor) -> Tensor:
    """The quotient of whole numbers, towards 0."""
    quotient = ops.floor_divide(x1, x2)
    exact = ops.equal(ops.multiply(quotient, x2), x1)
    up = ops.logical_and(ops.less(quotient, 0), ops.logical_not(exact))
    return ops.add(quotient, ops.cast(up, output_wide(quotient)))


def output_wide(x: Tensor) -> str:
    """The name of a tensor's type."""
    return dtype_of(x).value


def _remainder_towards_zero(x1: Tensor, x2: Tensor) -> Tensor:
    return ops.subtract(x1, ops.multiply(_truncated(x1, x2), x2))


def _rest(x1: Tensor, x2: Tensor) -> Tensor:
    """The rest of a division of floats towards 0."""
    return ops.fmod(x1, x2)


def _float_remainder(x1: Tensor, x2: Tensor) -> Tensor:
    rest = _rest(x1, x2)
    signs = ops.not_equal(ops.less(rest, 0), ops.less(x2, 0))
    return ops.where(ops.logical_and(ops.not_equal(rest, 0), signs), ops.add(rest, x2), rest)


@lower.rule("floor_divide")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if _is_whole():
        return _guarded(ops.floor_divide)(x1, x2)
    # NumPy's definition: exact for large quotients, and infinite where the quotient is.
    quotient = ops.round(ops.divide(ops.subtract(x1, _float_remainder(x1, x2)), x2))
    return ops.where(ops.equal(x2, 0), ops.divide(x1, x2), quotient)


@lower.rule("remainder")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(ops.mod)(x1, x2) if _is_whole() else _float_remainder(x1, x2)


@lower.rule("fmod")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(_remainder_towards_zero)(x1, x2) if _is_whole() else _rest(x1, x2)


@lower.rule("truncated_divide")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(_truncated)(x1, x2) if _is_whole() else ops.trunc(ops.divide(x1, x2))


@lower.rule("pow")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if not _is_whole():
        return ops.power(x1, x2)
    return _integer_power(x1, x2)


@widened
def _integer_power(x1: Tensor, x2: Tensor) -> Tensor:
    if not hasattr(x2, "dtype"):
        x2 = ops.full_like(x1, x2)
    if not hasattr(x1, "dtype"):
        x1 = ops.full_like(x2, x1)
    one, zero = ops.ones_like(x2), ops.zeros_like(x2)
    parity = ops.where(ops.equal(ops.mod(x2, 2), 0), one, ops.negative(one))
    fraction = ops.where(ops.equal(x1, 1), one, ops.where(ops.equal(x1, -1), parity, zero))
    return ops.where(ops.less(x2, 0), fraction, ops.power(x1, ops.maximum(x2, 0)))


@lower.rule("astype")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    return ops.not_equal(x, 0) if dtype.is_bool and not dtype_of(x).is_bool else ops.cast(x, dtype.value)


@lower.rule("bitcast")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    return ops.view(x, dtype=dtype.value)


@lower.rule("copysign")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    size = ops.absolute(x1)
    return ops.where(ops.signbit(x2), ops.negative(size), size)


__all__ = ["lower", "maximum", "minimum", "widened"]
