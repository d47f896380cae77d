"""Arithmetic: sums, products, quotients, powers, extrema, rounding.

Integers wrap at the limits of their dtype and never raise: a division by 0 gives 0, the smallest integer divided by -1
is itself, and a negative power is rounded toward 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange.graph import Value
from kxchange.ops.comparison import equal, greater, isinf, less, logical_and, logical_or, not_equal, where
from kxchange.ops.rules import binary, broadcast, is_floating, is_inexact, is_numeric, is_real, require, unary
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

silent: Any = np.errstate(all="ignore")
"""IEEE infinities and NaN, and wrapped integers, are the defined results: no warning."""


@op
@silent
def add(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 + x2; integers wrap."""
    return np.add(x1, x2)


@op
@silent
def subtract(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 - x2; integers wrap (uint8: 1 - 2 = 255, trap I16)."""
    return np.subtract(x1, x2)


@op
@silent
def multiply(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 * x2; integers wrap."""
    return np.multiply(x1, x2)


@op
@silent
def divide(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 / x2 of floating or complex tensors; integers are cast first (trap I03)."""
    return np.divide(x1, x2)


@op(differentiable=False)
@silent
def floor_divide(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Floor of the quotient, as Python's ``//``: -7 // 2 = -4 (trap I02); an integer divided by 0 gives 0."""
    return np.floor_divide(x1, x2)


@op
@silent
def remainder(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Python's ``%``: the result has the sign of x2 (traps I04, I05); an integer modulo 0 gives 0."""
    return np.remainder(x1, x2)


@op
@silent
def fmod(x1: Tensor, x2: Tensor, /) -> Tensor:
    """C's ``%`` and ``fmod``: the result has the sign of x1 (trap I04); an integer modulo 0 gives 0."""
    return np.fmod(x1, x2)


@op(differentiable=False)
@silent
def truncated_divide(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The quotient rounded toward 0, as C divides integers: -7 / 2 = -3 (trap I02); integers divided by 0 give 0."""
    if np.asarray(x1).dtype.kind == "f":
        return np.trunc(np.divide(x1, x2))
    return np.floor_divide(x1 - np.fmod(x1, x2), x2)


@truncated_divide.decompose
def _(x1: Value, x2: Value) -> Value:
    if x1.dtype.is_floating:
        return trunc(divide(x1, x2))
    quotient = floor_divide(x1, x2)
    if not x1.dtype.is_signed:
        return quotient
    rest = remainder(x1, x2)
    # Floored and truncated quotients differ where something is left over and the signs differ.
    away = where(less(x1, 0), greater(x2, 0), less(x2, 0))
    return where(logical_and(not_equal(rest, 0), away), add(quotient, 1), quotient)


@op
@silent
def pow_(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 to the power x2; NaN for a negative float to a fraction (trap I17).

    An integer to a negative power is 0, except for a base of 1 or -1 (trap I15); 0 to the power 0 is 1.
    """
    if np.asarray(x1).dtype.kind not in "iu":
        return np.power(x1, x2)
    if np.asarray(x2).dtype.kind == "u":
        return np.power(x1, x2)
    positive = np.power(x1, np.maximum(x2, 0))
    sign = np.where(x1 == 1, 1, np.where(x1 == -1, np.where(x2 % 2 == 0, 1, -1), 0))
    return np.where(x2 < 0, sign, positive).astype(x1.dtype)


@op
def maximum(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The larger of x1 and x2; NaN if either is NaN."""
    return np.maximum(x1, x2)


@op
def minimum(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The smaller of x1 and x2; NaN if either is NaN."""
    return np.minimum(x1, x2)


@op
def clip(x: Tensor, min: Tensor | None = None, max: Tensor | None = None, /) -> Tensor:
    """``minimum(maximum(x, min), max)``: where min > max the result is max, and NaN stays NaN (trap A11)."""
    raised = x if min is None else np.maximum(x, min)
    return raised if max is None else np.minimum(raised, max)


@clip.infer
def _(x: TensorType, min: TensorType | None, max: TensorType | None) -> TensorType:
    require(x, is_real, "integer and floating")
    return broadcast(x, min, max)


@clip.decompose
def _(x: Value, min: Value | None, max: Value | None) -> Value:
    raised = x if min is None else maximum(x, min)
    return raised if max is None else minimum(raised, max)


@op
@silent
def abs_(x: Tensor, /) -> Tensor:
    """Magnitude of x; real for complex x. The smallest integer stays what it is (trap I16)."""
    return np.abs(x)


@abs_.infer
def _(x: TensorType) -> TensorType:
    require(x, is_numeric, "integer, floating and complex")
    return x.with_dtype(x.dtype.real)


@op
@silent
def negative(x: Tensor, /) -> Tensor:
    """-x; unsigned integers wrap."""
    return np.negative(x)


@op(differentiable=False)
@silent
def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1; NaN for NaN (trap A10); x / abs(x) for complex x."""
    return np.sign(x)


@op
@silent
def reciprocal(x: Tensor, /) -> Tensor:
    """1 / x of a floating or complex tensor."""
    return np.divide(1.0, x)


@reciprocal.decompose
def _(x: Value) -> Value:
    return divide(1.0, x)


@op
@silent
def square(x: Tensor, /) -> Tensor:
    """X times x; integers wrap."""
    return np.square(x)


@square.decompose
def _(x: Value) -> Value:
    return multiply(x, x)


@op
@silent
def sqrt(x: Tensor, /) -> Tensor:
    """Square root of a floating or complex tensor; NaN for negative floats."""
    return np.sqrt(x)


@op
@silent
def rsqrt(x: Tensor, /) -> Tensor:
    """1 / sqrt(x); infinite at 0."""
    return np.divide(1.0, np.sqrt(x))


@rsqrt.decompose
def _(x: Value) -> Value:
    return divide(1.0, sqrt(x))


@op
@silent
def hypot(x1: Tensor, x2: Tensor, /) -> Tensor:
    """sqrt(x1**2 + x2**2) without overflow; infinite if either is."""
    return np.hypot(x1, x2)


@hypot.decompose
def _(x1: Value, x2: Value) -> Value:
    large, small = maximum(abs_(x1), abs_(x2)), minimum(abs_(x1), abs_(x2))
    ratio = where(equal(large, 0.0), 0.0, divide(small, large))
    infinite = logical_or(isinf(x1), isinf(x2))
    return where(infinite, float("inf"), multiply(large, sqrt(add(1.0, square(ratio)))))


@op(differentiable=False)
def ceil(x: Tensor, /) -> Tensor:
    """The smallest integer not less than x, in the dtype of x."""
    return np.ceil(x) if np.asarray(x).dtype.kind == "f" else x


@op(differentiable=False)
def floor(x: Tensor, /) -> Tensor:
    """The greatest integer not greater than x, in the dtype of x."""
    return np.floor(x) if np.asarray(x).dtype.kind == "f" else x


@op(differentiable=False)
def trunc(x: Tensor, /) -> Tensor:
    """X rounded toward 0, in the dtype of x."""
    return np.trunc(x) if np.asarray(x).dtype.kind == "f" else x


@op(differentiable=False)
def round_(x: Tensor, /) -> Tensor:
    """X rounded to the nearest integer, halves to even (trap I01), in the dtype of x."""
    return np.rint(x) if np.asarray(x).dtype.kind == "f" else x


for _op in (add, subtract, multiply):
    _op.infer(binary(is_numeric, "integer, floating and complex"))
for _op in (floor_divide, remainder, fmod, truncated_divide, maximum, minimum):
    _op.infer(binary(is_real, "integer and floating"))
pow_.infer(binary(is_numeric, "integer, floating and complex"))
divide.infer(binary(is_inexact, "floating and complex"))
hypot.infer(binary(is_floating, "floating"))
for _op in (negative, sign, square):
    _op.infer(unary(is_numeric, "integer, floating and complex"))
for _op in (reciprocal, sqrt, rsqrt):
    _op.infer(unary(is_inexact, "floating and complex"))
for _op in (ceil, floor, trunc, round_):
    _op.infer(unary(is_real, "integer and floating"))
