"""Lowering of activations that TensorFlow has under the same definition; the others decompose."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kxchange.table import Table
from kxchange_tensorflow.lower_reduction import in_float32

Tensor = Any

lower = Table("tensorflow")


def _floating(node: Any) -> bool:
    return node.types[0].dtype.is_floating


lower.rule("relu", when=_floating)(tf.nn.relu)
lower.rule("relu6", when=_floating)(tf.nn.relu6)
lower.direct(selu=in_float32(tf.nn.selu), sigmoid=tf.sigmoid, softsign=tf.nn.softsign)
lower.direct(log_sigmoid=in_float32(tf.math.log_sigmoid))


@lower.rule("elu", when=lambda node: node.attrs["alpha"] == 1.0)
@in_float32
def _(x: Tensor, *, alpha: float) -> Tensor:
    return tf.nn.elu(x)


@lower.rule("leaky_relu")
def _(x: Tensor, *, negative_slope: float) -> Tensor:
    # TensorFlow's own takes the slope in float32 only.
    return tf.where(x >= 0, x, x * tf.constant(negative_slope, x.dtype))


@lower.rule("softplus", when=lambda node: node.attrs["beta"] == 1.0 and node.attrs["threshold"] == math.inf)
@in_float32
def _(x: Tensor, *, beta: float, threshold: float) -> Tensor:
    return tf.math.softplus(x)


@lower.rule("softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Tensor, *, axis: int) -> Tensor:
    return tf.nn.softmax(x, axis)


@lower.rule("log_softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Tensor, *, axis: int) -> Tensor:
    return tf.nn.log_softmax(x, axis)


@lower.rule("dropout")
def _(x: Tensor, *, rate: float) -> Tensor:
    return tf.identity(x)
