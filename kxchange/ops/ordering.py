"""Elements by size: sort, argsort, top_k, searchsorted.

NaN is greater than every number (traps X05, X06); among equals the lower position comes first, in either direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.ops.operands import axis_of, replace_axis, require_rank, same_dtype
from kxchange.shapes import normalize_axis, require_at_least, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

Array = NDArray[Any]


def _order(x: Array, axis: int, descending: bool) -> Array:
    """Positions along `axis` in stable order."""
    if not descending:
        return np.argsort(x, axis=axis, kind="stable")
    # Reversed before and after: the sort is stable, so equals must stand in reverse while it runs.
    backwards = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - np.flip(backwards, axis)


@op
def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False) -> Tensor:
    """The elements along an axis in rising order, NaN last; or in falling order, NaN first.

    Args:
        x: A tensor of at least one axis.
        axis: The axis to sort.
        descending: Falling order.

    Returns:
        A tensor like x.
    """
    return np.take_along_axis(x, _order(x, axis, descending), axis=axis)


@sort.infer
def _(x: TensorType, /, *, axis: int, descending: bool) -> TensorType:
    normalize_axis(axis, x.rank)
    return x


@op(differentiable=False)
def argsort(x: Tensor, /, *, axis: int = -1, descending: bool = False) -> Tensor:
    """The positions of the elements of `sort`; equal elements keep their order (stable).

    Args:
        x: A tensor of at least one axis.
        axis: The axis to sort.
        descending: Falling order.

    Returns:
        int64 of the shape of x.
    """
    return _order(x, axis, descending).astype(np.int64)


@argsort.infer
def _(x: TensorType, /, *, axis: int, descending: bool) -> TensorType:
    normalize_axis(axis, x.rank)
    return x.with_dtype(DType.INT64)


@op
def top_k(x: Tensor, /, *, k: Dim, axis: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    """The k largest (or smallest) elements along an axis and where they are.

    NaN is the largest of all (trap X06). Among equal elements the lower position comes first; backends may give
    others (traps X01, X02): compare values.

    Args:
        x: A tensor of at least one axis.
        k: How many, at most the size of the axis.
        axis: The axis to search.
        largest: The largest; the smallest otherwise.
        sorted: From the most extreme on; otherwise a backend may give them in any order.

    Returns:
        values, dtype of x, and positions, int64; both as x with `k` elements on `axis`.
    """
    order = _order(x, axis, largest)
    chosen = order[(*(slice(None),) * (axis % x.ndim), slice(0, k))].astype(np.int64)
    return np.take_along_axis(x, chosen, axis=axis), chosen


@top_k.infer
def _(x: TensorType, /, *, k: Dim, axis: int, largest: bool, sorted: bool) -> tuple[TensorType, TensorType]:
    position, size = axis_of(x, axis)
    require_at_least(k, 0, "k is negative")
    require_at_least(size, k, f"axis {axis} has fewer than k elements")
    values = replace_axis(x, position, k)
    return values, values.with_dtype(DType.INT64)


@op(differentiable=False)
def searchsorted(sorted_sequence: Tensor, values: Tensor, /, *, side: str = "left") -> Tensor:
    """Where each value would be inserted so that the sequence stays sorted.

    Args:
        sorted_sequence: Rising sequences, [size] or [*batch, size].
        values: Any shape for one sequence; [*batch, count] for several.
        side: Among equals, before them ("left") or after them ("right").

    Returns:
        int64 of the shape of `values`, between 0 and size.
    """
    if sorted_sequence.ndim == 1:
        search: Any = np.searchsorted
        return np.asarray(search(sorted_sequence, values, side=side), dtype=np.int64)
    return _search_rows(sorted_sequence, values, side)


def _search_rows(rows: Array, values: Array, side: str) -> Array:
    """Binary search in all rows at once: one step halves every interval ``low <= result <= high``."""
    size = rows.shape[-1]
    low = np.zeros(values.shape, dtype=np.int64)
    high = np.full(values.shape, size, dtype=np.int64)
    for _ in range(size.bit_length()):
        middle = (low + high) // 2
        found = np.take_along_axis(rows, np.minimum(middle, size - 1), axis=-1)
        right = _less(found, values) if side == "left" else ~_less(values, found)
        searching = low < high
        low = np.where(searching & right, middle + 1, low)
        high = np.where(searching & ~right, middle, high)
    return low


def _less(a: Array, b: Array) -> Array:
    """``a < b`` with NaN above every number."""
    return (a < b) | ((b != b) & (a == a))


@searchsorted.infer
def _(sorted_sequence: TensorType, values: TensorType, /, *, side: str) -> TensorType:
    if side not in ("left", "right"):
        raise TypeInferenceError(f"side {side!r} is unknown; use 'left' or 'right'.")
    same_dtype(sorted_sequence, values)
    if sorted_sequence.rank == 0:
        raise TypeInferenceError("sorted_sequence needs at least one axis.")
    if sorted_sequence.rank > 1:
        require_rank(values, "values", sorted_sequence.rank)
        for axis, (a, b) in enumerate(zip(sorted_sequence.shape[:-1], values.shape[:-1], strict=True)):
            require_equal(a, b, f"batch axis {axis} differs")
    return values.with_dtype(DType.INT64)
