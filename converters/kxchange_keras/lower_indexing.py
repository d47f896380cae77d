"""Lowering of ops that pick and write elements by position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kxchange.dims import Dim
from kxchange.errors import BuildError
from kxchange.graph import Node
from kxchange.table import Table
from kxchange_keras.lower_elementwise import widened
from kxchange_keras.lowering import count, dtype_of, is_static, operand_dims, output_type, size
from kxchange_keras.shaping_out import reshaped, spread

Tensor = Any
ops: Any = keras.ops
lower = Table("keras")


def whole(indices: Tensor) -> Tensor:
    """Indices in a type that every backend indexes with."""
    return indices if dtype_of(indices).value in ("int32", "int64") else ops.cast(indices, "int64")


def from_front(indices: Tensor, length: Dim) -> Tensor:
    """Indices counted from the front."""
    indices = whole(indices)
    back = size(length)
    return ops.where(ops.less(indices, 0), ops.add(indices, _alike(back, indices)), indices)


def _alike(number: Any, x: Tensor) -> Any:
    return number if isinstance(number, int) else ops.cast(number, dtype_of(x).value)


@lower.rule("take")
def _(x: Tensor, indices: Tensor, *, axis: int, mode: str) -> Tensor:
    shape = operand_dims()
    axis %= len(shape)
    length = shape[axis]
    front = from_front(indices, length)
    if mode == "error":
        return ops.take(x, front, axis=axis)
    last = _alike(size(length), front)
    if mode == "wrap":
        return ops.take(x, ops.mod(front, last), axis=axis)
    if length == 0:
        raise BuildError("keras cannot take from an axis of no elements.")
    inside = ops.maximum(ops.minimum(front, ops.subtract(last, 1)), 0)
    found = ops.take(x, inside, axis=axis)
    if mode == "clip":
        return found
    dtype = output_type().dtype
    filler = np.asarray([_filler(dtype)]).astype(dtype.numpy)
    valid = ops.equal(front, inside)
    for _ in range(len(shape) - axis - 1):
        valid = ops.expand_dims(valid, -1)
    return ops.where(valid, found, filler)


def _filler(dtype: Any) -> Any:
    """What stands for a position that is not there: JAX's choice."""
    if not dtype.is_integer:
        return True if dtype.is_bool else np.nan
    limits = np.iinfo(dtype.numpy)
    return limits.min if dtype.is_signed else limits.max


@lower.rule("embedding")
def _(weight: Tensor, indices: Tensor, *, padding_index: int | None) -> Tensor:
    return ops.take(weight, from_front(indices, operand_dims()[0]), axis=0)


