"""Reading and writing at positions that are data: gathers, scatters, advanced indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes, normalize_axis
from kxchange.types import DType
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_elementwise import scaled
from kxchange_torch.lift_manipulation import broadcast, permute, reshape
from kxchange_torch.lift_promotion import cast, promote, tensor_of
from kxchange_torch.lift_slicing import cut

Indices = Sequence[Value | None]


@lift.rule("aten.embedding.default")
def _(weight: Value, indices: Value, padding_index: Any) -> Value:
    """A `padding_idx` of -1 is torch's "none"; it only stops gradients and is kept for training."""
    return ops.embedding(weight, indices, padding_index=padding_index if padding_index >= 0 else None)


@lift.rule("aten.index_select.default")
def _(x: Value, axis: int, index: Value) -> Value:
    if x.ndim == 0:
        return x
    return ops.take(x, reshape(index, (1,)) if index.ndim == 0 else index, axis=axis)


def cut_to(x: Value, index: Value, axis: int) -> Value:
    """`x` cut to the index's sizes beside `axis`, for torch lets the index be smaller there."""
    position = normalize_axis(axis, x.ndim)
    for i in range(x.ndim):
        if i != position and x.shape[i] != index.shape[i]:
            x = cut(x, i, 0, index.shape[i])
    return x


@lift.rule("aten.gather.default")
def _(x: Value, axis: int, index: Value) -> Value:
    if x.ndim == 0 or index.ndim == 0:
        taken = ops.take(reshape(x, (-1,)), reshape(index, (-1,)), axis=0)
        return reshape(taken, index.shape)
    return ops.take_along_axis(cut_to(x, index, axis), index, axis=axis)


@lift.rule("aten.take_along_dim.default")
def _(x: Value, index: Value, axis: int | None) -> Value:
    if axis is None:
        return ops.take(reshape(x, (-1,)), reshape(index, (-1,)), axis=0)
    return ops.take_along_axis(x, index, axis=axis)


@lift.rule("aten.take.default")
def _(x: Value, index: Value) -> Value:
    return ops.take(reshape(x, (-1,)), index, axis=0)


def iota_axis(index: Value) -> tuple[Dim, int] | None:
    """Length and axis of ``0, 1, 2, ...`` with axes of size 1 around it; None for any other index."""
    node = index.node
    while node.op in ("reshape", "expand_dims", "squeeze") and node.inputs[0] is not None:
        node = node.inputs[0].node
    if node.op != "arange" or node.attrs["start"] != 0 or node.attrs["step"] != 1:
        return None
    length = node.attrs["stop"]
    axes = [axis for axis, size in enumerate(index.shape) if size != 1]
    if length == 1 and not axes:
        return 1, 0
    return (length, axes[0]) if len(axes) == 1 and index.shape[axes[0]] == length else None


def _spread(x: Value, indices: Sequence[Value]) -> Value | None:
    """``x[rows[:, None], columns]`` with both complete ranges, which is only a transposition; None for others."""
    shape = broadcast_shapes(*(index.shape for index in indices))
    places: list[int] = []
    for axis, index in enumerate(indices):
        found = iota_axis(index)
        if found is None or found[0] != x.shape[axis] or index.ndim != len(shape) and found[0] != 1:
            return None
        places.append(found[1] + len(shape) - index.ndim)
    moving = [axis for axis in range(len(indices)) if x.shape[axis] != 1]
    if len({places[axis] for axis in moving}) < len(moving):
        return None
    order = sorted(moving, key=lambda axis: places[axis])
    rest = range(len(indices), x.ndim)
    ordered = permute(x, [*[a for a in range(len(indices)) if a not in moving], *order, *rest])
    return reshape(ordered, (*shape, *x.shape[len(indices) :]))


def _normal(x: Value, indices: Indices) -> tuple[list[int], list[Value]]:
    """Indexed axes with integer indices; a boolean index becomes one index per axis it covers."""
    axes: list[int] = []
    found: list[Value] = []
    axis = 0
    for index in indices:
        if index is None:
            axis += 1
        elif index.dtype.is_bool or index.dtype is DType.UINT8:
            places = ops.nonzero(cast(index, DType.BOOL))
            for column in range(index.ndim):
                found.append(ops.take(places, tensor_of(column, DType.INT64), axis=1))
                axes.append(axis)
                axis += 1
        else:
            found.append(index)
            axes.append(axis)
            axis += 1
    return axes, found


def index(x: Value, indices: Indices) -> Value:
    """``x[indices]`` by NumPy's rules: separated index tensors put the result's axes in front."""
    axes, found = _normal(x, indices)
    if not axes:
        return x
    if len(axes) == 1:
        return ops.take(x, found[0], axis=axes[0])
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    front = permute(x, axes + rest)
    result = _spread(front, found)
    if result is None:
        result = ops.gather_nd(front, _stacked(found), batch_dims=0)
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    if not together or axes[0] == 0:
        return result
    width = result.ndim - len(rest)
    before = list(range(width, width + axes[0]))
    return permute(result, [*before, *range(width), *range(width + axes[0], result.ndim)])


