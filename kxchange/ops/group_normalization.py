"""Normalisation over groups of channels, over space, and over neighbouring channels."""

from __future__ import annotations

from functools import reduce

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.elementwise import add, divide, multiply, pow_, square
from kxchange.ops.joining import pad
from kxchange.ops.manipulation import reshape
from kxchange.ops.normalization import affine, require_shape, standardize, standardized
from kxchange.ops.operands import require_floating, same_dtype
from kxchange.ops.slicing import slice_
from kxchange.ops.spatial import spatial_axes
from kxchange.ops.window import Array, windows
from kxchange.shapes import normalize_axis, require_divides
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def group_norm(
    x: Tensor,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    /,
    *,
    groups: int,
    epsilon: float,
    channel_axis: int = 1,
) -> Tensor:
    """Normalise each group of consecutive channels, with its space, to mean 0 and variance 1; then scale and bias.

    Args:
        x: Floating tensor, [batch, channels, *spatial] (or channels last), any number of spatial axes.
        scale: [channels], not [groups] (trap N07).
        bias: [channels].
        groups: Number of groups; divides the channels.
        epsilon: Added to the variance.
        channel_axis: 1 or -1.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    split = moved.reshape(moved.shape[0], groups, -1)
    y = standardized(split, (-1,), epsilon).reshape(moved.shape)
    return np.moveaxis(_affine(y, scale, bias), 1, channel_axis)


@op
def instance_norm(
    x: Tensor,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    /,
    *,
    epsilon: float,
    channel_axis: int = 1,
) -> Tensor:
    """Normalise each channel of each sample over its space to mean 0 and variance 1; then scale and bias.

    Args:
        x: Floating tensor, [batch, channels, *spatial] (or channels last).
        scale: [channels].
        bias: [channels].
        epsilon: Added to the variance.
        channel_axis: 1 or -1.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    y = standardized(moved, tuple(range(2, moved.ndim)), epsilon)
    return np.moveaxis(_affine(y, scale, bias), 1, channel_axis)


def _affine(y: Array, scale: Array | None, bias: Array | None) -> Array:
    shape = (-1, *(1,) * (y.ndim - 2))
    y = y if scale is None else y * scale.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@group_norm.infer
def _(
    x: TensorType,
    scale: TensorType | None,
    bias: TensorType | None,
    /,
    *,
    groups: int,
    epsilon: float,
    channel_axis: int,
) -> TensorType:
    if x.rank < 2 or channel_axis not in (1, -1):
        raise TypeInferenceError(
            f"x needs 2 axes or more and channel_axis is 1 or -1, not {x.rank} and {channel_axis}."
        )
    require_divides(groups, x.shape[channel_axis], "channels in groups")
    _check_affine(x, scale, bias, channel_axis)
    return x


@instance_norm.infer
def _(
    x: TensorType, scale: TensorType | None, bias: TensorType | None, /, *, epsilon: float, channel_axis: int
) -> TensorType:
    spatial_axes(x, channel_axis)
    _check_affine(x, scale, bias, channel_axis)
    return x


def _check_affine(x: TensorType, scale: TensorType | None, bias: TensorType | None, channel_axis: int) -> None:
    require_shape(scale, (x.shape[channel_axis],), "scale")
    require_shape(bias, (x.shape[channel_axis],), "bias")
    same_dtype(x, scale, bias)
    require_floating(x, "x")


@group_norm.decompose
def _(x: Value, scale: Value | None, bias: Value | None, /, *, groups: int, epsilon: float, channel_axis: int) -> Value:
    axis = normalize_axis(channel_axis, x.ndim)
    channels = x.shape[axis]
    split = (*x.shape[:axis], groups, require_divides(groups, channels, "channels in groups"), *x.shape[axis + 1 :])
    reduced = tuple(position for position in range(1, x.ndim + 1) if position != axis)
    y = standardize(reshape(x, shape=split), reduced, epsilon)
    return affine(reshape(y, shape=x.shape), scale, bias, channel_axis)


@instance_norm.decompose
def _(x: Value, scale: Value | None, bias: Value | None, /, *, epsilon: float, channel_axis: int) -> Value:
    return affine(standardize(x, spatial_axes(x.type, channel_axis), epsilon), scale, bias, channel_axis)


@op
def local_response_norm(
    x: Tensor, /, *, size: int, alpha: float, beta: float, k: float, channel_axis: int = 1
) -> Tensor:
    """``x / (k + alpha / size * sum of x**2 over neighbouring channels) ** beta`` (trap C16).

    The neighbours of channel c are ``c - size // 2`` to ``c + (size - 1) // 2``, those that exist. (ONNX puts the
    extra neighbour of an even size behind, and its runtimes refuse even sizes.)

    Args:
        x: Floating tensor with an axis of channels.
        size: Number of channels summed.
        alpha: Weight of the sum; TensorFlow's is this over `size`.
        beta: Exponent.
        k: Constant in the base.
        channel_axis: Any axis of x.
    """
    squares = np.moveaxis(x * x, channel_axis, -1)
    around = windows(squares, (size,), (1,), (1,), (size // 2,), squares.shape[-1:])
    base = k + alpha / size * around.sum(axis=-1)
    return x / np.moveaxis(base, -1, channel_axis) ** beta


@local_response_norm.infer
def _(x: TensorType, /, *, size: int, alpha: float, beta: float, k: float, channel_axis: int) -> TensorType:
    normalize_axis(channel_axis, x.rank)
    require_floating(x, "x")
    if size < 1:
        raise TypeInferenceError(f"size must be at least 1, not {size}.")
    return x


@local_response_norm.decompose
def _(x: Value, /, *, size: int, alpha: float, beta: float, k: float, channel_axis: int) -> Value:
    axis = normalize_axis(channel_axis, x.ndim)
    padding = tuple((size // 2, (size - 1) // 2) if position == axis else (0, 0) for position in range(x.ndim))
    squares = pad(square(x), padding=padding)
    total = reduce(add, (_shifted(squares, axis, start, x.shape[axis]) for start in range(size)))
    return divide(x, pow_(add(multiply(total, alpha / size), float(k)), float(beta)))


def _shifted(x: Value, axis: int, start: int, length: Dim) -> Value:
    return slice_(x, starts=(start,), stops=(length + start,), steps=(1,), axes=(axis,))
