"""Lowering of ops that pick, write and order elements by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.table import Table
from kxchange_tensorflow.lower_elementwise import widened
from kxchange_tensorflow.lower_reduction import order_keys
from kxchange_tensorflow.lowering import shape_of, size_of, vector, wide

Tensor = Any

lower = Table("tensorflow")

WRITERS = {"set": tf.tensor_scatter_nd_update, "add": tf.tensor_scatter_nd_add}
WRITERS |= {"min": tf.tensor_scatter_nd_min, "max": tf.tensor_scatter_nd_max}


def from_front(indices: Tensor, size: Any) -> Tensor:
    """Indices as int64, counted from the front."""
    indices = tf.cast(indices, tf.int64)
    return tf.where(indices < 0, indices + tf.cast(size, tf.int64), indices)


@lower.rule("take")
def _(x: Tensor, indices: Tensor, *, axis: int, mode: str) -> Tensor:
    axis %= x.shape.rank
    size = tf.cast(size_of(x, axis), tf.int64)
    front = from_front(indices, size)
    if mode == "error":
        return tf.gather(x, front, axis=axis)
    if mode == "wrap":
        return tf.gather(x, tf.math.floormod(front, size), axis=axis)
    inside = tf.clip_by_value(front, 0, tf.maximum(size - 1, 0))
    if mode == "clip":
        return tf.gather(x, inside, axis=axis)
    shape = [1] * axis + [-1] + [1] * (x.shape.rank - axis - 1)
    valid = tf.reshape(tf.equal(front, inside), [-1])
    sizes = shape_of(x)
    result = vector([*sizes[:axis], *shape_of(indices), *sizes[axis + 1 :]])
    filler = tf.constant(_filler(x.dtype), x.dtype)
    if sizes[axis] == 0:
        return tf.broadcast_to(filler, result)
    filled = tf.gather(x, tf.reshape(inside, [-1]), axis=axis)
    return tf.reshape(tf.where(tf.reshape(valid, shape), filled, filler), result)


def _filler(dtype: tf.DType) -> Any:
    """What stands for a position that is not there: JAX's choice."""
    if not dtype.is_integer:
        return True if dtype.is_bool else np.nan
    return dtype.max if dtype.is_unsigned else dtype.min


