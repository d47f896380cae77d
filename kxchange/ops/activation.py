"""Smooth activation functions: floating in, the same type out; `rectifier` has the piecewise ones."""

from __future__ import annotations

import math

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.elementwise import (
    abs_,
    add,
    divide,
    erfc,
    greater,
    logaddexp,
    multiply,
    negative,
    subtract,
    tanh,
    where,
)
from kxchange.ops.joining import split
from kxchange.ops.operands import axis_of, replace_axis, require_floating
from kxchange.shapes import require_divides
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

_ROOT_HALF = math.sqrt(0.5)
_ROOT_2_OVER_PI = math.sqrt(2 / math.pi)


def same_floating(x: TensorType, /) -> TensorType:
    """Type rule of an elementwise op on floating tensors: the operand's type."""
    require_floating(x, "x")
    return x


@op
def sigmoid(x: Tensor, /) -> Tensor:
    """``1 / (1 + exp(-x))``, accurate in both tails."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


@op
def log_sigmoid(x: Tensor, /) -> Tensor:
    """``log(sigmoid(x))``, finite where sigmoid underflows."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@log_sigmoid.decompose
def _(x: Value, /) -> Value:
    return negative(logaddexp(negative(x), 0.0))


@op
def silu(x: Tensor, /) -> Tensor:
    """``x * sigmoid(x)``, also called swish."""
    return x * sigmoid(x)


@silu.decompose
def _(x: Value, /) -> Value:
    return multiply(x, sigmoid(x))


@op
def gelu(x: Tensor, /, *, approximate: str = "none") -> Tensor:
    """Gaussian error linear unit, ``x * Phi(x)`` with Phi the normal distribution function (traps A01, A02).

    Args:
        x: Floating tensor.
        approximate: ``none``, or ``tanh`` for ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3))) / 2``.
    """
    if approximate == "tanh":
        return x * sigmoid(2 * _ROOT_2_OVER_PI * (x + 0.044715 * x * x * x))
    return x * (0.5 * erfc(-x * _ROOT_HALF))


@gelu.infer
def _(x: TensorType, /, *, approximate: str) -> TensorType:
    if approximate not in ("none", "tanh"):
        raise TypeInferenceError(f"approximate {approximate!r} is unknown; use 'none' or 'tanh'.")
    return same_floating(x)


@gelu.decompose
def _(x: Value, /, *, approximate: str) -> Value:
    if approximate == "none":
        return multiply(multiply(x, 0.5), erfc(multiply(x, -_ROOT_HALF)))
    cubic = multiply(multiply(multiply(x, x), 0.044715), x)
    # (1 + tanh(u)) / 2 cancels in the left tail; sigmoid(2 * u) is the same number.
    return multiply(x, sigmoid(multiply(add(x, cubic), 2 * _ROOT_2_OVER_PI)))


@op
def softplus(x: Tensor, /, *, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """``log(1 + exp(beta * x)) / beta``, and x itself where ``beta * x > threshold``.

    Args:
        x: Floating tensor.
        beta: Steepness, not 0.
        threshold: Where the linear part begins; infinite for the exact function everywhere.
    """
    scaled = beta * x
    return where(scaled > threshold, x, (np.maximum(scaled, 0) + np.log1p(np.exp(-np.abs(scaled)))) / beta)


@softplus.infer
def _(x: TensorType, /, *, beta: float, threshold: float) -> TensorType:
    if beta == 0:
        raise TypeInferenceError("beta cannot be 0.")
    return same_floating(x)


@softplus.decompose
def _(x: Value, /, *, beta: float, threshold: float) -> Value:
    scaled = multiply(x, float(beta))
    exact = divide(logaddexp(scaled, 0.0), float(beta))
    return exact if threshold == math.inf else where(greater(scaled, float(threshold)), x, exact)


@op
def softsign(x: Tensor, /) -> Tensor:
    """``x / (1 + |x|)``."""
    return x / (1 + np.abs(x))


@softsign.decompose
def _(x: Value, /) -> Value:
    return divide(x, add(abs_(x), 1.0))


@op
def mish(x: Tensor, /) -> Tensor:
    """``x * tanh(log(1 + exp(x)))``."""
    return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@mish.decompose
def _(x: Value, /) -> Value:
    return multiply(x, tanh(logaddexp(x, 0.0)))


@op
def tanh_shrink(x: Tensor, /) -> Tensor:
    """``x - tanh(x)``."""
    return x - np.tanh(x)


@tanh_shrink.decompose
def _(x: Value, /) -> Value:
    return subtract(x, tanh(x))


@op
def glu(x: Tensor, /, *, axis: int) -> Tensor:
    """Gated linear unit: the first half of `axis` times the sigmoid of the second half."""
    first, second = np.split(x, 2, axis=axis)
    return first * sigmoid(second)


@glu.infer
def _(x: TensorType, /, *, axis: int) -> TensorType:
    require_floating(x, "x")
    position, size = axis_of(x, axis)
    return replace_axis(x, position, require_divides(2, size, "glu halves its axis"))


@glu.decompose
def _(x: Value, /, *, axis: int) -> Value:
    half = x.shape[axis] // 2
    first, second = split(x, sizes=(half, half), axis=axis)
    return multiply(first, sigmoid(second))


for _op in (sigmoid, log_sigmoid, silu, softsign, mish, tanh_shrink):
    _op.infer(same_floating)