@lower.rule("take_along_axis")
def _(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    own, other, after = operand_dims(0), operand_dims(1), output_type().shape
    axis %= len(own)
    x = spread(x, own, (*after[:axis], own[axis], *after[axis + 1 :]))
    places = spread(from_front(indices, own[axis]), other, after)
    return ops.take_along_axis(x, places, axis=axis)


def _linear(indices: Tensor, sizes: Sequence[Dim]) -> Tensor:
    """Index tuples as positions in the flattened axes."""
    places: Tensor = None
    for part, length in enumerate(sizes):
        one = from_front(ops.get_item(indices, (Ellipsis, part)), length)
        places = one if places is None else ops.add(ops.multiply(places, _alike(size(length), one)), one)
    return places


@lower.rule("gather_nd")
def _(x: Tensor, indices: Tensor, *, batch_dims: int) -> Tensor:
    shape, tuples = operand_dims(0), operand_dims(1)
    depth = tuples[-1]
    assert isinstance(depth, int)
    inner, rest = shape[batch_dims : batch_dims + depth], shape[batch_dims + depth :]
    places = _linear(indices, inner)
    if batch_dims:
        places = _with_batch(places, shape[:batch_dims], inner, len(tuples) - 1)
    total: Dim = 1
    for length in (*shape[:batch_dims], *inner):
        total = total * length
    flat = reshaped(x, shape, (total, *rest))
    return ops.take(flat, places, axis=0)


def _with_batch(places: Tensor, batch: Sequence[Dim], inner: Sequence[Dim], rank: int) -> Tensor:
    row: Tensor = None
    for axis, length in enumerate(batch):
        line = ops.reshape(count(length), (-1, *(1,) * (rank - axis - 1)))
        row = line if row is None else ops.add(ops.multiply(row, size(length)), line)
    for length in inner:
        row = ops.multiply(row, size(length))
    return ops.add(places, ops.cast(row, dtype_of(places).value))


REDUCTIONS = {"set": None, "add": "add", "min": "min", "max": "max"}
"""Keras's "mul" loses all but one of several factors of an element under TensorFlow, so it is not used."""


def _places(node: Node) -> tuple[Dim, ...]:
    indices = node.inputs[1]
    return () if indices is None else tuple(indices.shape)


def written(x: Tensor, places: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """A copy with elements written at index tuples."""
    dtype = dtype_of(x)
    if dtype.is_bool:
        wide = (ops.cast(x, "int32"), ops.cast(updates, "int32"))
        return ops.not_equal(written(wide[0], places, wide[1], reduction), 0)
    named = REDUCTIONS[reduction]
    return widened(lambda a, b: ops.scatter_update(a, places, b, reduction=named))(x, updates)


@lower.rule("scatter_nd", when=lambda node: node.attrs["reduction"] in REDUCTIONS and _places(node)[-1] != 0)
def _(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
    shape, depth = operand_dims(0), operand_dims(1)[-1]
    assert isinstance(depth, int)
    parts = [from_front(ops.get_item(indices, (Ellipsis, part)), shape[part]) for part in range(depth)]
    return written(x, ops.stack(parts, axis=-1), updates, reduction)


@lower.rule("scatter", when=lambda node: node.attrs["reduction"] in REDUCTIONS and is_static(_places(node)))
def _(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int, reduction: str) -> Tensor:
    shape, other = operand_dims(0), operand_dims(1)
    axis %= len(shape)
    own = from_front(indices, shape[axis])
    grids = np.meshgrid(*(np.arange(int(str(length))) for length in other), indexing="ij")
    zeros = ops.zeros_like(own)
    parts = [own if at == axis else ops.add(zeros, grid.astype(dtype_of(own).numpy)) for at, grid in enumerate(grids)]
    return written(x, ops.stack(parts, axis=-1), updates, reduction)


@lower.rule("dynamic_slice")
def _(x: Tensor, *starts: Tensor, sizes: tuple[Dim, ...]) -> Tensor:
    for axis, (start, length, all_of_it) in enumerate(zip(starts, sizes, operand_dims(), strict=True)):
        if length == all_of_it:
            continue
        first = _clamped(start, length, all_of_it)
        x = ops.take(x, ops.add(ops.cast(count(length), "int64"), first), axis=axis)
    return x


def _clamped(start: Tensor, length: Dim, all_of_it: Dim) -> Tensor:
    room = size(all_of_it - length)
    start = ops.cast(start, "int64")
    room = room if isinstance(room, int) else ops.cast(room, "int64")
    return ops.maximum(ops.minimum(start, room), 0)


@lower.rule("dynamic_update_slice")
def _(x: Tensor, update: Tensor, *starts: Tensor) -> Tensor:
    if not starts:
        return update
    whole_dims, part = operand_dims(0), operand_dims(1)
    placed, inside = update, None
    for axis, (start, length, all_of_it) in enumerate(zip(starts, part, whole_dims, strict=True)):
        if length == all_of_it:
            continue
        first = _clamped(start, length, all_of_it)
        places = ops.subtract(ops.cast(count(all_of_it), "int64"), first)
        last = size(length - 1)
        last = last if isinstance(last, int) else ops.cast(last, "int64")
        hit = ops.logical_and(ops.greater_equal(places, 0), ops.less_equal(places, last))
        placed = ops.take(placed, ops.maximum(ops.minimum(places, last), 0), axis=axis)
        hit = ops.reshape(hit, (-1, *(1,) * (len(whole_dims) - axis - 1)))
        inside = hit if inside is None else ops.logical_and(inside, hit)
    return placed if inside is None else ops.where(inside, placed, x)
