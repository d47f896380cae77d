"""Terms: expressions in a normal form, each made once. `recompose` matches on them; nodes stay as they were written.

Sums and products are n-ary, flat and sorted; ``a - b``, ``-a``, ``a / b``, ``sqrt`` and ``x * x`` are written with
``add``, ``mul``, ``pow`` and ``scaled`` (a factor that is a number). A reduction keeps its axes at size 1, and a
``view`` changes only axes of size 1, so a broadcast is recognised by where its axes are, never by its size.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.passes.cancel_transposes import is_elementwise
from kxchange.passes.common_subexpressions import exact
from kxchange.shapes import product as product_of_dims
from kxchange.spec import REGISTRY
from kxchange.types import DType

REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod", "logsumexp"})
POINTWISE = frozenset({"add", "mul", "scaled", "pow", "view"})
WIDEST = 8
"""Operands above which a sum or product is not flattened: a chain of thousands stays linear."""
CLOSE = 1e-6
"""Relative distance at which two numbers are the same constant: what float32 leaves of one."""


class Term:
    """One expression in normal form; equal expressions are the same object.

    Attributes:
        uid: Number in order of creation.
        head: ``add``, ``mul``, ``scaled``, ``pow``, ``const``, ``dim``, ``view``, ``input`` ... or the name of an op.
        args: Operands.
        data: What else it takes: the factor of ``scaled``, the exponent of ``pow``, the axes of a reduction.
        shape: Shape of the value.
        dtype: Element type of the value.
        value: The first value of the graph that is this expression.
        alternate: A value that is this expression but for axes of size 1.
        once: Whether no more than one operand reads it.
    """

    __slots__ = ("_kinds", "alternate", "args", "data", "dtype", "head", "once", "shape", "uid", "value")

    def __init__(
        self, uid: int, head: str, args: tuple[Term, ...], data: tuple[Any, ...], shape: tuple[Dim, ...], dtype: DType
    ) -> None:
        self.uid = uid
        self.head = head
        self.args = args
        self.data = data
        self.shape = shape
        self.dtype = dtype
        self.value: Value | None = None
        self.alternate: Value | None = None
        self.once = True
        self._kinds: frozenset[str] | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Heads of the operands, and of theirs with a slash between."""
        if self._kinds is None:
            below = {f"{arg.head}/{inner.head}" for arg in self.args for inner in arg.args}
            self._kinds = frozenset((*below, *(arg.head for arg in self.args)))
        return self._kinds

    def __repr__(self) -> str:
        return f"{self.head}({', '.join(map(repr, (*self.args, *self.data)))})"


def is_pointwise(head: str) -> bool:
    """Whether a head gives each element from the elements at its place."""
    return head in POINTWISE or (head in REGISTRY and is_elementwise(head))