def _stacked(indices: Sequence[Value]) -> Value:
    """Index tensors broadcast together, side by side on a new last axis."""
    shape = broadcast_shapes(*(i.shape for i in indices))
    return ops.stack(*(broadcast(cast(i, DType.INT64), shape) for i in indices), axis=-1)


@lift.rule("aten.index.Tensor", "aten._unsafe_index.Tensor")
def _(x: Value, indices: Indices) -> Value:
    return index(x, indices)


def index_put(x: Value, indices: Indices, values: Value, accumulate: bool) -> Value:
    """``x`` with ``x[indices] = values`` (or ``+=``)."""
    mask = indices[0] if indices else None
    if not accumulate and len(indices) == 1 and mask is not None and mask.dtype.is_bool and values.ndim == 0:
        raised = reshape(mask, mask.shape + (1,) * (x.ndim - mask.ndim))
        return ops.where(raised, cast(values, x.dtype), x)
    if x.dtype.is_bool:
        wide = [cast(y, DType.UINT8) for y in (x, values)]
        return cast(index_put(wide[0], indices, wide[1], accumulate), DType.BOOL)
    axes, found = _normal(x, indices)
    rest = [axis for axis in range(x.ndim) if axis not in axes]
    order = axes + rest
    front = permute(x, order)
    places = _stacked(found)
    shape = (*places.shape[:-1], *(front.shape[a] for a in range(len(axes), x.ndim)))
    updates = broadcast(_to_front(cast(values, x.dtype), axes, len(places.shape) - 1, rest), shape)
    result = ops.scatter_nd(front, places, updates, reduction="add" if accumulate else "set")
    return permute(result, [order.index(axis) for axis in range(x.ndim)])


def _to_front(values: Value, axes: list[int], width: int, rest: list[int]) -> Value:
    """Values laid out as the indexing result, with the indexed axes moved to the front."""
    together = axes == list(range(axes[0], axes[0] + len(axes)))
    rank = width + len(rest)
    if not together or axes[0] == 0 or values.ndim == 0:
        return values
    raised = reshape(values, (1,) * (rank - values.ndim) + values.shape)
    lead = axes[0]
    return permute(raised, [*range(lead, lead + width), *range(lead), *range(lead + width, rank)])


@lift.rule("aten.index_put.default", "aten._unsafe_index_put.default")
def _(x: Value, indices: Indices, values: Value, accumulate: bool) -> Value:
    return index_put(x, indices, values, accumulate)


ON_BOOLS = {"add": "max", "multiply": "min"}
REDUCTIONS = {"sum": "add", "add": "add", "prod": "multiply", "multiply": "multiply", "amax": "max", "amin": "min"}


def scatter(x: Value, axis: int, places: Value, updates: Any, reduction: str) -> Value:
    """Updates cut to the index's shape, as torch reads only that many of them."""
    if not isinstance(updates, Value):
        updates = full(places.shape, updates, x.dtype)
    if x.ndim == 0:
        flat = scatter(reshape(x, (1,)), 0, reshape(places, (-1,)), reshape(updates, (-1,)), reduction)
        return reshape(flat, ())
    if x.dtype.is_bool:
        reduction = ON_BOOLS.get(reduction, reduction)
        wide = [cast(y, DType.UINT8) for y in (x, updates)]
        return cast(scatter(wide[0], axis, places, wide[1], reduction), DType.BOOL)
    for i in range(updates.ndim):
        if updates.shape[i] != places.shape[i]:
            updates = cut(updates, i, 0, places.shape[i])
    return ops.scatter(x, places, updates, axis=axis, reduction=reduction)


@lift.rule("aten.scatter.src", "aten.scatter.value")
def _(x: Value, axis: int, places: Value, updates: Any) -> Value:
    return scatter(x, axis, places, updates, "set")


@lift.rule("aten.scatter.reduce", "aten.scatter.value_reduce")
def _(x: Value, axis: int, places: Value, updates: Any, reduce: str) -> Value:
    return scatter(x, axis, places, updates, REDUCTIONS[reduce])


@lift.rule("aten.scatter_add.default")
def _(x: Value, axis: int, places: Value, updates: Value) -> Value:
    return scatter(x, axis, places, updates, "add")


@lift.rule("aten.index_reduce.default")
def _(x: Value, axis: int, index: Value, source: Value, reduce: str, include_self: bool) -> Value:
    if x.ndim == 0:
        whole = scatter_reduce(reshape(x, (1,)), 0, reshape(index, (-1,)), reshape(source, (-1,)), reduce, include_self)
        return reshape(whole, ())
    return scatter_reduce(x, axis, _rows(index, source, axis), source, reduce, include_self)


@lift.rule("aten.scatter_reduce.two")
def scatter_reduce(x: Value, axis: int, places: Value, updates: Value, reduce: str, include_self: bool) -> Value:
    """Without the old elements, those that are hit first become the neutral one; `mean` counts its terms."""
    base = x
    neutral = _neutral(reduce, x.dtype)
    if not include_self:
        base = scatter(x, axis, places, neutral, "set")
    if reduce != "mean":
        return scatter(base, axis, places, updates, REDUCTIONS[reduce])
    total = scatter(base, axis, places, updates, "add")
    start = full(x.shape, 1, x.dtype)
    if not include_self:
        start = scatter(start, axis, places, 0, "set")
    count = scatter(start, axis, places, full(places.shape, 1, x.dtype), "add")
    count = ops.where(ops.equal(count, 0), 1, count)
    return ops.floor_divide(total, count) if x.dtype.is_integer else ops.divide(total, count)


