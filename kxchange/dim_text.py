"""How a dim is printed; `kxchange.dim_parser` reads exactly this back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kxchange.dim_algebra import Dim
    from kxchange.dim_polynomial import Call, Monomial, Polynomial

MAX_EXPONENT = 8


def format_dim(dim: Polynomial) -> str:
    """The polynomial as people write it: ``2*seq+1``, ``(h-1)//32+1``."""
    text = "".join(_format_term(monomial, coefficient) for monomial, coefficient in dim.terms)
    return text.removeprefix("+") + (f"{dim.constant:+d}" if dim.constant else "")


def format_call(kind: str, operands: Sequence[Dim]) -> str:
    """One atom: ``h//2``, ``h%2``, ``max(a, 4)``."""
    if kind in ("max", "min"):
        return f"{kind}({', '.join(map(str, operands))})"
    return f"{_format_operand(operands[0])}{'//' if kind == 'floordiv' else '%'}{_format_operand(operands[1])}"


def _format_term(monomial: Monomial, coefficient: int) -> str:
    sign = "-" if coefficient < 0 else "+"
    if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
        atom = monomial[0][0]
        return sign + (atom if isinstance(atom, str) else atom.text)
    factors = [_format_power(atom, exponent) for atom, exponent in monomial]
    return sign + "*".join(factors if abs(coefficient) == 1 else [str(abs(coefficient)), *factors])


def _format_power(atom: str | Call, exponent: int) -> str:
    text = atom if isinstance(atom, str) else atom.text if atom.kind in ("max", "min") else f"({atom.text})"
    whole, rest = divmod(exponent, MAX_EXPONENT)
    parts = [f"{text}**{MAX_EXPONENT}"] * whole
    if rest:
        parts.append(text if rest == 1 else f"{text}**{rest}")
    return "*".join(parts)


def _format_operand(operand: Dim) -> str:
    if isinstance(operand, int):
        return str(operand) if operand >= 0 else f"({operand})"
    (monomial, coefficient), *others = operand.terms
    bare = not others and not operand.constant and coefficient == 1 and len(monomial) == 1
    if bare and monomial[0][1] <= MAX_EXPONENT:
        return _format_power(*monomial[0])
    return f"({operand})"
