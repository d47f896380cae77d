"""Normalisation with statistics that are given or taken over trailing axes; `group_normalization` has the others.

Variances are biased and computed from centered values, never as ``mean(x**2) - mean(x)**2`` (trap N04). `epsilon` has
no default: frameworks' defaults differ (trap N01).
"""

from __future__ import annotations

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.elementwise import add, divide, maximum, multiply, sqrt, square, subtract
from kxchange.ops.manipulation import reshape
from kxchange.ops.operands import require_floating, same_dtype
from kxchange.ops.reduction import mean, sum_
from kxchange.ops.window import Array
from kxchange.shapes import normalize_axes, normalize_axis, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    /,
    *,
    epsilon: float,
    channel_axis: int = 1,
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, per channel, with the statistics given.

    Args:
        x: Floating tensor with an axis of channels.
        mean: [channels].
        variance: [channels].
        scale: [channels].
        bias: [channels].
        epsilon: Added to the variance.
        channel_axis: Any axis of x.
    """
    shape = _along_axis(x.ndim, channel_axis)
    y = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + epsilon)
    y = y if scale is None else y * scale.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _along_axis(rank: int, axis: int) -> tuple[int, ...]:
    """The shape that lays a vector along one axis."""
    return tuple(-1 if position == axis % rank else 1 for position in range(rank))


@batch_norm.infer
def _(
    x: TensorType,
    mean: TensorType,
    variance: TensorType,
    scale: TensorType | None,
    bias: TensorType | None,
    /,
    *,
    epsilon: float,
    channel_axis: int,
) -> TensorType:
    size = x.shape[normalize_axis(channel_axis, x.rank)]
    for name, vector in {"mean": mean, "variance": variance, "scale": scale, "bias": bias}.items():
        require_shape(vector, (size,), name)
    same_dtype(x, mean, variance, scale, bias)
    require_floating(x, "x")
    return x


def require_shape(type: TensorType | None, shape: tuple[Dim, ...], operand: str) -> None:
    """Demand exactly `shape` of an operand that is present.

    Raises:
        TypeInferenceError: It has another.
    """
    if type is None:
        return
    if type.rank != len(shape):
        raise TypeInferenceError(f"{operand} must have {len(shape)} axes, not {type.rank}.")
    for axis, (size, wanted) in enumerate(zip(type.shape, shape, strict=True)):
        require_equal(wanted, size, f"{operand}, axis {axis}")


@batch_norm.decompose
def _(
    x: Value,
    mean: Value,
    variance: Value,
    scale: Value | None,
    bias: Value | None,
    /,
    *,
    epsilon: float,
    channel_axis: int,
) -> Value:
    deviation = sqrt(add(along(variance, x.ndim, channel_axis), float(epsilon)))
    y = divide(subtract(x, along(mean, x.ndim, channel_axis)), deviation)
    return affine(y, scale, bias, channel_axis)


def along(vector: Value, rank: int, axis: int) -> Value:
    """A vector laid along one axis of a tensor of `rank`; unchanged where broadcasting does that."""
    size = vector.shape[0]
    shape = tuple(size if length == -1 else 1 for length in _along_axis(rank, axis))
    return vector if axis % rank == rank - 1 else reshape(vector, shape=shape)


def affine(y: Value, scale: Value | None, bias: Value | None, channel_axis: int) -> Value:
    """``y * scale + bias`` per channel, each where present."""
    y = y if scale is None else multiply(y, along(scale, y.ndim, channel_axis))
    return y if bias is None else add(y, along(bias, y.ndim, channel_axis))


@op
def layer_norm(
    x: Tensor, scale: Tensor | None = None, bias: Tensor | None = None, /, *, axes: int = 1, epsilon: float
) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias`` with mean and variance of the trailing axes.

    Args:
        x: Floating tensor.
        scale: The sizes of the trailing axes.
        bias: The sizes of the trailing axes.
        axes: Number of trailing axes.
        epsilon: Added to the variance.
    """
    y = standardized(x, tuple(range(-axes, 0)), epsilon)
    y = y if scale is None else y * scale
    return y if bias is None else y + bias


