"""Updates written at computed positions: scatter (along one axis) and scatter_nd (whole index tuples)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import TypeInferenceError
from kxchange.ops.indexing import from_front, tuple_width
from kxchange.ops.operands import require_integer, require_numeric, require_rank, same_dtype
from kxchange.shapes import normalize_axis, require_at_least, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

Array = NDArray[Any]
REDUCTIONS: dict[str, Callable[[Array, Array, Array], Any] | None] = {
    "set": None,
    "add": np.add.at,
    "multiply": np.multiply.at,
    "min": np.minimum.at,
    "max": np.maximum.at,
}
"""What happens to a position: replaced (None), or combined with the update in place."""


@op(alike=("x", "updates"))
def scatter(x: Tensor, indices: Tensor, updates: Tensor, /, *, axis: int, reduction: str = "set") -> Tensor:
    """A tensor with every update written at the position of `axis` its index names, at its own place on the other axes.

    ``result[indices[i, j], j] = updates[i, j]`` for axis 0 of two. Duplicates: "set" keeps the last update in
    row-major order (trap X12), the others combine all of them with what was there; NaN propagates.

    Args:
        x: A tensor of at least one axis.
        indices: Positions, as many axes as x, no longer than x on the other axes; negative ones count from the end.
        updates: What to write, shaped like `indices`.
        axis: The axis that indices address.
        reduction: "set", "add", "multiply", "min" or "max".

    Returns:
        A tensor like x.

    Raises:
        InputError: A position is outside the axis (trap X13).
    """
    axis %= x.ndim
    index: list[Array] = list(cast("Any", np.indices)(indices.shape, sparse=True))
    index[axis] = from_front(indices, x.shape[axis], "scatter")
    rows = np.ravel_multi_index(tuple(np.broadcast_arrays(*index)), x.shape) if indices.size else np.zeros(0, int)
    return _combine(x.reshape(-1), rows.reshape(-1), updates.reshape(-1), reduction).reshape(x.shape)


def _combine(x: Array, rows: Array, updates: Array, reduction: str) -> Array:
    """A copy of x with rows updated one after the other: a single index array keeps NumPy in order."""
    result = x.copy()
    combine = REDUCTIONS[reduction]
    if combine is None:
        result[rows] = updates
    else:
        with np.errstate(all="ignore"):
            combine(result, rows, updates)
    return result


@scatter.infer
def _(x: TensorType, indices: TensorType, updates: TensorType, /, *, axis: int, reduction: str) -> TensorType:
    same_dtype(x, updates)
    require_integer(indices, "indices")
    _check_reduction(x, reduction)
    require_rank(indices, "indices", x.rank)
    require_rank(updates, "updates", x.rank)
    position = normalize_axis(axis, x.rank)
    for place, (whole, part, update) in enumerate(zip(x.shape, indices.shape, updates.shape, strict=True)):
        require_equal(part, update, f"indices and updates differ on axis {place}")
        if place != position:
            require_at_least(whole, part, f"indices is longer than x on axis {place}")
    return x


def _check_reduction(x: TensorType, reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise TypeInferenceError(f"reduction {reduction!r} is unknown; use one of {', '.join(REDUCTIONS)}.")
    if reduction in ("add", "multiply"):
        require_numeric(x, "x")


@op(alike=("x", "updates"))
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, /, *, reduction: str = "set") -> Tensor:
    """A tensor with slices written at whole index tuples: the last axis of `indices` holds one tuple.

    ``result[indices[i, 0], indices[i, 1], ...] = updates[i]``; duplicates as in `scatter`.

    Args:
        x: [*indexed, *rest].
        indices: [*outer, len(indexed)]; negative ones count from the end.
        updates: [*outer, *rest].
        reduction: "set", "add", "multiply", "min" or "max".

    Returns:
        A tensor like x.

    Raises:
        InputError: A position is outside its axis.
    """
    width = indices.shape[-1]
    indexed: tuple[int, ...] = x.shape[:width]
    rest: tuple[int, ...] = x.shape[width:]
    parts = [from_front(indices[..., part], size, "scatter_nd") for part, size in enumerate(indexed)]
    rows = np.ravel_multi_index(tuple(parts), indexed).reshape(-1) if parts[0].size else np.zeros(0, int)
    flat = x.reshape(int(np.prod(indexed)), *rest)
    return _combine(flat, rows, updates.reshape(len(rows), *rest), reduction).reshape(x.shape)


@scatter_nd.infer
def _(x: TensorType, indices: TensorType, updates: TensorType, /, *, reduction: str) -> TensorType:
    same_dtype(x, updates)
    _check_reduction(x, reduction)
    width = tuple_width(x, indices, 0)
    expected = (*indices.shape[:-1], *x.shape[width:])
    require_rank(updates, "updates", len(expected))
    for axis, (needed, given) in enumerate(zip(expected, updates.shape, strict=True)):
        require_equal(needed, given, f"updates does not fit on axis {axis}")
    return x
