"""Softmax and its logarithm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kxchange.graph import Value
from kxchange.ops.elementwise import divide, exp, log, subtract
from kxchange.ops.manipulation import expand_dims, squeeze
from kxchange.ops.operands import require_floating
from kxchange.ops.reduction import max_, sum_
from kxchange.ops.window import Array
from kxchange.shapes import normalize_axis
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def softmax(x: Tensor, /, *, axis: int) -> Tensor:
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow.

    Where all of an axis is minus infinity the result is NaN (trap A07). A tensor of rank 0 counts as an axis of one
    element (trap R21).

    Args:
        x: Floating tensor.
        axis: The axis that sums to 1; there is no default, frameworks disagree (trap A06).
    """
    if x.ndim == 0:
        return softmax.reference(x[None], axis=axis)[0]
    exponentials = np.exp(_shifted(x, axis))
    with np.errstate(invalid="ignore"):
        return exponentials / exponentials.sum(axis=axis, keepdims=True)


@op
def log_softmax(x: Tensor, /, *, axis: int) -> Tensor:
    """``log(softmax(x))``, finite where softmax underflows (trap A08).

    Args:
        x: Floating tensor; rank 0 counts as an axis of one element.
        axis: The axis along which the exponentials sum to 1.
    """
    if x.ndim == 0:
        return log_softmax.reference(x[None], axis=axis)[0]
    shifted = _shifted(x, axis)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def _shifted(x: Array, axis: int) -> Array:
    with np.errstate(invalid="ignore"):
        return x - x.max(axis=axis, keepdims=True, initial=-np.inf)


def _same_type(x: TensorType, /, *, axis: int) -> TensorType:
    require_floating(x, "x")
    normalize_axis(axis, max(x.rank, 1))
    return x


softmax.infer(_same_type)
log_softmax.infer(_same_type)


@softmax.decompose
def _(x: Value, /, *, axis: int) -> Value:
    return _along(x, axis, _softmax)


@log_softmax.decompose
def _(x: Value, /, *, axis: int) -> Value:
    return _along(x, axis, _log_softmax)


def _along(x: Value, axis: int, function: Callable[[Value, tuple[int]], Value]) -> Value:
    """Apply along an axis; rank 0 is given one for the time."""
    return function(x, (axis,)) if x.ndim else squeeze(function(expand_dims(x, axis=(0,)), (0,)), axis=(0,))


def _softmax(x: Value, axis: tuple[int]) -> Value:
    powers = exp(subtract(x, max_(x, axis=axis, keepdims=True)))
    return divide(powers, sum_(powers, axis=axis, keepdims=True))


def _log_softmax(x: Value, axis: tuple[int]) -> Value:
    shifted = subtract(x, max_(x, axis=axis, keepdims=True))
    return subtract(shifted, log(sum_(exp(shifted), axis=axis, keepdims=True)))
