"""Elements picked by computed positions: take, take_along_axis, gather_nd, one_hot.

Positions may be of any integer dtype; a negative one counts from the end, everywhere (trap X09).
"""

from __future__ import annotations

from typing import Any, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kxchange.dims import Dim
from kxchange.errors import InputError, TypeInferenceError
from kxchange.ops.creation import arange
from kxchange.ops.elementwise import astype, equal
from kxchange.ops.manipulation import expand_dims
from kxchange.ops.operands import axis_of, require_integer, require_rank
from kxchange.shapes import broadcast_shapes, normalize_axis, require_at_least, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

Array = NDArray[Any]
TAKE_MODES = ("error", "clip", "wrap", "fill")


def positions(indices: Array) -> Array:
    """Indices as int64; an unsigned one beyond that range stays beyond every axis."""
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.iinfo(np.int64).max)
    return indices.astype(np.int64)


def from_front(indices: Array, size: int, who: str) -> Array:
    """Indices counted from the front, as int64.

    Raises:
        InputError: One is outside ``-size <= index < size``.
    """
    wide = positions(indices)
    outside = (wide < -size) | (wide >= size)
    if outside.any():
        index = int(wide[outside][0])
        raise InputError(f"{who} cannot read position {index} of an axis of {size}. Pass indices inside the axis.")
    return np.where(wide < 0, wide + size, wide)


@op(alike=("x",), widen=False)
def take(x: Tensor, indices: Tensor, /, *, axis: int, mode: str = "error") -> Tensor:
    """Slices of x at the given positions of an axis.

    Args:
        x: A tensor of at least one axis.
        indices: Positions, any integer dtype and any shape; negative ones count from the end in every mode.
        axis: The axis to pick from.
        mode: What a position outside the axis gives (trap X10): "error" an error; "clip" the nearest end; "wrap" the
            position modulo the size; "fill" JAX's filler: NaN, or the least number of a signed type, the greatest of
            an unsigned one, True.

    Returns:
        x with `axis` replaced by the axes of `indices`, dtype of x.

    Raises:
        InputError: mode is "error" and a position is outside, or the axis is empty and mode is not "fill".
    """
    size = x.shape[axis]
    if mode == "error" or (size == 0 and mode != "fill"):
        return np.take(x, from_front(indices, size, "take"), axis=axis)
    wide = positions(indices)
    front = np.where(wide < 0, wide + size, wide)
    if mode == "fill":
        return _take_or_fill(x, front, axis)
    return np.take(x, np.clip(front, 0, size - 1) if mode == "clip" else front % size, axis=axis)


def _take_or_fill(x: Array, front: Array, axis: int) -> Array:
    axis %= x.ndim
    inside = (front >= 0) & (front < x.shape[axis])
    filler = np.full((), _filler(x.dtype), dtype=x.dtype)
    if x.shape[axis] == 0:
        return np.full((*x.shape[:axis], *front.shape, *x.shape[axis + 1 :]), filler, dtype=x.dtype)
    inside_rows = np.reshape(inside, (*inside.shape, *(1,) * (x.ndim - axis - 1)))
    return np.where(inside_rows, np.take(x, np.where(inside, front, 0), axis=axis), filler)


def _filler(dtype: np.dtype) -> Any:
    known = DType.of(dtype)
    if not known.is_integer:
        return True if known.is_bool else float("nan")
    limits = ml_dtypes.iinfo(dtype)
    return int(limits.min) if known.is_signed else int(limits.max)


@take.infer
def _(x: TensorType, indices: TensorType, /, *, axis: int, mode: str) -> TensorType:
    if mode not in TAKE_MODES:
        raise TypeInferenceError(f"mode {mode!r} is unknown; use one of {', '.join(TAKE_MODES)}.")
    require_integer(indices, "indices")
    position, _ = axis_of(x, axis)
    return x.with_shape((*x.shape[:position], *indices.shape, *x.shape[position + 1 :]))


@op(alike=("x",), widen=False)
def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int) -> Tensor:
    """One element per index: position ``indices[i, j, k]`` of the axis, at the same place on the other axes.

    Args:
        x: A tensor of at least one axis.
        indices: Positions, as many axes as x; the other axes broadcast against those of x.
        axis: The axis to pick from.

    Returns:
        A tensor as long as `indices` on `axis` and broadcast on the others, dtype of x.

    Raises:
        InputError: A position is outside the axis.
    """
    return np.take_along_axis(x, from_front(indices, x.shape[axis], "take_along_axis"), axis=axis)


