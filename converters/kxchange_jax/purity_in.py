"""Whether a function is a pure one: traced twice, it must give one program twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, cast

import numpy as np

from kxchange.errors import CaptureError
from kxchange.user_code import relative_file
from kxchange_jax.lifting import live_equations
from kxchange_jax.numbers_in import inner_jaxprs
from kxchange_jax.private import is_key, user_place
from kxchange_jax.sources_in import is_user


def require_pure(first: Any, second: Any, label: str) -> None:
    """Compare two traces of one function.

    Raises:
        CaptureError: They differ: the function draws numbers, counts or reads the clock while it is traced.
    """
    for one, other in zip_longest(_steps(first), _steps(second)):
        if one is None or other is None or not _same(one[1:], other[1:]):
            raise CaptureError(
                f"jax gives another program each time it traces {label}; the first difference is "
                f"{_place((one or other or [None])[0])}. It has a side effect, or draws numbers, as with np.random or "
                "a counter. Pass what changes as an input."
            )


def _steps(jaxpr: Any) -> Iterator[tuple[Any, ...]]:
    """Every constant, and every equation that matters with what it is made of."""
    pending = [jaxpr]
    while pending:
        current = pending.pop()
        inner = getattr(current, "jaxpr", current)
        equations, needed = live_equations(inner, [True] * len(inner.outvars))
        for var, const in zip(inner.constvars, getattr(current, "consts", ()), strict=False):
            if var in needed:
                yield None, "constant", const
        yield None, "results", *(atom.val for atom in inner.outvars if hasattr(atom, "val"))
        for eqn in equations:
            literals = [atom.val for atom in eqn.invars if hasattr(atom, "val")]
            yield eqn, eqn.primitive.name, _numbers(eqn), tuple(str(var.aval) for var in eqn.outvars), *literals
            pending += [inner for value in eqn.params.values() for inner in inner_jaxprs(value)]


def _numbers(eqn: Any) -> tuple[Any, ...]:
    """The parameters that are numbers."""
    return tuple((name, value) for name, value in sorted(eqn.params.items()) if _is_plain(value))


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(item) for item in cast("tuple[Any, ...]", value))
    return value is None or isinstance(value, bool | int | float)


def _same(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return len(first) == len(second) and all(map(_equal, first, second))


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, str | tuple) or isinstance(other, str | tuple):
        return one == other
    if hasattr(one, "dtype") and is_key(one.dtype):
        return hasattr(other, "dtype") and one.dtype == other.dtype
    a, b = np.asarray(one), np.asarray(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _place(eqn: Any) -> str:
    """Where a step stands in the user's code."""
    file, line = user_place(eqn, is_user) if eqn is not None else ("", 0)
    if eqn is None:
        return "a constant"
    return f"{eqn.primitive.name} at {relative_file(file)}:{line}" if file else eqn.primitive.name
