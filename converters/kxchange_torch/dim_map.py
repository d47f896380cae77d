"""Torch's symbolic sizes in the user's names: sympy expressions as dims, guards as constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import sympy

from kxchange.constraints import Constraint
from kxchange.dims import Dim, DimExpr, Range, dim_max, dim_min, evaluate, symbol
from kxchange.errors import CaptureError, DimError
from kxchange_torch.private import expression_of, hint_of

_INFINITE = 2**62


class DimMap:
    """From sympy to dims, with every expression converted once.

    Attributes:
        names: The dim that each sympy symbol stands for.
        sizes: Example size of each of our symbols.
        other_sizes: Sizes never traced, at which a number that was baked in shows.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.names: dict[Any, Dim] = {}
        self.sizes = dict(sizes)
        self.other_sizes = dict(sizes)
        self._dims: dict[Any, Dim] = {}
        self._values: dict[DimExpr, tuple[int, int] | None] = {}

    def dim(self, size: Any) -> Dim:
        """The dim of a size as torch holds it: an int, a symbolic size or a sympy expression.

        Raises:
            CaptureError: The expression is none that a dim can be.
        """
        if isinstance(size, int):
            return int(size)
        expression = size if isinstance(size, sympy.Basic) else expression_of(size)
        found = self._dims.get(expression)
        if found is None:
            found = self._dims[expression] = self._convert(expression)
        return found

    def name(self, sympy_symbol: Any, dim: Dim) -> None:
        """Let a sympy symbol stand for `dim`."""
        self.names[sympy_symbol] = dim
        self._dims.clear()

    def choose_other_sizes(self, ranges: Mapping[str, Range], constraints: Iterable[Constraint]) -> None:
        """Three times the example sizes, where ranges and constraints allow: divisibility survives that."""
        larger = {name: 3 * size for name, size in self.sizes.items()}
        for name, size in larger.items():
            low, high = ranges.get(name, (None, None))
            if (low is not None and size < low) or (high is not None and size > high):
                larger[name] = self.sizes[name]
        known = [c for c in constraints if c.symbols <= larger.keys()]
        if all(constraint.holds(larger) for constraint in known):
            self.other_sizes = larger

    def values(self, dim: Dim) -> tuple[int, int] | None:
        """A dim at the sizes of the trace and at the other ones; None where only the data decides it."""
        if isinstance(dim, int):
            return dim, dim
        if dim not in self._values:
            try:
                self._values[dim] = evaluate(dim, self.sizes), evaluate(dim, self.other_sizes)
            except DimError:
                self._values[dim] = None
        return self._values[dim]

    def agree(self, ours: Dim, theirs: Any) -> bool:
        """Whether a dim of ours is the size that torch has, at both sets of sizes."""
        if type(ours) is int and type(theirs) is int:
            return ours == theirs
        try:
            found = self.dim(theirs)
        except (CaptureError, DimError):
            return True
        if found == ours:
            return True
        left, right = self.values(ours), self.values(found)
        return left is None or right is None or left == right or is_doubtful(theirs)

    def _convert(self, expression: Any) -> Dim:
        if expression.is_Integer:
            return int(expression)
        if expression.is_Symbol:
            return self._symbol(expression)
        rule = _RULES.get(type(expression).__name__)
        if rule is None:
            raise CaptureError(f"the size {expression} has no form in kxchange: it is neither integer nor a quotient.")
        return rule(self, expression)

    def _symbol(self, expression: Any) -> Dim:
        if expression not in self.names:
            self.names[expression] = symbol(str(expression))
        return self.names[expression]

    def add(self, expression: Any) -> Dim:
        """Sum of the arguments."""
        return sum((self.dim(argument) for argument in expression.args), start=0)

    def multiply(self, expression: Any) -> Dim:
        """Product of the arguments; rational factors must divide."""
        numerator: Dim = 1
        denominator = 1
        for argument in expression.args:
            if argument.is_Rational and not argument.is_Integer:
                numerator, denominator = numerator * int(argument.p), denominator * int(argument.q)
            else:
                numerator = numerator * self.dim(argument)
        return numerator if denominator == 1 else numerator // denominator

    def power(self, expression: Any) -> Dim:
        """A whole power."""
        base, exponent = expression.args
        if not exponent.is_Integer or int(exponent) < 0:
            raise CaptureError(f"the size {expression} is not a whole power.")
        result: Dim = 1
        for _ in range(int(exponent)):
            result = result * self.dim(base)
        return result

    def quotient(self, expression: Any, *, up: bool = False) -> Dim:
        """Floor (or ceiling) of a division."""
        numerator, denominator = (self.dim(argument) for argument in expression.args)
        return -(-numerator // denominator) if up else numerator // denominator

    def rounded(self, expression: Any) -> Dim:
        """``CeilToInt(IntTrueDiv(a, b))`` and its like."""
        inner = expression.args[0]
        if type(inner).__name__ != "IntTrueDiv":
            raise CaptureError(f"the size {expression} comes from arithmetic on floats.")
        return self.quotient(inner, up=type(expression).__name__ == "CeilToInt")


_RULES: dict[str, Callable[[DimMap, Any], Dim]] = {
    "Add": DimMap.add,
    "Mul": DimMap.multiply,
    "Pow": DimMap.power,
    "PowByNatural": DimMap.power,
    "FloorDiv": DimMap.quotient,
    "CleanDiv": DimMap.quotient,
    "CeilToInt": DimMap.rounded,
    "TruncToInt": DimMap.rounded,
    "FloorToInt": DimMap.rounded,
    "Mod": lambda m, e: m.dim(e.args[0]) % m.dim(e.args[1]),
    "PythonMod": lambda m, e: m.dim(e.args[0]) % m.dim(e.args[1]),
    "Max": lambda m, e: dim_max(*(m.dim(argument) for argument in e.args)),
    "Min": lambda m, e: dim_min(*(m.dim(argument) for argument in e.args)),
    "Identity": lambda m, e: m.dim(e.args[0]),
}


def is_doubtful(size: Any) -> bool:
    """Whether torch's own size divides by a symbol: such dims were measured to be wrong at some sizes."""
    if isinstance(size, int):
        return False
    return any(
        type(part).__name__ in ("FloorDiv", "CleanDiv", "Mod", "PythonMod") and not part.args[1].is_Integer
        for part in sympy.preorder_traversal(expression_of(size))
    )


def static_size(size: Any) -> int | None:
    """A size that is a number: an int, or a symbolic one that the trace fixed."""
    if isinstance(size, int):
        return int(size)
    expression = expression_of(size)
    return int(expression) if expression.is_Integer else None


def example_size(size: Any) -> int | None:
    """A size of torch's in the trace; None where only the data decides it."""
    return int(size) if isinstance(size, int) else hint_of(size)


def finite_range(values: Any, lowest: int) -> Range:
    """A value range as ints; bounds that stand for none are dropped, and so is the tracer's lower bound of 2."""
    low = int(values.lower) if values.lower.is_Integer and int(values.lower) > 2 else lowest
    high = int(values.upper) if values.upper.is_Integer and int(values.upper) < _INFINITE else None
    return low, high


def relation(expression: Any, dims: DimMap, reason: str) -> Constraint | None:
    """A guard as a constraint; None for what a constraint cannot say."""
    kind = type(expression).__name__
    if kind not in ("Equality", "GreaterThan", "StrictGreaterThan", "LessThan", "StrictLessThan"):
        return None
    left, right = (dims.dim(argument) for argument in expression.args)
    if kind == "Equality":
        return Constraint("equal", left, right, reason)
    if kind in ("LessThan", "StrictLessThan"):
        left, right = right, left
    return Constraint("at_least", left, right + 1 if kind.startswith("Strict") else right, reason)
