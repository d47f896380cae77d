"""Floats taken apart into sign, exponent and fraction."""

from __future__ import annotations

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import lift, refuse
from kxchange_torch.lift_promotion import cast, promote

LAYOUT = {DType.FLOAT32: (DType.INT32, 23, 8), DType.FLOAT64: (DType.INT64, 52, 11)}
"""Integer of the same width, bits of the fraction, bits of the exponent."""


@lift.rule("aten.frexp.Tensor")
def _(x: Value) -> tuple[Value, Value]:
    """A fraction in [0.5, 1) and the power of two it is multiplied by; 0, infinities and NaN stay, with 0."""
    if x.dtype not in LAYOUT:
        return refuse(f"frexp of {x.dtype.value}")
    whole, fraction, exponent = LAYOUT[x.dtype]
    lifted = fraction + 2
    tiny = ops.less(ops.abs(x), 2.0 ** (2 - (1 << (exponent - 1))))
    bits = ops.bitcast(ops.where(tiny, ops.multiply(x, 2.0**lifted), x), dtype=whole)
    bias = (1 << (exponent - 1)) - 2
    power = ops.bitwise_and(ops.bitwise_right_shift(bits, fraction), (1 << exponent) - 1)
    power = ops.subtract(power, ops.where(tiny, ops.full(shape=(), value=bias + lifted, dtype=whole), bias))
    kept = ~(((1 << exponent) - 1) << fraction)
    mantissa = ops.bitcast(ops.bitwise_or(ops.bitwise_and(bits, kept), bias << fraction), dtype=x.dtype)
    plain = ops.logical_and(ops.isfinite(x), ops.not_equal(x, 0))
    return ops.where(plain, mantissa, x), cast(ops.where(plain, power, 0), DType.INT32)


@lift.rule("aten.nextafter.default")
def _(x: Value, towards: Value) -> Value:
    """The neighbouring float: its bits, as an integer, are one more or less."""
    x, towards = promote(x, towards)
    if x.dtype not in LAYOUT:
        return refuse(f"nextafter of {x.dtype.value}")
    whole = LAYOUT[x.dtype][0]
    bits = ops.bitcast(x, dtype=whole)
    outwards = ops.equal(ops.greater(towards, x), ops.greater(x, 0))
    step = ops.where(outwards, ops.full(shape=(), value=1, dtype=whole), -1)
    moved = ops.bitcast(ops.add(bits, step), dtype=x.dtype)
    least = ops.bitcast(ops.full(shape=(), value=1, dtype=whole), dtype=x.dtype)
    moved = ops.where(ops.equal(x, 0), ops.copysign(least, towards), moved)
    found = ops.where(ops.equal(x, towards), towards, moved)
    missing = ops.logical_or(ops.isnan(x), ops.isnan(towards))
    return ops.where(missing, float("nan"), found)
