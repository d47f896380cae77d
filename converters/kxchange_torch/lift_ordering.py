"""Sorting, selection by rank, searching, counting."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import Number, lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_manipulation import reshape
from kxchange_torch.lift_promotion import cast, promote, tensor_of
from kxchange_torch.lift_slicing import pick


def ordered(x: Value, axis: int, descending: bool) -> tuple[Value, Value]:
    """Sorted values and where they were: one stable order for both."""
    if x.ndim == 0:
        return x, full((), 0, DType.INT64)
    places = ops.argsort(x, axis=axis, descending=descending)
    return ops.take_along_axis(x, places, axis=axis), places


@lift.rule("aten.sort.default")
def _(x: Value, axis: int, descending: bool) -> tuple[Value, Value]:
    return ordered(x, axis, descending)


@lift.rule("aten.sort.stable")
def _(x: Value, _stable: bool, axis: int, descending: bool) -> tuple[Value, Value]:
    return ordered(x, axis, descending)


@lift.rule("aten.msort.default")
def _(x: Value) -> Value:
    return ops.sort(x, axis=0, descending=False) if x.ndim else x


@lift.rule("aten.argsort.default")
def _(x: Value, axis: int, descending: bool) -> Value:
    return ordered(x, axis, descending)[1]


@lift.rule("aten.argsort.stable")
def _(x: Value, _stable: bool, axis: int, descending: bool) -> Value:
    return ordered(x, axis, descending)[1]


@lift.rule("aten.topk.default")
def _(x: Value, k: Dim, axis: int, largest: bool, sorted_: bool) -> tuple[Value, Value]:
    if isinstance(k, Number):
        return refuse("k depends on data")
    if x.ndim == 0:
        return x, full((), 0, DType.INT64)
    return ops.top_k(x, k=k, axis=axis, largest=largest, sorted=sorted_)


@lift.rule("aten.kthvalue.default")
def _(x: Value, k: Dim, axis: int, keepdims: bool) -> tuple[Value, Value]:
    return _at_rank(x, k - 1, axis, keepdims)


def _at_rank(x: Value, rank: Dim, axis: int, keepdims: bool) -> tuple[Value, Value]:
    values, places = ordered(x, axis, False)
    if x.ndim == 0:
        return values, places
    picked = pick(values, axis, rank), pick(places, axis, rank)
    if not keepdims:
        return picked
    return ops.expand_dims(picked[0], axis=(axis,)), ops.expand_dims(picked[1], axis=(axis,))


def _missing_first(x: Value, axis: int, values: Value, keepdims: bool) -> Value:
    """A median is NaN where any element is."""
    if not x.dtype.is_floating:
        return values
    return ops.where(ops.any(ops.isnan(x), axis=(axis,), keepdims=keepdims), float("nan"), values)


@lift.rule("aten.median.default")
def _(x: Value) -> Value:
    flat = reshape(x, (-1,))
    return _missing_first(flat, 0, _at_rank(flat, (flat.shape[0] - 1) // 2, 0, False)[0], False)


@lift.rule("aten.median.dim")
def _(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    if x.ndim == 0:
        return ordered(x, axis, False)
    values, places = _at_rank(x, (x.shape[axis] - 1) // 2, axis, keepdims)
    return _missing_first(x, axis, values, keepdims), places


def _nanmedian(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    """The lower median of what is a number: NaN sorts last."""
    if x.ndim == 0:
        return ordered(x, axis, False)
    values, places = ordered(x, axis, False)
    seen = cast(ops.logical_not(ops.isnan(x)) if x.dtype.is_floating else ops.equal(x, x), DType.INT64)
    rank = ops.floor_divide(ops.subtract(ops.sum(seen, axis=(axis,), keepdims=True), 1), 2)
    rank = ops.maximum(rank, 0)
    found = [ops.take_along_axis(y, rank, axis=axis) for y in (values, places)]
    if not keepdims:
        found = [ops.squeeze(y, axis=(axis,)) for y in found]
    return found[0], found[1]


@lift.rule("aten.nanmedian.dim")
def _(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    return _nanmedian(x, axis, keepdims)


@lift.rule("aten.nanmedian.default")
def _(x: Value) -> Value:
    return _nanmedian(reshape(x, (-1,)), 0, False)[0]


def _search(sequence: Value, values: Any, right: bool, side: str | None, int32: bool) -> Value:
    sequence, values = promote(sequence, values)
    values = values if isinstance(values, Value) else tensor_of(values, sequence.dtype)
    found = ops.searchsorted(sequence, values, side="right" if right or side == "right" else "left")
    return cast(found, DType.INT32) if int32 else found


@lift.rule("aten.searchsorted.Tensor", "aten.searchsorted.Scalar")
def _(sequence: Value, values: Any, int32: bool, right: bool, side: str | None, sorter: Value | None) -> Value:
    if sorter is not None:
        sequence = ops.take_along_axis(sequence, sorter, axis=-1)
    return _search(sequence, values, right, side, int32)


@lift.rule("aten.bucketize.Tensor", "aten.bucketize.Scalar")
def _(values: Any, boundaries: Value, int32: bool, right: bool) -> Value:
    return _search(boundaries, values, right, None, int32)


@lift.rule("aten._unique2.default")
def _(x: Value, _sorted: bool, inverse: bool, counts: bool) -> tuple[Value, Value, Value]:
    """What was not asked for is empty in torch."""
    values, places, times = ops.unique(x)
    empty = full((0,), 0, DType.INT64)
    return values, places if inverse else empty, times if counts else empty


@lift.rule("aten.bincount.default")
def _(x: Value, weights: Value | None, minlength: Dim) -> Value:
    del x, weights, minlength
    return refuse("the number of bins depends on data; use scatter_add into a tensor of known size")


@lift.rule("aten.histc.default")
def _(x: Value, bins: int, low: float, high: float) -> Value:
    """Counts per bin of equal width; the last one includes its right edge, what is outside is not counted."""
    if low == high:
        return refuse("the range of the bins depends on data; pass min and max")
    flat = reshape(x, (-1,))
    place = ops.floor(ops.divide(ops.multiply(ops.subtract(flat, low), float(bins)), float(high - low)))
    place = ops.minimum(place, ops.full(shape=(), value=float(bins - 1), dtype=x.dtype))
    inside = ops.logical_and(ops.greater_equal(flat, low), ops.less_equal(flat, high))
    edges = cast(ops.arange(start=0, stop=bins, step=1, dtype=DType.INT64), x.dtype)
    hit = ops.logical_and(ops.equal(ops.expand_dims(edges, axis=(1,)), place), inside)
    return ops.sum(cast(hit, x.dtype), axis=(1,))
