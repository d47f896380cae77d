"""From the shapes of a call's inputs, ints or another trace's symbolic sizes, to the sizes of the model's dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kxchange.binding import bind_dims, check_constraints
from kxchange.constraints import Constraint
from kxchange.dims import Dim, DimExpr, evaluate, substitute, symbols
from kxchange.errors import InputError

Expected = Sequence[tuple[str, tuple[Dim, ...]]]
Shapes = Sequence[tuple[Any, ...]]


def bind_sizes(expected: Expected, shapes: Shapes, constraints: Sequence[Constraint], where: str) -> dict[str, Any]:
    """Size by symbol, every axis and constraint checked as far as the sizes are known.

    Raises:
        InputError: A rank or size does not fit, or a constraint does not hold.
    """
    if all(isinstance(size, int) for shape in shapes for size in shape):
        sizes = bind_dims(expected, shapes)
        check_constraints(constraints, sizes, where)
        return dict(sizes)
    return _bind_symbolic(expected, shapes)


def _bind_symbolic(expected: Expected, shapes: Shapes) -> dict[str, Any]:
    axes: list[tuple[str, Dim, Any]] = []
    for (name, dims), shape in zip(expected, shapes, strict=True):
        if len(dims) != len(shape):
            raise InputError(f"input {name!r} has rank {len(shape)}, but rank {len(dims)} is expected.")
        axes += [(name, dim, size) for dim, size in zip(dims, shape, strict=True)]
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
        _check_known(name, dim, size, sizes)
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


def _check_known(name: str, dim: Dim, size: Any, sizes: Mapping[str, Any]) -> None:
    """Refuse an axis whose two known sizes differ; where one is symbolic, JAX's own operations complain."""
    wanted = evaluate(dim, sizes)
    if isinstance(wanted, int) and isinstance(size, int) and wanted != size:
        raise InputError(f"input {name!r} has an axis of {size}, but '{dim}' is {wanted}.")
