"""Sums, products, extrema and statistics over axes.

`axis` is a tuple of axes, None for all of them, and () for none; reduced axes are dropped or, with `keepdims`, kept at
size 1. Sums of floats are accumulated in float64 and rounded once (traps P02, P03); integers keep their dtype and wrap
(traps I11, I12).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import InputError, TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.arithmetic import add, divide, maximum, square, subtract
from kxchange.ops.comparison import isfinite, where
from kxchange.ops.conversion import narrowed, widened
from kxchange.ops.creation import full
from kxchange.ops.manipulation import squeeze
from kxchange.ops.mathematics import exp, log
from kxchange.ops.rules import Accepts, is_bool, is_floating, is_inexact, is_numeric, is_real, require
from kxchange.shapes import normalize_axes, product, require_at_least
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

Axes = tuple[int, ...] | None
silent: Any = np.errstate(all="ignore")


@op
@silent
def sum_(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Sum over axes; 0 of nothing (trap R20). The dtype stays: lifts cast first where their source does."""
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=_accumulator(x)).astype(x.dtype)


@op
@silent
def prod(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Product over axes; 1 of nothing (trap R20)."""
    return np.prod(x, axis=axis, keepdims=keepdims, dtype=_accumulator(x)).astype(x.dtype)


@op
def max_(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Largest element over axes; NaN wins (trap A12), and there is none of nothing (trap R18)."""
    _refuse_empty(x, axis, "max")
    return np.max(x, axis=axis, keepdims=keepdims)


@op
def min_(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Smallest element over axes; NaN wins, and there is none of nothing."""
    _refuse_empty(x, axis, "min")
    return np.min(x, axis=axis, keepdims=keepdims)


@op(differentiable=False)
def any_(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any boolean over axes is True; False of nothing."""
    return np.any(x, axis=axis, keepdims=keepdims)


@op(differentiable=False)
def all_(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether all booleans over axes are True; True of nothing."""
    return np.all(x, axis=axis, keepdims=keepdims)


@op
@silent
def mean(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Mean over axes of a floating or complex tensor; NaN of nothing (trap R17)."""
    total = np.sum(x, axis=axis, keepdims=keepdims, dtype=_accumulator(x))
    return np.divide(total, float(_count(x.shape, axis))).astype(x.dtype)


@mean.decompose
def _(x: Value, *, axis: Axes, keepdims: bool) -> Value:
    wide = widened(x)
    count = product(wide.shape[i] for i in _axes(x.type, axis))
    return narrowed(divide(sum_(wide, axis=axis, keepdims=keepdims), count), x.dtype)


@op
@silent
def var(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False, correction: float = 0.0) -> Tensor:
    """Mean squared deviation from the mean over axes, of a floating tensor.

    Args:
        x: The data.
        axis: Axes to reduce.
        keepdims: Whether to keep them at size 1.
        correction: Subtracted from the number of elements in the divisor, which is at least 0: 1 is Bessel's.
    """
    wide = np.asarray(x, dtype=np.float64)
    count = float(_count(x.shape, axis))
    centre = np.divide(np.sum(wide, axis=axis, keepdims=True), count)
    squares = np.sum(np.square(wide - centre), axis=axis, keepdims=keepdims)
    return np.divide(squares, max(count - correction, 0.0)).astype(x.dtype)


@var.decompose
def _(x: Value, *, axis: Axes, keepdims: bool, correction: float) -> Value:
    wide = widened(x)
    squares = square(subtract(wide, mean(wide, axis=axis, keepdims=True)))
    count = product(wide.shape[i] for i in _axes(x.type, axis))
    total = sum_(squares, axis=axis, keepdims=keepdims)
    if isinstance(count, int):
        return narrowed(divide(total, max(count - correction, 0.0)), x.dtype)
    size = full(shape=(), value=count, dtype=wide.dtype)
    return narrowed(divide(total, maximum(subtract(size, correction), 0.0)), x.dtype)


@op
@silent
def logsumexp(x: Tensor, /, *, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """log(sum(exp(x))) over axes without overflow; -inf where all elements are, +inf where one is."""
    _refuse_empty(x, axis, "logsumexp")
    wide = np.asarray(x, dtype=np.float64)
    largest = np.max(wide, axis=axis, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0.0)
    total = np.log(np.sum(np.exp(wide - shift), axis=axis, keepdims=True)) + shift
    return (total if keepdims else np.squeeze(total, axis)).astype(x.dtype)


@logsumexp.decompose
def _(x: Value, *, axis: Axes, keepdims: bool) -> Value:
    wide = widened(x)
    largest = max_(wide, axis=axis, keepdims=True)
    shift = where(isfinite(largest), largest, 0.0)
    total = add(log(sum_(exp(subtract(wide, shift)), axis=axis, keepdims=True)), shift)
    return narrowed(total if keepdims else squeeze(total, axis=_axes(x.type, axis)), x.dtype)


@op(differentiable=False)
def argmax(x: Tensor, /, *, axis: int, keepdims: bool = False) -> Tensor:
    """Int64 position of the largest element along an axis: the first of equal ones (trap X03), NaN wins (trap X04)."""
    _refuse_empty(x, (axis,), "argmax")
    return np.argmax(x, axis=axis, keepdims=keepdims).astype(np.int64)


@op(differentiable=False)
def argmin(x: Tensor, /, *, axis: int, keepdims: bool = False) -> Tensor:
    """Int64 position of the smallest element along an axis: the first of equal ones, NaN wins."""
    _refuse_empty(x, (axis,), "argmin")
    return np.argmin(x, axis=axis, keepdims=keepdims).astype(np.int64)


def reduced(x: TensorType, axis: Axes, keepdims: bool) -> TensorType:
    """The type of x with axes reduced.

    Raises:
        TypeInferenceError: An axis does not exist or is named twice.
    """
    axes = _axes(x, axis)
    if keepdims:
        return x.with_shape(tuple(1 if i in axes else dim for i, dim in enumerate(x.shape)))
    return x.with_shape(tuple(dim for i, dim in enumerate(x.shape) if i not in axes))


def _axes(x: TensorType, axis: Axes) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.rank))
    if not isinstance(axis, tuple):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeInferenceError(f"axis is a tuple of axes or None, not {axis!r}. Write ({axis},).")
    return normalize_axes(axis, x.rank)


def _rule(accepts: Accepts, kind: str, *, empty: bool = True) -> Any:
    """The type rule of a reduction; with `empty` false, one over an axis of size 0 is refused."""

    def infer(x: TensorType, *, axis: Axes, keepdims: bool) -> TensorType:
        require(x, accepts, kind)
        result = reduced(x, axis, keepdims)
        if not empty:
            for i in _axes(x, axis):
                require_at_least(x.shape[i], 1, "a reduction without a value for nothing")
        return result

    return infer


def _position(x: TensorType, *, axis: int, keepdims: bool) -> TensorType:
    require(x, is_real, "integer and floating")
    require_at_least(x.shape[_axes(x, (axis,))[0]], 1, "a position on an axis")
    return reduced(x, (axis,), keepdims).with_dtype(DType.INT64)


@var.infer
def _(x: TensorType, *, axis: Axes, keepdims: bool, correction: float) -> TensorType:
    require(x, is_floating, "floating")
    return reduced(x, axis, keepdims)


for _op in (sum_, prod):
    _op.infer(_rule(is_numeric, "integer, floating and complex"))
for _op in (max_, min_):
    _op.infer(_rule(is_real, "integer and floating", empty=False))
for _op in (any_, all_):
    _op.infer(_rule(is_bool, "bool"))
mean.infer(_rule(is_inexact, "floating and complex"))
logsumexp.infer(_rule(is_floating, "floating", empty=False))
argmax.infer(_position)
argmin.infer(_position)


def _accumulator(x: NDArray[Any]) -> Any:
    """Float64 for narrower floats, else the dtype itself."""
    return np.result_type(x.dtype, np.float64) if x.dtype.kind in "fc" else x.dtype


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    return math.prod(shape if axis is None else (shape[i] for i in axis))


def _refuse_empty(x: NDArray[Any], axis: Axes, name: str) -> None:
    if _count(np.shape(x), axis) == 0:
        raise InputError(f"{name} cannot reduce axes {axis} of shape {np.shape(x)}: there is no element to take.")
