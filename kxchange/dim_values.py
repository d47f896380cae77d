"""Putting values in place of a dim's symbols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeVar, cast

from kxchange.dim_algebra import Dim, dim_max, dim_min, symbol
from kxchange.dim_polynomial import Atom, Monomial
from kxchange.errors import DimError

T = TypeVar("T")
_Pick = Callable[..., Any]


def symbols(dim: Dim) -> frozenset[str]:
    """Every symbol name in a dim, those inside calls too."""
    found: set[str] = set()
    pending: list[Dim] = [dim]
    while pending:
        current = pending.pop()
        if isinstance(current, int):
            continue
        for monomial, _ in current.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    pending.extend(atom.operands)
    return frozenset(found)


def evaluate(dim: Dim, values: Mapping[str, T], *, maximum: Any = max, minimum: Any = min) -> T:
    """Compute a dim on anything that has ``+ * // %`` with ints and itself; an int passes through.

    Args:
        dim: An int or an expression.
        values: What each symbol stands for: ints, another tracer's symbolic sizes, rank-0 tensors.
        maximum: Larger of two values.
        minimum: Smaller of two values.

    Raises:
        DimError: A symbol has no value, or something is divided by 0.
    """
    if isinstance(dim, int):
        return cast("T", dim)
    return _evaluate(dim, values, maximum, minimum)


def substitute(dim: Dim, values: Mapping[str, Dim], *, maximum: Any = dim_max, minimum: Any = dim_min) -> Dim:
    """Replace symbols by dims; symbols that are not in `values` stay.

    Args:
        dim: An int or an expression.
        values: The dim for each symbol to replace.
        maximum: What rebuilds a `max`.
        minimum: What rebuilds a `min`.
    """
    if isinstance(dim, int):
        return dim
    known = {name: values[name] if name in values else symbol(name) for name in symbols(dim)}
    return _evaluate(dim, known, maximum, minimum)


def _evaluate(dim: Dim, values: Mapping[str, Any], maximum: _Pick, minimum: _Pick) -> Any:
    if isinstance(dim, int):
        return dim
    total: Any = None
    for monomial, coefficient in dim.terms:
        term = _evaluate_monomial(monomial, values, maximum, minimum)
        if coefficient != 1:
            term = term * coefficient
        total = term if total is None else total + term
    return total + dim.constant if dim.constant else total


def _evaluate_monomial(monomial: Monomial, values: Mapping[str, Any], maximum: _Pick, minimum: _Pick) -> Any:
    result: Any = None
    for atom, exponent in monomial:
        factor = _evaluate_atom(atom, values, maximum, minimum)
        for _ in range(exponent):
            result = factor if result is None else result * factor
    return result


def _evaluate_atom(atom: Atom, values: Mapping[str, Any], maximum: _Pick, minimum: _Pick) -> Any:
    if isinstance(atom, str):
        try:
            return values[atom]
        except KeyError:
            known = ", ".join(sorted(values)) or "none"
            raise DimError(f"The dimension {atom!r} has no value; known are: {known}. Bind it first.") from None
    operands = [_evaluate(operand, values, maximum, minimum) for operand in atom.operands]
    if atom.kind in ("max", "min"):
        return reduce(maximum if atom.kind == "max" else minimum, operands)
    try:
        return operands[0] // operands[1] if atom.kind == "floordiv" else operands[0] % operands[1]
    except ZeroDivisionError:
        raise DimError(f"The dimension {atom.text} divides by 0 for these sizes.") from None
