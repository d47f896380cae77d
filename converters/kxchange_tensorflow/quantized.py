"""Integers that stand for real numbers, as TFLite's kernels read and write them.

Stored integers stay integers; between them arithmetic is written in floats that hold integers exactly, so that the
products of a layer are exact (up to 2**24 in float32) and rounding happens once, where the result is stored.
"""

from __future__ import annotations

import math

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow.lift import scalar
from kxchange_tensorflow.tflite_file import Quantization

LIMITS = {
    DType.INT8: (-128, 127),
    DType.UINT8: (0, 255),
    DType.INT16: (-32768, 32767),
    DType.INT32: (-(2**31), 2**31 - 1),
    DType.INT4: (-8, 7),
}


def centered(x: Value, scheme: Quantization, *, flat: bool = False) -> Value:
    """The stored integers minus their zero point, as floats: the real numbers in units of the scale."""
    wide = ops.astype(x, dtype=DType.FLOAT32)
    if not np.any(scheme.zero_point):
        return wide
    return ops.subtract(wide, along(scheme.zero_point.astype(np.float32), scheme, x.ndim, wide))


def along(values: np.ndarray, scheme: Quantization, rank: int, like: Value) -> Value:
    """One number, or a row of them along the axis that has one scale per index."""
    if values.size == 1:
        return scalar(float(values.reshape(-1)[0]), like)
    shape = [1] * rank
    shape[scheme.axis] = values.size
    return ops.constant(value=Constant(values.reshape(shape).astype(np.float32)))


def dequantize(x: Value, scheme: Quantization) -> Value:
    """``scale * (x - zero_point)`` in float32."""
    plain = centered(x, scheme)
    return ops.multiply(plain, along(scheme.scale, scheme, x.ndim, plain))


def quantize(x: Value, scheme: Quantization, dtype: DType) -> Value:
    """``round(x / scale) + zero_point``, halves away from zero, limited to the range of the integer type."""
    steps = ops.divide(x, along(scheme.scale, scheme, x.ndim, x))
    return stored(steps, scheme, dtype)


def stored(steps: Value, scheme: Quantization, dtype: DType) -> Value:
    """Numbers in units of the scale, rounded and shifted to where they are stored."""
    low, high = LIMITS[dtype]
    rounded = round_half_away(steps)
    if np.any(scheme.zero_point):
        rounded = ops.add(rounded, along(scheme.zero_point.astype(np.float32), scheme, steps.ndim, rounded))
    inside = ops.clip(rounded, scalar(float(low), rounded), scalar(float(high), rounded))
    return ops.astype(inside, dtype=dtype)


def round_half_away(x: Value) -> Value:
    """The nearest integer; halves go away from zero, as in C."""
    return ops.multiply(ops.sign(x), ops.floor(ops.add(ops.abs(x), scalar(0.5, x))))


def rescaled(products: Value, scale: np.ndarray) -> Value:
    """Sums of products of centered integers as real numbers: times the product of the scales, per output channel."""
    if scale.size == 1:
        value = float(scale.reshape(-1)[0])
        return ops.multiply(products, scalar(value if math.isfinite(value) else 0.0, products))
    return ops.multiply(products, ops.constant(value=Constant(scale.astype(np.float32))))
