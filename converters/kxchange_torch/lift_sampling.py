"""Volumes read at positions that are data; histograms over edges that are data."""

from __future__ import annotations

from itertools import product as combinations
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.types import DType
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_loss import cross_entropy
from kxchange_torch.lift_manipulation import broadcast, reshape
from kxchange_torch.lift_promotion import cast
from kxchange_torch.lift_slicing import cut

NEAREST = 1
ZEROS, REFLECTION = 0, 2


def _size(size: Dim, dtype: DType) -> Value:
    return ops.full(shape=(), value=size, dtype=dtype)


def _coordinate(x: Value, length: Dim, padding: int, aligned: bool) -> Value:
    """Positions in elements, brought inside unless what is outside counts as 0."""
    size = _size(length, x.dtype)
    last = ops.subtract(size, 1.0)
    if aligned:
        found = ops.multiply(ops.multiply(ops.add(x, 1.0), 0.5), last)
    else:
        found = ops.multiply(ops.subtract(ops.multiply(ops.add(x, 1.0), size), 1.0), 0.5)
    if padding == ZEROS:
        return found
    if padding == REFLECTION:
        found = _reflected(found, 0.0 if aligned else -0.5, last if aligned else size)
    return ops.minimum(ops.maximum(found, 0.0), last)


def _reflected(x: Value, low: float, span: Value) -> Value:
    """Positions folded back and forth between `low` and ``low + span``."""
    whole = ops.where(ops.equal(span, 0), 1.0, span)
    distance = ops.abs(ops.subtract(x, low))
    rest = ops.fmod(distance, whole)
    even = ops.equal(ops.remainder(ops.floor(ops.divide(distance, whole)), 2.0), 0)
    found = ops.add(ops.where(even, rest, ops.subtract(whole, rest)), low)
    return ops.where(ops.equal(span, 0), 0.0, found)


def _read(x: Value, places: list[Value]) -> Value:
    """Elements [batch, channels, points] of volumes at whole positions [batch, points]; 0 outside."""
    sizes = x.shape[2:]
    flat: Any = None
    inside: Any = None
    for place, length in zip(places, sizes, strict=True):
        size = _size(length, place.dtype)
        within = ops.logical_and(ops.greater_equal(place, 0), ops.less(place, size))
        index = cast(ops.where(within, place, 0.0), DType.INT64)
        flat = index if flat is None else ops.add(ops.multiply(flat, _size(length, DType.INT64)), index)
        inside = within if inside is None else ops.logical_and(inside, within)
    shape = (*x.shape[:2], flat.shape[1])
    rows = reshape(x, (*x.shape[:2], product(sizes)))
    taken = ops.take_along_axis(rows, broadcast(ops.expand_dims(flat, axis=(1,)), shape), axis=2)
    return ops.where(ops.expand_dims(inside, axis=(1,)), taken, ops.full(shape=(), value=0, dtype=x.dtype))


@lift.rule("aten.grid_sampler_3d.default")
def _(x: Value, grid: Value, mode: int, padding: int, aligned: bool) -> Value:
    """The nearest element, or the eight around each position; the grid names the last axis first."""
    if mode > NEAREST:
        return refuse("volumes are read at the nearest element or by linear interpolation")
    points = reshape(grid, (grid.shape[0], product(grid.shape[1:4]), 3))
    where = [
        _coordinate(ops.squeeze(cut(points, 2, 2 - axis, 3 - axis), axis=(2,)), x.shape[2 + axis], padding, aligned)
        for axis in range(3)
    ]
    found = _read(x, [ops.round(place) for place in where]) if mode == NEAREST else _interpolated(x, where)
    return reshape(found, (*x.shape[:2], *grid.shape[1:4]))


def _interpolated(x: Value, where: list[Value]) -> Value:
    below = [ops.floor(place) for place in where]
    share = [ops.subtract(place, low) for place, low in zip(where, below, strict=True)]
    total: Any = None
    for corner in combinations((0, 1), repeat=3):
        weight: Any = None
        for upper, part in zip(corner, share, strict=True):
            factor = part if upper else ops.subtract(1.0, part)
            weight = factor if weight is None else ops.multiply(weight, factor)
        places = [ops.add(low, 1.0) if upper else low for upper, low in zip(corner, below, strict=True)]
        term = ops.multiply(_read(x, places), ops.expand_dims(weight, axis=(1,)))
        total = term if total is None else ops.add(total, term)
    return total


