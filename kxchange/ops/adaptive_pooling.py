"""Pools whose windows follow from the output size.

Bin i of n covers the elements from ``floor(i * size / n)`` up to ``ceil((i + 1) * size / n)``.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim, divide_exact
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.creation import constant
from kxchange.ops.elementwise import (
    add,
    astype,
    divide,
    floor_divide,
    less,
    less_equal,
    logical_and,
    multiply,
    where,
)
from kxchange.ops.indexing import take
from kxchange.ops.manipulation import expand_dims, permute_dims
from kxchange.ops.operands import require_floating, require_numeric
from kxchange.ops.pooling import avg_pool, max_pool
from kxchange.ops.positions import positions
from kxchange.ops.reduction import max_, mean, sum_
from kxchange.ops.separable import dense, mix
from kxchange.ops.spatial import Dims, Ints, arranged, spatial_axes, windowed_sizes
from kxchange.ops.window import Array
from kxchange.shapes import require_at_least
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def adaptive_avg_pool(x: Tensor, /, *, output_size: Dims, channel_axis: int = 1) -> Tensor:
    """Mean of each of `output_size` bins per spatial axis; bins overlap where sizes do not divide (trap C15).

    Args:
        x: [batch, channels, *spatial] (or channels last), one to three spatial axes, floating.
        output_size: Bins per spatial axis; may be symbolic.
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *output_size] in the layout of x.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    for axis, count in enumerate(cast("Ints", output_size), start=2):
        places, inside = _bins(moved.shape[axis], count)
        taken = np.take(np.moveaxis(moved, axis, -1), places, axis=-1)
        sums = np.where(inside, taken, 0).sum(axis=-1) / inside.sum(axis=1).astype(x.dtype)
        moved = np.moveaxis(sums, -1, axis)
    return np.moveaxis(moved, 1, channel_axis)


@op
def adaptive_max_pool(x: Tensor, /, *, output_size: Dims, channel_axis: int = 1) -> Tensor:
    """Greatest element of each of `output_size` bins per spatial axis; the bins are those of `adaptive_avg_pool`.

    Args:
        x: [batch, channels, *spatial] (or channels last), one to three spatial axes, real numbers.
        output_size: Bins per spatial axis; may be symbolic.
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *output_size] in the layout of x; NaN wins.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    for axis, count in enumerate(cast("Ints", output_size), start=2):
        places, _ = _bins(moved.shape[axis], count)
        moved = np.take(moved, places, axis=axis).max(axis=axis + 1)
    return np.moveaxis(moved, 1, channel_axis)


@adaptive_avg_pool.infer
def _(x: TensorType, /, *, output_size: Dims, channel_axis: int) -> TensorType:
    require_floating(x, "x")
    return _adapted(x, output_size, channel_axis)


@adaptive_max_pool.infer
def _(x: TensorType, /, *, output_size: Dims, channel_axis: int) -> TensorType:
    require_numeric(x, "x")
    if x.dtype.is_complex:
        raise TypeInferenceError(f"{x.dtype.value} has no order.")
    return _adapted(x, output_size, channel_axis)


def _adapted(x: TensorType, output_size: Dims, channel_axis: int) -> TensorType:
    for size in windowed_sizes(x, channel_axis, output_size=output_size):
        require_at_least(size, 1, "bins cover at least one element")
    for count in output_size:
        require_at_least(count, 1, "output_size must be positive")
    return x.with_shape(arranged(x.shape[0], x.shape[channel_axis], output_size, channel_axis))


def _bins(size: int, count: int) -> tuple[Array, Array]:
    """Indices under each bin, [count, longest bin], the last one repeated, and which of them are no repetition."""
    i = np.arange(count)
    starts, stops = i * size // count, -(-(i + 1) * size // count)
    places = starts[:, None] + np.arange(int((stops - starts).max(initial=1)))
    return np.minimum(places, stops[:, None] - 1), places < stops[:, None]


@adaptive_avg_pool.decompose
def _(x: Value, /, *, output_size: Dims, channel_axis: int) -> Value:
    axes = spatial_axes(x.type, channel_axis)
    if all(count == 1 for count in output_size):
        return mean(x, axis=axes, keepdims=True)
    if windows := _even_windows(x.type, axes, output_size):
        padding = ((0, 0),) * len(axes)
        return avg_pool(x, window=windows, strides=windows, padding=padding, channel_axis=channel_axis)
    for axis, count in zip(axes, output_size, strict=True):
        x = _average(x, axis, count)
    return x


@adaptive_max_pool.decompose
def _(x: Value, /, *, output_size: Dims, channel_axis: int) -> Value:
    axes = spatial_axes(x.type, channel_axis)
    if windows := _even_windows(x.type, axes, output_size):
        ones = (1,) * len(axes)
        padding = ((0, 0),) * len(axes)
        return max_pool(x, window=windows, strides=windows, padding=padding, dilations=ones, channel_axis=channel_axis)
    for axis, count in zip(axes, output_size, strict=True):
        x = _greatest(x, axis, count)
    return x


def _average(x: Value, axis: int, count: Dim) -> Value:
    if x.shape[axis] == count:
        return x
    if count == 1:
        return mean(x, axis=(axis,), keepdims=True)
    size = x.shape[axis]
    if not (isinstance(size, int) and isinstance(count, int)):
        covers = astype(_covers(size, count), dtype=x.dtype)
        return mix(x, divide(covers, sum_(covers, axis=(1,), keepdims=True)), axis)
    places, inside = _bins(size, count)
    return mix(x, dense(places, inside / inside.sum(axis=1, keepdims=True), size), axis)


def _greatest(x: Value, axis: int, count: Dim) -> Value:
    if x.shape[axis] == count:
        return x
    if count == 1:
        return max_(x, axis=(axis,), keepdims=True)
    size = x.shape[axis]
    if not (isinstance(size, int) and isinstance(count, int)):
        return _greatest_covered(x, axis, _covers(size, count))
    places, _ = _bins(size, count)
    return max_(take(x, constant(value=Constant(places)), axis=axis), axis=(axis + 1,))


def _covers(size: Dim, count: Dim) -> Value:
    """Whether bin i covers element j, [count, size], for sizes that are not known."""
    bins = expand_dims(positions(count), axis=(1,))
    elements = positions(size)
    before = multiply(bins, size)
    started = less_equal(floor_divide(before, count), elements)
    return logical_and(started, less(elements, floor_divide(add(before, size + count - 1), count)))


def _greatest_covered(x: Value, axis: int, covers: Value) -> Value:
    lowest = -math.inf if x.dtype.is_floating else int(np.iinfo(x.dtype.numpy).min)
    order = (*(i for i in range(x.ndim) if i != axis), axis)
    back = tuple(int(i) for i in np.argsort(order))
    rows = expand_dims(permute_dims(x, axes=order), axis=(x.ndim - 1,))
    return permute_dims(max_(where(covers, rows, lowest), axis=(-1,)), axes=back)


def _even_windows(x: TensorType, axes: Ints, counts: Dims) -> Ints | None:
    """The window per axis where sizes are known and divide evenly."""
    windows: list[int] = []
    for axis, count in zip(axes, counts, strict=True):
        quotient = divide_exact(x.shape[axis], count)
        if not isinstance(quotient, int):
            return None
        windows.append(quotient)
    return tuple(windows)
