"""Element types that TensorFlow has, and those in which its CPU kernels compute."""

from __future__ import annotations

import tensorflow as tf

from kxchange.errors import BuildError
from kxchange.types import DType

TENSORFLOW: dict[DType, tf.DType] = {
    dtype: tf.as_dtype(dtype.value)
    for dtype in DType
    if dtype.value
    in [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
}
"""TensorFlow's dtype by the language's."""

COMPUTED = (tf.bool, tf.int32, tf.int64, tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128)
"""Dtypes that nearly every kernel takes; others are computed in a wider one."""


def tf_dtype(dtype: DType) -> tf.DType:
    """TensorFlow's name of an element type.

    Raises:
        BuildError: It has none.
    """
    if dtype not in TENSORFLOW:
        raise BuildError(
            f"TensorFlow has no element type {dtype.value}. Cast the values that have it before converting."
        )
    return TENSORFLOW[dtype]


def wider(dtype: tf.DType) -> tf.DType:
    """The dtype to compute in: itself, or an integer type that every kernel takes, with the same low bits."""
    if dtype in COMPUTED:
        return dtype
    return tf.int32 if dtype.size < 4 else tf.int64
