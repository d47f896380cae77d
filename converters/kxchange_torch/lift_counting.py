"""Runs of equal elements, most frequent elements, histograms, divisors, writes at flat positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.shapes import broadcast_shapes
from kxchange.types import DType
from kxchange_torch.lift import SCOPE, lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_indexing import index_put
from kxchange_torch.lift_loops import while_any
from kxchange_torch.lift_manipulation import broadcast, move_axes, reshape
from kxchange_torch.lift_promotion import cast, promote
from kxchange_torch.lift_reduction import vector_norm
from kxchange_torch.lift_slicing import cut

SORTED_COLUMNS = 64
"""Elements of a row up to which rows are sorted, one sort for each."""


def _divisor(x1: Value, x2: Value) -> Value:
    """Euclid's algorithm on absolute values, element by element."""

    def step(a: Value, b: Value) -> tuple[Value, Value]:
        done = ops.equal(b, 0)
        rest = ops.remainder(a, ops.where(done, 1, b))
        return ops.where(done, a, b), ops.where(done, b, rest)

    carry = [ops.abs(x) if x.dtype.is_signed else x for x in (x1, x2)]
    return while_any(lambda _a, b: ops.not_equal(b, 0), step, [], carry)[0]


def _alike(x1: Value, x2: Value) -> tuple[Value, Value]:
    left, right = promote(x1, x2)
    shape = broadcast_shapes(left.shape, right.shape)
    return broadcast(left, shape), broadcast(right, shape)


@lift.rule("aten.gcd.default")
def _(x1: Value, x2: Value) -> Value:
    return _divisor(*_alike(x1, x2))


@lift.rule("aten.lcm.default")
def _(x1: Value, x2: Value) -> Value:
    left, right = _alike(x1, x2)
    found = _divisor(left, right)
    none = ops.equal(found, 0)
    product_ = ops.multiply(ops.truncated_divide(left, ops.where(none, 1, found)), right)
    product_ = ops.abs(product_) if product_.dtype.is_signed else product_
    return ops.where(none, 0, product_)


@lift.rule("aten.put.default")
def _(x: Value, index: Value, source: Value, accumulate: bool) -> Value:
    if product(index.shape) == 0:
        return x
    flat, places, values = (reshape(y, (-1,)) for y in (x, index, source))
    return reshape(index_put(flat, (cast(places, DType.INT64),), values, accumulate), x.shape)