def standardized(x: Array, axis: tuple[int, ...], epsilon: float) -> Array:
    """Mean 0 and variance 1 over `axis`, in two passes."""
    centered = x - x.mean(axis=axis, keepdims=True)
    return centered / np.sqrt((centered * centered).mean(axis=axis, keepdims=True) + epsilon)


@layer_norm.infer
def _(x: TensorType, scale: TensorType | None, bias: TensorType | None, /, *, axes: int, epsilon: float) -> TensorType:
    _require_trailing(x, axes, scale=scale, bias=bias)
    return x


def _require_trailing(x: TensorType, axes: int, **operands: TensorType | None) -> None:
    if not 1 <= axes <= x.rank:
        raise TypeInferenceError(f"axes is the number of trailing axes, 1 to {x.rank} here, not {axes}.")
    for name, type in operands.items():
        require_shape(type, x.shape[x.rank - axes :], name)
    same_dtype(x, *operands.values())
    require_floating(x, "x")


@layer_norm.decompose
def _(x: Value, scale: Value | None, bias: Value | None, /, *, axes: int, epsilon: float) -> Value:
    y = standardize(x, tuple(range(-axes, 0)), epsilon)
    y = y if scale is None else multiply(y, scale)
    return y if bias is None else add(y, bias)


def standardize(x: Value, axis: tuple[int, ...], epsilon: float) -> Value:
    """`standardized`, written in graph ops."""
    centered = subtract(x, mean(x, axis=axis, keepdims=True))
    variance = mean(square(centered), axis=axis, keepdims=True)
    return divide(centered, sqrt(add(variance, float(epsilon))))


@op
def rms_norm(x: Tensor, scale: Tensor | None = None, /, *, axes: int = 1, epsilon: float) -> Tensor:
    """``x / sqrt(mean(x**2) + epsilon) * scale`` over the trailing axes.

    A scale stored as ``1 + weight`` (trap N08) is that sum in the graph, not folded.

    Args:
        x: Floating tensor.
        scale: The sizes of the trailing axes.
        axes: Number of trailing axes.
        epsilon: Added to the mean square.
    """
    square_mean = (x * x).mean(axis=tuple(range(-axes, 0)), keepdims=True)
    y = x / np.sqrt(square_mean + epsilon)
    return y if scale is None else y * scale


@rms_norm.infer
def _(x: TensorType, scale: TensorType | None, /, *, axes: int, epsilon: float) -> TensorType:
    _require_trailing(x, axes, scale=scale)
    return x


@rms_norm.decompose
def _(x: Value, scale: Value | None, /, *, axes: int, epsilon: float) -> Value:
    power = mean(square(x), axis=tuple(range(-axes, 0)), keepdims=True)
    y = divide(x, sqrt(add(power, float(epsilon))))
    return y if scale is None else multiply(y, scale)


@op
def l2_normalize(x: Tensor, /, *, axis: tuple[int, ...], epsilon: float) -> Tensor:
    """``x / max(norm, epsilon)`` with the Euclidean norm over `axis`: the norm is clamped, not its square (trap N06).

    Args:
        x: Floating tensor.
        axis: Axes that the norm is taken over.
        epsilon: Least divisor.
    """
    return x / np.maximum(np.sqrt((x * x).sum(axis=axis, keepdims=True)), epsilon)


@l2_normalize.infer
def _(x: TensorType, /, *, axis: tuple[int, ...], epsilon: float) -> TensorType:
    normalize_axes(axis, x.rank)
    require_floating(x, "x")
    return x


@l2_normalize.decompose
def _(x: Value, /, *, axis: tuple[int, ...], epsilon: float) -> Value:
    return divide(x, maximum(sqrt(sum_(square(x), axis=axis, keepdims=True)), float(epsilon)))


@op(widen=False)
def dropout(x: Tensor, /, *, rate: float) -> Tensor:
    """The identity; a target that trains drops elements with this probability (trap A13).

    Args:
        x: Floating tensor.
        rate: Probability that an element is dropped, 0 to 1.
    """
    return x


@dropout.infer
def _(x: TensorType, /, *, rate: float) -> TensorType:
    if not 0 <= rate <= 1:
        raise TypeInferenceError(f"rate must lie between 0 and 1, not at {rate}.")
    require_floating(x, "x")
    return x


@dropout.decompose
def _(x: Value, /, *, rate: float) -> Value:
    return x
