"""What needs every window of a pool spelled out: where the greatest element stands, averages of integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.types import DType
from kxchange_torch.lift import refuse
from kxchange_torch.lift_manipulation import broadcast, permute, reshape


@dataclass(frozen=True, slots=True)
class Taps:
    """The windows along one axis.

    Attributes:
        places: int64 [windows, taps]: where each tap reads.
        inside: bool [windows, taps]: whether that is a tap of the window and an element of the axis.
    """

    places: Value
    inside: Value


def sliding_taps(size: Dim, count: Dim, window: int, stride: int, padding: int, dilation: int) -> Taps:
    """Windows of a fixed width, every `stride` elements; what lies in the padding is outside."""
    starts = ops.subtract(ops.multiply(_numbers(count), stride), padding)
    places = ops.add(ops.expand_dims(starts, axis=(1,)), ops.multiply(_numbers(window), dilation))
    return _within(places, size)


def _within(places: Value, size: Dim) -> Taps:
    inside = ops.logical_and(ops.greater_equal(places, 0), ops.less(places, _size(size)))
    return Taps(places, inside)


def bin_taps(size: Dim, count: Dim) -> Taps:
    """The bins of an adaptive pool: from ``floor(i * size / count)`` up to ``ceil((i + 1) * size / count)``."""
    if not isinstance(size, int) or not isinstance(count, int):
        return refuse(f"the indices of an adaptive pool from {size} to {count}: the widest bin is not known")
    bins = np.arange(count)
    starts, stops = bins * size // count, -(-(bins + 1) * size // count)
    places = starts[:, None] + np.arange(int((stops - starts).max(initial=1)))
    inside = places < stops[:, None]
    return Taps(ops.constant(value=Constant(places)), ops.constant(value=Constant(inside)))


def _numbers(count: Dim) -> Value:
    return ops.arange(start=0, stop=count, step=1, dtype=DType.INT64)


def _size(size: Dim) -> Value:
    return ops.full(shape=(), value=size, dtype=DType.INT64)


def gathered(x: Value, taps: Sequence[Taps]) -> tuple[Value, Value, Value]:
    """Every window laid out in a row.

    Args:
        x: [batch, channels, *spatial].
        taps: One per spatial axis.

    Returns:
        The elements, [batch, channels, *windows, taps]; whether each is inside, and its position among the flattened
        spatial axes, both [*windows, taps].
    """
    rank = len(taps)
    sizes = x.shape[2:]
    for axis, tap in enumerate(taps):
        nearest = ops.clip(tap.places, 0, ops.subtract(_size(sizes[axis]), 1))
        x = ops.take(x, nearest, axis=2 + 2 * axis)
    order = [*range(0, 2 * rank, 2), *range(1, 2 * rank, 2)]
    counts = tuple(tap.places.shape[0] for tap in taps)
    width = product(tap.places.shape[1] for tap in taps)
    inside, place = _spread(taps[0].inside, 0, rank), _spread(taps[0].places, 0, rank)
    for axis, tap in enumerate(taps[1:], start=1):
        inside = ops.logical_and(inside, _spread(tap.inside, axis, rank))
        place = ops.add(ops.multiply(place, _size(sizes[axis])), _spread(tap.places, axis, rank))
    rows = reshape(permute(x, [0, 1, *(2 + a for a in order)]), (*x.shape[:2], *counts, width))
    inside, place = (reshape(permute(y, order), (*counts, width)) for y in (inside, place))
    return rows, inside, place


def _spread(tap: Value, axis: int, rank: int) -> Value:
    """[windows, taps] of one axis with axes of size 1 for the others, in pairs."""
    shape = (1, 1) * axis + tap.shape + (1, 1) * (rank - axis - 1)
    return reshape(tap, shape)


def place_of_greatest(x: Value, taps: Sequence[Taps]) -> Value:
    """Where the greatest element of each window stands among the flattened spatial axes; the last NaN, if there is one.

    Returns:
        int64 [batch, channels, *windows].
    """
    rows, inside, place = gathered(x, taps)
    lowest = -float("inf") if x.dtype.is_floating else int(np.iinfo(x.dtype.numpy).min)
    greatest = ops.max(ops.where(inside, rows, lowest), axis=(-1,), keepdims=True)
    found = _first(ops.logical_and(inside, ops.equal(rows, greatest)))
    if x.dtype.is_floating:
        missing = ops.logical_and(inside, ops.isnan(rows))
        width = ops.full(shape=(), value=rows.shape[-1], dtype=DType.INT64)
        last = ops.subtract(ops.subtract(width, 1), _first(ops.flip(missing, axis=(rows.ndim - 1,))))
        found = ops.where(ops.any(missing, axis=(-1,), keepdims=True), last, found)
    table = broadcast(place, (*rows.shape[:2], *place.shape))
    return ops.squeeze(ops.take_along_axis(table, found, axis=-1), axis=(rows.ndim - 1,))


def _first(marked: Value) -> Value:
    """Index of the first marked element along the last axis, which is kept."""
    return ops.argmax(ops.astype(marked, dtype=DType.INT32), axis=-1, keepdims=True)


def integer_average(x: Value, taps: Sequence[Taps], covered: Sequence[Value], divisor: int | None) -> Value:
    """Averages of windows of integers, cut towards 0.

    Args:
        x: [batch, channels, *spatial].
        taps: One per spatial axis.
        covered: Elements that a window divides by, [windows] per spatial axis.
        divisor: What to divide by instead.
    """
    rows, inside, _ = gathered(x, taps)
    total = ops.sum(ops.where(inside, rows, 0), axis=(-1,))
    if divisor is not None:
        return ops.truncated_divide(total, divisor)
    count = covered[0]
    for more in covered[1:]:
        count = ops.multiply(ops.expand_dims(count, axis=(count.ndim,)), more)
    return ops.truncated_divide(total, ops.astype(ops.maximum(count, 1), dtype=x.dtype))


def covered_counts(size: Dim, count: Dim, window: int, stride: int, padding: int, include: bool) -> Value:
    """Elements under each window: those of the padded axis, or of the axis itself."""
    starts = ops.subtract(ops.multiply(_numbers(count), stride), padding)
    stops = ops.minimum(ops.add(starts, window), _size(size + padding))
    if not include:
        starts, stops = ops.maximum(starts, 0), ops.minimum(stops, _size(size))
    return ops.subtract(stops, starts)
