"""Symbolic dimensions: the polynomials with `//`, `%`, `max` and `min`, and the rules that keep conv arithmetic small.

`n` is an integer-valued polynomial, `q` and `b` are positive ints:

* ``(k*q*x + r)//q == k*x + r//q`` and ``(k*q*x + r) % q == r % q``;
* ``(g*n + c)//(g*q) == (n + c//g)//q`` and ``(g*n + c) % (g*q) == g*((n + c//g) % q) + c % g``;
* ``(a//b + n)//q == (a + b*n)//(b*q)``: floors of floors are one floor;
* ``n//q == -((q-1-n)//q)``: the leading coefficient is positive, so both ways to write a ceiling are one.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import gcd
from typing import Literal

from kxchange.dim_exact import cancel, common_factor, divide_exact, divide_monomial
from kxchange.dim_polynomial import Call, CallKind, Monomial, Polynomial, Terms, as_integer
from kxchange.errors import DimError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")


class DimExpr(Polynomial):
    """A dimension that is not a plain int: a polynomial with integer coefficients, immutable and in normal form.

    Made with `symbol`, `parse_dim` and the operators ``+ - * // %``; a constant result is an `int`. `//` and `%` are
    Python's (towards minus infinity). Comparing sizes (``<``) raises: an unknown size has no order.
    """

    __slots__ = ()

    def __floordiv__(self, other: Dim) -> Dim:
        divisor = other if type(other) is DimExpr else as_integer(other)
        return NotImplemented if divisor is None else floor_divide(self, divisor)

    def __rfloordiv__(self, other: int) -> Dim:
        number = as_integer(other)
        return NotImplemented if number is None else floor_divide(number, self)

    def __mod__(self, other: Dim) -> Dim:
        divisor = other if type(other) is DimExpr else as_integer(other)
        return NotImplemented if divisor is None else modulo(self, divisor)

    def __rmod__(self, other: int) -> Dim:
        number = as_integer(other)
        return NotImplemented if number is None else modulo(number, self)


Dim = int | DimExpr


@lru_cache(maxsize=4096)
def symbol(name: str) -> DimExpr:
    """A dimension known by name only.

    Args:
        name: Letters, digits, `_` and `.`, not starting with a digit or a point; at most 64 characters.

    Raises:
        DimError: The name is not of that form.
    """
    if not _NAME.fullmatch(name):
        raise DimError(f"{name[:80]!r} cannot name a dimension: use letters, digits, '_' and '.', at most 64 of them.")
    return DimExpr(((((name, 1),), 1),), 0)


def dim_max(*dims: Dim) -> Dim:
    """The largest of the dims; ints and dims that differ by a constant are decided here."""
    return _extreme("max", dims)


def dim_min(*dims: Dim) -> Dim:
    """The smallest of the dims; ints and dims that differ by a constant are decided here."""
    return _extreme("min", dims)


def floor_divide(numerator: Dim, denominator: Dim) -> Dim:
    """``numerator // denominator`` in normal form, rounding towards minus infinity."""
    if isinstance(denominator, int):
        if denominator == 0:
            raise DimError(f"The dimension {numerator} cannot be divided by 0.")
        if isinstance(numerator, int):
            return numerator // denominator
        return _divide_by_int(numerator, denominator) if denominator > 0 else _divide_by_int(-numerator, -denominator)
    if denominator.terms[0][1] < 0:
        return floor_divide(-numerator, -denominator)
    quotient = divide_exact(numerator, denominator)
    if quotient is not None:
        return quotient
    monomial, factor = common_factor(numerator, denominator)
    if monomial or factor > 1:
        return floor_divide(cancel(numerator, monomial, factor), cancel(denominator, monomial, factor))
    whole, rest = _split_by_term(numerator, denominator)
    if rest == 0 or _is_small_remainder(rest, denominator):
        return whole
    return _atom_dim("floordiv", (rest, denominator)) + whole


def modulo(numerator: Dim, denominator: Dim) -> Dim:
    """``numerator % denominator`` in normal form, with the sign of the denominator."""
    if isinstance(denominator, int):
        if denominator == 0:
            raise DimError(f"The dimension {numerator} has no remainder by 0.")
        if isinstance(numerator, int):
            return numerator % denominator
        return _modulo_int(numerator, denominator) if denominator > 0 else -_modulo_int(-numerator, -denominator)
    if denominator.terms[0][1] < 0:
        return -modulo(-numerator, -denominator)
    if divide_exact(numerator, denominator) is not None:
        return 0
    monomial, factor = common_factor(numerator, denominator)
    if monomial or factor > 1:
        inner = modulo(cancel(numerator, monomial, factor), cancel(denominator, monomial, factor))
        return inner * DimExpr.of([(monomial, factor)], 0) if monomial else inner * factor
    rest = _split_by_term(numerator, denominator)[1]
    if rest == 0 or _is_small_remainder(rest, denominator):
        return rest
    return _atom_dim("mod", (rest, denominator))


