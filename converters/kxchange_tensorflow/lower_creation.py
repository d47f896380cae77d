"""Lowering of ops that make tensors from attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.constant import Constant
from kxchange.table import Table
from kxchange.types import DType
from kxchange_tensorflow.dtypes import tf_dtype
from kxchange_tensorflow.lowering import output_shape, vector

Tensor = Any

lower = Table("tensorflow")


def scalar(value: Any, dtype: DType) -> Tensor:
    """A rank-0 tensor of a Python number or of a size."""
    if isinstance(value, int | float | complex):
        with np.errstate(over="ignore"):
            return tf.constant(np.asarray(value).astype(dtype.numpy), tf_dtype(dtype))
    return tf.cast(value, tf_dtype(dtype))


def number(value: Any, dtype: tf.DType) -> Tensor:
    """A number or a size as a tensor; `tf.cast` of a Python float would round it to float32 first."""
    return tf.constant(value, dtype) if isinstance(value, int | float) else tf.cast(value, dtype)


@lower.rule("full")
def _(*, shape: tuple[Any, ...], value: Any, dtype: DType) -> Tensor:
    fill = scalar(value, dtype)
    return tf.broadcast_to(fill, vector(shape)) if shape else fill


@lower.rule("arange")
def _(*, start: Any, stop: Any, step: Any, dtype: DType) -> Tensor:
    (count,) = output_shape()
    exact = tf.float64 if isinstance(start, float) or isinstance(step, float) else tf.int64
    places = tf.cast(tf.range(tf.cast(count, tf.int64), dtype=tf.int64), exact)
    return tf.cast(places * number(step, exact) + number(start, exact), tf_dtype(dtype))


@lower.rule("eye")
def _(*, rows: Any, columns: Any, offset: int, dtype: DType) -> Tensor:
    row = tf.range(tf.cast(rows, tf.int64), dtype=tf.int64)
    column = tf.range(tf.cast(rows if columns is None else columns, tf.int64), dtype=tf.int64)
    return tf.cast(tf.equal(row[:, None] + offset, column), tf_dtype(dtype))


@lower.rule("constant")
def _(*, value: Constant) -> Tensor:
    return tf.constant(value.array)
