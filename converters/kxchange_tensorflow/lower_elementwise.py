"""Lowering of elementwise ops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kxchange.table import Table
from kxchange.types import DType
from kxchange_tensorflow.dtypes import tf_dtype, wider

Tensor = Any

lower = Table("tensorflow")


def widened(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that computes integers narrower than its kernels take in a wider type; the low bits are the same."""

    def run(*xs: Tensor, **attrs: Any) -> Tensor:
        dtype = xs[0].dtype
        chosen = wider(dtype)
        if chosen is dtype:
            return compute(*xs, **attrs)
        result = compute(*(tf.cast(x, chosen) if x is not None and x.dtype is dtype else x for x in xs), **attrs)
        return tf.cast(result, dtype) if result.dtype is chosen else result

    return run


lower.direct(
    abs=tf.abs,
    acos=tf.acos,
    acosh=tf.acosh,
    asin=tf.asin,
    asinh=tf.asinh,
    atan=tf.atan,
    atan2=tf.atan2,
    atanh=tf.atanh,
    cos=tf.cos,
    cosh=tf.cosh,
    divide=tf.divide,
    erfc=tf.math.erfc,
    erfinv=tf.math.erfinv,
    exp=tf.exp,
    expm1=tf.math.expm1,
    isfinite=tf.math.is_finite,
    isinf=tf.math.is_inf,
    isnan=tf.math.is_nan,
    lgamma=tf.math.lgamma,
    log=tf.math.log,
    log1p=tf.math.log1p,
    logical_and=tf.logical_and,
    logical_not=tf.logical_not,
    logical_or=tf.logical_or,
    logical_xor=tf.math.logical_xor,
    sin=tf.sin,
    sinh=tf.sinh,
    sqrt=tf.sqrt,
    tan=tf.tan,
    tanh=tf.tanh,
    where=tf.where,
    add=widened(tf.add),
    multiply=widened(tf.multiply),
    negative=widened(tf.negative),
    reciprocal=tf.math.reciprocal,
    rsqrt=tf.math.rsqrt,
    square=widened(tf.square),
    subtract=widened(tf.subtract),
    greater=tf.greater,
    greater_equal=tf.greater_equal,
    less=tf.less,
    less_equal=tf.less_equal,
    equal=tf.equal,
    not_equal=tf.not_equal,
)


def is_integer(x: Tensor) -> bool:
    """Whether a tensor holds integers."""
    return x.dtype.is_integer


@lower.rule("erf")
def _(x: Tensor) -> Tensor:
    # TensorFlow's float64 kernel gives NaN at infinity; from 30 on the result is 1 in every type.
    return tf.math.erf(tf.where(tf.abs(x) > 30, tf.sign(x) * 30, x))


@lower.rule("digamma")
def _(x: Tensor) -> Tensor:
    pole = tf.divide(tf.ones_like(x), -x)
    return tf.where(tf.equal(x, 0), pole, tf.math.digamma(x))


@lower.rule("sign")
def _(x: Tensor) -> Tensor:
    return tf.cast(x != 0, x.dtype) if x.dtype.is_unsigned else tf.sign(x)


@lower.rule("log2")
def _(x: Tensor) -> Tensor:
    return tf.math.log(x) / tf.constant(math.log(2), x.dtype)


@lower.rule("log10")
def _(x: Tensor) -> Tensor:
    return tf.math.log(x) / tf.constant(math.log(10), x.dtype)


