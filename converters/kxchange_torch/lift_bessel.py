"""Bessel, Airy, zeta and normal quantile functions, written out in other ops.

Between the ends of an interval a rational function stands for the exact one; every piece is computed for every element,
on an argument moved into its interval, and the right one is chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes
from kxchange.special import ERFC_FAR, ERFC_MIDDLE
from kxchange.types import DType
from kxchange_torch import bessel_coefficients as known
from kxchange_torch.bessel_coefficients import Rational
from kxchange_torch.lift import lift
from kxchange_torch.lift_loops import while_any
from kxchange_torch.lift_manipulation import broadcast
from kxchange_torch.lift_promotion import promote_float, tensor_of, to_float

Function = Callable[[Value], Value]
BERNOULLI = (
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10,
    -2.950130727918164224e12, 1.1646782814350067249e14, -4.5979787224074726105e15,
    1.8152105401943546773e17, -7.1661652561756670113e18,
)  # fmt: skip
"""(2k)! / B(2k): Euler and Maclaurin's series of the zeta function."""


def _polynomial(coefficients: tuple[float, ...], x: Value) -> Value:
    total: Any = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = ops.add(ops.multiply(x, total), coefficient)
    return total


def _ratio(rational: Rational, x: Value) -> Value:
    upper, lower = rational
    return _polynomial(upper, x) if lower == (1.0,) else ops.divide(_polynomial(upper, x), _polynomial(lower, x))


def _at_least(x: Value, limit: float) -> Value:
    """`x` where it is at least that, and the limit elsewhere, NaN too: what is not read may be anything finite."""
    return ops.where(ops.greater_equal(x, limit), x, limit)


def _at_most(x: Value, limit: float) -> Value:
    return ops.where(ops.less_equal(x, limit), x, limit)


def _with_nan(x: Value, result: Value) -> Value:
    return ops.where(ops.isnan(x), math.nan, result)


def _scaled_i(size: Value, odd: bool) -> Value:
    """exp(-x) I(x) of orders 0 and 1 for x >= 0."""
    near, middle, far = (
        (known.I1E_NEAR, known.I1E_MID, known.I1E_FAR) if odd else (known.I0E_NEAR, known.I0E_MID, known.I0E_FAR)
    )
    small = _at_most(size, 8.0)
    first = _ratio(near, small)
    first = ops.multiply(first, small) if odd else first
    between = _at_most(_at_least(size, 8.0), 24.0)
    second = _ratio(middle, ops.multiply(ops.subtract(between, 16.0), 0.125))
    third = _ratio(far, ops.divide(24.0, _at_least(size, 24.0)))
    outer = ops.divide(ops.where(ops.less(size, 24.0), second, third), ops.sqrt(_at_least(size, 8.0)))
    return _with_nan(size, ops.where(ops.less(size, 8.0), first, outer))


def _signed(x: Value, result: Value) -> Value:
    return ops.where(ops.less(x, 0), ops.negative(result), result)


def i0e(x: Value) -> Value:
    """exp(-|x|) I0(x)."""
    return _scaled_i(ops.abs(x), False)


def i1e(x: Value) -> Value:
    """exp(-|x|) I1(x)."""
    return _signed(x, _scaled_i(ops.abs(x), True))


def i0(x: Value) -> Value:
    """The modified Bessel function of the first kind of order 0."""
    return ops.multiply(ops.exp(ops.abs(x)), i0e(x))


def i1(x: Value) -> Value:
    """The modified Bessel function of the first kind of order 1."""
    return ops.multiply(ops.exp(ops.abs(x)), i1e(x))


def _k(x: Value, odd: bool, scaled: bool) -> Value:
    """The modified Bessel functions of the second kind, perhaps times exp(x); infinite at 0, NaN below."""
    small, large = _at_most(_at_least(x, 1e-300 if x.dtype is DType.FLOAT64 else 1e-37), 2.0), _at_least(x, 2.0)
    logarithm = ops.log(ops.multiply(small, 0.5))
    first = _ratio(known.K1_NEAR if odd else known.K0_NEAR, ops.square(small))
    if odd:
        first = ops.add(ops.divide(first, small), ops.multiply(logarithm, i1(small)))
    else:
        first = ops.subtract(first, ops.multiply(logarithm, i0(small)))
    second = ops.divide(_ratio(known.K1E_FAR if odd else known.K0E_FAR, ops.divide(2.0, large)), ops.sqrt(large))
    if scaled:
        first = ops.multiply(first, ops.exp(small))
    else:
        second = ops.multiply(second, ops.exp(ops.negative(large)))
    found = ops.where(ops.less_equal(x, 2.0), first, second)
    found = ops.where(ops.equal(x, 0), math.inf, found)
    return ops.where(ops.greater_equal(x, 0), found, math.nan)


