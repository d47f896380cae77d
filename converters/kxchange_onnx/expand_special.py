"""Special functions that ONNX or ONNX Runtime's double kernels lack, as rational functions and Kahan's formulas.

erfc, erfinv, lgamma, digamma and, for float64, erf follow `kxchange.special` and are computed in float64. The inverse
tangent's coefficients are a Chebyshev fit of atan(t)/t in t**2 on [0, tan(pi/8)**2], computed with 40 digits, of
error 1.3e-18.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kxchange import special
from kxchange.graph import Node, Value
from kxchange.ops.arithmetic import (
    abs_,
    add,
    divide,
    floor,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    round_,
    sqrt,
    square,
    subtract,
)
from kxchange.ops.comparison import equal, greater, greater_equal, less, less_equal, logical_and, logical_or, where
from kxchange.ops.conversion import astype
from kxchange.ops.mathematics import atan, copysign, cos, erf, exp, expm1, log, log1p, sin
from kxchange.table import Table
from kxchange.types import DType
from kxchange_onnx.kernels import has_kernel
from kxchange_onnx.opsets import target

TABLE = Table("onnx")
ATAN = (
    1.0,
    -0.3333333333333312,
    0.19999999999940893,
    -0.14285714279250245,
    0.11111110744919658,
    -0.09090896809064027,
    0.07692045330902225,
    -0.06662951813629191,
    0.05846878297330872,
    -0.05035102456601552,
    0.03796525745386593,
    -0.017805397205419446,
)
UPPER_OCTANT, LOWER_OCTANT = math.tan(3 * math.pi / 8), math.tan(math.pi / 8)


def _is_double(node: Node) -> bool:
    return node.inputs[0] is not None and node.inputs[0].dtype is DType.FLOAT64


def in_double(function: Callable[[Value], Value]) -> Callable[[Value], Value]:
    """The function computed in float64, whatever floats it is given."""

    def rule(x: Value) -> Value:
        if x.dtype is DType.FLOAT64:
            return function(x)
        return astype(function(astype(x, dtype=DType.FLOAT64)), dtype=x.dtype)

    return rule


def polynomial(coefficients: Sequence[float], x: Value) -> Value:
    """Horner's scheme, the lowest power first."""
    total = add(multiply(x, coefficients[-1]), coefficients[-2])
    for coefficient in reversed(coefficients[:-2]):
        total = add(multiply(total, x), coefficient)
    return total


def ratio(rational: tuple[Sequence[float], Sequence[float]], x: Value) -> Value:
    """One polynomial over another."""
    return divide(polynomial(rational[0], x), polynomial(rational[1], x))


def _erf_near(x: Value) -> Value:
    inner = minimum(maximum(x, -0.5), 0.5)
    return multiply(inner, ratio(special._ERF_NEAR, square(inner)))


def _upper_tail(x: Value) -> Value:
    """1 - erf(x) for x >= 0.5; the exponent is split so that the rounding of x * x is not multiplied by itself."""
    capped = minimum(maximum(x, 0.5), 30.0)
    coarse = multiply(floor(multiply(capped, 16.0)), 1 / 16)
    rest = negative(multiply(subtract(capped, coarse), add(capped, coarse)))
    decay = multiply(exp(negative(square(coarse))), exp(rest))
    middle = ratio(special.ERFC_MIDDLE, minimum(capped, 4.0))
    outside = maximum(capped, 4.0)
    far = divide(ratio(special.ERFC_FAR, divide(1.0, square(outside))), outside)
    return multiply(where(less(capped, 4.0), middle, far), decay)


def _erf(x: Value) -> Value:
    tail = copysign(subtract(1.0, _upper_tail(abs_(x))), x)
    return where(less(abs_(x), 0.5), _erf_near(x), tail)


def _erfc(x: Value) -> Value:
    tail = _upper_tail(abs_(x))
    outer = where(greater(x, 0.0), tail, subtract(2.0, tail))
    return where(less(abs_(x), 0.5), subtract(1.0, _erf_near(x)), outer)


