"""Elementwise functions with a definition of their own in terms of others."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import lift
from kxchange_torch.lift_promotion import promote, promote_float, tensor_of, to_float


@lift.rule("aten.frac.default")
def _(x: Value) -> Value:
    return ops.subtract(x, ops.trunc(x))


@lift.rule("aten.exp2.default", "aten.special_exp2.default")
def _(x: Value) -> Value:
    return ops.pow(2.0, to_float(x))


@lift.rule("aten.deg2rad.default")
def _(x: Value) -> Value:
    return ops.multiply(to_float(x), math.pi / 180)


@lift.rule("aten.rad2deg.default")
def _(x: Value) -> Value:
    return ops.multiply(to_float(x), 180 / math.pi)


@lift.rule("aten.logaddexp2.default")
def _(x1: Value, x2: Value) -> Value:
    left, right = promote_float(x1, x2)
    ln2 = math.log(2)
    return ops.divide(ops.logaddexp(ops.multiply(left, ln2), ops.multiply(right, ln2)), ln2)


def _times_log(x1: Any, x2: Any, log: Callable[[Any], Value]) -> Value:
    """``x1 * log(x2)`` that is 0 where `x1` is 0, and NaN where `x2` is."""
    left, right = promote_float(x1, x2)
    right = right if isinstance(right, Value) else tensor_of(right, left.dtype)
    product = ops.multiply(left, log(right))
    left = left if isinstance(left, Value) else tensor_of(left, right.dtype)
    zero = ops.where(ops.equal(left, 0), 0.0, product)
    return ops.where(ops.isnan(right), math.nan, zero)


@lift.rule(*(f"aten.{n}.{o}" for n in ("xlogy", "special_xlogy") for o in ("Tensor", "Scalar_Self", "Scalar_Other")))
@lift.rule("aten.special_xlogy.default", "aten.special_xlogy.self_scalar", "aten.special_xlogy.other_scalar")
def _(x1: Any, x2: Any) -> Value:
    return _times_log(x1, x2, ops.log)


@lift.rule("aten.special_xlog1py.default", "aten.special_xlog1py.self_scalar", "aten.special_xlog1py.other_scalar")
def _(x1: Any, x2: Any) -> Value:
    return _times_log(x1, x2, ops.log1p)


@lift.rule("aten.logit.default", "aten.special_logit.default")
def _(x: Value, eps: float | None) -> Value:
    x = to_float(x)
    if eps is not None:
        x = ops.clip(x, eps, 1 - eps)
    return ops.log(ops.divide(x, ops.subtract(1.0, x)))


@lift.rule("aten.heaviside.default")
def _(x: Value, values: Value) -> Value:
    if x.dtype.is_bool:
        return ops.logical_or(x, values)
    sign = ops.where(ops.greater(x, 0), ops.full(shape=(), value=1, dtype=x.dtype), 0)
    return ops.where(ops.equal(x, 0), values, sign)


@lift.rule("aten.sinc.default", "aten.special_sinc.default")
def _(x: Value) -> Value:
    angle = ops.multiply(to_float(x), math.pi)
    safe = ops.where(ops.equal(angle, 0), 1.0, angle)
    return ops.where(ops.equal(angle, 0), 1.0, ops.divide(ops.sin(safe), safe))


@lift.rule("aten.ldexp.Tensor")
def _(x1: Value, x2: Value) -> Value:
    left, right = promote_float(x1, x2)
    return ops.multiply(left, ops.pow(2.0, right))


@lift.rule("aten.nan_to_num.default")
def _(x: Value, nan: float | None, posinf: float | None, neginf: float | None) -> Value:
    if not x.dtype.is_floating:
        return x
    highest, lowest = _limits(x.dtype)
    result = ops.where(ops.isnan(x), 0.0 if nan is None else nan, x)
    result = ops.where(ops.equal(x, math.inf), highest if posinf is None else posinf, result)
    return ops.where(ops.equal(x, -math.inf), lowest if neginf is None else neginf, result)


def _limits(dtype: DType) -> tuple[float, float]:
    import ml_dtypes

    info = ml_dtypes.finfo(dtype.numpy)
    return float(info.max), float(info.min)


@lift.rule("aten.isclose.default")
def _(x1: Value, x2: Value, rtol: float, atol: float, equal_nan: bool) -> Value:
    left, right = promote(x1, x2)
    close = ops.equal(left, right)
    if left.dtype.is_integer and (rtol or atol):
        left, right = to_float(left), to_float(right)
    if left.dtype.is_floating:
        gap = ops.abs(ops.subtract(left, right))
        near = ops.less_equal(gap, ops.add(ops.multiply(ops.abs(right), rtol), atol))
        close = ops.logical_or(close, ops.logical_and(ops.isfinite(gap), near))
        if equal_nan:
            close = ops.logical_or(close, ops.logical_and(ops.isnan(left), ops.isnan(right)))
    return close
