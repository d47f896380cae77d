"""From the shapes of a call's inputs to the sizes of the model's dims: ints where known, else tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from kxchange.dims import Dim, DimExpr, evaluate, substitute, symbols
from kxchange.errors import InputError
from kxchange_tensorflow.lowering import largest, size_of, smallest

Expected = Sequence[tuple[str, tuple[Dim, ...]]]


def bind_sizes(expected: Expected, inputs: Sequence[Any]) -> dict[str, Any]:
    """Size by symbol; axes that must agree with others are checked when the function runs.

    Raises:
        InputError: A rank does not fit, or an axis cannot be solved for its symbols.
    """
    axes: list[tuple[str, Dim, Any]] = []
    for (name, dims), value in zip(expected, inputs, strict=True):
        if value.shape.rank != len(dims):
            raise InputError(f"input {name!r} has rank {value.shape.rank}, but rank {len(dims)} is expected.")
        axes += [(name, dim, size_of(value, axis)) for axis, dim in enumerate(dims)]
    sizes: dict[str, Any] = {}
    for _, dim, size in axes:
        symbol = dim.lone_atom() if isinstance(dim, DimExpr) else None
        if isinstance(symbol, str):
            sizes.setdefault(symbol, size)
    pending = [axis for axis in axes if not symbols(axis[1]) <= sizes.keys()]
    while pending:
        left = [axis for axis in pending if not _solve(axis[1], axis[2], sizes)]
        if len(left) == len(pending):
            raise InputError(f"input {left[0][0]!r}: '{left[0][1]}' cannot be solved for its symbols.")
        pending = [axis for axis in left if not symbols(axis[1]) <= sizes.keys()]
    for name, dim, size in axes:
        _check(name, dim, size, sizes)
    return sizes


def _solve(dim: Dim, size: Any, sizes: dict[str, Any]) -> bool:
    """Solve an axis for its only unknown symbol, in which it is linear."""
    unknown = symbols(dim) - sizes.keys()
    if len(unknown) != 1:
        return not unknown
    (name,) = unknown
    rest = substitute(dim, {name: 0})
    slope = dim - rest
    if isinstance(slope, int) or len(slope.terms) != 1 or slope.terms[0][0] != ((name, 1),):
        return False
    sizes[name] = (size - evaluate(rest, sizes)) // slope.terms[0][1]
    return True


def _check(name: str, dim: Dim, size: Any, sizes: dict[str, Any]) -> None:
    wanted = evaluate(dim, sizes, maximum=lambda *s: _fold(largest, s), minimum=lambda *s: _fold(smallest, s))
    if wanted is size:
        return
    if isinstance(wanted, int) and isinstance(size, int):
        if wanted != size:
            raise InputError(f"input {name!r} has an axis of {size}, but '{dim}' is {wanted}.")
        return
    message = f"input {name!r} has an axis that is not '{dim}'"
    tf.debugging.assert_equal(tf.cast(size, tf.int64), tf.cast(wanted, tf.int64), message)


def _fold(pick: Any, sizes: Sequence[Any]) -> Any:
    found = sizes[0]
    for size in sizes[1:]:
        found = pick(found, size)
    return found