def _neutral(reduce: str, dtype: DType) -> Any:
    if reduce in ("sum", "mean"):
        return 0
    if reduce == "prod":
        return 1
    sign = -1 if reduce == "amax" else 1
    if dtype.is_floating:
        return sign * float("inf")
    if dtype.is_bool:
        return reduce == "amin"
    low = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    return low if reduce == "amax" else low + (1 << dtype.bits) - 1


def _rows(index: Value, like: Value, axis: int) -> Value:
    """A 1-D index repeated over the other axes of `like`."""
    position = normalize_axis(axis, like.ndim)
    flat = reshape(index, (-1,)) if index.ndim != 1 else index
    return broadcast(reshape(flat, tuple(flat.shape[0] if i == position else 1 for i in range(like.ndim))), like.shape)


@lift.rule("aten.index_add.default")
def _(x: Value, axis: int, index: Value, source: Value, alpha: Any) -> Value:
    source = scaled(source, alpha)
    if x.ndim == 0:
        source = reshape(source, ())
        return ops.logical_or(x, source) if x.dtype.is_bool else ops.add(x, source)
    return scatter(x, axis, _rows(index, source, axis), source, "add")


@lift.rule("aten.index_copy.default")
def _(x: Value, axis: int, index: Value, source: Value) -> Value:
    if x.ndim == 0:
        return reshape(source, ())
    return ops.scatter(x, _rows(index, source, axis), source, axis=axis, reduction="set")


@lift.rule("aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor")
def _(x: Value, axis: int, index: Value, value: Any) -> Value:
    """Marked positions along the axis, then a choice: no matter how often one is named."""
    if x.ndim == 0:
        return tensor_of(value, x.dtype)
    position = normalize_axis(axis, x.ndim)
    index = cast(reshape(index, (-1,)) if index.ndim != 1 else index, DType.INT64)
    index = ops.where(ops.less(index, 0), ops.add(index, x.shape[position]), index)
    here = ops.arange(start=0, stop=x.shape[position], step=1, dtype=DType.INT64)
    marked = ops.any(ops.equal(ops.expand_dims(here, axis=(1,)), index), axis=(1,))
    shape = tuple(x.shape[position] if i == position else 1 for i in range(x.ndim))
    return ops.where(reshape(marked, shape), cast(value, x.dtype), x)


@lift.rule("aten.masked_scatter.default")
def _(x: Value, mask: Value, source: Value) -> Value:
    """The k-th marked element takes the k-th element of the source."""
    shape = broadcast_shapes(x.shape, mask.shape)
    flat = reshape(broadcast(mask, shape), (-1,))
    order = ops.subtract(ops.cumulative_sum(cast(flat, DType.INT64), axis=0), 1)
    taken = ops.take(reshape(source, (-1,)), order, axis=0, mode="clip")
    return ops.where(reshape(flat, shape), reshape(taken, shape), broadcast(x, shape))


@lift.rule("aten.masked_select.default")
def _(x: Value, mask: Value) -> Value:
    shape = broadcast_shapes(x.shape, mask.shape)
    flat = reshape(broadcast(x, shape), (-1,))
    places = ops.nonzero(reshape(broadcast(mask, shape), (-1,)))
    return ops.take(flat, ops.squeeze(places, axis=(1,)), axis=0)


@lift.rule("aten.nonzero.default", "aten.argwhere.default")
def _(x: Value) -> Value:
    return ops.nonzero(cast(x, DType.BOOL) if not x.dtype.is_bool else x)


@lift.rule("aten.nonzero_numpy.default", "aten.where.default")
def _(x: Value) -> tuple[Value, ...]:
    places = ops.nonzero(cast(x, DType.BOOL))
    return tuple(ops.take(places, tensor_of(axis, DType.INT64), axis=1) for axis in range(x.ndim))


@lift.rule("aten.one_hot.default")
def _(x: Value, depth: int) -> Value:
    if depth < 0:
        return refuse("the number of classes depends on data; pass num_classes")
    return ops.one_hot(x, depth=depth, axis=-1, dtype=DType.INT64)


@lift.rule("aten.isin.Tensor_Tensor", "aten.isin.Tensor_Scalar", "aten.isin.Scalar_Tensor")
def _(elements: Any, tests: Any, _unique: bool, invert: bool) -> Value:
    left, right = promote(elements, tests)
    left = left if isinstance(left, Value) else tensor_of(left, right.dtype)
    flat = reshape(right, (-1,)) if isinstance(right, Value) else full((1,), right, left.dtype)
    found = ops.any(ops.equal(ops.expand_dims(left, axis=(left.ndim,)), flat), axis=(-1,))
    return ops.logical_not(found) if invert else found