def _waves(size: Value, odd: bool) -> tuple[Value, Value]:
    """J and Y from 5 upwards."""
    large = _at_least(size, 5.0)
    square = ops.divide(25.0, ops.square(large))
    even = _ratio(known.P1 if odd else known.P0, square)
    uneven = ops.divide(_ratio(known.Q1 if odd else known.Q0, square), large)
    angle = ops.subtract(large, math.pi * (0.75 if odd else 0.25))
    cosine, sine = ops.cos(angle), ops.sin(angle)
    scale = ops.sqrt(ops.divide(2 / math.pi, large))
    first = ops.subtract(ops.multiply(even, cosine), ops.multiply(uneven, sine))
    second = ops.add(ops.multiply(even, sine), ops.multiply(uneven, cosine))
    return ops.multiply(first, scale), ops.multiply(second, scale)


def _j_near(x: Value, odd: bool) -> Value:
    found = _ratio(known.J1_NEAR if odd else known.J0_NEAR, ops.square(x))
    return ops.multiply(found, x) if odd else found


def _j(x: Value, odd: bool) -> Value:
    size = ops.abs(x)
    near = _j_near(_at_most(size, 5.0), odd)
    found = _with_nan(x, ops.where(ops.less_equal(size, 5.0), near, _waves(size, odd)[0]))
    return _signed(x, found) if odd else found


def _y(x: Value, odd: bool) -> Value:
    small = _at_most(_at_least(x, 1e-300 if x.dtype is DType.FLOAT64 else 1e-37), 5.0)
    wave = ops.multiply(ops.log(small), _j_near(small, odd))
    found = _ratio(known.Y1_NEAR if odd else known.Y0_NEAR, ops.square(small))
    if odd:
        found = ops.multiply(found, small)
        wave = ops.subtract(wave, ops.reciprocal(small))
    near = ops.add(found, ops.multiply(wave, 2 / math.pi))
    found = ops.where(ops.less_equal(x, 5.0), near, _waves(x, odd)[1])
    found = ops.where(ops.equal(x, 0), -math.inf, found)
    return ops.where(ops.greater_equal(x, 0), found, math.nan)


def spherical_j0(x: Value) -> Value:
    """sin(x) / x; 1 at 0 and 0 at infinity."""
    plain = ops.logical_and(ops.isfinite(x), ops.not_equal(x, 0))
    safe = ops.where(plain, x, 1.0)
    found = ops.where(ops.isinf(x), 0.0, ops.divide(ops.sin(safe), safe))
    return _with_nan(x, ops.where(ops.equal(x, 0), 1.0, found))


def airy_ai(x: Value) -> Value:
    """The Airy function Ai."""
    middle = _ratio(known.AI_NEAR, _at_most(_at_least(x, -2.0), 2.0))
    right, left = _at_least(x, 2.0), _at_least(ops.negative(x), 2.0)
    power = ops.multiply(ops.multiply(right, ops.sqrt(right)), 2 / 3)
    decay = ops.divide(ops.exp(ops.negative(power)), ops.multiply(ops.sqrt(ops.sqrt(right)), 2 * math.sqrt(math.pi)))
    above = ops.multiply(decay, _ratio(known.AI_RIGHT, ops.reciprocal(power)))
    angle = ops.multiply(ops.multiply(left, ops.sqrt(left)), 2 / 3)
    square = ops.divide(4.0, ops.square(angle))
    shifted = ops.add(angle, math.pi / 4)
    wave = ops.multiply(ops.sin(shifted), _ratio(known.AI_LEFT_P, square))
    wave = ops.subtract(wave, ops.multiply(ops.cos(shifted), ops.divide(_ratio(known.AI_LEFT_Q, square), angle)))
    below = ops.divide(wave, ops.multiply(ops.sqrt(ops.sqrt(left)), math.sqrt(math.pi)))
    found = ops.where(ops.greater(x, 2.0), above, ops.where(ops.less(x, -2.0), below, middle))
    found = ops.where(ops.equal(x, math.inf), 0.0, ops.where(ops.equal(x, -math.inf), math.nan, found))
    return _with_nan(x, found)