def _rounding(compute: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: x if is_integer(x) else compute(x)


def _trunc(x: Tensor) -> Tensor:
    return tf.where(x < 0, tf.math.ceil(x), tf.math.floor(x))


lower.direct(ceil=_rounding(tf.math.ceil), floor=_rounding(tf.math.floor), round=_rounding(tf.round))
lower.direct(trunc=_rounding(_trunc))


@lower.rule("maximum")
@widened
def maximum(x1: Tensor, x2: Tensor) -> Tensor:
    """The larger; NaN wins on either side."""
    if x1.dtype.is_bool:
        return tf.logical_or(x1, x2)
    return _with_nan(tf.maximum(x1, x2), x1, x2)


@lower.rule("minimum")
@widened
def minimum(x1: Tensor, x2: Tensor) -> Tensor:
    """The smaller; NaN wins on either side."""
    if x1.dtype.is_bool:
        return tf.logical_and(x1, x2)
    return _with_nan(tf.minimum(x1, x2), x1, x2)


def _with_nan(found: Tensor, x1: Tensor, x2: Tensor) -> Tensor:
    if not found.dtype.is_floating:
        return found
    return tf.where(tf.math.is_nan(x1), x1, tf.where(tf.math.is_nan(x2), x2, found))


@lower.rule("clip")
def _(x: Tensor, min: Tensor | None, max: Tensor | None) -> Tensor:
    raised = x if min is None else maximum(x, min)
    return raised if max is None else minimum(raised, max)


def _bits(found: Callable[..., Tensor], logical: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *xs: logical(*xs) if xs[0].dtype.is_bool else found(*xs)


lower.direct(
    bitwise_and=_bits(tf.bitwise.bitwise_and, tf.logical_and),
    bitwise_or=_bits(tf.bitwise.bitwise_or, tf.logical_or),
    bitwise_xor=_bits(tf.bitwise.bitwise_xor, tf.math.logical_xor),
    bitwise_invert=_bits(tf.bitwise.invert, tf.logical_not),
)


@lower.rule("bitwise_left_shift")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    beyond = (x2 < 0) | (x2 >= tf.cast(x1.dtype.size * 8, x2.dtype))
    shifted = tf.bitwise.left_shift(x1, tf.where(beyond, tf.zeros_like(x2), x2))
    return tf.where(beyond, tf.zeros_like(shifted), shifted)


@lower.rule("bitwise_right_shift")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    last = tf.cast(x1.dtype.size * 8 - 1, x2.dtype)
    beyond = (x2 < 0) | (x2 > last)
    shifted = tf.bitwise.right_shift(x1, tf.where(beyond, last, x2))
    return shifted if not x1.dtype.is_unsigned else tf.where(beyond, tf.zeros_like(shifted), shifted)


def _guarded(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Integer division that gives 0 where the divisor is 0, instead of stopping (trap I06)."""

    @widened
    def run(x1: Tensor, x2: Tensor) -> Tensor:
        zero = tf.equal(x2, 0)
        found = compute(x1, tf.where(zero, tf.ones_like(x2), x2))
        return tf.where(zero, tf.zeros_like(found), found)

    return run


@lower.rule("floor_divide")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if is_integer(x1):
        return _guarded(tf.math.floordiv)(x1, x2)
    # NumPy's definition: exact for large quotients, and infinite where the quotient is.
    quotient = tf.round((x1 - _float_remainder(x1, x2)) / x2)
    return tf.where(tf.equal(x2, 0), x1 / x2, quotient)


def _rest(x1: Tensor, x2: Tensor) -> Tensor:
    """The rest of a truncating division, with the gradient TensorFlow lacks: 1 and minus the quotient."""
    quotient = _trunc(tf.divide(x1, x2))
    quotient = tf.stop_gradient(tf.where(tf.math.is_finite(quotient), quotient, tf.zeros_like(quotient)))
    value = tf.stop_gradient(tf.truncatemod(x1, x2))
    return value + _zero_of(x1) - quotient * _zero_of(x2)


def _zero_of(x: Tensor) -> Tensor:
    """Zeros whose gradient is that of the tensor."""
    finite = tf.where(tf.math.is_finite(x), x, tf.zeros_like(x))
    return finite - tf.stop_gradient(finite)


def _float_remainder(x1: Tensor, x2: Tensor) -> Tensor:
    rest = _rest(x1, x2)
    turned = (rest != 0) & ((rest < 0) != (x2 < 0))
    return tf.where(turned, rest + x2, rest)


@lower.rule("remainder")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(tf.math.floormod)(x1, x2) if is_integer(x1) else _float_remainder(x1, x2)


@lower.rule("fmod")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(tf.truncatemod)(x1, x2) if is_integer(x1) else _rest(x1, x2)


@lower.rule("truncated_divide")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _guarded(tf.truncatediv)(x1, x2) if is_integer(x1) else _trunc(x1 / x2)


@lower.rule("pow")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return _integer_power(x1, x2) if is_integer(x1) else tf.pow(x1, x2)


@widened
def _integer_power(x1: Tensor, x2: Tensor) -> Tensor:
    one, zero = tf.ones_like(x2), tf.zeros_like(x2)
    parity = tf.where(tf.equal(tf.math.floormod(x2, 2), 0), one, -one)
    fraction = tf.where(tf.equal(x1, 1), one, tf.where(tf.equal(x1, -1), parity, zero))
    return tf.where(x2 < 0, fraction, tf.pow(x1, tf.maximum(x2, 0)))


@lower.rule("hypot")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    # Its own rule for the gradient where both are alike: TensorFlow gives all of a maximum's to the first operand.
    scale = tf.stop_gradient(tf.maximum(tf.abs(x1), tf.abs(x2)))
    scale = tf.where(tf.equal(scale, 0) | tf.math.is_inf(scale), tf.ones_like(scale), scale)
    squares = tf.square(x1 / scale) + tf.square(x2 / scale)
    zero = tf.equal(squares, 0)
    found = scale * tf.sqrt(tf.where(zero, tf.ones_like(squares), squares))
    infinite = tf.math.is_inf(x1) | tf.math.is_inf(x2)
    return tf.where(infinite, tf.constant(math.inf, x1.dtype), tf.where(zero, tf.zeros_like(found), found))


@lower.rule("astype")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    return tf.not_equal(x, tf.zeros_like(x)) if dtype.is_bool and not x.dtype.is_bool else tf.cast(x, tf_dtype(dtype))


@lower.rule("bitcast")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    return tf.bitcast(x, tf_dtype(dtype))


WORDS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


@lower.rule("copysign")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    words = WORDS[x2.dtype.size]
    size = tf.abs(x1)
    return tf.where(tf.bitcast(x2, words) < 0, -size, size)
