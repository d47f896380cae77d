"""Comparisons, logic on booleans, bits of integers, and the choice between two tensors."""

from __future__ import annotations

import numpy as np

from kxchange.ops.rules import binary, broadcast, is_any, is_bool, is_integer, is_numeric, is_real, require, unary
from kxchange.shapes import broadcast_shapes
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType


@op(differentiable=False)
def equal(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 == x2; NaN equals nothing."""
    return np.equal(x1, x2)


@op(differentiable=False)
def not_equal(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 != x2; NaN differs from everything."""
    return np.not_equal(x1, x2)


@op(differentiable=False)
def less(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 < x2."""
    return np.less(x1, x2)


@op(differentiable=False)
def less_equal(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 <= x2."""
    return np.less_equal(x1, x2)


@op(differentiable=False)
def greater(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 > x2."""
    return np.greater(x1, x2)


@op(differentiable=False)
def greater_equal(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Whether x1 >= x2."""
    return np.greater_equal(x1, x2)


@op(differentiable=False)
def logical_and(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Both of two booleans."""
    return np.logical_and(x1, x2)


@op(differentiable=False)
def logical_or(x1: Tensor, x2: Tensor, /) -> Tensor:
    """At least one of two booleans."""
    return np.logical_or(x1, x2)


@op(differentiable=False)
def logical_xor(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Exactly one of two booleans."""
    return np.logical_xor(x1, x2)


@op(differentiable=False)
def logical_not(x: Tensor, /) -> Tensor:
    """The other boolean."""
    return np.logical_not(x)


@op(differentiable=False)
def bitwise_and(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Bits set in both integers; booleans take `logical_and`."""
    return np.bitwise_and(x1, x2)


@op(differentiable=False)
def bitwise_or(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Bits set in at least one of two integers; booleans take `logical_or`."""
    return np.bitwise_or(x1, x2)


@op(differentiable=False)
def bitwise_xor(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Bits set in exactly one of two integers; booleans take `logical_xor`."""
    return np.bitwise_xor(x1, x2)


@op(differentiable=False)
def bitwise_invert(x: Tensor, /) -> Tensor:
    """Every bit of an integer flipped; booleans take `logical_not`."""
    return np.bitwise_invert(x)


@op(differentiable=False)
def bitwise_left_shift(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 * 2**x2 without the bits that leave the dtype: 0 from its width on (trap I18). x2 must not be negative."""
    return np.bitwise_left_shift(x1, x2)


@op(differentiable=False)
def bitwise_right_shift(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Floor of x1 / 2**x2: the sign bit is copied (-8 >> 1 = -4, trap I18). x2 must not be negative."""
    return np.bitwise_right_shift(x1, x2)


@op(differentiable=False)
def isfinite(x: Tensor, /) -> Tensor:
    """Whether x is neither infinite nor NaN."""
    return np.isfinite(x)


@op(differentiable=False)
def isinf(x: Tensor, /) -> Tensor:
    """Whether x is positive or negative infinity."""
    return np.isinf(x)


@op(differentiable=False)
def isnan(x: Tensor, /) -> Tensor:
    """Whether x is NaN."""
    return np.isnan(x)


@op(alike=("x1", "x2"), widen=False)
def where(condition: Tensor, x1: Tensor, x2: Tensor, /) -> Tensor:
    """x1 where the boolean condition holds, x2 elsewhere; all three broadcast."""
    return np.where(condition, x1, x2)  # pyright: ignore[reportUnknownVariableType]


@where.infer
def _(condition: TensorType, x1: TensorType, x2: TensorType) -> TensorType:
    require(condition, is_bool, "for the condition only bool")
    values = broadcast(x1, x2)
    return values.with_shape(broadcast_shapes(condition.shape, x1.shape, x2.shape))


for _op in (equal, not_equal):
    _op.infer(binary(is_any, "all", DType.BOOL))
for _op in (less, less_equal, greater, greater_equal):
    _op.infer(binary(is_real, "integer and floating", DType.BOOL))
for _op in (logical_and, logical_or, logical_xor):
    _op.infer(binary(is_bool, "bool"))
for _op in (bitwise_and, bitwise_or, bitwise_xor, bitwise_left_shift, bitwise_right_shift):
    _op.infer(binary(is_integer, "integer"))
for _op in (isfinite, isinf, isnan):
    _op.infer(unary(is_numeric, "integer, floating and complex", DType.BOOL))
logical_not.infer(unary(is_bool, "bool"))
bitwise_invert.infer(unary(is_integer, "integer"))
