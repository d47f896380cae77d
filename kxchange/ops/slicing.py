"""Parts of a tensor, and the same elements in another order along an axis: slice, flip, roll, tril, triu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange.dims import Dim, dim_max
from kxchange.errors import TypeInferenceError
from kxchange.ops.creation import arange
from kxchange.ops.elementwise import greater_equal, less_equal, where
from kxchange.ops.joining import concat
from kxchange.ops.manipulation import expand_dims
from kxchange.ops.operands import axis_of, require_integer, require_rank, same_dtype
from kxchange.shapes import normalize_axes, require_at_least, slice_length
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

Limits = tuple[Dim | None, Dim | None, int]
"""Start, stop and step of one axis, as Python writes them."""


@op(widen=False)
def slice_(
    x: Tensor,
    /,
    *,
    starts: tuple[Dim, ...],
    stops: tuple[Dim, ...],
    steps: tuple[int, ...],
    axes: tuple[int, ...],
) -> Tensor:
    """Every `step`-th element from `start` up to, not including, `stop`.

    The limits are positions, already resolved: ``0 <= start <= stop <= size`` for a positive step; for a negative one
    ``-1 <= stop <= start < size``, where a stop of -1 is "before the first". `python_slice` resolves Python's.

    Args:
        x: A tensor of at least one axis.
        starts: First position per axis in `axes`.
        stops: Limit per axis in `axes`.
        steps: Distance between positions, not 0.
        axes: The axes to cut; the others stay whole.

    Returns:
        A tensor of sizes ``ceil((stop - start) / step)`` on `axes`, dtype of x.
    """
    index: list[Any] = [slice(None)] * x.ndim
    for start, stop, step, axis in zip(starts, stops, steps, axes, strict=True):
        index[axis] = _positions(start, stop, step)
    return x[tuple(index)]


def _positions(start: Any, stop: Any, step: int) -> slice:
    """The Python slice of resolved limits: to Python, -1 means the last."""
    if step > 0:
        return slice(start, stop, step)
    return slice(0, 0) if start <= stop else slice(start, None if stop < 0 else stop, step)


@slice_.infer
def _(
    x: TensorType,
    /,
    *,
    starts: tuple[Dim, ...],
    stops: tuple[Dim, ...],
    steps: tuple[int, ...],
    axes: tuple[int, ...],
) -> TensorType:
    if not len(starts) == len(stops) == len(steps) == len(axes):
        counts = f"{len(starts)}, {len(stops)}, {len(steps)} and {len(axes)}"
        raise TypeInferenceError(f"starts, stops, steps and axes have {counts} entries.")
    shape = list(x.shape)
    for axis, start, stop, step in zip(normalize_axes(axes, x.rank), starts, stops, steps, strict=True):
        shape[axis] = _length(shape[axis], start, stop, step)
    return x.with_shape(tuple(shape))


def _length(size: Dim, start: Dim, stop: Dim, step: int) -> Dim:
    if step == 0:
        raise TypeInferenceError("a slice cannot have step 0.")
    reason = f"slice {start}:{stop}:{step} of an axis of {size}"
    low, high = (start, stop) if step > 0 else (stop, start)
    bottom, top = (0, size) if step > 0 else (-1, size - 1)
    require_at_least(low, bottom, f"{reason} begins outside")
    require_at_least(top, high, f"{reason} ends outside")
    require_at_least(high, low, f"{reason} is backwards")
    return -(-(high - low) // abs(step))


def python_slice(x: Tensor, *limits: Limits | None) -> Tensor:
    """Slice as Python and PyTorch do: negative limits count from the end, limits beyond it are clamped.

    Args:
        x: A Value.
        *limits: ``(start, stop, step)`` per leading axis, start and stop being None where open; None for a whole
            axis. Dims may be symbolic: what clamping cannot be ruled out becomes `max` and `min`, or a constraint.

    Returns:
        One `slice` of x; x itself where nothing is cut.

    Raises:
        TypeInferenceError: There are more limits than axes, or a step is 0.
    """
    if len(limits) > x.ndim:
        raise TypeInferenceError(f"{len(limits)} slices for a tensor of {x.ndim} axes.")
    resolved: list[tuple[int, Dim, Dim, int]] = []
    for axis, limit in enumerate(limits):
        if limit is None or limit == (None, None, 1):
            continue
        start, stop, step = limit
        first, last, length = slice_length(x.shape[axis], start, stop, step)
        if length == 0:
            # Python allows 5:2; the limits of `slice` are ordered, and 0:0 fits an axis of any size.
            first, last, step = 0, 0, 1
        if (first, last, step) != (0, x.shape[axis], 1):
            resolved.append((axis, first, last, step))
    if not resolved:
        return x
    axes, starts, stops, steps = zip(*resolved, strict=True)
    return slice_(x, starts=starts, stops=stops, steps=steps, axes=axes)


@op(alike=("x",), widen=False)
def dynamic_slice(x: Tensor, /, *starts: Tensor, sizes: tuple[Dim, ...]) -> Tensor:
    """A window of fixed size at a computed position; the position is clamped so that the window fits (JAX).

    Args:
        x: Any tensor.
        *starts: Rank-0 integers, one per axis of x: the first position. A negative one is clamped to 0.
        sizes: Sizes of the window, none larger than x's.

    Returns:
        A tensor of `sizes`, dtype of x.
    """
    firsts = _clamped(x.shape, starts, sizes)
    return x[tuple(slice(first, first + size) for first, size in zip(firsts, sizes, strict=True))]


def _clamped(shape: Sequence[int], starts: Sequence[Any], sizes: Sequence[Any]) -> list[int]:
    return [min(max(int(start), 0), whole - size) for whole, start, size in zip(shape, starts, sizes, strict=True)]


@dynamic_slice.infer
def _(x: TensorType, /, *starts: TensorType, sizes: tuple[Dim, ...]) -> TensorType:
    if len(sizes) != x.rank:
        raise TypeInferenceError(f"sizes has {len(sizes)} entries for {x.rank} axes.")
    _check_starts(x, starts)
    for axis, (whole, size) in enumerate(zip(x.shape, sizes, strict=True)):
        require_at_least(size, 0, f"the window is negative on axis {axis}")
        require_at_least(whole, size, f"the window is larger than axis {axis}")
    return x.with_shape(tuple(sizes))


def _check_starts(x: TensorType, starts: Sequence[TensorType]) -> None:
    if len(starts) != x.rank:
        raise TypeInferenceError(f"there are {len(starts)} starts for {x.rank} axes.")
    for start in starts:
        require_integer(start, "starts")
        require_rank(start, "a start", 0)


@op(alike=("x", "update"), widen=False)
def dynamic_update_slice(x: Tensor, update: Tensor, /, *starts: Tensor) -> Tensor:
    """A tensor with a window replaced by `update`, at a computed position, clamped so that the window fits (JAX).

    Args:
        x: Any tensor.
        update: What to write, same number of axes, no size larger than x's.
        *starts: Rank-0 integers, one per axis of x: the first position. A negative one is clamped to 0.

    Returns:
        A tensor like x.
    """
    firsts = _clamped(x.shape, starts, update.shape)
    result = x.copy()
    result[tuple(slice(first, first + size) for first, size in zip(firsts, update.shape, strict=True))] = update
    return result


@dynamic_update_slice.infer
def _(x: TensorType, update: TensorType, /, *starts: TensorType) -> TensorType:
    same_dtype(x, update)
    require_rank(update, "update", x.rank)
    _check_starts(x, starts)
    for axis, (whole, size) in enumerate(zip(x.shape, update.shape, strict=True)):
        require_at_least(whole, size, f"update is larger than axis {axis}")
    return x


@op(widen=False)
def flip(x: Tensor, /, *, axis: tuple[int, ...]) -> Tensor:
    """The elements in reverse order along each axis of `axis`.

    Args:
        x: A tensor with those axes.
        axis: The axes to reverse.

    Returns:
        A tensor like x.
    """
    return np.flip(x, axis)


@flip.infer
def _(x: TensorType, /, *, axis: tuple[int, ...]) -> TensorType:
    normalize_axes(axis, x.rank)
    return x


@op(widen=False)
def roll(x: Tensor, /, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    """The elements moved along an axis, those that leave at one end coming back at the other.

    Args:
        x: A tensor with those axes.
        shifts: Distance per axis; positive towards higher positions.
        axis: The axes to roll.

    Returns:
        A tensor like x.
    """
    return np.roll(x, shifts, axis)


@roll.infer
def _(x: TensorType, /, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> TensorType:
    if len(normalize_axes(axis, x.rank)) != len(shifts):
        raise TypeInferenceError(f"there are {len(shifts)} shifts for {len(axis)} axes.")
    return x


@roll.decompose
def _(x: Tensor, /, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Tensor:
    for shift, given in zip(shifts, axis, strict=True):
        position, size = axis_of(x.type, given)
        # An axis of 0 elements has no remainder, and nothing to move.
        moved = shift % dim_max(size, 1)
        if moved != 0:
            x = concat(_part(x, position, size - moved, size), _part(x, position, 0, size - moved), axis=position)
    return x


def _part(x: Tensor, axis: int, start: Dim, stop: Dim) -> Tensor:
    return slice_(x, starts=(start,), stops=(stop,), steps=(1,), axes=(axis,))


@op(widen=False)
def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The lower triangle of each matrix, zeros above: element (i, j) stays where ``j <= i + k``.

    Args:
        x: [..., rows, columns].
        k: The last diagonal that stays; 0 is the main one, positive ones are above it.

    Returns:
        A tensor like x.
    """
    return np.where(np.tri(*x.shape[-2:], k=k, dtype=bool), x, np.zeros((), x.dtype))


