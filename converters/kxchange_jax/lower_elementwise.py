"""Lowering of elementwise ops."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from kxchange.table import Table
from kxchange.types import DType

Array = Any

lower = Table("jax")
lower.direct(
    abs=jnp.abs,
    acos=jnp.arccos,
    acosh=jnp.arccosh,
    add=jnp.add,
    asin=jnp.arcsin,
    asinh=jnp.arcsinh,
    atan=jnp.arctan,
    atan2=jnp.arctan2,
    atanh=jnp.arctanh,
    bitwise_and=jnp.bitwise_and,
    bitwise_invert=jnp.bitwise_not,
    bitwise_left_shift=jnp.left_shift,
    bitwise_or=jnp.bitwise_or,
    bitwise_right_shift=jnp.right_shift,
    bitwise_xor=jnp.bitwise_xor,
    copysign=jnp.copysign,
    cos=jnp.cos,
    cosh=jnp.cosh,
    divide=jnp.divide,
    equal=jnp.equal,
    erf=lax.erf,
    erfc=lax.erfc,
    erfinv=lax.erf_inv,
    exp=jnp.exp,
    expm1=jnp.expm1,
    greater=jnp.greater,
    greater_equal=jnp.greater_equal,
    hypot=jnp.hypot,
    isfinite=jnp.isfinite,
    isinf=jnp.isinf,
    isnan=jnp.isnan,
    less=jnp.less,
    less_equal=jnp.less_equal,
    lgamma=lax.lgamma,
    log=jnp.log,
    log10=jnp.log10,
    log1p=jnp.log1p,
    log2=jnp.log2,
    logaddexp=jnp.logaddexp,
    logical_and=jnp.logical_and,
    logical_not=jnp.logical_not,
    logical_or=jnp.logical_or,
    logical_xor=jnp.logical_xor,
    maximum=jnp.maximum,
    minimum=jnp.minimum,
    multiply=jnp.multiply,
    negative=jnp.negative,
    not_equal=jnp.not_equal,
    reciprocal=jnp.reciprocal,
    rsqrt=lax.rsqrt,
    sign=jnp.sign,
    sin=jnp.sin,
    sinh=jnp.sinh,
    sqrt=jnp.sqrt,
    square=jnp.square,
    subtract=jnp.subtract,
    tan=jnp.tan,
    tanh=jnp.tanh,
    where=jnp.where,
)


def is_integer(x: Array) -> bool:
    """Whether an array's dtype is an integer."""
    return jnp.issubdtype(x.dtype, jnp.integer)


@lower.rule("ceil")
def _(x: Array) -> Array:
    return x if is_integer(x) else lax.ceil(x)


@lower.rule("floor")
def _(x: Array) -> Array:
    return x if is_integer(x) else lax.floor(x)


@lower.rule("trunc")
def _(x: Array) -> Array:
    return x if is_integer(x) else jnp.trunc(x)


@lower.rule("round")
def _(x: Array) -> Array:
    return x if is_integer(x) else lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)


def _nonzero(x: Array) -> tuple[Array, Array]:
    """Where a divisor is 0, and the divisor with 1 there: XLA leaves integer division by 0 to the processor."""
    zero = x == 0
    return zero, jnp.where(zero, jnp.ones_like(x), x)


def _or_zero(zero: Array, quotient: Array) -> Array:
    return jnp.where(zero, jnp.zeros_like(quotient), quotient)


@lower.rule("floor_divide")
def _(x1: Array, x2: Array) -> Array:
    if not is_integer(x1):
        # NumPy's definition: exact for large quotients, and infinite where the quotient is.
        rest = jnp.remainder(x1, x2)
        quotient = lax.round((x1 - rest) / x2, lax.RoundingMethod.TO_NEAREST_EVEN)
        return jnp.where(x2 == 0, x1 / x2, quotient)
    zero, divisor = _nonzero(x2)
    return _or_zero(zero, jnp.floor_divide(x1, divisor))


@lower.rule("remainder")
def _(x1: Array, x2: Array) -> Array:
    if not is_integer(x1):
        return jnp.remainder(x1, x2)
    zero, divisor = _nonzero(x2)
    return _or_zero(zero, jnp.remainder(x1, divisor))


@lower.rule("fmod")
def _(x1: Array, x2: Array) -> Array:
    if not is_integer(x1):
        return jnp.fmod(x1, x2)
    zero, divisor = _nonzero(x2)
    return _or_zero(zero, jnp.fmod(x1, divisor))


@lower.rule("truncated_divide")
def _(x1: Array, x2: Array) -> Array:
    if not is_integer(x1):
        return jnp.trunc(x1 / x2)
    zero, divisor = _nonzero(x2)
    return _or_zero(zero, lax.div(*jnp.broadcast_arrays(x1, divisor)))


@lower.rule("digamma")
def _(x: Array) -> Array:
    return jnp.where(x == 0, jnp.copysign(jnp.inf, -x).astype(x.dtype), special.digamma(x))


@lower.rule("pow")
def _(x1: Array, x2: Array) -> Array:
    if not is_integer(x1) or jnp.issubdtype(x2.dtype, jnp.unsignedinteger):
        return jnp.power(x1, x2)
    one = jnp.ones_like(x2)
    parity = jnp.where(x2 % 2 == 0, one, -one)
    fraction = jnp.where(x1 == 1, one, jnp.where(x1 == -1, parity, jnp.zeros_like(x2)))
    return jnp.where(x2 < 0, fraction, jnp.power(x1, jnp.maximum(x2, 0)))


@lower.rule("clip")
def _(x: Array, min: Array | None, max: Array | None) -> Array:
    raised = x if min is None else jnp.maximum(x, min)
    return raised if max is None else jnp.minimum(raised, max)


@lower.rule("astype")
def _(x: Array, *, dtype: DType) -> Array:
    # Floats beyond the range of an integer type saturate, and NaN is 0, where others wrap (traps I07, I08).
    if dtype.is_integer and dtype.bits < 8:  # which other backends keep in bytes, of which the lowest bits stay
        x = jnp.asarray(x).astype(jnp.int32)
    return x != 0 if dtype.is_bool else jnp.asarray(x).astype(dtype.numpy)


@lower.rule("bitcast")
def _(x: Array, *, dtype: DType) -> Array:
    return lax.bitcast_convert_type(x, dtype.numpy)
