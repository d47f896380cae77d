"""Activation functions made of pieces: rectifiers, hard forms and shrinkage."""

from __future__ import annotations

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.activation import same_floating
from kxchange.ops.elementwise import (
    abs_,
    add,
    clip,
    divide,
    expm1,
    greater,
    greater_equal,
    less_equal,
    maximum,
    minimum,
    multiply,
    subtract,
    where,
)
from kxchange.ops.operands import require_floating, require_numeric, same_dtype
from kxchange.shapes import broadcast_shapes, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

SELU_ALPHA = 1.6732632423543772
"""Negative saturation of SELU before scaling, to the last bit of float64."""
SELU_SCALE = 1.0507009873554805
"""Scale of SELU, to the last bit of float64."""


@op
def relu(x: Tensor, /) -> Tensor:
    """``max(x, 0)``; NaN stays NaN (trap A09). Integers are allowed."""
    return np.maximum(x, 0)


@relu.decompose
def _(x: Value, /) -> Value:
    return maximum(x, 0)


@op
def relu6(x: Tensor, /) -> Tensor:
    """``min(max(x, 0), 6)``. Integers are allowed."""
    return np.minimum(np.maximum(x, 0), 6)


@relu6.decompose
def _(x: Value, /) -> Value:
    return clip(x, 0, 6)


@op
def leaky_relu(x: Tensor, /, *, negative_slope: float) -> Tensor:
    """Keep x where positive, ``negative_slope * x`` elsewhere; frameworks' defaults differ (trap A04)."""
    return where(x > 0, x, negative_slope * x)


@leaky_relu.infer
def _(x: TensorType, /, *, negative_slope: float) -> TensorType:
    return same_floating(x)


@leaky_relu.decompose
def _(x: Value, /, *, negative_slope: float) -> Value:
    return where(greater(x, 0.0), x, multiply(x, float(negative_slope)))


@op
def prelu(x: Tensor, slope: Tensor, /) -> Tensor:
    """Keep x where not negative, ``slope * x`` elsewhere.

    Args:
        x: Floating tensor.
        slope: Learned slopes, already shaped to broadcast to x: [C, 1, 1] per channel of NCHW (trap C17).
    """
    return where(x >= 0, x, slope * x)


@prelu.infer
def _(x: TensorType, slope: TensorType, /) -> TensorType:
    same_dtype(x, slope)
    require_floating(x, "x")
    shape = broadcast_shapes(x.shape, slope.shape)
    if len(shape) != x.rank:
        raise TypeInferenceError(f"slope {slope} has more axes than x {x}.")
    for axis, (size, common) in enumerate(zip(x.shape, shape, strict=True)):
        require_equal(size, common, f"slope must broadcast to x, axis {axis}")
    return x


@prelu.decompose
def _(x: Value, slope: Value, /) -> Value:
    return where(greater_equal(x, 0.0), x, multiply(x, slope))


@op
def thresholded_relu(x: Tensor, /, *, alpha: float) -> Tensor:
    """Keep x where greater than alpha, 0 elsewhere; NaN stays NaN."""
    return where(x <= alpha, 0, x)


@thresholded_relu.infer
def _(x: TensorType, /, *, alpha: float) -> TensorType:
    return same_floating(x)


@thresholded_relu.decompose
def _(x: Value, /, *, alpha: float) -> Value:
    return where(less_equal(x, float(alpha)), 0.0, x)


@op
def elu(x: Tensor, /, *, alpha: float = 1.0) -> Tensor:
    """Keep x where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    return where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@elu.infer
def _(x: TensorType, /, *, alpha: float) -> TensorType:
    return same_floating(x)


@elu.decompose
def _(x: Value, /, *, alpha: float) -> Value:
    return where(greater(x, 0.0), x, multiply(expm1(minimum(x, 0.0)), float(alpha)))


@op
def celu(x: Tensor, /, *, alpha: float = 1.0) -> Tensor:
    """Keep x where positive, ``alpha * (exp(x / alpha) - 1)`` elsewhere: not elu (trap A05)."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


