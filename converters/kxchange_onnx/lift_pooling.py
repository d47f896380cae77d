"""Pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim, dim_max
from kxchange.graph import Value
from kxchange.ops.joining import integer_range
from kxchange.ops.spatial import window_dims
from kxchange.shapes import product
from kxchange_onnx.lift import lift, refuse, wants
from kxchange_onnx.operands_in import dims
from kxchange_onnx.windows_in import Pairs, Window, window

Ints = Sequence[int] | None


@lift.rule("MaxPool")
def _(x: Value, *, auto_pad: str, kernel_shape: Sequence[int], pads: Ints, strides: Ints) -> Value:
    return max_pooled(x, window(x, kernel_shape, strides, None, pads, auto_pad), False)


@lift.rule("MaxPool", since=8)
def _(
    x: Value, *, auto_pad: str, kernel_shape: Sequence[int], pads: Ints, strides: Ints, storage_order: int
) -> tuple[Value, ...]:
    return _max_pool_with_places(x, window(x, kernel_shape, strides, None, pads, auto_pad), False, storage_order)


@lift.rule("MaxPool", since=10)
def _(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints,
    kernel_shape: Sequence[int],
    pads: Ints,
    storage_order: int,
    strides: Ints,
) -> tuple[Value, ...]:
    place = window(x, kernel_shape, strides, dilations, pads, auto_pad)
    return _max_pool_with_places(x, place, bool(ceil_mode), storage_order)


def max_pooled(x: Value, place: Window, ceil_mode: bool) -> Value:
    """The maximum over windows, channels in front."""
    return ops.max_pool(
        x,
        window=place.sizes,
        strides=place.strides,
        padding=place.padding,
        dilations=place.dilations,
        ceil_mode=ceil_mode,
    )


def _max_pool_with_places(x: Value, place: Window, ceil_mode: bool, column_major: int) -> tuple[Value, ...]:
    pooled = max_pooled(x, place, ceil_mode)
    return (pooled, _places(x, place, ceil_mode, column_major)) if wants(1) else (pooled,)


def _places(x: Value, place: Window, ceil_mode: bool, column_major: int) -> Value:
    """Where each greatest element stands in the whole tensor, counted flat."""
    spatial = x.shape[2:]
    counts = window_dims(spatial, place.sizes, place.strides, place.padding, place.dilations, ceil_mode=ceil_mode)
    if any(not isinstance(size, int) for size in (*x.shape, *counts)):
        return refuse(f"the positions of its greatest elements need known sizes, not {x.type}")
    flat, numbers = _tap_tables(spatial, counts, place, column_major)
    length = int(np.prod(spatial))
    lowest = -math.inf if x.dtype.is_floating else integer_range(x.dtype)[0]
    rows = ops.pad(ops.reshape(x, shape=(*x.shape[:2], length)), padding=((0, 0), (0, 0), (0, 1)), value=lowest)
    taps = ops.take(rows, _constant(flat), axis=2)
    best = ops.expand_dims(ops.argmax(taps, axis=3), axis=(3,))
    spots = ops.take_along_axis(_constant(numbers[None, None]), best, axis=3)
    planes = np.arange(int(x.shape[0]) * int(x.shape[1])).reshape(*x.shape[:2], 1, 1) * length
    return ops.reshape(ops.add(spots, _constant(planes)), shape=(*x.shape[:2], *counts))


def _constant(array: Any) -> Value:
    return ops.constant(value=Constant(np.asarray(array, dtype=np.int64)))


def _tap_tables(
    spatial: Sequence[Any], counts: Sequence[Any], place: Window, column_major: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each window and tap: the flat position to read (one behind the end for padding), and the one to report."""
    axes: list[np.ndarray] = []
    for count, size, step, gap, (before, _) in zip(
        counts, place.sizes, place.strides, place.dilations, place.padding, strict=True
    ):
        axes.append(np.arange(count)[:, None] * step - int(before) + np.arange(size)[None] * gap)  # type: ignore[arg-type]
    rank = len(axes)
    grids = [
        a.reshape([a.shape[i // rank] if i % rank == n else 1 for i in range(2 * rank)]) for n, a in enumerate(axes)
    ]
    whole = [np.broadcast_to(g, tuple(counts) + place.sizes) for g in grids]
    inside = np.logical_and.reduce([(g >= 0) & (g < size) for g, size in zip(whole, spatial, strict=True)])
    clipped = [np.clip(g, 0, size - 1) for g, size in zip(whole, spatial, strict=True)]
    flat = np.ravel_multi_index(tuple(clipped), tuple(spatial))
    numbers = np.ravel_multi_index(tuple(clipped), tuple(spatial), order="F") if column_major else flat
    shape = (int(np.prod(counts)), int(np.prod(place.sizes)))
    return np.where(inside, flat, int(np.prod(spatial))).reshape(shape), numbers.reshape(shape)


@lift.rule("AveragePool")
def _(x: Value, *, auto_pad: str, kernel_shape: Sequence[int], pads: Ints, strides: Ints) -> Value:
    return _average(x, window(x, kernel_shape, strides, None, pads, auto_pad), False, False)


@lift.rule("AveragePool", since=7)
def _(
    x: Value, *, auto_pad: str, count_include_pad: int, kernel_shape: Sequence[int], pads: Ints, strides: Ints
) -> Value:
    return _average(x, window(x, kernel_shape, strides, None, pads, auto_pad), False, bool(count_include_pad))


@lift.rule("AveragePool", since=10)
def _(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    kernel_shape: Sequence[int],
    pads: Ints,
    strides: Ints,
) -> Value:
    place = window(x, kernel_shape, strides, None, pads, auto_pad)
    return _average(x, place, bool(ceil_mode), bool(count_include_pad))


@lift.rule("AveragePool", since=19)
def _(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: Ints,
    kernel_shape: Sequence[int],
    pads: Ints,
    strides: Ints,
) -> Value:
    place = window(x, kernel_shape, strides, dilations, pads, auto_pad)
    return _average(x, place, bool(ceil_mode), bool(count_include_pad))


def _average(x: Value, place: Window, ceil_mode: bool, include: bool) -> Value:
    if all(gap == 1 for gap in place.dilations):
        return ops.avg_pool(
            x,
            window=place.sizes,
            strides=place.strides,
            padding=place.padding,
            ceil_mode=ceil_mode,
            count_include_pad=include,
        )
    padding = framed(x.shape[2:], place, ceil_mode)
    sums = window_sums(x, place, padding)
    ones = ops.full(shape=(1, 1, *x.shape[2:]), value=1.0, dtype=x.dtype)
    if include:
        ones = ops.pad(ones, padding=((0, 0), (0, 0), *place.padding), value=1.0)
        padding = tuple(
            (after[0] - before[0], after[1] - before[1])  # type: ignore[misc]
            for before, after in zip(place.padding, padding, strict=True)
        )
    return ops.divide(sums, ops.maximum(window_sums(ones, place, padding), 1.0))


def window_sums(x: Value, place: Window, padding: Pairs) -> Value:
    """Sums under the windows of each channel: a depthwise convolution with ones."""
    channels = x.shape[1]
    if not isinstance(channels, int):
        return refuse(f"its number of channels, {channels}, must be known")
    kernel = ops.full(shape=(channels, 1, *place.sizes), value=1.0, dtype=x.dtype)
    return ops.conv(x, kernel, strides=place.strides, padding=padding, dilations=place.dilations, groups=channels)


def framed(sizes: Sequence[Dim], place: Window, ceil_mode: bool) -> Pairs:
    """The padding with which windows counted downwards are as many as those counted upwards without it."""
    if not ceil_mode:
        return place.padding
    counts = window_dims(sizes, place.sizes, place.strides, place.padding, place.dilations, ceil_mode=True)  # pyright: ignore[reportArgumentType]
    axes = zip(sizes, place.spans, place.strides, place.padding, counts, strict=True)
    return tuple(
        (before, dim_max((count - 1) * stride + span - size - before, after))
        for size, span, stride, (before, after), count in axes
    )


@lift.rule("LpPool")
def _(x: Value, *, auto_pad: str, kernel_shape: Sequence[int], p: float, pads: Ints, strides: Ints) -> Value:
    return _lp_pool(x, window(x, kernel_shape, strides, None, pads, auto_pad), False, p)


@lift.rule("LpPool", since=18)
def _(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints,
    kernel_shape: Sequence[int],
    p: int,
    pads: Ints,
    strides: Ints,
) -> Value:
    return _lp_pool(x, window(x, kernel_shape, strides, dilations, pads, auto_pad), bool(ceil_mode), p)


def _lp_pool(x: Value, place: Window, ceil_mode: bool, order: float) -> Value:
    padding = framed(x.shape[2:], place, ceil_mode)
    if all(gap == 1 for gap in place.dilations):
        return ops.lp_pool(x, window=place.sizes, strides=place.strides, padding=padding, p=order)
    powers = ops.pow(ops.abs(x), float(order))
    return ops.pow(window_sums(powers, place, padding), 1.0 / order)


def spatial(x: Value) -> tuple[int, ...]:
    """The axes behind batch and channels."""
    return tuple(range(2, x.ndim))


@lift.rule("GlobalAveragePool")
def _(x: Value) -> Value:
    return ops.mean(x, axis=spatial(x), keepdims=True)


@lift.rule("GlobalMaxPool")
def _(x: Value) -> Value:
    return ops.max(x, axis=spatial(x), keepdims=True)


@lift.rule("GlobalLpPool")
def _(x: Value, *, p: float) -> Value:
    powers = ops.pow(ops.abs(x), float(p))
    return ops.pow(ops.sum(powers, axis=spatial(x), keepdims=True), 1.0 / p)


@lift.rule("MaxUnpool")
def _(x: Value, places: Value, shape: Value | None, *, kernel_shape: Sequence[int], pads: Ints, strides: Ints) -> Value:
    """Elements put back where they were the greatest, zeros elsewhere."""
    place = window(x, kernel_shape, strides, None, pads, "NOTSET")
    axes = zip(x.shape[2:], place.sizes, place.strides, place.padding, strict=True)
    inferred = (*x.shape[:2], *((n - 1) * step + size - before - after for n, size, step, (before, after) in axes))
    wanted = inferred if shape is None else dims(shape, "output_shape")
    flat = ops.full(shape=(product(wanted),), value=0, dtype=x.dtype)
    spots = ops.reshape(places, shape=(product(places.shape),))
    if tuple(wanted) != inferred:
        spots = _respaced(spots, inferred, wanted)
    values = ops.reshape(x, shape=(product(x.shape),))
    return ops.reshape(ops.scatter(flat, spots, values, axis=0), shape=tuple(wanted))


def _respaced(spots: Value, inferred: Sequence[Dim], wanted: Sequence[Dim]) -> Value:
    """Flat positions in one shape as flat positions in another, coordinate by coordinate."""
    result: Value | None = None
    for axis in range(len(inferred)):
        inner, outer = product(inferred[axis + 1 :]), product(wanted[axis + 1 :])
        coordinate = ops.floor_divide(spots, inner)
        spots = ops.remainder(spots, inner)
        part = ops.multiply(coordinate, outer)
        result = part if result is None else ops.add(result, part)
    return spots if result is None else result