def _erfinv(x: Value) -> Value:
    size = abs_(x)
    depth = sqrt(negative(log(subtract(1.0, size))))
    near = multiply(size, ratio(special._ERFINV_NEAR, square(minimum(size, 0.5))))
    middle = ratio(special._ERFINV_MIDDLE, minimum(depth, 2.0))
    far = ratio(special._ERFINV_FAR, minimum(maximum(depth, 2.0), 1e3))
    outer = where(less(depth, 2.0), middle, where(equal(size, 1.0), math.inf, far))
    inside = where(less_equal(size, 0.5), near, outer)
    return copysign(where(less_equal(size, 1.0), inside, math.nan), x)


def _parity(nearest: Value) -> Value:
    return subtract(1.0, multiply(abs_(remainder(nearest, 2.0)), 2.0))


def _sin_pi(x: Value) -> Value:
    nearest = round_(x)
    return multiply(sin(multiply(subtract(x, nearest), math.pi)), _parity(nearest))


def _cos_pi(x: Value) -> Value:
    nearest = round_(x)
    return multiply(cos(multiply(subtract(x, nearest), math.pi)), _parity(nearest))


def _lgamma(x: Value) -> Value:
    mirrored = less(x, 0.0)
    positive = _lgamma_positive(where(mirrored, subtract(1.0, x), x))
    sine = abs_(_sin_pi(x))
    reflected = subtract(log(divide(math.pi, sine)), positive)
    poles = logical_or(equal(abs_(x), math.inf), logical_and(mirrored, equal(sine, 0.0)))
    return where(poles, math.inf, where(mirrored, reflected, positive))


def _lgamma_positive(x: Value) -> Value:
    small = less(x, 1.0)
    shifted = where(small, add(x, 1.0), x)
    product: Value | None = None
    for _ in range(7):
        down = logical_and(greater(shifted, 3.0), less(shifted, special._LARGE))
        shifted = where(down, subtract(shifted, 1.0), shifted)
        product = where(down, shifted, 1.0) if product is None else where(down, multiply(product, shifted), product)
    from_two = multiply(subtract(shifted, 1.0), subtract(shifted, 2.0))
    zeros = where(small, multiply(x, subtract(x, 1.0)), from_two)
    near = multiply(zeros, ratio(special._LGAMMA_NEAR, minimum(maximum(shifted, 1.0), 3.0)))
    inverse = divide(1.0, maximum(x, special._LARGE))
    series = multiply(inverse, polynomial(special._BERNOULLI, square(inverse)))
    constant_part = add(series, special._HALF_LOG_TAU - 0.5)
    large = add(multiply(subtract(x, 0.5), subtract(log(x), 1.0)), constant_part)
    return where(greater_equal(x, special._LARGE), large, add(near, where(small, negative(log(x)), log(product))))


def _digamma(x: Value) -> Value:
    mirrored = less(x, 0.0)
    positive = _digamma_positive(where(mirrored, subtract(1.0, x), x))
    reflected = subtract(positive, divide(multiply(_cos_pi(x), math.pi), _sin_pi(x)))
    reflected = where(equal(x, floor(x)), math.nan, reflected)
    at_zero = negative(copysign(divide(1.0, abs_(x)), x))
    return where(equal(x, 0.0), at_zero, where(mirrored, reflected, positive))


def _digamma_positive(x: Value) -> Value:
    small = less(x, 1.0)
    shifted = where(small, add(x, 1.0), x)
    total = where(small, divide(-1.0, x), 0.0)
    for _ in range(8):
        down = logical_and(greater(shifted, 2.0), less(shifted, special._LARGE))
        shifted = where(down, subtract(shifted, 1.0), shifted)
        total = where(down, add(total, divide(1.0, shifted)), total)
    distance = subtract(subtract(shifted, special._DIGAMMA_ROOT), special._DIGAMMA_ROOT_REST)
    near = multiply(distance, ratio(special._DIGAMMA_NEAR, minimum(maximum(shifted, 1.0), 2.0)))
    inverse = divide(1.0, maximum(x, special._LARGE))
    derivative = [(2 * k + 1) * term for k, term in enumerate(special._BERNOULLI)]
    series = multiply(square(inverse), polynomial(derivative, square(inverse)))
    large = subtract(subtract(log(x), multiply(inverse, 0.5)), series)
    return where(greater_equal(x, special._LARGE), large, add(total, near))


