"""Elements picked and written at positions, ordered, counted."""

from __future__ import annotations

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import normalize_axis, product
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse, wants
from kxchange_onnx.operands_in import content, dim

REDUCTIONS = {"none": "set", "add": "add", "mul": "multiply", "max": "max", "min": "min"}


@lift.rule("Gather")
def _(x: Value, indices: Value, *, axis: int) -> Value:
    if not x.ndim:
        return refuse("it picks from a tensor without axes")
    known = content(indices)
    if known is not None and known.dtype != object and known.size == 1 and known.ndim == 0:
        return picked(x, int(known.reshape(())), axis)
    if axis == 0 and known is None and x.ndim == 2 and x.node.op == "parameter" and x.dtype.is_floating:
        return ops.embedding(x, indices)
    return ops.take(x, indices, axis=axis)


def picked(x: Value, index: int, axis: int) -> Value:
    """One position of an axis, which is dropped."""
    if x.shape[axis] == 1 and x.node.op == "expand_dims" and x.node.attrs["axis"] == (axis,):
        return x.node.inputs[0] or x
    return ops.take(x, ops.full(shape=(), value=index, dtype=DType.INT64), axis=axis)


@lift.rule("GatherElements")
def _(x: Value, indices: Value, *, axis: int) -> Value:
    """The indices may be shorter than x on the other axes, too: what is beyond them is cut first."""
    position = normalize_axis(axis, x.ndim)
    longer = [a for a in range(x.ndim) if a != position and x.shape[a] != indices.shape[a]]
    if longer:
        stops = tuple(indices.shape[a] for a in longer)
        x = ops.slice(x, starts=(0,) * len(longer), stops=stops, steps=(1,) * len(longer), axes=tuple(longer))
    return ops.take_along_axis(x, indices, axis=position)


@lift.rule("GatherND")
def _(x: Value, indices: Value) -> Value:
    return ops.gather_nd(x, indices)


@lift.rule("GatherND", since=12)
def _(x: Value, indices: Value, *, batch_dims: int) -> Value:
    return ops.gather_nd(x, indices, batch_dims=batch_dims)


@lift.rule("Scatter", "ScatterElements")
def _(x: Value, indices: Value, updates: Value, *, axis: int) -> Value:
    return ops.scatter(x, indices, updates, axis=axis)


@lift.rule("ScatterElements", since=16)
def _(x: Value, indices: Value, updates: Value, *, axis: int, reduction: str) -> Value:
    return ops.scatter(x, indices, updates, axis=axis, reduction=REDUCTIONS[reduction])


@lift.rule("ScatterND")
def _(x: Value, indices: Value, updates: Value) -> Value:
    return ops.scatter_nd(x, indices, updates)


@lift.rule("ScatterND", since=16)
def _(x: Value, indices: Value, updates: Value, *, reduction: str) -> Value:
    return ops.scatter_nd(x, indices, updates, reduction=REDUCTIONS[reduction])


@lift.rule("OneHot")
def _(indices: Value, depth: Value, values: Value, *, axis: int) -> Value:
    """Negative indices count from the end (trap X11); what is out of range gives the off value."""
    count = dim(depth, "depth")
    whole = indices if indices.dtype is DType.INT64 else ops.astype(indices, dtype=DType.INT64)
    wrapped = ops.where(ops.less(whole, 0), ops.add(whole, count), whole)
    hot = ops.one_hot(wrapped, depth=count, axis=axis, dtype=DType.BOOL)
    off, on = (picked(values, index, 0) for index in (0, 1))
    return ops.where(hot, on, off)


@lift.rule("NonZero")
def _(x: Value) -> Value:
    x = ops.reshape(x, shape=(1,)) if not x.ndim else x
    return ops.permute_dims(ops.nonzero(x), axes=(1, 0))


@lift.rule("Compress")
def _(x: Value, condition: Value, *, axis: int | None) -> Value:
    """A condition shorter than the axis leaves the rest out."""
    source = ops.reshape(x, shape=(product(x.shape),)) if axis is None else x
    places = ops.squeeze(ops.nonzero(condition), axis=(1,))
    return ops.take(source, places, axis=0 if axis is None else axis)