def ndtri(p: Value) -> Value:
    """The quantile function of the normal distribution; infinite at 0 and 1, NaN outside."""
    low = ops.less(p, 0.5)
    tail = ops.where(low, p, ops.subtract(1.0, p))
    edge = math.exp(-2.0)
    middle = ops.multiply(ops.erfinv(ops.subtract(ops.multiply(_at_least(tail, edge), 2.0), 1.0)), math.sqrt(2))
    inside = ops.logical_and(ops.greater(tail, 0), ops.less(tail, edge))
    depth = ops.sqrt(ops.multiply(ops.log(ops.where(inside, tail, edge)), -2.0))
    near = _ratio(known.NDTRI_MIDDLE, _at_most(_at_least(depth, 2.0), 8.0))
    far = _ratio(known.NDTRI_FAR, _at_least(depth, 8.0))
    outer = ops.negative(ops.multiply(depth, ops.where(ops.less(depth, 8.0), near, far)))
    found = ops.where(ops.less(tail, edge), outer, middle)
    found = ops.where(ops.equal(tail, 0), -math.inf, ops.where(ops.less(tail, 0), math.nan, found))
    return _with_nan(p, ops.where(low, found, ops.negative(found)))


def log_ndtr(x: Value) -> Value:
    """The logarithm of the normal distribution function, accurate in the lower tail."""
    half = ops.multiply(x, math.sqrt(0.5))
    low = ops.less(x, -1.0)
    tail = ops.multiply(scaled_erfc(ops.negative(ops.where(low, half, -1.0))), 0.5)
    below = ops.subtract(ops.log(tail), ops.square(half))
    above = ops.log1p(ops.multiply(ops.erfc(ops.where(low, 0.0, half)), -0.5))
    return ops.where(low, below, above)


def scaled_erfc(x: Value) -> Value:
    """exp(x * x) erfc(x) for x >= 0.5."""
    large = _at_least(x, 4.0)
    far = ops.divide(_ratio(ERFC_FAR, ops.reciprocal(ops.square(large))), large)
    return ops.where(ops.less(x, 4.0), _ratio(ERFC_MIDDLE, _at_most(x, 4.0)), far)


def erfcx(x: Value) -> Value:
    """exp(x * x) erfc(x)."""
    low = ops.less(x, 0.5)
    small = ops.where(low, x, 0.5)
    below = ops.multiply(ops.exp(ops.square(small)), ops.erfc(small))
    found = ops.where(low, below, scaled_erfc(_at_least(x, 0.5)))
    return _with_nan(x, found)


def zeta(s: Value, q: Value) -> Value:
    """Hurwitz's zeta function: the sum of (q + k) ** -s for k = 0, 1, ... by Euler and Maclaurin.

    Infinite at s = 1 and at the poles of q; NaN for s below 1, and for negative q beside whole s.
    """
    whole = ops.equal(q, ops.floor(q))
    pole = ops.logical_and(ops.less_equal(q, 0), whole)
    outside = ops.logical_and(ops.less(q, 0), ops.not_equal(s, ops.floor(s)))
    bad = ops.logical_or(ops.logical_or(pole, outside), ops.logical_not(ops.greater(s, 1)))
    bad = ops.logical_or(bad, ops.logical_not(ops.isfinite(q)))
    exponent = ops.negative(ops.where(bad, 2.0, s))
    start = ops.where(bad, 1.0, q)
    zero = ops.full(shape=(), value=0, dtype=DType.INT64)

    def unfinished(_e: Value, a: Value, _total: Value, k: Value) -> Value:
        return ops.logical_or(ops.less(a, 9.0), ops.less(k, 9))

    def step(e: Value, a: Value, total: Value, k: Value) -> tuple[Value, ...]:
        on = ops.logical_or(ops.less(a, 9.0), ops.less(k, 9))
        more = ops.where(on, ops.pow(a, e), 0.0)
        return ops.add(a, ops.astype(on, dtype=a.dtype)), ops.add(total, more), ops.add(k, 1)

    end, total, _ = while_any(unfinished, step, [exponent], [start, ops.multiply(start, 0.0), zero])
    found = ops.add(total, _remainder(ops.negative(exponent), end))
    found = ops.where(ops.equal(s, 1), math.inf, ops.where(bad, math.nan, found))
    found = ops.where(ops.logical_and(pole, ops.greater(s, 1)), math.inf, found)
    return ops.where(ops.logical_and(ops.greater(s, 1), ops.equal(q, math.inf)), 0.0, found)