for _name, _function in {"erfc": _erfc, "erfinv": _erfinv, "lgamma": _lgamma, "digamma": _digamma}.items():
    TABLE.rule(_name)(in_double(_function))
TABLE.rule("erf", when=_is_double)(_erf)


def _plain_gelu(node: Node) -> bool:
    return target() < 20 and node.attrs["approximate"] == "none" and has_kernel("Erf", node.types[0].dtype)


@TABLE.rule("gelu", when=_plain_gelu)
def _(x: Value, *, approximate: str) -> Value:
    """The form that ONNX Runtime fuses, as accurate as its own Gelu."""
    return multiply(multiply(x, add(erf(multiply(x, math.sqrt(0.5))), 1.0)), 0.5)


@TABLE.rule("tan", when=_is_double)
def _(x: Value) -> Value:
    return divide(sin(x), cos(x))


@TABLE.rule("atan", when=_is_double)
def _(x: Value) -> Value:
    size = abs_(x)
    upper, middle = greater(size, UPPER_OCTANT), greater(size, LOWER_OCTANT)
    turned = where(middle, divide(subtract(size, 1.0), add(size, 1.0)), size)
    turned = where(equal(size, math.inf), 0.0, where(upper, divide(-1.0, size), turned))
    base = multiply(add(astype(upper, dtype=x.dtype), astype(middle, dtype=x.dtype)), math.pi / 4)
    angle = add(base, multiply(turned, polynomial(ATAN, square(turned))))
    return where(less(x, 0.0), negative(angle), angle)


@TABLE.rule("asin", when=_is_double)
def _(x: Value) -> Value:
    return atan(divide(x, sqrt(multiply(subtract(1.0, x), add(x, 1.0)))))


@TABLE.rule("acos", when=_is_double)
def _(x: Value) -> Value:
    return multiply(atan(sqrt(divide(subtract(1.0, x), add(x, 1.0)))), 2.0)


@TABLE.rule("sinh", when=_is_double)
def _(x: Value) -> Value:
    size = abs_(x)
    less_one = expm1(minimum(size, 20.0))
    near = multiply(add(less_one, divide(less_one, add(less_one, 1.0))), 0.5)
    return copysign(where(greater(size, 20.0), _half_exp(size), near), x)


@TABLE.rule("cosh", when=_is_double)
def _(x: Value) -> Value:
    size = abs_(x)
    near = multiply(add(exp(minimum(size, 20.0)), exp(negative(minimum(size, 20.0)))), 0.5)
    return where(greater(size, 20.0), _half_exp(size), near)


def _half_exp(x: Value) -> Value:
    """exp(x) / 2, finite as long as that is."""
    half = exp(multiply(x, 0.5))
    return multiply(multiply(half, 0.5), half)


@TABLE.rule("asinh", when=_is_double)
def _(x: Value) -> Value:
    size = abs_(x)
    bounded = minimum(size, 1e8)
    power = square(bounded)
    near = log1p(add(bounded, divide(power, add(sqrt(add(power, 1.0)), 1.0))))
    return copysign(where(greater(size, 1e8), add(log(size), math.log(2)), near), x)


@TABLE.rule("acosh", when=_is_double)
def _(x: Value) -> Value:
    beyond = subtract(minimum(x, 1e8), 1.0)
    near = log1p(add(beyond, sqrt(add(multiply(beyond, 2.0), square(beyond)))))
    return where(greater(x, 1e8), add(log(x), math.log(2)), near)


@TABLE.rule("atanh", when=_is_double)
def _(x: Value) -> Value:
    size = abs_(x)
    return copysign(multiply(log1p(divide(multiply(size, 2.0), subtract(1.0, size))), 0.5), x)
