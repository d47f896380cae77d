"""Indexing, ordering, padding and scans that ONNX has only in another form: canonical ops in, canonical ops out."""

from __future__ import annotations

import math
from collections.abc import Callable

from kxchange.dims import Dim
from kxchange.graph import Graph, Node, Value, placeholder
from kxchange.ops.arithmetic import add, maximum, minimum, multiply, remainder, subtract
from kxchange.ops.comparison import (
    equal,
    greater_equal,
    isnan,
    less,
    logical_and,
    logical_not,
    logical_or,
    not_equal,
    where,
)
from kxchange.ops.control import scan
from kxchange.ops.conversion import astype
from kxchange.ops.creation import arange, full
from kxchange.ops.cumulative import cumulative_sum
from kxchange.ops.data_sized import nonzero, unique
from kxchange.ops.indexing import take
from kxchange.ops.joining import concat, integer_range, pad
from kxchange.ops.manipulation import expand_dims, permute_dims, reshape, squeeze
from kxchange.ops.ordering import top_k
from kxchange.ops.reduction import sum_
from kxchange.ops.scattering import scatter
from kxchange.ops.slicing import flip, slice_
from kxchange.shapes import normalize_axis
from kxchange.table import Table
from kxchange.types import DType, TensorType
from kxchange_onnx.expand_types import WIDER

TABLE = Table("onnx")
Step = Callable[[Value, Value], tuple[Value, Value]]
"""(total, element) -> next total, and what stands at the position."""


@TABLE.rule("eye")
def _(*, rows: Dim, columns: Dim | None, offset: int, dtype: DType) -> Value:
    width = rows if columns is None else columns
    i = expand_dims(arange(start=offset, stop=rows + offset, step=1, dtype=DType.INT64), axis=(1,))
    return astype(equal(i, arange(start=0, stop=width, step=1, dtype=DType.INT64)), dtype=dtype)


@TABLE.rule("take", when=lambda node: node.attrs["mode"] != "error")
def _(x: Value, indices: Value, *, axis: int, mode: str) -> Value:
    position = normalize_axis(axis, x.ndim)
    size = x.shape[position]
    if size == 0 and mode == "fill":
        rest = (*x.shape[:position], *indices.shape, *x.shape[position + 1 :])
        return full(shape=rest, value=_filler(x.type), dtype=x.dtype)
    wide = _positions(indices)
    front = where(less(wide, 0), add(wide, size), wide)
    clipped = minimum(maximum(front, 0), size - 1)
    if mode == "clip":
        return take(x, clipped, axis=position)
    if mode == "wrap":
        return take(x, remainder(front, size), axis=position)
    inside = logical_and(greater_equal(front, 0), less(front, size))
    rows = expand_dims(inside, axis=tuple(range(inside.ndim, inside.ndim + x.ndim - position - 1)))
    return where(rows, take(x, clipped, axis=position), _filler(x.type))


def _positions(indices: Value) -> Value:
    """Indices as int64; an unsigned one beyond that range stays beyond every axis."""
    if indices.dtype is not DType.UINT64:
        return astype(indices, dtype=DType.INT64)
    return astype(minimum(indices, 2**63 - 1), dtype=DType.INT64)


def _filler(type: TensorType) -> float | int:
    if type.dtype.is_bool:
        return True
    if not type.dtype.is_integer:
        return math.nan
    return integer_range(type.dtype)[0 if type.dtype.is_signed else 1]


@TABLE.rule("sort")
def _(x: Value, *, axis: int, descending: bool) -> Value:
    position = normalize_axis(axis, x.ndim)
    return top_k(x, k=x.shape[position], axis=position, largest=descending, sorted=True)[0]


@TABLE.rule("argsort")
def _(x: Value, *, axis: int, descending: bool) -> Value:
    position = normalize_axis(axis, x.ndim)
    return top_k(x, k=x.shape[position], axis=position, largest=descending, sorted=True)[1]


@TABLE.rule("searchsorted")
def _(sorted_sequence: Value, values: Value, *, side: str) -> Value:
    """How many elements stand before each value, NaN being greater than every number."""
    row = expand_dims(sorted_sequence, axis=(sorted_sequence.ndim - 1,))
    column = expand_dims(values, axis=(values.ndim,))
    before = _less(row, column) if side == "left" else logical_not(_less(column, row))
    return sum_(astype(before, dtype=DType.INT64), axis=(values.ndim,), keepdims=False)


def _less(x1: Value, x2: Value) -> Value:
    if not x1.dtype.is_floating:
        return less(x1, x2)
    return logical_or(less(x1, x2), logical_and(isnan(x2), logical_not(isnan(x1))))


@TABLE.rule("nonzero")
def _(x: Value, *, count: str) -> Value:
    if x.ndim == 0:  # ONNX Runtime gives a position one coordinate where it has none
        return _part(nonzero(reshape(x, shape=(1,)), count=count), 1, 0, 0)
    return nonzero(not_equal(x, 0), count=count)


def _not_listed(node: Node) -> bool:
    dtype = node.types[0].dtype
    return dtype in WIDER or (dtype.is_floating and not _is_empty(node))


