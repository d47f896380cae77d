"""Lowering of ops that move elements without computing, also where sizes are symbolic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kxchange.dims import Dim, DimExpr
from kxchange.errors import BuildError
from kxchange.table import Table
from kxchange_keras.lowering import count, dtype_of, is_static, lowering, operand_dims, output_type, size

Tensor = Any
Dims = tuple[Dim, ...]
ops: Any = keras.ops
lower = Table("keras")


def reshaped(x: Tensor, before: Sequence[Dim], after: Sequence[Dim]) -> Tensor:
    """X with other axes, the elements in their order."""
    symbolic = [axis for axis, dim in enumerate(after) if isinstance(dim, DimExpr)]
    if len(symbolic) <= 1:
        return ops.reshape(x, tuple(-1 if isinstance(dim, DimExpr) else dim for dim in after))
    if len(before) and before[0] == after[0] and len(symbolic) == 2 and 0 not in (*before, *after):
        target = tuple(-1 if isinstance(dim, DimExpr) else dim for dim in after[1:])
        return keras.layers.Reshape(target, dtype=keras.backend.standardize_dtype(x.dtype))(x)
    return _by_position(x, before, after)


def _by_position(x: Tensor, before: Sequence[Dim], after: Sequence[Dim]) -> Tensor:
    """A reshape with several symbolic sizes: rows of a flat tensor, each picked at its position."""
    kept = 0
    while kept < min(len(before), len(after)) and isinstance(after[-1 - kept], int):
        if before[-1 - kept] != after[-1 - kept]:
            break
        kept += 1
    rest: tuple[Any, ...] = tuple(after[len(after) - kept :])
    flat = ops.reshape(x, (-1, *rest))
    places: Tensor = None
    leading = list(after[: len(after) - kept])
    for axis, dim in enumerate(leading):
        line = count(dim)
        line = ops.reshape(line, (-1, *(1,) * (len(leading) - axis - 1)))
        places = line if places is None else ops.add(ops.multiply(places, size(dim)), line)
    return ops.take(flat, places, axis=0)


@lower.rule("reshape")
def _(x: Tensor, *, shape: Dims) -> Tensor:
    return reshaped(x, operand_dims(), output_type().shape)


@lower.rule("expand_dims")
def _(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    rank = len(output_type().shape)
    for place in sorted(a % rank for a in axis):
        x = ops.expand_dims(x, place)
    return x


@lower.rule("squeeze")
def _(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    rank = len(operand_dims())
    for place in sorted((a % rank for a in axis), reverse=True):
        x = ops.squeeze(x, place)
    return x


@lower.rule("permute_dims")
def _(x: Tensor, *, axes: tuple[int, ...]) -> Tensor:
    return ops.transpose(x, tuple(axis % len(axes) for axis in axes)) if axes else x


def everywhere(shape: Sequence[Dim]) -> Tensor:
    """True in every place of a shape."""
    found: Tensor = None
    for axis, dim in enumerate(shape):
        line = ops.greater_equal(count(dim), 0) if isinstance(dim, DimExpr) else np.ones(dim, np.bool_)
        line = ops.reshape(line, (-1, *(1,) * (len(shape) - axis - 1)))
        found = line if found is None else ops.logical_and(found, line)
    return found


def spread(x: Tensor, before: Sequence[Dim], after: Sequence[Dim]) -> Tensor:
    """X repeated along axes of size 1, or new ones in front."""
    if tuple(before) == tuple(after):
        return x
    if is_static(after):
        return ops.broadcast_to(lowering().tensor(x), tuple(after))
    padded = (1,) * (len(after) - len(before)) + tuple(before)
    wanted = tuple(1 if own == dim else dim for own, dim in zip(padded, after, strict=True))
    x = lowering().tensor(x)
    return ops.where(everywhere(wanted), x, x)


@lower.rule("broadcast_to")
def _(x: Tensor, *, shape: Dims) -> Tensor:
    return spread(x, operand_dims(), output_type().shape)


@lower.rule("concat")
def _(*xs: Tensor, axis: int) -> Tensor:
    parts = list(xs)
    return ops.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]


@lower.rule("stack")
def _(*xs: Tensor, axis: int) -> Tensor:
    return ops.stack([lowering().tensor(x) for x in xs], axis=axis)


@lower.rule("split")
def _(x: Tensor, *, sizes: Dims, axis: int) -> tuple[Tensor, ...]:
    rank = len(operand_dims())
    axis %= rank
    if len(sizes) == 1:
        return (x,)
    if is_static(sizes) and all(sizes):
        ends = np.cumsum([int(number) for number in sizes[:-1] if isinstance(number, int)]).tolist()
        return tuple(ops.split(x, ends, axis=axis))
    starts: list[Dim] = [0]
    for dim in sizes[:-1]:
        starts.append(starts[-1] + dim)
    pieces = zip(starts, sizes, strict=True)
    return tuple(cut(x, axis, start, start + dim, 1, operand_dims()[axis], dim) for start, dim in pieces)


@lower.rule("slice")
def _(x: Tensor, *, starts: Dims, stops: Dims, steps: tuple[int, ...], axes: tuple[int, ...]) -> Tensor:
    shape, after = operand_dims(), output_type().shape
    for start, stop, step, axis in zip(starts, stops, steps, axes, strict=True):
        place = axis % len(shape)
        x = cut(x, place, start, stop, step, shape[place], after[place])
    return x


def cut(x: Tensor, axis: int, start: Dim, stop: Dim, step: int, whole: Dim, length: Dim) -> Tensor:
    """Some positions of an axis; `length` of them, out of `whole`."""
    if (start, step, length) == (0, 1, whole):
        return x
    key = _key(start, stop, step, whole, length)
    if key is not None:
        return ops.get_item(x, (*(slice(None),) * axis, key))
    places = ops.add(ops.multiply(count(length), step), size(start))
    return ops.take(x, places, axis=axis)


def _key(start: Dim, stop: Dim, step: int, whole: Dim, length: Dim) -> slice | None:
    """A slice that says the same in numbers alone; None where there is none, or Keras would lose the length."""
    if step < 0 or (isinstance(length, int) and not isinstance(whole, int)):
        return None
    from_end, to_end = start - whole, stop - whole
    first = start if isinstance(start, int) else from_end
    last = stop if isinstance(stop, int) else to_end
    if not isinstance(first, int) or not isinstance(last, int):
        return None
    return slice(first, None if last == 0 and not isinstance(stop, int) else last, step)


@lower.rule("flip")
def _(x: Tensor, *, axis: tuple[int, ...]) -> Tensor:
    return ops.flip(x, axis=tuple(axis)) if axis else x


@lower.rule("roll", when=lambda node: True)
def _(x: Tensor, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    for shift, place in zip(shifts, axis, strict=True):
        x = ops.roll(x, shift, axis=place)
    return x


@lower.rule("tile", when=lambda node: is_static(node.attrs["repetitions"]) and bool(node.attrs["repetitions"]))
def _(x: Tensor, *, repetitions: Dims) -> Tensor:
    return ops.tile(x, tuple(repetitions))


@lower.rule("pad")
def _(x: Tensor, *, padding: tuple[tuple[Dim, Dim], ...], mode: str, value: float) -> Tensor:
    if not padding:
        return x
    if mode == "constant":
        return _filled(x, padding, value)
    whole, after = operand_dims(), output_type().shape
    for axis, (before, behind) in enumerate(padding):
        if before != 0 or behind != 0:
            x = ops.take(x, _sources(size(whole[axis]), size(before), count(after[axis]), mode), axis=axis)
    return x


def _filled(x: Tensor, padding: tuple[tuple[Dim, Dim], ...], value: float) -> Tensor:
    if not all(isinstance(number, int) and number >= 0 for pair in padding for number in pair):
        return padded_by_size(x, padding, value, operand_dims())
    stated = bool(value) if output_type().dtype.is_bool else value
    if output_type().dtype.is_integer:
        stated = int(value)
    return ops.pad(x, tuple(tuple(pair) for pair in padding), mode="constant", constant_values=stated)


def padded_by_size(x: Tensor, padding: Sequence[tuple[Dim, Dim]], value: float, whole: Sequence[Dim]) -> Tensor:
    """Padding by sizes, or that cuts: positions outside of the tensor give the value."""
    filler = np.asarray(value).astype(dtype_of(x).numpy).reshape((1,) * len(whole))
    for axis, (before, behind) in enumerate(padding):
        if before == 0 and behind == 0:
            continue
        if whole[axis] == 0:
            raise BuildError("keras cannot pad an axis of no elements.")
        places = ops.subtract(count(whole[axis] + before + behind), size(before))
        last = size(whole[axis] - 1)
        inside = ops.logical_and(ops.greater_equal(places, 0), ops.less_equal(places, last))
        x = ops.take(x, ops.minimum(ops.maximum(places, 0), last), axis=axis)
        x = ops.where(ops.reshape(inside, (-1, *(1,) * (len(whole) - axis - 1))), x, filler)
    return x


def _sources(whole: Any, before: Any, line: Tensor, mode: str) -> Tensor:
    """The positions of an axis that a padded one reads."""
    place = ops.subtract(line, before)
    if mode == "edge":
        return ops.minimum(ops.maximum(place, 0), ops.subtract(whole, 1))
    if mode == "wrap":
        return ops.mod(place, whole)
    if mode == "reflect":
        period = ops.maximum(ops.subtract(ops.multiply(whole, 2), 2), 1)
        place = ops.mod(place, period)
        return ops.minimum(place, ops.subtract(period, place))
    place = ops.mod(place, ops.multiply(whole, 2))
    return ops.minimum(place, ops.subtract(ops.multiply(whole, 2), ops.add(place, 1)))


@lower.rule("full")
def _(*, shape: Dims, value: Any, dtype: Any) -> Tensor:
    own = lowering()
    if isinstance(value, DimExpr):
        fill = ops.cast(size(value), dtype.value)
    else:
        with np.errstate(all="ignore"):
            fill = own.tensor(np.asarray(value).astype(dtype.numpy))
    return spread(fill, (), shape)


@lower.rule("constant")
def _(*, value: Any) -> Tensor:
    return lowering().tensor(np.asarray(value.array))


@lower.rule("arange")
def _(*, start: Any, stop: Any, step: Any, dtype: Any) -> Tensor:
    (length,) = output_type().shape
    exact = "float64" if any(isinstance(item, float) for item in (start, step)) else "int32"
    line = ops.cast(count(length), exact)
    found = ops.add(ops.multiply(line, size_or_number(step)), size_or_number(start))
    return ops.cast(found, dtype.value)


def size_or_number(item: Any) -> Any:
    """A dim as a size; a number as it is."""
    return size(item) if isinstance(item, DimExpr) else item


@lower.rule("eye")
def _(*, rows: Dim, columns: Dim | None, offset: int, dtype: Any) -> Tensor:
    row = ops.expand_dims(count(rows), 1)
    column = ops.expand_dims(count(rows if columns is None else columns), 0)
    return ops.cast(ops.equal(ops.add(row, offset), column), dtype.value)


__all__ = ["everywhere", "lower", "reshaped", "spread"]