class Terms:
    """The table of all terms of a graph, and their constructors."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Term] = {}

    def make(
        self, head: str, args: Sequence[Term], data: tuple[Any, ...], shape: tuple[Dim, ...], dtype: DType
    ) -> Term:
        """The term with these parts, as it is."""
        operands = tuple(args)
        key = (head, tuple(arg.uid for arg in operands), exact(data), shape, dtype)
        if key not in self._known:
            self._known[key] = Term(len(self._known), head, operands, data, shape, dtype)
        return self._known[key]

    def const(self, number: float, shape: tuple[Dim, ...], dtype: DType) -> Term:
        """A tensor of one number."""
        return self.make("const", (), (number,), shape, dtype)

    def scaled(self, term: Term, factor: float) -> Term:
        """``factor * term``."""
        if factor == 1.0:
            return term
        if term.head == "const":
            return self.const(term.data[0] * factor, term.shape, term.dtype)
        if term.head == "scaled":
            return self.scaled(term.args[0], term.data[0] * factor)
        return self.make("scaled", (term,), (factor,), term.shape, term.dtype)

    def power(self, base: Term, exponent: float) -> Term:
        """``base ** exponent``."""
        if exponent == 1.0:
            return base
        if base.head == "const" and (number := _power(base.data[0], exponent)) is not None:
            return self.const(number, base.shape, base.dtype)
        if base.head == "scaled" and (factor := _power(base.data[0], exponent)) is not None:
            return self.scaled(self.power(base.args[0], exponent), factor)
        if base.head == "view" and exponent in (0.5, -0.5, -1.0):
            return self.reshape(self.power(base.args[0], exponent), base.shape)
        # (x**2)**0.5 is |x|: exponents multiply only where no sign is lost.
        if base.head == "pow" and base.data and (exponent == -1.0 or base.data[0] in (0.5, -0.5, -1.0)):
            return self.power(base.args[0], base.data[0] * exponent)
        return self.make("pow", (base,), (exponent,), base.shape, base.dtype)

    def product(self, operands: Iterable[tuple[Term, float]], shape: tuple[Dim, ...]) -> Term:
        """Product of ``term ** exponent`` over the operands."""
        given = list(operands)
        dtype = given[0][0].dtype
        coefficient, powers = _gather_factors(given)
        if len(powers) > WIDEST or any(exponent == 0 for exponent in powers.values()):
            coefficient, powers = 1.0, _count(self.power(*pair) for pair in given)
        if not powers:
            return self.const(coefficient, shape, dtype)
        average = self._mean_of(powers, coefficient)
        if average is not None:
            return self.broadcast(average, shape)
        factors = sorted((self.power(term, exponent) for term, exponent in powers.items()), key=_uid)
        if len(factors) == 1:
            return self.broadcast(self.scaled(factors[0], coefficient), shape)
        return self.scaled(self.make("mul", factors, (), shape, dtype), coefficient)

    def _mean_of(self, powers: dict[Term, float], coefficient: float) -> Term | None:
        """The mean that a sum over ``1 / count`` is."""
        sums = [t for t, exponent in powers.items() if exponent == 1.0 and core(t).head == "sum"]
        rest = [(t, exponent) for t, exponent in powers.items() if t not in sums]
        if len(sums) != 1 or len(rest) > 1:
            return None
        total = core(sums[0])
        axes: tuple[int, ...] = total.data[0]
        count = product_of_dims(total.args[0].shape[axis] for axis in axes)
        if rest and (rest[0][1] != -1.0 or rest[0][0].head != "dim" or rest[0][0].data[0] != count):
            return None
        if not math.isclose(coefficient * (1 if rest else _number(count)), 1.0, rel_tol=tolerance(total.dtype)):
            return None
        return self.reshape(self.make("mean", total.args, total.data, total.shape, total.dtype), sums[0].shape)

    def total(self, operands: Iterable[tuple[Term, float]], shape: tuple[Dim, ...]) -> Term:
        """Sum of ``coefficient * term`` over the operands."""
        given = list(operands)
        dtype = given[0][0].dtype
        constant, weights = _gather_addends(given)
        if len(weights) > WIDEST or any(weight == 0 for weight in weights.values()):
            constant, weights = 0.0, _count(self.scaled(*pair) for pair in given)
        if not weights:
            return self.const(constant, shape, dtype)
        addends = sorted((self.scaled(term, weight) for term, weight in weights.items()), key=_uid)
        if constant != 0:
            addends.append(self.const(constant, (), dtype))
        return self.broadcast(addends[0], shape) if len(addends) == 1 else self.make("add", addends, (), shape, dtype)

    def reduce(self, kind: str, x: Term, axes: tuple[int, ...]) -> Term:
        """A reduction that keeps its axes at size 1; of a view, the view of one."""
        if x.head == "view":
            base, places = x.args[0], axis_map(x.shape, x.args[0].shape)
            kept = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
            if all(axis in places for axis in axes):
                return self.reshape(self.reduce(kind, base, tuple(places[axis] for axis in axes)), kept)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(x.shape))
        return self.make(kind, (x,), (axes,), shape, x.dtype)

    def reshape(self, x: Term, shape: tuple[Dim, ...]) -> Term:
        """The same elements in another shape; a ``view`` where only axes of size 1 come and go."""
        if x.head == "const" and _is_view(x.shape, shape):
            return self.const(x.data[0], shape, x.dtype)
        base = x.args[0] if x.head in ("view", "reshape") else x
        if base.shape == shape:
            return base
        head = "view" if _is_view(base.shape, shape) else "reshape"
        return self.make(head, (base,), (shape,), shape, x.dtype)

    def permute(self, x: Term, axes: tuple[int, ...]) -> Term:
        """Axes reordered; two permutations are one, and one that moves only axes of size 1 is a view."""
        if x.head == "permute_dims":
            inner: tuple[int, ...] = x.data[0]
            return self.permute(x.args[0], tuple(inner[axis] for axis in axes))
        if axes == tuple(range(len(axes))):
            return x
        shape = tuple(x.shape[axis] for axis in axes)
        if list(axis_map(x.shape, shape)) == [axis for axis in axes if x.shape[axis] != 1]:
            return self.reshape(x, shape)
        return self.make("permute_dims", (x,), (axes,), shape, x.dtype)

    def broadcast(self, x: Term, shape: tuple[Dim, ...]) -> Term:
        """``x`` stretched to `shape`; itself if it has it."""
        if x.shape == shape:
            return x
        if x.head == "const":
            return self.const(x.data[0], shape, x.dtype)
        base = x.args[0] if x.head == "broadcast_to" else x
        return self.make("broadcast_to", (base,), (shape,), shape, x.dtype)


def axis_map(shape: tuple[Dim, ...], other: tuple[Dim, ...]) -> dict[int, int]:
    """For each axis of a shape that is longer than 1, its place in a view of that shape."""
    long, places = ([axis for axis, size in enumerate(sizes) if size != 1] for sizes in (shape, other))
    return dict(zip(long, places, strict=True))


def tolerance(dtype: DType) -> float:
    """How far a number may be from a constant that it stands for: a narrow dtype rounds it."""
    return {DType.BFLOAT16: 2.0**-8, DType.FLOAT16: 2.0**-11}.get(dtype, CLOSE)


def _gather_factors(operands: Sequence[tuple[Term, float]]) -> tuple[float, dict[Term, float]]:
    """The number in front, and the exponent of each base, of a product of powers."""
    coefficient, powers = 1.0, dict[Term, float]()
    pending = list(reversed(operands))
    while pending:
        term, exponent = pending.pop()
        number = _power(term.data[0], exponent) if term.head in ("const", "scaled") else None
        if number is not None and (term.head == "const" or term.once):
            coefficient *= number
            pending += [(arg, exponent) for arg in term.args]
        elif term.head == "mul" and term.once and exponent == 1.0:
            pending += [(arg, 1.0) for arg in reversed(term.args)]
        elif term.head == "pow" and term.data and (exponent == -1.0 or exponent == 1.0):
            powers[term.args[0]] = powers.get(term.args[0], 0.0) + term.data[0] * exponent
        else:
            powers[term] = powers.get(term, 0.0) + exponent
    return coefficient, powers


def _gather_addends(operands: Sequence[tuple[Term, float]]) -> tuple[float, dict[Term, float]]:
    """The number, and the coefficient of each term, of a sum of multiples."""
    constant, weights = 0.0, dict[Term, float]()
    pending = list(reversed(operands))
    while pending:
        term, weight = pending.pop()
        if term.head == "const":
            constant += weight * term.data[0]
        elif term.head == "scaled":
            pending.append((term.args[0], weight * term.data[0]))
        elif term.head == "add" and term.once and weight == 1.0:
            pending += [(arg, 1.0) for arg in reversed(term.args)]
        else:
            weights[term] = weights.get(term, 0.0) + weight
    return constant, weights


def _power(number: float, exponent: float) -> float | None:
    """``number ** exponent`` where that is a finite real number."""
    try:
        result: Any = number**exponent
    except (OverflowError, ZeroDivisionError):
        return None
    return result if isinstance(result, float) and math.isfinite(result) else None


def _number(dim: Dim) -> float:
    return math.nan if isinstance(dim, DimExpr) else float(dim)


def core(term: Term) -> Term:
    """What a view is a view of; the term itself if it is none."""
    return term.args[0] if term.head == "view" else term


def _is_view(old: tuple[Dim, ...], new: tuple[Dim, ...]) -> bool:
    return [dim for dim in old if dim != 1] == [dim for dim in new if dim != 1]


def _count(terms: Iterable[Term]) -> dict[Term, float]:
    return {term: float(number) for term, number in Counter(terms).items()}


def _uid(term: Term) -> int:
    return term.uid