@lift.rule("aten.as_strided_scatter.default")
def _(x: Value, source: Value, sizes: Sequence[Dim], strides: Sequence[Dim], offset: Dim | None) -> Value:
    """Elements written at explicit places of the memory, which must be the tensor's own and in order."""
    if not SCOPE.lifter.owns_its_memory(0) or not all(isinstance(n, int) for n in (*sizes, *strides, offset or 0)):
        return refuse("as_strided_scatter of a view, or with symbolic strides")
    places = np.full((), offset or 0, np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        places = places[..., None] + np.arange(int(size)) * stride  # pyright: ignore[reportArgumentType, reportOperatorIssue]
    if len(np.unique(places)) != places.size:
        return refuse("as_strided_scatter that writes one element twice")
    if not places.size:
        return x
    flat = index_put(
        reshape(x, (-1,)), (ops.constant(value=Constant(places.reshape(-1))),), reshape(source, (-1,)), False
    )
    return reshape(flat, x.shape)


@lift.rule("aten._pdist_forward.default", "aten.pdist.default")
def _(x: Value, order: float) -> Value:
    """Distances of all pairs of rows, the earlier row first."""
    if not isinstance(x.shape[0], int):
        return refuse(f"distances of the pairs of {x.shape[0]} rows")
    first, second = np.triu_indices(x.shape[0], 1)
    if not first.size:
        return full((0,), 0, x.dtype)
    rows = [ops.take(x, ops.constant(value=Constant(places)), axis=0) for places in (first, second)]
    return vector_norm(ops.subtract(*rows), order, -1, False)


@lift.rule("aten.mode.default")
def _(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    """The most frequent element, of several the least, and its last position."""
    if x.ndim == 0:
        return x, full((), 0, DType.INT64)
    moved = move_axes(x, (axis,), (-1,))
    numbers = cast(moved, DType.UINT8) if moved.dtype.is_bool else moved
    alike = ops.equal(ops.expand_dims(numbers, axis=(x.ndim,)), ops.expand_dims(numbers, axis=(x.ndim - 1,)))
    counts = ops.sum(cast(alike, DType.INT64), axis=(-1,))
    most = ops.equal(counts, ops.max(counts, axis=(-1,), keepdims=True))
    if numbers.dtype.is_floating:
        most = ops.logical_and(most, ops.logical_not(ops.isnan(numbers)))
    highest: Any = math.inf if numbers.dtype.is_floating else int(np.iinfo(numbers.dtype.numpy).max)
    value = ops.min(ops.where(most, numbers, highest), axis=(-1,), keepdims=True)
    found = ops.logical_and(most, ops.equal(numbers, value))
    missing = None
    if numbers.dtype.is_floating:
        missing = ops.all(ops.isnan(numbers), axis=(-1,), keepdims=True)
        found, value = ops.logical_or(found, missing), ops.where(missing, math.nan, value)
    last = ops.argmax(cast(ops.flip(found, axis=(x.ndim - 1,)), DType.INT32), axis=-1, keepdims=True)
    width = ops.full(shape=(), value=moved.shape[-1] - 1, dtype=DType.INT64)
    results = [move_axes(y, (-1,), (axis,)) for y in (cast(value, x.dtype), ops.subtract(width, last))]
    position = axis % x.ndim
    return tuple(y if keepdims else ops.squeeze(y, axis=(position,)) for y in results)  # pyright: ignore[reportReturnType]


def _runs(x: Value, inverse: bool, counts: bool) -> tuple[Value, Value, Value]:
    """Runs of equal rows [n, m]: the first row of each, the run of each row, the length of each."""
    length = x.shape[0]
    none = full((0,), 0, DType.INT64)
    if length == 0:
        return x, none, none
    changed = ops.not_equal(cut(x, 0, 1, None), cut(x, 0, 0, length - 1))
    first = ops.concat(full((1,), True, DType.BOOL), ops.any(changed, axis=(1,)), axis=0)
    starts = ops.squeeze(ops.nonzero(first), axis=(1,))
    run = ops.subtract(ops.cumulative_sum(cast(first, DType.INT64), axis=0), 1)
    hits = ops.equal(ops.expand_dims(run, axis=(1,)), ops.arange(start=0, stop=starts.shape[0], dtype=DType.INT64))
    times = ops.sum(cast(hits, DType.INT64), axis=(0,))
    return ops.take(x, starts, axis=0), run if inverse else none, times if counts else none


@lift.rule("aten.unique_consecutive.default")
def _(x: Value, inverse: bool, counts: bool, axis: int | None) -> tuple[Value, Value, Value]:
    if axis is None:
        values, runs, times = _runs(reshape(x, (product(x.shape), 1)), inverse, counts)
        return reshape(values, (-1,)), reshape(runs, x.shape) if inverse else runs, times
    rows = move_axes(x, (axis,), (0,)) if x.ndim > 1 else x
    values, runs, times = _runs(reshape(rows, (rows.shape[0], product(rows.shape[1:]))), inverse, counts)
    values = reshape(values, (values.shape[0], *rows.shape[1:]))
    return move_axes(values, (0,), (axis,)) if x.ndim > 1 else values, runs, times


@lift.rule("aten.unique_dim.default")
def _(x: Value, axis: int, _sorted: bool, inverse: bool, counts: bool) -> tuple[Value, Value, Value]:
    """Rows in lexicographic order: stable sorts, by the last element first."""
    rows = move_axes(x, (axis,), (0,)) if x.ndim > 1 else x
    flat = reshape(rows, (rows.shape[0], product(rows.shape[1:])))
    columns = flat.shape[1]
    if not isinstance(columns, int) or columns > SORTED_COLUMNS:
        return refuse(f"unique slices of {columns} elements; at most {SORTED_COLUMNS} are sorted")
    order = ops.arange(start=0, stop=flat.shape[0], step=1, dtype=DType.INT64)
    for column in range(columns - 1, -1, -1):
        keys = ops.take(ops.take(flat, full((), column, DType.INT64), axis=1), order, axis=0)
        keys = cast(keys, DType.UINT8) if keys.dtype.is_bool else keys
        order = ops.take(order, ops.argsort(keys, axis=0, descending=False), axis=0)
    values, runs, times = _runs(ops.take(flat, order, axis=0), inverse, counts)
    if inverse:
        runs = ops.scatter(ops.multiply(runs, 0), order, runs, axis=0, reduction="set")
    values = reshape(values, (values.shape[0], *rows.shape[1:]))
    return move_axes(values, (0,), (axis,)) if x.ndim > 1 else values, runs, times


@lift.rule("aten.nonzero_static.default")
def _(x: Value, size: Dim, fill: int) -> Value:
    """The first `size` positions; rows of `fill` where there are fewer."""
    flat = reshape(cast(x, DType.BOOL), (product(x.shape),))
    if flat.shape[0] == 0 or x.ndim == 0 or size == 0:
        return full((size, x.ndim), fill, DType.INT64)
    order = ops.argsort(cast(ops.logical_not(flat), DType.UINT8), axis=0, descending=False)
    number = ops.arange(start=0, stop=size, step=1, dtype=DType.INT64)
    last = ops.full(shape=(), value=flat.shape[0] - 1, dtype=DType.INT64)
    place = ops.take(order, ops.minimum(number, last), axis=0)
    columns: list[Value] = []
    for length in reversed(x.shape):
        whole = ops.full(shape=(), value=length, dtype=DType.INT64)
        columns.insert(0, ops.remainder(place, whole))
        place = ops.floor_divide(place, whole)
    found = ops.less(number, ops.sum(cast(flat, DType.INT64), axis=(0,)))
    return ops.where(ops.expand_dims(found, axis=(1,)), ops.stack(*columns, axis=1), fill)


@lift.rule("aten.segment_reduce.default")
def _(
    x: Value,
    reduce: str,
    lengths: Value | None,
    _indices: Any,
    offsets: Value | None,
    axis: int,
    _unsafe: bool,
    initial: Any,
) -> Value:
    """Sums, products, averages and extremes of stretches along an axis; of an empty one, the initial value."""
    given = lengths if offsets is None else offsets
    if given is None or axis % x.ndim != given.ndim - 1:
        return refuse("only stretches along the last axis of their lengths have a lift")
    lead, count = given.shape[:-1], product(given.shape[:-1])
    ends = cast(reshape(given, (count, given.shape[-1])), DType.INT64)
    if offsets is None:
        ends = ops.pad(ops.cumulative_sum(ends, axis=1), padding=((0, 0), (1, 0)))
    bags, rest = ends.shape[1] - 1, x.shape[given.ndim :]
    rows = reshape(x, (count, x.shape[given.ndim - 1], *rest))
    found = _by_stretch(rows, ends, reduce, initial)
    return reshape(found, (*lead, bags, *rest))


def _by_stretch(x: Value, ends: Value, reduce: str, initial: Any) -> Value:
    """Rows [lead, n, ...] reduced between neighbouring `ends` [lead, bags + 1]."""
    bags, width = ends.shape[1] - 1, (1,) * (x.ndim - 2)
    places = ops.arange(start=0, stop=x.shape[1], step=1, dtype=DType.INT64)
    after = ops.expand_dims(cut(ends, 1, 1, None), axis=(1,))
    passed = ops.less_equal(after, ops.expand_dims(places, axis=(1,)))
    bag = ops.sum(cast(passed, DType.INT64), axis=(2,))
    operation = {"sum": "add", "mean": "add", "prod": "multiply", "max": "max", "min": "min"}[reduce]
    neutral = {"sum": 0.0, "mean": 0.0, "prod": 1.0, "max": -math.inf, "min": math.inf}[reduce]
    start = full((x.shape[0], bags + 1, *x.shape[2:]), neutral if initial is None else initial, x.dtype)
    place = broadcast(reshape(bag, (*bag.shape, *width)), x.shape)
    found = cut(ops.scatter(start, place, x, axis=1, reduction=operation), 1, 0, bags)  # without what is in no bag
    if reduce != "mean":
        return found
    count = ops.subtract(cut(ends, 1, 1, None), cut(ends, 1, 0, bags))
    count = reshape(count, (*count.shape, *width))
    empty = ops.equal(count, 0)
    mean = ops.divide(found, cast(ops.where(empty, 1, count), x.dtype))
    return mean if initial is not None else ops.where(empty, math.nan, mean)


@lift.rule("aten.embedding_renorm.default")
def _(weight: Value, indices: Value, limit: float, order: float) -> Value:
    """Rows that are named and longer than the limit are scaled down to it, as the lookup itself then sees them."""
    flat = cast(reshape(indices, (-1,)), DType.INT64)
    rows = ops.arange(start=0, stop=weight.shape[0], step=1, dtype=DType.INT64)
    named = ops.any(ops.equal(ops.expand_dims(rows, axis=(1,)), flat), axis=(1,))
    length = vector_norm(weight, order, -1, False)
    scale = ops.divide(limit, ops.add(length, 1e-7))
    scale = ops.where(ops.logical_and(named, ops.greater(length, limit)), scale, 1.0)
    return ops.multiply(weight, ops.expand_dims(scale, axis=(1,)))
