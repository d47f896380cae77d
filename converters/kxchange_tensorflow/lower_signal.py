"""Lowering of complex numbers and Fourier transforms: TensorFlow's are of the last axis, unscaled or by 1/n."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kxchange.table import Table

Tensor = Any

lower = Table("tensorflow")
lower.direct(real=tf.math.real, imag=tf.math.imag, conj=tf.math.conj)


@lower.rule("complex")
def _(real: Tensor, imag: Tensor) -> Tensor:
    shape = tf.broadcast_dynamic_shape(tf.shape(real), tf.shape(imag))
    return tf.complex(tf.broadcast_to(real, shape), tf.broadcast_to(imag, shape))


@lower.rule("angle")
def _(x: Tensor) -> Tensor:
    return tf.math.atan2(tf.math.imag(x), tf.math.real(x))


def _last(x: Tensor, axis: int) -> tuple[Tensor, list[int]]:
    """The axis moved to the end, and the order that moves it back."""
    rank = x.shape.rank
    order = [a for a in range(rank) if a != axis % rank] + [axis % rank]
    return (x if order == list(range(rank)) else tf.transpose(x, order)), [order.index(a) for a in range(rank)]


def _fitted(x: Tensor, size: Any) -> Tensor:
    """The last axis cut, or padded with zeros at the end."""
    size = tf.cast(size, tf.int64)
    x = x[..., :size]
    missing = size - tf.shape(x, out_type=tf.int64)[-1]
    return tf.pad(x, [[0, 0]] * (x.shape.rank - 1) + [[0, missing]])


def _scaled(x: Tensor, size: Any, norm: str, inverse: bool) -> Tensor:
    """From TensorFlow's own scale, which is ``backward``."""
    if norm == "backward":
        return x
    factor = tf.cast(size, x.dtype.real_dtype)
    factor = tf.sqrt(factor) if norm == "ortho" else factor
    factor = factor if inverse else 1 / factor
    return x * tf.cast(factor, x.dtype)


def _transform(function: Callable[..., Tensor], inverse: bool) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: int, n: Any, norm: str) -> Tensor:
        moved, back = _last(x, axis)
        size = tf.shape(moved)[-1] if n is None else n
        found = function(moved if n is None else _fitted(moved, n))
        return tf.transpose(_scaled(found, size, norm, inverse), back)

    return rule


def _rfft(x: Tensor, *, axis: int, n: Any, norm: str) -> Tensor:
    return _transform(tf.signal.rfft, False)(x, axis=axis, n=n, norm=norm)


def _irfft(x: Tensor, *, axis: int, n: Any, norm: str) -> Tensor:
    moved, back = _last(x, axis)
    size = 2 * (tf.shape(moved)[-1] - 1) if n is None else n
    found = tf.signal.irfft(_fitted(moved, size // 2 + 1), [tf.cast(size, tf.int32)])
    return tf.transpose(_scaled(found, size, norm, True), back)


lower.rule("fft")(_transform(tf.signal.fft, False))
lower.rule("ifft")(_transform(tf.signal.ifft, True))
lower.rule("rfft")(_rfft)
lower.rule("irfft")(_irfft)