def _remainder(s: Value, a: Value) -> Value:
    """The rest of the sum from `a` on."""
    power = ops.pow(a, ops.negative(s))
    total = ops.add(ops.divide(ops.multiply(power, a), ops.subtract(s, 1.0)), ops.multiply(power, 0.5))
    factor, power = s, ops.divide(power, a)
    for index, number in enumerate(BERNOULLI):
        total = ops.add(total, ops.divide(ops.multiply(factor, power), number))
        rising = ops.multiply(ops.add(s, float(2 * index + 1)), ops.add(s, float(2 * index + 2)))
        factor = ops.multiply(factor, rising)
        power = ops.divide(power, ops.square(a))
    return total


def polygamma(order: int, x: Value) -> Value:
    """The derivatives of digamma."""
    if order == 0:
        return ops.digamma(x)
    if order == 1:
        return _trigamma(x)
    s = ops.full(shape=x.shape, value=float(order + 1), dtype=x.dtype)
    return ops.multiply(zeta(s, x), math.factorial(order) * (-1.0) ** (order + 1))


def _trigamma(x: Value) -> Value:
    """By reflection below 0.5: the sum of both sides is (pi / sin(pi x)) ** 2."""
    mirrored = ops.less(x, 0.5)
    sine = ops.sin(ops.multiply(x, math.pi))
    positive = ops.where(mirrored, ops.subtract(1.0, x), x)
    total = zeta(ops.full(shape=x.shape, value=2.0, dtype=x.dtype), positive)
    reflected = ops.subtract(ops.divide(math.pi**2, ops.square(sine)), total)
    return ops.where(mirrored, reflected, total)


UNARY: dict[str, Function] = {
    "i0": i0, "special_i0": i0, "special_i0e": i0e, "special_i1": i1, "special_i1e": i1e,
    "special_modified_bessel_i0": i0, "special_modified_bessel_i1": i1,
    "special_modified_bessel_k0": lambda x: _k(x, False, False),
    "special_modified_bessel_k1": lambda x: _k(x, True, False),
    "special_scaled_modified_bessel_k0": lambda x: _k(x, False, True),
    "special_scaled_modified_bessel_k1": lambda x: _k(x, True, True),
    "special_bessel_j0": lambda x: _j(x, False), "special_bessel_j1": lambda x: _j(x, True),
    "special_bessel_y0": lambda x: _y(x, False), "special_bessel_y1": lambda x: _y(x, True),
    "special_spherical_bessel_j0": spherical_j0, "special_airy_ai": airy_ai, "special_ndtri": ndtri,
    "special_log_ndtr": log_ndtr, "special_erfcx": erfcx,
}  # fmt: skip


def _unary(function: Function) -> Callable[[Value], Value]:
    return lambda x: function(to_float(x))


for _name, _function in UNARY.items():
    lift.rule(f"aten.{_name}.default")(_unary(_function))


@lift.rule("aten.special_zeta.default", "aten.special_zeta.other_scalar", "aten.special_zeta.self_scalar")
def _(s: Any, q: Any) -> Value:
    left, right = promote_float(s, q)
    dtype = left.dtype if isinstance(left, Value) else right.dtype
    left, right = tensor_of(left, dtype), tensor_of(right, dtype)
    shape = broadcast_shapes(left.shape, right.shape)
    return zeta(broadcast(left, shape), broadcast(right, shape))


@lift.rule("aten.polygamma.default", "aten.special_polygamma.default")
def _(order: int, x: Value) -> Value:
    return polygamma(order, to_float(x))