def _counted(x: Value, edges: Value, weight: Value | None, density: bool) -> tuple[Value, Value]:
    """Elements between neighbouring edges; the last stretch includes its right edge."""
    bins = edges.shape[0] - 1
    flat = reshape(x, (product(x.shape),))
    place = ops.subtract(ops.searchsorted(edges, flat, side="right"), 1)
    last = ops.squeeze(cut(edges, 0, bins, bins + 1), axis=(0,))
    final = ops.full(shape=(), value=bins - 1, dtype=DType.INT64)
    place = ops.where(ops.equal(flat, last), final, place)
    inside = ops.logical_and(ops.less_equal(flat, last), ops.greater_equal(place, 0))
    numbers = ops.arange(start=0, stop=bins, step=1, dtype=DType.INT64)
    hit = ops.logical_and(ops.equal(ops.expand_dims(numbers, axis=(1,)), place), inside)
    amount = ops.full(shape=(), value=1, dtype=x.dtype) if weight is None else reshape(weight, (-1,))
    found = ops.sum(ops.where(hit, amount, 0.0), axis=(1,))
    if density:
        widths = ops.subtract(cut(edges, 0, 1, None), cut(edges, 0, 0, bins))
        found = ops.divide(ops.divide(found, ops.sum(found)), widths)
    return found, edges


@lift.rule("aten.histogram.bins_tensor")
def _(x: Value, edges: Value, weight: Value | None, density: bool) -> tuple[Value, Value]:
    return _counted(x, edges, weight, density)


@lift.rule("aten.histogram.bin_ct")
def _(x: Value, bins: int, limits: Any, weight: Value | None, density: bool) -> tuple[Value, Value]:
    """Edges between the limits, or between the least and the greatest element; equal ones are moved apart."""
    dtype = x.dtype
    if limits is not None:
        low, high = (ops.full(shape=(), value=float(limit), dtype=dtype) for limit in limits)
    elif 0 in x.shape:
        low, high = full((), 0.0, dtype), full((), 1.0, dtype)
    else:
        low, high = ops.min(reshape(x, (-1,)), axis=(0,)), ops.max(reshape(x, (-1,)), axis=(0,))
    same = ops.equal(low, high)
    low, high = ops.where(same, ops.subtract(low, 0.5), low), ops.where(same, ops.add(high, 0.5), high)
    step = ops.divide(ops.subtract(high, low), float(bins))
    number = cast(ops.arange(start=0, stop=bins + 1, step=1, dtype=DType.INT64), dtype)
    upwards = ops.add(low, ops.multiply(step, number))
    downwards = ops.subtract(high, ops.multiply(step, ops.subtract(float(bins), number)))
    edges = ops.where(ops.less(number, float((bins + 1) // 2)), upwards, downwards)
    return _counted(x, edges, weight, density)


@lift.rule("torch_nn._linear_cross_entropy_batch_chunked.default")
def _(
    x: Value,
    matrix: Value,
    target: Value,
    bias: Value | None,
    weight: Value | None,
    reduction: str,
    ignored: int,
    smoothing: float,
    _chunk: Any,
    _policy: Any,
    _dtype: Any,
    _retain: Any,
    *gradients: bool,
) -> Any:
    if any(gradients):
        return refuse("its gradients are results too; capture it under torch.no_grad()")
    number = {"none": 0, "mean": 1, "sum": 2}[reduction]
    loss = cross_entropy(ops.linear(x, matrix, bias), target, weight, number, ignored, smoothing)
    nothing = full((0, 0), 0, x.dtype)
    return loss, nothing, nothing, full((0,), 0, x.dtype)


@lift.rule("torch_nn._linear_cross_entropy_batch_chunked_no_reduction.default")
def _(x: Value, matrix: Value, target: Value, bias: Value | None, weight: Value | None, ignored: int) -> Value:
    return cross_entropy(ops.linear(x, matrix, bias), target, weight, 0, ignored, 0.0)