def _is_empty(node: Node) -> bool:
    return node.inputs[0] is not None and 0 in node.inputs[0].shape


@TABLE.rule("unique", when=_not_listed)
def _(x: Value, *, count: str) -> tuple[Value, ...]:
    if not x.dtype.is_floating:
        values, inverse, counts = unique(astype(x, dtype=DType.INT64), count=count)
        return astype(values, dtype=x.dtype), inverse, counts
    return _unique_floats(x, count)


def _unique_floats(x: Value, count: str) -> tuple[Value, ...]:
    """By sorting: every NaN is distinct, where ONNX Runtime's `Unique` loses numbers beside one."""
    flat = reshape(x, shape=(-1,))
    (size,) = flat.shape
    values, order = top_k(flat, k=size, axis=0, largest=False, sorted=True)
    differs = not_equal(_part(values, 0, 1, size), _part(values, 0, 0, size - 1))
    first = concat(full(shape=(1,), value=True, dtype=DType.BOOL), differs, axis=0)
    starts = squeeze(nonzero(first, count=count), axis=(1,))
    ranks = subtract(cumulative_sum(astype(first, dtype=DType.INT64), axis=0), 1)
    inverse = scatter(order, order, ranks, axis=0)
    ends = concat(_part(starts, 0, 1, starts.shape[0]), full(shape=(1,), value=size, dtype=DType.INT64), axis=0)
    return take(values, starts, axis=0, mode="error"), reshape(inverse, shape=x.shape), subtract(ends, starts)


def _mirrored_or_narrow(node: Node) -> bool:
    return node.attrs["mode"] in ("symmetric", "wrap") or node.types[0].dtype in WIDER


@TABLE.rule("pad", when=_mirrored_or_narrow)
def _(x: Value, *, padding: tuple[tuple[Dim, Dim], ...], mode: str, value: float) -> Value:
    if mode not in ("symmetric", "wrap"):
        wide = astype(x, dtype=WIDER[x.dtype])
        return astype(pad(wide, padding=padding, mode=mode, value=value), dtype=x.dtype)
    for axis, (before, after) in enumerate(padding):
        if (before, after) == (0, 0):
            continue
        size = x.shape[axis]
        mirrored = mode == "symmetric"
        front = _part(x, axis, 0, before) if mirrored else _part(x, axis, size - before, size)
        behind = _part(x, axis, size - after, size) if mirrored else _part(x, axis, 0, after)
        pieces = [flip(piece, axis=(axis,)) if mirrored else piece for piece in (front, behind)]
        x = concat(pieces[0], x, pieces[1], axis=axis)
    return x


def _part(x: Value, axis: int, start: Dim, stop: Dim) -> Value:
    return slice_(x, starts=(start,), stops=(stop,), steps=(1,), axes=(axis,))


@TABLE.rule("any")
def _(x: Value, *, axis: tuple[int, ...] | None, keepdims: bool) -> Value:
    return not_equal(sum_(astype(x, dtype=DType.INT32), axis=axis, keepdims=keepdims), 0)


@TABLE.rule("all")
def _(x: Value, *, axis: tuple[int, ...] | None, keepdims: bool) -> Value:
    return equal(sum_(astype(logical_not(x), dtype=DType.INT32), axis=axis, keepdims=keepdims), 0)


@TABLE.rule("cumulative_max")
def _(x: Value, *, axis: int) -> Value:
    lowest = -math.inf if x.dtype.is_floating else integer_range(x.dtype)[0]
    return _running(x, axis, lowest, lambda total, element: (maximum(total, element),) * 2, reverse=False)


@TABLE.rule("cumulative_min")
def _(x: Value, *, axis: int) -> Value:
    highest = math.inf if x.dtype.is_floating else integer_range(x.dtype)[1]
    return _running(x, axis, highest, lambda total, element: (minimum(total, element),) * 2, reverse=False)


@TABLE.rule("cumulative_prod")
def _(x: Value, *, axis: int, exclusive: bool, reverse: bool) -> Value:
    def step(total: Value, element: Value) -> tuple[Value, Value]:
        product = multiply(total, element)
        return product, total if exclusive else product

    return _running(x, axis, 1, step, reverse=reverse)


def _running(
    x: Value, axis: int, start: float, step: Callable[[Value, Value], tuple[Value, Value]], *, reverse: bool
) -> Value:
    """A scan along an axis."""
    position = normalize_axis(axis, x.ndim)
    order = (position, *(i for i in range(x.ndim) if i != position))
    moved = permute_dims(x, axes=order)
    row = moved.type.with_shape(moved.shape[1:])
    total, element = placeholder("total", row), placeholder("element", row)
    body = Graph((total, element), step(total, element))
    initial = full(shape=row.shape, value=start, dtype=x.dtype)
    length = moved.shape[0]
    result = scan(initial, moved, body=body, num_consts=0, num_carry=1, reverse=reverse, length=length)[1]
    return permute_dims(result, axes=tuple(order.index(i) for i in range(x.ndim)))