@lower.rule("take_along_axis")
def _(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    rank = x.shape.rank
    axis %= rank
    order = [a for a in range(rank) if a != axis] + [axis]
    back = [order.index(a) for a in range(rank)]
    table, places = tf.transpose(x, order), tf.transpose(from_front(indices, size_of(x, axis)), order)
    outer = tf.broadcast_dynamic_shape(vector(shape_of(table)[:-1]), vector(shape_of(places)[:-1]))
    table = tf.broadcast_to(table, tf.concat([outer, vector([size_of(table, rank - 1)])], 0))
    places = tf.broadcast_to(places, tf.concat([outer, vector([size_of(places, rank - 1)])], 0))
    return tf.transpose(tf.gather(table, places, batch_dims=rank - 1, axis=rank - 1), back)


def _fronts(indices: Tensor, sizes: list[Any]) -> Tensor:
    """Index tuples counted from the front."""
    limits = vector(sizes)
    indices = tf.cast(indices, tf.int64)
    return tf.where(indices < 0, indices + limits, indices)


@lower.rule("gather_nd")
def _(x: Tensor, indices: Tensor, *, batch_dims: int) -> Tensor:
    depth = indices.shape[-1]
    return tf.gather_nd(x, _fronts(indices, shape_of(x)[batch_dims : batch_dims + depth]), batch_dims=batch_dims)


@lower.rule("scatter")
def _(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int, reduction: str) -> Tensor:
    axis %= x.shape.rank
    sizes = wide(*shape_of(indices))
    places = list(tf.meshgrid(*(tf.range(size, dtype=tf.int64) for size in sizes), indexing="ij"))
    places[axis] = from_front(indices, size_of(x, axis))
    return written(x, tf.stack(places, axis=-1), updates, reduction=reduction)


@lower.rule("scatter_nd")
def _(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
    depth = indices.shape[-1]
    places = _fronts(indices, shape_of(x)[:depth])
    if depth == 0:
        return _rows_written(x, places, updates, reduction)
    if indices.shape.rank == 1:  # one index tuple: TensorFlow wants an axis of them
        places, updates = places[None], updates[None]
    return written(x, places, updates, reduction=reduction)


def _rows_written(x: Tensor, places: Tensor, updates: Tensor, reduction: str) -> Tensor:
    """Index tuples without entries: every update is a whole tensor."""
    spot = tf.zeros(vector([*shape_of(places)[:-1], 1]), tf.int64)
    return written(x[None], spot, updates, reduction=reduction)[0]


def written(x: Tensor, places: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
    """A copy with elements written at index tuples."""
    if x.dtype.is_bool and reduction != "set":
        wide_x, wide_updates = tf.cast(x, tf.int32), tf.cast(updates, tf.int32)
        return written(wide_x, places, wide_updates, reduction=reduction) != 0
    if reduction == "multiply":
        return _multiplied(x, places, updates)
    if reduction == "set":
        return WRITERS["set"](x, places, updates)
    dtype = x.dtype
    chosen = tf.int32 if dtype.is_integer and dtype.size < 4 else dtype
    return tf.cast(WRITERS[reduction](tf.cast(x, chosen), places, tf.cast(updates, chosen)), dtype)


@widened
def _multiplied(x: Tensor, places: Tensor, updates: Tensor) -> Tensor:
    depth, sizes = places.shape[-1], shape_of(x)
    strides = [tf.reduce_prod(vector(sizes[axis + 1 : depth])) for axis in range(depth)]
    ids = tf.reduce_sum(tf.cast(places, tf.int64) * tf.stack(strides), axis=-1)
    inner = vector(sizes[depth:])
    count = tf.reduce_prod(vector(sizes[:depth]))
    rows = tf.reshape(updates, tf.concat([[-1], inner], 0))
    factors = tf.math.unsorted_segment_prod(rows, tf.reshape(ids, [-1]), count)
    return x * tf.reshape(factors, vector(sizes))


def ordered(x: Tensor, axis: int, *, descending: bool, count: Any = None) -> Tensor:
    """Positions along an axis in stable order; NaN is the largest."""
    rank = x.shape.rank
    axis %= rank
    keys = order_keys(x)
    keys = keys if descending else tf.bitwise.invert(keys)  # -1-k: the order turned, without overflow
    order = [a for a in range(rank) if a != axis] + [axis]
    length = size_of(x, axis) if count is None else count
    found = tf.math.top_k(tf.transpose(keys, order), tf.cast(length, tf.int32)).indices
    return tf.cast(tf.transpose(found, [order.index(a) for a in range(rank)]), tf.int64)


def picked(x: Tensor, places: Tensor, axis: int) -> Tensor:
    """Elements along an axis at positions."""
    rank = x.shape.rank
    axis %= rank
    order = [a for a in range(rank) if a != axis] + [axis]
    found = tf.gather(tf.transpose(x, order), tf.transpose(places, order), batch_dims=rank - 1, axis=rank - 1)
    return tf.transpose(found, [order.index(a) for a in range(rank)])


@lower.rule("sort")
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return picked(x, ordered(x, axis, descending=descending), axis)


@lower.rule("argsort")
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return ordered(x, axis, descending=descending)


@lower.rule("top_k")
def _(x: Tensor, *, k: Any, axis: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
    places = ordered(x, axis, descending=largest, count=k)
    return picked(x, places, axis), places


@lower.rule("searchsorted")
def _(sorted_sequence: Tensor, values: Tensor, *, side: str) -> Tensor:
    sorted_sequence, values = order_keys(sorted_sequence), order_keys(values)
    if sorted_sequence.shape.rank == 1:
        flat = tf.searchsorted(sorted_sequence, tf.reshape(values, [-1]), side, tf.int64)
        return tf.reshape(flat, vector(shape_of(values)))
    return tf.searchsorted(sorted_sequence, values, side, tf.int64)


@lower.rule("nonzero")
def _(x: Tensor, *, count: str) -> Tensor:
    found = x if x.dtype.is_bool else tf.not_equal(x, tf.zeros_like(x))
    if x.shape.rank == 0:
        return tf.zeros(tf.stack([tf.cast(found, tf.int64), tf.constant(0, tf.int64)]), tf.int64)
    return tf.where(found)


@lower.rule("unique")
def _(x: Tensor, *, count: str) -> tuple[Tensor, Tensor, Tensor]:
    flat = tf.reshape(x, [-1])
    order = ordered(flat, 0, descending=False)
    values, groups, counts = tf.unique_with_counts(tf.gather(flat, order), tf.int64)
    inverse = tf.scatter_nd(order[:, None], groups, tf.shape(flat, out_type=tf.int64))
    return values, tf.reshape(inverse, vector(shape_of(x))), counts