@lift.rule("ArrayFeatureExtractor", domain="ai.onnx.ml")
def _(x: Value, indices: Value) -> Value:
    flat = ops.reshape(indices, shape=(product(indices.shape),))
    picks = ops.take(x, flat, axis=-1)
    return ops.reshape(picks, shape=(1, *picks.shape)) if picks.ndim == 1 else picks


@lift.rule("TopK")
def _(x: Value, *, axis: int, k: int) -> tuple[Value, ...]:
    return ops.top_k(x, k=k, axis=axis)


@lift.rule("TopK", since=10)
def _(x: Value, k: Value, *, axis: int) -> tuple[Value, ...]:
    return ops.top_k(x, k=dim(k, "k"), axis=axis)


@lift.rule("TopK", since=11)
def _(x: Value, k: Value, *, axis: int, largest: int, sorted: int) -> tuple[Value, ...]:  # noqa: A002
    return ops.top_k(x, k=dim(k, "k"), axis=axis, largest=bool(largest), sorted=bool(sorted))


@lift.rule("Unique")
def _(x: Value, *, axis: int | None, sorted: int) -> tuple[Value, ...]:  # noqa: A002
    """Of a flat tensor: values, first positions, inverse and counts; unsorted ones stand in the order of the data."""
    if axis is not None and not (x.ndim == 1 and axis in (0, -1)):
        return refuse("unique slices along an axis have no lift, only unique elements")
    flat = x if x.ndim == 1 else ops.reshape(x, shape=(product(x.shape),))
    values, inverse, counts = ops.unique(flat)
    if sorted and not wants(1):
        return values, inverse, inverse, counts
    first = _first_positions(flat, inverse, values)
    if sorted:
        return values, first, inverse, counts
    order = ops.argsort(first)
    rank = ops.argsort(order)
    return tuple(ops.take(part, order, axis=0) for part in (values, first)) + (
        ops.take(rank, inverse, axis=0),
        ops.take(counts, order, axis=0),
    )


def _first_positions(flat: Value, inverse: Value, values: Value) -> Value:
    """Where each distinct element stands first."""
    size = flat.shape[0]
    start = ops.full(shape=values.shape, value=size, dtype=DType.INT64)
    places = ops.arange(start=0, stop=size, dtype=DType.INT64)
    return ops.scatter(start, inverse, places, axis=0, reduction="min")


@lift.rule("TensorScatter")
def _(cache: Value, update: Value, places: Value | None, *, mode: str, axis: int) -> Value:
    """Write an update into a cache from a position per sample on, wrapping around if circular."""
    position = normalize_axis(axis, cache.ndim)
    steps = ops.arange(start=0, stop=update.shape[position], dtype=DType.INT64)
    steps = ops.expand_dims(steps, axis=tuple(a for a in range(cache.ndim) if a != position))
    if places is not None:
        starts = ops.expand_dims(ops.astype(places, dtype=DType.INT64), axis=tuple(range(1, cache.ndim)))
        steps = ops.add(steps, starts)
    if mode == "circular":
        steps = ops.remainder(steps, cache.shape[position])
    return ops.scatter(cache, ops.broadcast_to(steps, shape=update.shape), update, axis=position)


@lift.rule("Det")
def _(x: Value) -> Value:
    """By elimination without a choice of pivots only where the size is at most 3: the explicit formula."""
    size = x.shape[-1]
    if size not in (1, 2, 3):
        return refuse(f"a determinant of {size} rows has no lift, only of 1 to 3")
    rows = ops.split(x, sizes=(1,) * size, axis=-2) if size > 1 else (x,)
    cells = [ops.split(row, sizes=(1,) * size, axis=-1) if size > 1 else (row,) for row in rows]
    grid = [[ops.squeeze(cell, axis=(-2, -1)) for cell in row] for row in cells]
    return _determinant(grid)


def _determinant(grid: list[list[Value]]) -> Value:
    if len(grid) == 1:
        return grid[0][0]
    minors = [[row[:column] + row[column + 1 :] for row in grid[1:]] for column in range(len(grid))]
    terms = [ops.multiply(cell, _determinant(minor)) for cell, minor in zip(grid[0], minors, strict=True)]
    total = terms[0]
    for column, term in enumerate(terms[1:], 1):
        total = ops.subtract(total, term) if column % 2 else ops.add(total, term)
    return total
