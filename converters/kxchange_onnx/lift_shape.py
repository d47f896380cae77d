"""Shapes and sizes, and the same elements in another arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Call, Dim
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes, normalize_axes, normalize_axis, product
from kxchange.types import DType
from kxchange_onnx.lift import SCOPE, lift, refuse
from kxchange_onnx.operands_in import dim, dims, ints, optional_ints, row, scalar, size_value
from kxchange_onnx.types_in import dtype_of


@lift.rule("Shape")
def _(x: Value) -> Value:
    return row(x.shape)


@lift.rule("Shape", since=15)
def _(x: Value, *, start: int, end: int | None) -> Value:
    return row(x.shape[slice(start, end)])


@lift.rule("Size")
def _(x: Value) -> Value:
    return size_value(product(x.shape))


@lift.rule("Reshape")
def _(x: Value, *, shape: Sequence[int]) -> Value:
    return reshaped(x, tuple(shape), allow_zero=False)


@lift.rule("Reshape", since=5)
def _(x: Value, shape: Value) -> Value:
    return reshaped(x, dims(shape, "shape"), allow_zero=False)


@lift.rule("Reshape", since=14)
def _(x: Value, shape: Value, *, allowzero: int) -> Value:
    return reshaped(x, dims(shape, "shape"), allow_zero=bool(allowzero))


def reshaped(x: Value, shape: tuple[Dim, ...], *, allow_zero: bool) -> Value:
    """X in another shape: a 0 copies the size of that axis unless it is allowed to mean 0 (trap R13)."""
    if not allow_zero:
        if any(size == 0 and axis >= x.ndim for axis, size in enumerate(shape)):
            return refuse(f"its shape {shape} copies an axis that {x.ndim} axes have not")
        shape = tuple(x.shape[axis] if size == 0 else size for axis, size in enumerate(shape))
    if shape == x.shape:
        return x
    result = ops.reshape(x, shape=shape)
    # What -1 stands for is said, where it is a size and no quotient of which a condition has to hold.
    plain = -1 in shape and not any(calls(dim) for dim in result.shape)
    return ops.reshape(x, shape=result.shape) if plain else result


def calls(dim: Dim) -> bool:
    """Whether a size takes more than sums and products."""
    if isinstance(dim, int):
        return False
    return any(isinstance(atom, Call) for monomial, _ in dim.terms for atom, _ in monomial)


@lift.rule("Flatten")
def _(x: Value, *, axis: int) -> Value:
    position = axis + x.ndim if axis < 0 else axis
    return ops.reshape(x, shape=(product(x.shape[:position]), product(x.shape[position:])))


@lift.rule("Transpose")
def _(x: Value, *, perm: Sequence[int] | None) -> Value:
    axes = tuple(reversed(range(x.ndim))) if perm is None else tuple(perm)
    return x if axes == tuple(range(x.ndim)) else ops.permute_dims(x, axes=axes)


@lift.rule("Squeeze")
def _(x: Value, *, axes: Sequence[int] | None) -> Value:
    return squeezed(x, axes)


@lift.rule("Squeeze", since=13)
def _(x: Value, axes: Value | None) -> Value:
    return squeezed(x, optional_ints(axes, "axes"))


def squeezed(x: Value, axes: Sequence[int] | None) -> Value:
    """X without these axes of size 1, or without all of them."""
    if axes is None:
        if any(not isinstance(size, int) for size in x.shape):
            return refuse(f"it removes every axis of size 1, and {x.type} may have more of them at run time; name axes")
        axes = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    return ops.squeeze(x, axis=tuple(axes)) if axes else x


@lift.rule("Unsqueeze")
def _(x: Value, *, axes: Sequence[int]) -> Value:
    return ops.expand_dims(x, axis=tuple(axes)) if axes else x


@lift.rule("Unsqueeze", since=13)
def _(x: Value, axes: Value) -> Value:
    chosen = ints(axes, "axes")
    return ops.expand_dims(x, axis=chosen) if chosen else x


@lift.rule("Expand")
def _(x: Value, shape: Value) -> Value:
    wanted = broadcast_shapes(x.shape, dims(shape, "shape"))
    return x if wanted == x.shape else ops.broadcast_to(x, shape=wanted)


@lift.rule("Tile", since=6)
def _(x: Value, repeats: Value) -> Value:
    return ops.tile(x, repetitions=dims(repeats, "repeats"))


@lift.rule("Tile")
def _(x: Value, tiles: Value, axis: Value) -> Value:
    (position,) = ints(axis, "axis")
    counts: list[Dim] = [1] * x.ndim
    counts[position] = dim(tiles, "tiles")
    return ops.tile(x, repetitions=tuple(counts))


@lift.rule("Concat", since=4)
def _(*xs: Value, axis: int) -> Value:
    return joined(xs, axis)


@lift.rule("Concat")
def _(*xs: Value, axis: int | None) -> Value:
    return joined(xs, 1 if axis is None else axis)


def joined(xs: Sequence[Value], axis: int) -> Value:
    """The tensors one after the other; one-dimensional ones without elements have no part in it."""
    full = [x for x in xs if x.shape != (0,)] or list(xs[:1])
    return ops.concat(*full, axis=axis) if len(full) > 1 else full[0]


@lift.rule("Split")
def _(x: Value, *, axis: int, split: Sequence[int] | None) -> tuple[Value, ...]:
    return pieces(x, axis, tuple(split) if split else None)


@lift.rule("Split", since=2)
def _(x: Value, *, axis: int, split: Sequence[int] | None) -> tuple[Value, ...]:
    return pieces(x, axis, tuple(split) if split else None)


@lift.rule("Split", since=13)
def _(x: Value, split: Value | None, *, axis: int) -> tuple[Value, ...]:
    return pieces(x, axis, None if split is None else dims(split, "split"))


@lift.rule("Split", since=18)
def _(x: Value, split: Value | None, *, axis: int, num_outputs: int | None) -> tuple[Value, ...]:
    return pieces(x, axis, None if split is None else dims(split, "split"), num_outputs)


def pieces(x: Value, axis: int, sizes: tuple[Dim, ...] | None, count: int | None = None) -> tuple[Value, ...]:
    """X cut along an axis; without sizes into equal parts, the last one smaller (traps R11, R12)."""
    if sizes is None:
        number = count or len(SCOPE.wanted)
        size = x.shape[axis]
        step = -(-size // number)
        sizes = (*(step,) * (number - 1), size - step * (number - 1))
    if len(sizes) == 1:
        return (x,)
    return tuple(ops.split(x, sizes=sizes, axis=axis))


@lift.rule("Trilu")
def _(x: Value, k: Value | None, *, upper: int) -> Value:
    offset = 0 if k is None else int(np.real(scalar(k, "k")))
    return ops.triu(x, k=offset) if upper else ops.tril(x, k=offset)


@lift.rule("DepthToSpace")
def _(x: Value, *, blocksize: int) -> Value:
    return ops.depth_to_space(x, block_size=blocksize, mode="DCR")


@lift.rule("DepthToSpace", since=11)
def _(x: Value, *, blocksize: int, mode: str) -> Value:
    return ops.depth_to_space(x, block_size=blocksize, mode=mode)


@lift.rule("SpaceToDepth")
def _(x: Value, *, blocksize: int, mode: str | None) -> Value:
    """The mode, from version 28 on, says where the blocks stand among the channels."""
    if mode in (None, "DCR"):
        return ops.space_to_depth(x, block_size=blocksize)
    batch, channels, *space = x.shape
    cut = tuple(part for size in space for part in (size // blocksize, blocksize))
    blocks = ops.reshape(x, shape=(batch, channels, *cut))
    rank = len(space)
    order = (0, 1, *(3 + 2 * axis for axis in range(rank)), *(2 + 2 * axis for axis in range(rank)))
    joined_up = ops.permute_dims(blocks, axes=order)
    return ops.reshape(joined_up, shape=(batch, channels * blocksize**rank, *(size // blocksize for size in space)))


@lift.rule("EyeLike")
def _(x: Value, *, dtype: int | None, k: int) -> Value:
    if x.ndim != 2:
        return refuse(f"it takes a matrix, not {x.type}")
    kind = x.dtype if dtype is None else dtype_of(dtype)
    return ops.eye(rows=x.shape[0], columns=x.shape[1], offset=k, dtype=kind)


@lift.rule("Range")
def _(start: Value, limit: Value, delta: Value) -> Value:
    return ranged(start, limit, delta)


@lift.rule("Range", since=27)
def _(start: Value, limit: Value, delta: Value, *, stash_type: int) -> Value:
    if stash_type != 1 and start.dtype.is_floating and start.dtype.bits < 32:
        return refuse("its steps accumulate in a 16-bit type (stash_type)")
    return ranged(start, limit, delta)


def ranged(start: Value, limit: Value, delta: Value) -> Value:
    """An arithmetic sequence whose length is known: floats are computed in the dtype, as ONNX does (trap R15)."""
    first, step = scalar_or_dim(start, "start"), scalar_or_dim(delta, "delta")
    stop = scalar_or_dim(limit, "limit")
    if start.dtype.is_integer or all(isinstance(v, int) or v == int(v) for v in (first, stop, step)):
        whole = tuple(int(v) if isinstance(v, float) else v for v in (first, stop, step))
        return ops.arange(start=whole[0], stop=whole[1], step=whole[2], dtype=start.dtype)
    kind = (start.dtype if start.dtype.bits >= 32 else DType.FLOAT32).numpy.type
    count = max(0, int(np.ceil((kind(stop) - kind(first)) / kind(step))))
    index = ops.arange(start=0, stop=count, dtype=start.dtype)
    return ops.add(ops.multiply(index, float(step)), float(first))


def scalar_or_dim(value: Value, what: str) -> Any:
    """One number, or one size."""
    return dim(value, what) if value.dtype.is_integer else scalar(value, what)


@lift.rule("ReverseSequence")
def _(x: Value, lengths: Value, *, batch_axis: int, time_axis: int) -> Value:
    """Position t of sample b reads ``lengths[b] - 1 - t`` while inside the sequence, and t beyond it."""
    time, batch = normalize_axis(time_axis, x.ndim), normalize_axis(batch_axis, x.ndim)
    steps = _along(ops.arange(start=0, stop=x.shape[time], dtype=DType.INT64), x.ndim, time)
    ends = _along(ops.astype(lengths, dtype=DType.INT64), x.ndim, batch)
    mirrored = ops.subtract(ops.subtract(ends, 1), steps)
    places = ops.where(ops.less(steps, ends), mirrored, steps)
    return ops.take_along_axis(x, places, axis=time)


def _along(vector: Value, rank: int, axis: int) -> Value:
    others = tuple(a for a in range(rank) if a != axis)
    return ops.expand_dims(vector, axis=others) if others else vector


@lift.rule("CenterCropPad")
def _(x: Value, shape: Value, *, axes: Sequence[int] | None) -> Value:
    """Cut the middle out of axes that are too long, then pad those that are too short with zeros."""
    chosen = normalize_axes(range(x.ndim) if axes is None else axes, x.ndim)
    wanted = dict(zip(chosen, dims(shape, "shape"), strict=True))
    for axis, size in wanted.items():
        old = x.shape[axis]
        if not isinstance(old, int) or not isinstance(size, int):
            return refuse(f"its axis {axis} goes from {old} to {size}; which is greater must be known")
        if old > size:
            start = (old - size) // 2
            x = ops.slice(x, starts=(start,), stops=(start + size,), steps=(1,), axes=(axis,))
        elif old < size:
            before = (size - old) // 2
            amounts = tuple((before, size - old - before) if a == axis else (0, 0) for a in range(x.ndim))
            x = ops.pad(x, padding=amounts)
    return x