@take_along_axis.infer
def _(x: TensorType, indices: TensorType, /, *, axis: int) -> TensorType:
    require_integer(indices, "indices")
    require_rank(indices, "indices", x.rank)
    position, _ = axis_of(x, axis)
    left = broadcast_shapes(x.shape[:position], indices.shape[:position])
    right = broadcast_shapes(x.shape[position + 1 :], indices.shape[position + 1 :])
    return x.with_shape((*left, indices.shape[position], *right))


@op(alike=("x",), widen=False)
def gather_nd(x: Tensor, indices: Tensor, /, *, batch_dims: int = 0) -> Tensor:
    """Slices of x at positions that are whole index tuples: the last axis of `indices` holds one tuple.

    ``result[b, i] = x[b, indices[b, i, 0], indices[b, i, 1], ...]``

    Args:
        x: [*batch, *indexed, *rest].
        indices: [*batch, *outer, len(indexed)].
        batch_dims: Number of leading axes that both share.

    Returns:
        [*batch, *outer, *rest], dtype of x.

    Raises:
        InputError: A position is outside its axis.
    """
    width = indices.shape[-1]
    parts = [from_front(indices[..., part], x.shape[batch_dims + part], "gather_nd") for part in range(width)]
    outer = indices.ndim - 1
    sizes: tuple[int, ...] = x.shape[:batch_dims]
    batch = [np.arange(size).reshape(*(1,) * axis, size, *(1,) * (outer - axis - 1)) for axis, size in enumerate(sizes)]
    return x[(*batch, *parts)]


@gather_nd.infer
def _(x: TensorType, indices: TensorType, /, *, batch_dims: int) -> TensorType:
    width = tuple_width(x, indices, batch_dims)
    batch = tuple(
        require_equal(a, b, f"batch axis {axis} differs")
        for axis, (a, b) in enumerate(zip(x.shape[:batch_dims], indices.shape[:batch_dims], strict=True))
    )
    return x.with_shape((*batch, *indices.shape[batch_dims:-1], *x.shape[batch_dims + width :]))


def tuple_width(x: TensorType, indices: TensorType, batch_dims: int) -> int:
    """Number of axes of x that one index tuple addresses.

    Raises:
        TypeInferenceError: `indices` does not hold such tuples.
    """
    require_integer(indices, "indices")
    if indices.rank <= batch_dims or batch_dims < 0:
        raise TypeInferenceError(f"indices has {indices.rank} axes, too few for {batch_dims} batch axes and a tuple.")
    width = indices.shape[-1]
    if not isinstance(width, int) or not 1 <= width <= x.rank - batch_dims:
        raise TypeInferenceError(f"an index tuple has {width} entries; x has {x.rank - batch_dims} axes to index.")
    return width


@op(differentiable=False)
def one_hot(indices: Tensor, /, *, depth: Dim, axis: int = -1, dtype: DType) -> Tensor:
    """1 at the position that each index names along a new axis, 0 elsewhere.

    A negative index, or one of `depth` and above, gives zeros only (trap X11).

    Args:
        indices: Integers of any shape.
        depth: Size of the new axis.
        axis: Position of the new axis, counted in the result.
        dtype: Element type of the result.

    Returns:
        A tensor of `dtype` with one more axis.
    """
    position = axis % (indices.ndim + 1)
    classes = np.arange(cast("int", depth)).reshape(-1, *(1,) * (indices.ndim - position))
    return (np.expand_dims(positions(indices), position) == classes).astype(dtype.numpy)


@one_hot.infer
def _(indices: TensorType, /, *, depth: Dim, axis: int, dtype: DType) -> TensorType:
    require_integer(indices, "indices")
    require_at_least(depth, 0, "depth is negative")
    position = normalize_axis(axis, indices.rank + 1)
    return TensorType(dtype, (*indices.shape[:position], depth, *indices.shape[position:]))


@one_hot.decompose
def _(indices: Tensor, /, *, depth: Dim, axis: int, dtype: DType) -> Tensor:
    position = normalize_axis(axis, indices.ndim + 1)
    # In the dtype of the indices, a depth could exceed its range: uint8 has no class 300.
    wide = indices if indices.dtype is DType.INT64 else astype(indices, dtype=DType.INT64)
    classes = arange(start=0, stop=depth, step=1, dtype=DType.INT64)
    after = tuple(range(1, indices.ndim - position + 1))
    column = expand_dims(classes, axis=after) if after else classes
    return astype(equal(expand_dims(wide, axis=(position,)), column), dtype=dtype)