def _divide_by_int(dim: DimExpr, divisor: int) -> Dim:
    if divisor == 1:
        return dim
    whole, rest = _split_by_int(dim, divisor)
    if isinstance(rest, int):
        return whole + rest // divisor
    factor = gcd(divisor, *(c for _, c in rest.terms))
    if factor > 1:
        return whole + _divide_by_int(_shrink(rest, factor), divisor // factor)
    if rest.terms[0][1] < 0:
        return whole - floor_divide(divisor - 1 - rest, divisor)
    for monomial, coefficient in rest.terms:
        inner = _call_by_int(monomial, "floordiv") if coefficient == 1 else None
        if inner is not None:
            others = rest - DimExpr.of([(monomial, 1)], 0)
            return whole + floor_divide(inner[0] + others * inner[1], inner[1] * divisor)
    if _is_small_remainder(rest, divisor):
        return whole
    return whole + _atom_dim("floordiv", (rest, divisor))


def _modulo_int(dim: DimExpr, divisor: int) -> Dim:
    rest = _reduce_by_int(dim, divisor)
    if isinstance(rest, int):
        return rest % divisor
    for monomial, coefficient in rest.terms:
        inner = _call_by_int(monomial, "mod")
        if inner is not None and inner[1] % divisor == 0:
            lone = DimExpr.of([(monomial, coefficient)], 0)
            return modulo(rest - lone + inner[0] * coefficient, divisor)
    factor = gcd(divisor, *(c for _, c in rest.terms))
    if factor > 1:
        return modulo(_shrink(rest, factor), divisor // factor) * factor + rest.constant % factor
    if _is_small_remainder(rest, divisor):
        return rest
    return _atom_dim("mod", (rest, divisor))


def _split_by_int(dim: DimExpr, divisor: int) -> tuple[Dim, Dim]:
    """`whole` and `rest` with ``dim == divisor*whole + rest``, where the rest has small coefficients."""
    whole: list[tuple[Monomial, int]] = []
    rest: list[tuple[Monomial, int]] = []
    for monomial, coefficient in dim.terms:
        # Towards zero, so that a sign stays: x-y is easier to read than x+3*y.
        times = coefficient // divisor if coefficient > 0 else -(-coefficient // divisor)
        whole.append((monomial, times))
        rest.append((monomial, coefficient - times * divisor))
    constant = dim.constant % divisor
    if 2 * constant >= divisor:
        constant -= divisor  # (h-1)//32 is what people write, not (h+31)//32-1
    return DimExpr.of(whole, (dim.constant - constant) // divisor), DimExpr.of(rest, constant)


def _reduce_by_int(dim: DimExpr, divisor: int) -> Dim:
    """A dim with the same remainder, its coefficients between ``-divisor/2`` (exclusive) and ``divisor/2``."""

    def residue(number: int) -> int:
        small = number % divisor
        return small - divisor if 2 * small > divisor else small

    return DimExpr.of([(m, residue(c)) for m, c in dim.terms], residue(dim.constant))


def _shrink(dim: DimExpr, factor: int) -> DimExpr:
    return DimExpr(tuple((m, c // factor) for m, c in dim.terms), dim.constant // factor)


def _call_by_int(monomial: Monomial, kind: str) -> tuple[Dim, int] | None:
    """Operands of the call that this monomial is, where it is one by an int."""
    if len(monomial) != 1 or monomial[0][1] != 1:
        return None
    atom = monomial[0][0]
    if isinstance(atom, str) or atom.kind != kind:
        return None
    divisor = atom.operands[1]
    return (atom.operands[0], divisor) if isinstance(divisor, int) else None


def _is_small_remainder(dim: Dim, divisor: Dim) -> bool:
    """Whether `dim` is one remainder that cannot reach `divisor`."""
    atom = None if isinstance(dim, int) else dim.lone_atom()
    if atom is None or isinstance(atom, str) or atom.kind != "mod":
        return False
    modulus = atom.operands[1]
    return modulus == divisor or (isinstance(modulus, int) and isinstance(divisor, int) and modulus <= divisor)


def _split_by_term(numerator: Dim, denominator: DimExpr) -> tuple[Dim, Dim]:
    """Take out the terms that a one-term denominator divides; nothing where it has more terms."""
    if isinstance(numerator, int) or denominator.constant or len(denominator.terms) != 1:
        return 0, numerator
    lead, weight = denominator.terms[0]
    whole: dict[Monomial, int] = {}
    rest: list[tuple[Monomial, int]] = []
    for monomial, coefficient in numerator.terms:
        factor = divide_monomial(monomial, lead)
        if factor is None or coefficient % weight:
            rest.append((monomial, coefficient))
        else:
            whole[factor] = coefficient // weight
    constant = whole.pop((), 0)
    return DimExpr.of(whole.items(), constant), DimExpr.of(rest, numerator.constant)


def _atom_dim(kind: CallKind, operands: tuple[Dim, ...]) -> DimExpr:
    """The dim that is one call, taken as it is (operands already simplified)."""
    return DimExpr(((((Call(kind, operands), 1),), 1),), 0)


def _extreme(kind: Literal["max", "min"], dims: tuple[Dim, ...]) -> Dim:
    if not dims:
        raise DimError(f"dim_{kind} needs at least one dimension.")
    pick = max if kind == "max" else min
    best: dict[Terms, int] = {}
    pending = list(dims)
    while pending:
        dim = pending.pop()
        if isinstance(dim, DimExpr):
            atom = dim.lone_atom()
            if isinstance(atom, Call) and atom.kind == kind:
                pending.extend(atom.operands)
                continue
            terms, constant = dim.terms, dim.constant
        else:
            terms, constant = (), int(dim)
        best[terms] = pick(best[terms], constant) if terms in best else constant
    arms = [DimExpr(terms, constant) for terms, constant in best.items() if terms]
    arms.sort(key=str)
    number = best.get(())
    operands: tuple[Dim, ...] = tuple(arms) if number is None else (*arms, number)
    return operands[0] if len(operands) == 1 else _atom_dim(kind, operands)
