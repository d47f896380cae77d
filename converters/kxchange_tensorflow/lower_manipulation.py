"""Lowering of ops that move elements without computing."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.table import Table
from kxchange_tensorflow.lowering import output_shape, shape_of, size_of, vector, wide

Tensor = Any
Sizes = tuple[Any, ...]

lower = Table("tensorflow")


@lower.rule("reshape")
def _(x: Tensor, *, shape: Sizes) -> Tensor:
    return tf.reshape(x, vector(output_shape()))


@lower.rule("permute_dims")
def _(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    return tf.transpose(x, [axis % x.shape.rank for axis in axes]) if axes else x


@lower.rule("expand_dims", "squeeze")
def _(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    return tf.reshape(x, vector(output_shape()))


@lower.rule("broadcast_to")
def _(x: Tensor, *, shape: Sizes) -> Tensor:
    return tf.broadcast_to(x, vector(shape))


@lower.rule("concat")
def _(*xs: Tensor, axis: int) -> Tensor:
    return tf.concat(xs, axis)


@lower.rule("stack")
def _(*xs: Tensor, axis: int) -> Tensor:
    return tf.stack(xs, axis)


@lower.rule("split")
def _(x: Tensor, *, sizes: Sizes, axis: int) -> tuple[Tensor, ...]:
    if len(sizes) == 1:
        return (x,)
    return tuple(tf.split(x, vector(sizes), axis, num=len(sizes)))


@lower.rule("slice")
def _(x: Tensor, *, starts: Sizes, stops: Sizes, steps: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    rank = x.shape.rank
    first, last, stride, mask = [0] * rank, shape_of(x), [1] * rank, 0
    for start, stop, step, axis in zip(starts, stops, steps, axes, strict=True):
        axis %= rank
        first[axis], last[axis], stride[axis] = start, stop, step
        if step < 0:  # TensorFlow reads -1 as the last position, so that "before the first" cannot be said
            turned = size_of(x, axis) - 1
            x = tf.reverse(x, [axis])
            first[axis], last[axis], stride[axis] = turned - start, turned - stop, -step
    return tf.strided_slice(x, vector(first), vector(last), tf.constant(stride, tf.int64), end_mask=mask)


def _clamped(x: Tensor, starts: tuple[Tensor, ...], sizes: Sizes) -> list[Tensor]:
    room = [tf.cast(whole, tf.int64) - size for whole, size in zip(shape_of(x), wide(*sizes), strict=True)]
    return [tf.clip_by_value(tf.cast(s, tf.int64), 0, limit) for s, limit in zip(starts, room, strict=True)]


@lower.rule("dynamic_slice")
def _(x: Tensor, *starts: Tensor, sizes: Sizes) -> Tensor:
    return tf.slice(x, tf.stack(_clamped(x, starts, sizes)), vector(sizes)) if sizes else x


@lower.rule("dynamic_update_slice")
def _(x: Tensor, update: Tensor, *starts: Tensor) -> Tensor:
    if not starts:
        return update
    sizes = shape_of(update)
    begin = _clamped(x, starts, tuple(sizes))
    rows = [start + tf.range(size, dtype=tf.int64) for start, size in zip(begin, wide(*sizes), strict=True)]
    places = tf.stack(tf.meshgrid(*rows, indexing="ij"), axis=-1)
    return tf.tensor_scatter_nd_update(x, places, update)


@lower.rule("pad")
def _(x: Tensor, *, padding: tuple[tuple[Any, Any], ...], mode: str, value: float) -> Tensor:
    if not padding:
        return x
    if mode == "constant":
        fill = tf.constant(np.asarray(value).astype(x.dtype.as_numpy_dtype))
        return tf.pad(x, tf.stack([vector(pair) for pair in padding]), constant_values=fill)
    for axis, (before, after) in enumerate(padding):
        if before != 0 or after != 0:
            x = tf.gather(x, _sources(size_of(x, axis), before, after, mode), axis=axis)
    return x


def _sources(size: Any, before: Any, after: Any, mode: str) -> Tensor:
    """The positions of an axis that a padded one reads."""
    size, before, after = wide(size, before, after)
    place = tf.range(-before, size + after, dtype=tf.int64)
    if mode == "edge":
        return tf.clip_by_value(place, 0, size - 1)
    if mode == "wrap":
        return tf.math.floormod(place, size)
    if mode == "reflect":
        period = tf.maximum(2 * size - 2, 1)
        place = tf.math.floormod(place, period)
        return tf.minimum(place, period - place)
    place = tf.math.floormod(place, 2 * size)
    return tf.minimum(place, 2 * size - 1 - place)


@lower.rule("flip")
def _(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    return tf.reverse(x, list(axis)) if axis else x


@lower.rule("roll")
def _(x: Tensor, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    return tf.roll(x, list(shifts), list(axis)) if axis else x


@lower.rule("tile", when=lambda node: len(node.attrs["repetitions"]) == node.inputs[0].ndim)  # pyright: ignore[reportOptionalMemberAccess]
def _(x: Tensor, *, repetitions: Sizes) -> Tensor:
    return tf.tile(x, vector(repetitions)) if repetitions else x
