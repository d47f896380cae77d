"""Lowering of reductions, running reductions and positions of extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kxchange.table import Table
from kxchange_tensorflow.lower_elementwise import maximum, minimum, widened

Tensor = Any
Axes = tuple[int, ...] | None

lower = Table("tensorflow")
lower.direct(all=tf.reduce_all, any=tf.reduce_any, mean=tf.reduce_mean)


def in_float32(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that computes 16-bit floats in float32 and rounds once, as the references do."""

    def run(x: Tensor, **attrs: Any) -> Tensor:
        narrow = x.dtype in (tf.float16, tf.bfloat16)
        return tf.cast(compute(tf.cast(x, tf.float32), **attrs), x.dtype) if narrow else compute(x, **attrs)

    return run


lower.direct(sum=in_float32(widened(tf.reduce_sum)), prod=in_float32(widened(tf.reduce_prod)))
lower.direct(logsumexp=in_float32(tf.reduce_logsumexp))


def _extreme(reduce: Callable[..., Tensor], logical: Callable[..., Tensor]) -> Callable[..., Tensor]:
    wide = widened(reduce)

    def rule(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        if x.dtype.is_bool:
            return logical(x, axis=axis, keepdims=keepdims)
        return wide(x, axis=axis, keepdims=keepdims)

    return rule


lower.direct(max=_extreme(tf.reduce_max, tf.reduce_any), min=_extreme(tf.reduce_min, tf.reduce_all))


@lower.rule("var", when=lambda node: node.attrs["correction"] == 0)
@in_float32
def _(x: Tensor, *, axis: Axes, keepdims: bool, correction: float) -> Tensor:
    return tf.math.reduce_variance(x, axis=axis, keepdims=keepdims)


WORDS = {2: tf.int16, 4: tf.int32, 8: tf.int64}


def order_keys(x: Tensor) -> Tensor:
    """Integers in the order of the elements, NaN last, both zeros alike: what TensorFlow can sort (X04-X06)."""
    if x.dtype.is_bool:
        return tf.cast(x, tf.int32)
    if not x.dtype.is_floating:
        if x.dtype is tf.uint64:
            return tf.bitcast(tf.bitwise.bitwise_xor(x, tf.constant(2**63, tf.uint64)), tf.int64)
        return tf.cast(x, tf.int64 if x.dtype.size >= 4 and x.dtype is not tf.int32 else tf.int32)
    words = WORDS[x.dtype.size]
    plain = tf.where(tf.equal(x, 0), tf.zeros_like(x), x)
    bits = tf.bitcast(plain, words)
    keys = tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, tf.constant(words.max, words)), bits)
    keys = tf.where(tf.math.is_nan(x), tf.constant(words.max, words), keys)
    return tf.cast(keys, tf.int32) if words is tf.int16 else keys


@lower.rule("argmax")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    return _position(tf.argmax(order_keys(x), axis, tf.int64), axis, keepdims)


@lower.rule("argmin")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    keys = order_keys(x)
    if x.dtype.is_floating:  # NaN wins here too
        keys = tf.where(tf.math.is_nan(x), tf.constant(keys.dtype.min, keys.dtype), keys)
    return _position(tf.argmin(keys, axis, tf.int64), axis, keepdims)


def _position(found: Tensor, axis: int, keepdims: bool) -> Tensor:
    return tf.expand_dims(found, axis) if keepdims else found


def _running(accumulate: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: int, exclusive: bool, reverse: bool) -> Tensor:
        return accumulate(x, axis=axis, exclusive=exclusive, reverse=reverse)

    return in_float32(widened(rule))


lower.direct(cumulative_sum=_running(tf.cumsum), cumulative_prod=_running(tf.math.cumprod))


def _running_extreme(pick: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @widened
    def rule(x: Tensor, *, axis: int) -> Tensor:
        axis %= x.shape.rank
        order = [axis, *(a for a in range(x.shape.rank) if a != axis)]
        back = [order.index(a) for a in range(x.shape.rank)]
        return tf.transpose(tf.scan(pick, tf.transpose(x, order)), back)

    return rule


lower.direct(cumulative_max=_running_extreme(maximum), cumulative_min=_running_extreme(minimum))
