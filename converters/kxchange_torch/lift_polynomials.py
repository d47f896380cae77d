"""Orthogonal polynomials of a degree that is data: their recurrences, as one loop over the degree.

Degrees are cut to whole numbers; a negative degree gives 0, as in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes
from kxchange.types import DType
from kxchange_torch.lift import lift
from kxchange_torch.lift_loops import while_any
from kxchange_torch.lift_manipulation import broadcast
from kxchange_torch.lift_promotion import cast, promote_float, tensor_of

Recurrence = Callable[[Value, Value, Value, Value], Value]
"""(x, degree, the polynomial of one degree less, of two degrees less) -> the polynomial of that degree."""
First = Callable[[Value], Value]
HERMITE_LIMIT = {DType.FLOAT64: 512}
"""Degrees from which torch gives NaN; 128 for float32."""


def _twice(x: Value) -> Value:
    return ops.add(x, x)


def _chebyshev(x: Value, _degree: Value, one: Value, two: Value) -> Value:
    return ops.subtract(ops.multiply(_twice(x), one), two)


def _hermite(x: Value, degree: Value, one: Value, two: Value) -> Value:
    return ops.subtract(ops.multiply(_twice(x), one), ops.multiply(_twice(ops.subtract(degree, 1)), two))


def _hermite_e(x: Value, degree: Value, one: Value, two: Value) -> Value:
    return ops.subtract(ops.multiply(x, one), ops.multiply(ops.subtract(degree, 1), two))


def _laguerre(x: Value, degree: Value, one: Value, two: Value) -> Value:
    before = ops.subtract(degree, 1)
    lead = ops.multiply(ops.add(_twice(before), ops.subtract(1.0, x)), one)
    return ops.divide(ops.subtract(lead, ops.multiply(before, two)), degree)


def _legendre(x: Value, degree: Value, one: Value, two: Value) -> Value:
    before = ops.subtract(degree, 1)
    lead = ops.multiply(ops.multiply(ops.add(_twice(before), 1), x), one)
    return ops.divide(ops.subtract(lead, ops.multiply(before, two)), degree)


def polynomial(x: Value, degree: Value, first: First, recurrence: Recurrence) -> Value:
    """The polynomial of each element's degree; that of degree 0 is 1.

    Args:
        x: Floating.
        degree: int64, of the shape of x.
        first: The polynomial of degree 1.
        recurrence: A degree from the two before it.
    """
    zero = ops.multiply(ops.full(shape=(), value=0, dtype=x.dtype), 1)
    ones = broadcast(ops.add(zero, 1), x.shape)

    def unfinished(_x: Value, n: Value, _one: Value, _two: Value, k: Value) -> Value:
        return ops.greater_equal(n, k)

    def step(x: Value, n: Value, one: Value, two: Value, k: Value) -> tuple[Value, ...]:
        found = recurrence(x, cast(k, x.dtype), one, two)
        goes_on = ops.greater_equal(n, k)
        return ops.where(goes_on, found, one), ops.where(goes_on, one, two), ops.add(k, 1)

    start = ops.full(shape=(), value=2, dtype=DType.INT64)
    found = while_any(unfinished, step, [x, degree], [broadcast(first(x), x.shape), ones, start])[0]
    found = ops.where(ops.equal(degree, 0), 1.0, found)
    return ops.where(ops.less(degree, 0), 0.0, found)


def _operands(x: Any, degree: Any) -> tuple[Value, Value]:
    """Both in the common floating dtype and shape; the degree cut to int64."""
    left, right = promote_float(x, degree)
    dtype = left.dtype if isinstance(left, Value) else right.dtype
    left, right = tensor_of(left, dtype), tensor_of(right, dtype)
    shape = broadcast_shapes(left.shape, right.shape)
    return broadcast(left, shape), cast(broadcast(right, shape), DType.INT64)


def _angular(x: Value, n: Value, found: Value, closed: Callable[[Value, Value], Value]) -> Value:
    """The closed form in angles where torch takes it: inside (-1, 1), for high degrees."""
    inside = ops.logical_and(ops.less(ops.abs(x), 1), ops.greater(n, 8))
    angle = ops.acos(ops.where(inside, x, 0.0))
    return ops.where(inside, closed(angle, cast(n, x.dtype)), found)


def _cosines(angle: Value, n: Value) -> Value:
    return ops.cos(ops.multiply(n, angle))


def _sines(angle: Value, n: Value) -> Value:
    return ops.divide(ops.sin(ops.multiply(ops.add(n, 1), angle)), ops.sin(angle))


def _half_cosines(angle: Value, n: Value) -> Value:
    return ops.divide(ops.cos(ops.multiply(ops.add(n, 0.5), angle)), ops.cos(ops.multiply(angle, 0.5)))


def _half_sines(angle: Value, n: Value) -> Value:
    return ops.divide(ops.sin(ops.multiply(ops.add(n, 0.5), angle)), ops.sin(ops.multiply(angle, 0.5)))


CHEBYSHEV: dict[str, tuple[First, Callable[[Value, Value], Value]]] = {
    "t": (lambda x: x, _cosines),
    "u": (_twice, _sines),
    "v": (lambda x: ops.subtract(_twice(x), 1), _half_cosines),
    "w": (lambda x: ops.add(_twice(x), 1), _half_sines),
}
OTHERS: dict[str, tuple[First, Recurrence]] = {
    "hermite_polynomial_h": (_twice, _hermite),
    "hermite_polynomial_he": (lambda x: x, _hermite_e),
    "laguerre_polynomial_l": (lambda x: ops.subtract(1.0, x), _laguerre),
    "legendre_polynomial_p": (lambda x: x, _legendre),
}


def _register(name: str, rule: Callable[[Any, Any], Value]) -> None:
    lift.rule(*(f"aten.special_{name}.{overload}" for overload in ("default", "x_scalar", "n_scalar")))(rule)


def _chebyshev_rule(kind: str, shifted: bool) -> Callable[[Any, Any], Value]:
    first, closed = CHEBYSHEV[kind]

    def rule(x: Any, degree: Any) -> Value:
        x, n = _operands(x, degree)
        if shifted:
            x = ops.subtract(_twice(x), 1)
        # High degrees inside (-1, 1) have a closed form, and need no steps.
        inside = ops.logical_and(ops.less(ops.abs(x), 1), ops.greater(n, 8))
        found = polynomial(x, ops.where(inside, 1, n), first, _chebyshev)
        return _angular(x, n, found, closed)

    return rule


def _other_rule(name: str) -> Callable[[Any, Any], Value]:
    first, recurrence = OTHERS[name]

    def rule(x: Any, degree: Any) -> Value:
        x, n = _operands(x, degree)
        if not name.startswith("hermite"):
            return polynomial(x, n, first, recurrence)
        high = ops.greater_equal(n, HERMITE_LIMIT.get(x.dtype, 128))
        found = polynomial(x, ops.where(high, 0, n), first, recurrence)
        return ops.where(high, math.nan, found)

    return rule


for _kind in CHEBYSHEV:
    _register(f"chebyshev_polynomial_{_kind}", _chebyshev_rule(_kind, False))
    _register(f"shifted_chebyshev_polynomial_{_kind}", _chebyshev_rule(_kind, True))
for _name in OTHERS:
    _register(_name, _other_rule(_name))