@tril.infer
def _(x: TensorType, /, *, k: int) -> TensorType:
    return _matrices(x)


def _matrices(x: TensorType) -> TensorType:
    if x.rank < 2:
        raise TypeInferenceError(f"a triangle needs at least 2 axes, not {x.rank}.")
    return x


@tril.decompose
def _(x: Tensor, /, *, k: int) -> Tensor:
    rows, columns = _row_and_column(x, k)
    return where(less_equal(columns, rows), x, 0)


def _row_and_column(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Row numbers plus `k` as a column, column numbers as a row."""
    rows = arange(start=k, stop=x.shape[-2] + k, step=1, dtype=DType.INT64)
    columns = arange(start=0, stop=x.shape[-1], step=1, dtype=DType.INT64)
    return expand_dims(rows, axis=(1,)), expand_dims(columns, axis=(0,))


@op(widen=False)
def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The upper triangle of each matrix, zeros below: element (i, j) stays where ``j >= i + k``.

    Args:
        x: [..., rows, columns].
        k: The first diagonal that stays; 0 is the main one, positive ones are above it.

    Returns:
        A tensor like x.
    """
    return np.where(np.tri(*x.shape[-2:], k=k - 1, dtype=bool), np.zeros((), x.dtype), x)


@triu.infer
def _(x: TensorType, /, *, k: int) -> TensorType:
    return _matrices(x)


@triu.decompose
def _(x: Tensor, /, *, k: int) -> Tensor:
    rows, columns = _row_and_column(x, k)
    return where(greater_equal(columns, rows), x, 0)
