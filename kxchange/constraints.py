"""Facts about symbolic sizes that inference needs and cannot prove: recorded, stored, checked at run time."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from math import gcd
from typing import Literal, cast

from kxchange.dims import Call, Dim, DimExpr, bounds, compare_ge, divide_exact, evaluate, parse_dim, symbols
from kxchange.errors import DimError, TypeInferenceError

Kind = Literal["equal", "at_least", "divides"]
_KINDS = ("equal", "at_least", "divides")


@dataclass(frozen=True, slots=True)
class Constraint:
    """One condition on the sizes of a model's inputs.

    Attributes:
        kind: ``equal``: left == right; ``at_least``: left >= right; ``divides``: left divides right.
        left: First dim.
        right: Second dim.
        reason: Why a model needs it, for the message when it does not hold.
    """

    kind: Kind
    left: Dim
    right: Dim
    reason: str = ""

    def __str__(self) -> str:
        sign = {"equal": "==", "at_least": ">=", "divides": "divides"}[self.kind]
        return f"{self.left} {sign} {self.right}" + (f" ({self.reason})" if self.reason else "")

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the dims it speaks of."""
        return symbols(self.left) | symbols(self.right)

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether it is true for these sizes.

        Raises:
            DimError: A symbol has no value.
        """
        left, right = evaluate(self.left, values), evaluate(self.right, values)
        if self.kind == "equal":
            return left == right
        if self.kind == "at_least":
            return left >= right
        return right % left == 0 if left else right == 0

    def says_same(self, other: Constraint) -> bool:
        """Whether both state one condition, whatever their reasons."""
        return self.kind == other.kind and self.left == other.left and self.right == other.right

    def to_json(self) -> dict[str, str]:
        """The record for a file, with dims as text."""
        return {"kind": self.kind, "left": str(self.left), "right": str(self.right), "reason": self.reason}

    @classmethod
    def from_json(cls, record: Mapping[str, object]) -> Constraint:
        """Read what `to_json` wrote.

        Raises:
            DimError: A field is missing, unknown or no dim.
        """
        fields = {"kind", "left", "right", "reason"}
        if set(record) != fields or not all(isinstance(value, str) for value in record.values()):
            raise DimError(f"A constraint has the text fields {sorted(fields)}, not {sorted(map(str, record))}.")
        kind = str(record["kind"])
        if kind not in _KINDS:
            raise DimError(f"{kind[:40]!r} is no kind of constraint; the kinds are {', '.join(_KINDS)}.")
        dims = parse_dim(str(record["left"])), parse_dim(str(record["right"]))
        return cls(kind, *dims, str(record["reason"]))


class _Stack(threading.local):
    def __init__(self) -> None:
        self.lists: list[list[Constraint]] = []


_STACK = _Stack()


class collecting:  # noqa: N801 - reads as a verb: `with collecting() as found`
    """Context in which the `require_*` functions add what they cannot prove to a list; the innermost one takes it."""

    __slots__ = ()

    def __enter__(self) -> list[Constraint]:
        found: list[Constraint] = []
        _STACK.lists.append(found)
        return found

    def __exit__(self, *_: object) -> None:
        _STACK.lists.pop()


def require_equal(a: Dim, b: Dim, reason: str) -> Dim:
    """Demand that two sizes are equal; the int of the two where one is an int, else `a`.

    Raises:
        TypeInferenceError: They can never be equal.
    """
    if a is b or a == b:
        return a
    if (type(a) is int and type(b) is int) or not _can_be_equal(a, b):
        raise TypeInferenceError(f"{reason}: {a} and {b} differ.")
    _record(Constraint("equal", *((b, a) if isinstance(a, int) else (a, b)), reason))
    return b if isinstance(b, int) else a


def require_at_least(a: Dim, b: Dim, reason: str) -> Dim:
    """Demand ``a >= b``; returns `a`. What is recorded is the simplest form: ``(h-1)//2+1 >= 1`` becomes ``h >= 1``.

    Raises:
        TypeInferenceError: `a` is always less.
    """
    gap = a - b
    if isinstance(gap, int):
        if gap < 0:
            raise TypeInferenceError(f"{reason}: {a} is less than {b}.")
        return a
    if not compare_ge(gap, 0, {}):
        highest = bounds(gap, {})[1]
        if highest is not None and highest < 0:
            raise TypeInferenceError(f"{reason}: {a} is less than {b} for every size.")
        _record_nonnegative(gap, reason)
    return a


def require_divides(divisor: Dim, number: Dim, reason: str) -> Dim:
    """Demand that `divisor` divides `number`; returns the quotient.

    Raises:
        TypeInferenceError: It never does, or is 0.
    """
    if divisor == 0:
        raise TypeInferenceError(f"{reason}: {number} cannot be divided by 0.")
    quotient = divide_exact(number, divisor)
    if quotient is not None:
        return quotient
    if isinstance(divisor, int) and number % divisor != 0 and isinstance(number % divisor, int):
        raise TypeInferenceError(f"{reason}: {divisor} does not divide {number}.")
    _record(Constraint("divides", divisor, number, reason))
    return number // divisor


def _record(constraint: Constraint) -> None:
    if _STACK.lists and not any(known.says_same(constraint) for known in _STACK.lists[-1]):
        _STACK.lists[-1].append(constraint)


def _can_be_equal(a: Dim, b: Dim) -> bool:
    if (isinstance(a, int) and a < 0) or (isinstance(b, int) and b < 0):
        return False
    gap = a - b
    if isinstance(gap, int):
        return gap == 0
    low, high = bounds(gap, {})
    if (low is not None and low > 0) or (high is not None and high < 0):
        return False
    return gap.constant % gcd(*(c for _, c in gap.terms)) == 0


def _record_nonnegative(gap: DimExpr, reason: str) -> None:
    """Record ``gap >= 0`` after undoing floors (``n//q >= k`` is ``n >= q*k``) and splitting minima."""
    factor = gcd(*(c for _, c in gap.terms))
    if factor > 1:
        gap = DimExpr(tuple((m, c // factor) for m, c in gap.terms), gap.constant // factor)
    call = DimExpr(gap.terms, 0).lone_atom()
    if isinstance(call, Call) and call.kind == "floordiv" and isinstance(call.operands[1], int):
        require_at_least(call.operands[0], -gap.constant * call.operands[1], reason)
    elif isinstance(call, Call) and call.kind == "min":
        for arm in call.operands:
            require_at_least(arm, -gap.constant, reason)
    else:
        left = sum((DimExpr(((m, c),), 0) for m, c in gap.terms if c > 0), start=cast("Dim", max(gap.constant, 0)))
        _record(Constraint("at_least", left, left - gap, reason))
