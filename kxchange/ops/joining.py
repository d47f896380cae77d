"""Tensors put together and taken apart along an axis, and repeated: concat, stack, split, pad, tile, repeat."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.ops.manipulation import broadcast_to, expand_dims, reshape
from kxchange.ops.operands import axis_of, replace_axis, same_dtype
from kxchange.shapes import normalize_axis, require_at_least, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

PAD_MODES = ("constant", "reflect", "symmetric", "edge", "wrap")


@op(widen=False)
def concat(*xs: Tensor, axis: int) -> Tensor:
    """Tensors one after the other along an axis.

    Args:
        *xs: At least one tensor, at least one axis, equal sizes on every other axis.
        axis: The axis to join.

    Returns:
        A tensor whose size on `axis` is the sum, dtype of xs.
    """
    return np.concatenate(xs, axis=axis)


@concat.infer
def _(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise TypeInferenceError("nothing to concatenate: it needs at least one operand.")
    same_dtype(*xs)
    position, total = axis_of(xs[0], axis)
    shape = list(xs[0].shape)
    for x in xs[1:]:
        if x.rank != xs[0].rank:
            raise TypeInferenceError(f"operands have {xs[0].rank} and {x.rank} axes.")
        total = total + x.shape[position]
        for other, size in enumerate(x.shape):
            if other != position:
                shape[other] = require_equal(shape[other], size, f"axis {other} differs")
    shape[position] = total
    return xs[0].with_shape(tuple(shape))


@op(widen=False)
def stack(*xs: Tensor, axis: int) -> Tensor:
    """Tensors of one shape along a new axis.

    Args:
        *xs: At least one tensor, all of one shape.
        axis: Position of the new axis, counted in the result.

    Returns:
        A tensor with one more axis, of size ``len(xs)``, dtype of xs.
    """
    return np.stack(xs, axis=axis)


@stack.infer
def _(*xs: TensorType, axis: int) -> TensorType:
    if not xs:
        raise TypeInferenceError("nothing to stack: it needs at least one operand.")
    same_dtype(*xs)
    shape = list(xs[0].shape)
    for x in xs[1:]:
        if x.rank != xs[0].rank:
            raise TypeInferenceError(f"operands have {xs[0].rank} and {x.rank} axes.")
        shape = [require_equal(a, b, f"axis {i} differs") for i, (a, b) in enumerate(zip(shape, x.shape, strict=True))]
    shape.insert(normalize_axis(axis, len(shape) + 1), len(xs))
    return xs[0].with_shape(tuple(shape))


@stack.decompose
def _(*xs: Tensor, axis: int) -> Tensor:
    return concat(*(expand_dims(x, axis=(axis,)) for x in xs), axis=axis)


@op(widen=False)
def split(x: Tensor, /, *, sizes: tuple[Dim, ...], axis: int) -> Tensor:
    """Consecutive pieces along an axis (traps R11, R12: how many and how long is the caller's to say).

    Args:
        x: A tensor of at least one axis.
        sizes: Length of each piece; they sum to the size of the axis.
        axis: The axis to cut.

    Returns:
        One tensor per entry of `sizes`, dtype of x.
    """
    ends = np.cumsum(np.asarray(sizes, dtype=np.int64))
    return tuple(np.split(x, ends[:-1], axis=axis))


@split.infer
def _(x: TensorType, /, *, sizes: tuple[Dim, ...], axis: int) -> tuple[TensorType, ...]:
    if not sizes:
        raise TypeInferenceError("sizes is empty: it needs at least one piece.")
    position, size = axis_of(x, axis)
    total: Dim = 0
    for piece in sizes:
        total = total + require_at_least(piece, 0, "a piece has a negative size")
    require_equal(size, total, f"sizes do not sum to axis {axis}")
    return tuple(replace_axis(x, position, piece) for piece in sizes)


@op(widen=False)
def pad(x: Tensor, /, *, padding: tuple[tuple[Dim, Dim], ...], mode: str = "constant", value: float = 0.0) -> Tensor:
    """Grow a tensor at the ends of its axes (trap R09).

    What stands before [1, 2, 3]: `value` with "constant"; 3, 2 with "reflect" (the edge is the mirror); 2, 1 with
    "symmetric" (the mirror is beside the edge); 1, 1 with "edge"; 2, 3 with "wrap".

    Args:
        x: Any tensor.
        padding: Elements (before, after) each axis, none negative (cut with `slice` first). "reflect" takes less than
            the size (trap R10), "symmetric" and "wrap" at most the size, "edge" needs an element.
        mode: "constant", "reflect", "symmetric", "edge" or "wrap".
        value: The number for "constant"; it must be one of the dtype.

    Returns:
        A tensor of sizes ``before + size + after``, dtype of x.
    """
    if mode != "constant":
        grow: Any = np.pad
        return grow(x, padding, mode)
    sizes = tuple(before + size + after for size, (before, after) in zip(x.shape, padding, strict=True))
    padded = np.full(sizes, value, dtype=x.dtype)
    middle = tuple(slice(before, before + size) for size, (before, _) in zip(x.shape, padding, strict=True))
    padded[middle] = x
    return padded


@pad.infer
def _(x: TensorType, /, *, padding: tuple[tuple[Dim, Dim], ...], mode: str, value: float) -> TensorType:
    if mode not in PAD_MODES:
        raise TypeInferenceError(f"mode {mode!r} is unknown; use one of {', '.join(PAD_MODES)}.")
    if len(padding) != x.rank:
        raise TypeInferenceError(f"padding has {len(padding)} pairs for {x.rank} axes.")
    _check_value(value, x.dtype)
    shape: list[Dim] = []
    for axis, (size, (before, after)) in enumerate(zip(x.shape, padding, strict=True)):
        for extent in (before, after):
            require_at_least(extent, 0, f"padding of axis {axis} is negative; cut with slice")
            _check_extent(size, extent, mode, axis)
        shape.append(before + size + after)
    return x.with_shape(tuple(shape))


def _check_extent(size: Dim, extent: Dim, mode: str, axis: int) -> None:
    if extent == 0 or mode == "constant":
        return
    needed = {"reflect": extent + 1, "symmetric": extent, "wrap": extent, "edge": 1}[mode]
    require_at_least(size, needed, f"{mode} padding by {extent} does not fit axis {axis}")


def _check_value(value: float, dtype: DType) -> None:
    """Demand that an integer or bool tensor can hold the number."""
    if dtype.is_floating or dtype.is_complex:
        return
    low, high = (0, 1) if dtype.is_bool else integer_range(dtype)
    if value != value or not low <= value <= high or value != int(value):
        raise TypeInferenceError(f"value {value} is no {dtype.value}.")


def integer_range(dtype: DType) -> tuple[int, int]:
    """Least and greatest value of an integer type."""
    return (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1) if dtype.is_signed else (0, 2**dtype.bits - 1)


@op(widen=False)
def tile(x: Tensor, /, *, repetitions: tuple[Dim, ...]) -> Tensor:
    """The whole tensor laid side by side.

    Args:
        x: Any tensor.
        repetitions: How often along each axis, one count per axis of x.

    Returns:
        A tensor of sizes ``size * count``, dtype of x.
    """
    return np.tile(x, cast("tuple[int, ...]", repetitions))


@tile.infer
def _(x: TensorType, /, *, repetitions: tuple[Dim, ...]) -> TensorType:
    if len(repetitions) != x.rank:
        raise TypeInferenceError(f"repetitions has {len(repetitions)} counts for {x.rank} axes; use expand_dims first.")
    for count in repetitions:
        require_at_least(count, 0, "a count is negative")
    return x.with_shape(tuple(size * count for size, count in zip(x.shape, repetitions, strict=True)))


@tile.decompose
def _(x: Tensor, /, *, repetitions: tuple[Dim, ...]) -> Tensor:
    repeated = [axis for axis, count in enumerate(repetitions) if count != 1]
    wide = expand_dims(x, axis=tuple(axis + place for place, axis in enumerate(repeated)))
    sizes: list[Dim] = []
    for size, count in zip(x.shape, repetitions, strict=True):
        sizes += [size] if count == 1 else [count, size]
    shape = tuple(size * count for size, count in zip(x.shape, repetitions, strict=True))
    return reshape(broadcast_to(wide, shape=tuple(sizes)), shape=shape)


@op(widen=False)
def repeat(x: Tensor, /, *, repeats: int, axis: int) -> Tensor:
    """Every element `repeats` times in a row: [1, 2] becomes [1, 1, 2, 2].

    Args:
        x: A tensor of at least one axis.
        repeats: How often.
        axis: The axis along which.

    Returns:
        A tensor whose `axis` is `repeats` times as long, dtype of x.
    """
    return np.repeat(x, repeats, axis=axis)


@repeat.infer
def _(x: TensorType, /, *, repeats: int, axis: int) -> TensorType:
    require_at_least(repeats, 0, "repeats is negative")
    position, size = axis_of(x, axis)
    return replace_axis(x, position, size * repeats)


@repeat.decompose
def _(x: Tensor, /, *, repeats: int, axis: int) -> Tensor:
    position, size = axis_of(x.type, axis)
    left, right = x.shape[:position], x.shape[position + 1 :]
    wide = broadcast_to(expand_dims(x, axis=(position + 1,)), shape=(*left, size, repeats, *right))
    return reshape(wide, shape=(*left, size * repeats, *right))
