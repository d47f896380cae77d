"""Symbolic sizes as values of a traced function: read from its inputs once, computed from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from kxchange.dims import Dim, DimExpr, evaluate, substitute, symbols
from kxchange.errors import BuildError


class Sizes:
    """The sizes that a function's inputs (typed proxies) give to symbols, and dims over them.

    Args:
        inputs: Typed proxies, in order.
        outside: Where a symbol that no input gives comes from; None where there is nothing around the function.
    """

    def __init__(self, inputs: Sequence[Any], outside: Callable[[str], Any] | None) -> None:
        self._axes = [(proxy, axis, dim) for proxy in inputs for axis, dim in enumerate(proxy.type.shape)]
        self._plain = {name for _, _, dim in self._axes if (name := lone_symbol(dim)) is not None}
        self._named = {name for _, _, dim in self._axes for name in symbols(dim)}
        self._outside = outside
        self._symbols: dict[str, Any] = {}
        self._dims: dict[Dim, Any] = {}

    def __contains__(self, name: str) -> bool:
        """Whether a symbol is known, or can be found."""
        return name in self._symbols or name in self._named

    def bind(self, name: str, size: Any) -> None:
        """State what a symbol is."""
        self._symbols[name] = size

    def of(self, dim: Dim) -> Any:
        """A dim as an int or a traced size; each is computed once."""
        if isinstance(dim, int):
            return dim
        if dim not in self._dims:
            known = {name: self.of_symbol(name) for name in symbols(dim)}
            self._dims[dim] = evaluate(dim, known, maximum=torch.sym_max, minimum=torch.sym_min)
        return self._dims[dim]

    def of_symbol(self, name: str) -> Any:
        """The size that a symbol stands for, read from the first axis that gives it.

        Raises:
            BuildError: No input axis gives it.
        """
        if name not in self._symbols:
            self._symbols[name] = self._find(name)
        return self._symbols[name]

    def _find(self, name: str) -> Any:
        for proxy, axis, dim in self._axes:
            if lone_symbol(dim) == name:
                return proxy.size(axis)
        for proxy, axis, dim in self._axes:
            if name in symbols(dim) and (found := self._solve(name, dim, proxy, axis)) is not None:
                return found
        if self._outside is not None:
            return self._outside(name)
        raise BuildError(
            f"torch cannot tell the size {name!r}: no input axis is it. Declare an input axis that is {name} itself."
        )

    def _solve(self, name: str, dim: Dim, proxy: Any, axis: int) -> Any:
        """The symbol from an axis that is linear in it and in which all else is known."""
        if not symbols(dim) - {name} <= self._plain | self._symbols.keys():
            return None
        rest = substitute(dim, {name: 0})
        slope = dim - rest
        if isinstance(slope, int) or len(slope.terms) != 1 or slope.terms[0][0] != ((name, 1),) or slope.constant:
            return None
        factor = slope.terms[0][1]
        size = proxy.size(axis) - self.of(rest)
        return size if factor == 1 else size // factor


def lone_symbol(dim: Dim) -> str | None:
    """The symbol that a dim is, if it is one and nothing else."""
    atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
    return atom if isinstance(atom, str) else None