@celu.infer
def _(x: TensorType, /, *, alpha: float) -> TensorType:
    if alpha == 0:
        raise TypeInferenceError("alpha cannot be 0.")
    return same_floating(x)


@celu.decompose
def _(x: Value, /, *, alpha: float) -> Value:
    return where(greater(x, 0.0), x, multiply(expm1(divide(minimum(x, 0.0), float(alpha))), float(alpha)))


@op
def selu(x: Tensor, /) -> Tensor:
    """``scale * elu(x, alpha)`` with the constants that keep mean 0 and variance 1 (Klambauer et al., 2017)."""
    return SELU_SCALE * where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))


@selu.decompose
def _(x: Value, /) -> Value:
    return multiply(elu(x, alpha=SELU_ALPHA), SELU_SCALE)


@op
def hard_sigmoid(x: Tensor, /, *, alpha: float = 1 / 6, beta: float = 0.5) -> Tensor:
    """``alpha * x + beta`` clipped to [0, 1]; alpha is 0.2 in ONNX and Keras 2 (trap A03)."""
    return np.clip(alpha * x + beta, 0, 1)


@hard_sigmoid.infer
def _(x: TensorType, /, *, alpha: float, beta: float) -> TensorType:
    return same_floating(x)


@hard_sigmoid.decompose
def _(x: Value, /, *, alpha: float, beta: float) -> Value:
    return clip(add(multiply(x, float(alpha)), float(beta)), 0.0, 1.0)


@op
def hard_swish(x: Tensor, /) -> Tensor:
    """``x * hard_sigmoid(x)``, with the default alpha 1/6 and beta 1/2."""
    return x * np.clip(x + 3, 0, 6) / 6


@hard_swish.decompose
def _(x: Value, /) -> Value:
    return multiply(x, hard_sigmoid(x))


@op
def hard_tanh(x: Tensor, /, *, min: float = -1.0, max: float = 1.0) -> Tensor:
    """Clip x to [min, max]."""
    return np.clip(x, min, max)


@hard_tanh.infer
def _(x: TensorType, /, *, min: float, max: float) -> TensorType:
    if min > max:
        raise TypeInferenceError(f"min {min} is greater than max {max}.")
    return same_floating(x)


@hard_tanh.decompose
def _(x: Value, /, *, min: float, max: float) -> Value:
    return clip(x, float(min), float(max))


@op
def soft_shrink(x: Tensor, /, *, lambda_: float) -> Tensor:
    """Move x by `lambda_` towards 0; 0 within ``[-lambda_, lambda_]``."""
    return x - np.clip(x, -lambda_, lambda_)


@soft_shrink.infer
def _(x: TensorType, /, *, lambda_: float) -> TensorType:
    _check_shrinkage(lambda_)
    return same_floating(x)


@soft_shrink.decompose
def _(x: Value, /, *, lambda_: float) -> Value:
    return subtract(x, clip(x, -float(lambda_), float(lambda_)))


@op
def hard_shrink(x: Tensor, /, *, lambda_: float) -> Tensor:
    """Keep x, but 0 within ``[-lambda_, lambda_]``; NaN stays NaN."""
    return where(np.abs(x) <= lambda_, 0, x)


@hard_shrink.infer
def _(x: TensorType, /, *, lambda_: float) -> TensorType:
    _check_shrinkage(lambda_)
    return same_floating(x)


@hard_shrink.decompose
def _(x: Value, /, *, lambda_: float) -> Value:
    return where(less_equal(abs_(x), float(lambda_)), 0.0, x)


def _check_shrinkage(lambda_: float) -> None:
    if lambda_ < 0:
        raise TypeInferenceError(f"lambda_ cannot be negative, {lambda_}.")


def _same_real(x: TensorType, /) -> TensorType:
    require_numeric(x, "x")
    if x.dtype.is_complex:
        raise TypeInferenceError(f"{x.dtype.value} has no order.")
    return x


for _op in (relu, relu6):
    _op.infer(_same_real)
for _op in (selu, hard_swish):
    _op.infer(same_floating)
