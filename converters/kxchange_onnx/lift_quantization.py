"""Quantization: rounding, clipping and exact integers spelled out in ops."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange import ops
from kxchange.graph import Value
from kxchange.ops.joining import integer_range
from kxchange.shapes import normalize_axis
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.lift_convolution import convolved, kernel_sizes
from kxchange_onnx.lift_normalization import as_type
from kxchange_onnx.lift_types import cast_to
from kxchange_onnx.types_in import dtype_of
from kxchange_onnx.windows_in import window

Ints = Sequence[int] | None


@lift.rule("QuantizeLinear")
def _(x: Value, scale: Value, zero: Value | None) -> Value:
    return quantized(x, scale, zero, DType.UINT8)


@lift.rule("QuantizeLinear", since=13)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int) -> Value:
    return quantized(x, _laid(scale, x, axis, 0), _laid_or_none(zero, x, axis, 0), DType.UINT8)


@lift.rule("QuantizeLinear", since=19)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int, saturate: int) -> Value:
    return quantized(x, _laid(scale, x, axis, 0), _laid_or_none(zero, x, axis, 0), DType.UINT8, bool(saturate))


@lift.rule("QuantizeLinear", since=21)
def _(
    x: Value, scale: Value, zero: Value | None, *, axis: int, block_size: int, output_dtype: int, saturate: int
) -> Value:
    dtype = dtype_of(output_dtype) if output_dtype else DType.UINT8
    laid = _laid(scale, x, axis, block_size), _laid_or_none(zero, x, axis, block_size)
    return quantized(x, *laid, dtype, bool(saturate))


@lift.rule("QuantizeLinear", since=23)
def _(
    x: Value,
    scale: Value,
    zero: Value | None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
    precision: int,
    saturate: int,
) -> Value:
    dtype = dtype_of(output_dtype) if output_dtype else DType.UINT8
    laid = _laid(scale, x, axis, block_size), _laid_or_none(zero, x, axis, block_size)
    compute = dtype_of(precision) if precision else scale.dtype
    return quantized(as_type(x, compute), as_type(laid[0], compute), laid[1], dtype, bool(saturate))


@lift.rule("DequantizeLinear")
def _(x: Value, scale: Value, zero: Value | None) -> Value:
    return dequantized(x, scale, zero, scale.dtype)


@lift.rule("DequantizeLinear", since=13)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int) -> Value:
    return dequantized(x, _laid(scale, x, axis, 0), _laid_or_none(zero, x, axis, 0), scale.dtype)


@lift.rule("DequantizeLinear", since=21)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int, block_size: int) -> Value:
    return dequantized(x, _laid(scale, x, axis, block_size), _laid_or_none(zero, x, axis, block_size), scale.dtype)


@lift.rule("DequantizeLinear", since=23)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int, block_size: int, output_dtype: int) -> Value:
    dtype = dtype_of(output_dtype) if output_dtype else scale.dtype
    return dequantized(x, _laid(scale, x, axis, block_size), _laid_or_none(zero, x, axis, block_size), dtype)


def _laid_or_none(zero: Value | None, x: Value, axis: int, block: int) -> Value | None:
    return None if zero is None else _laid(zero, x, axis, block)


def _laid(scale: Value, x: Value, axis: int, block: int) -> Value:
    """A scale or zero point where it belongs: for all of x, along an axis, or for blocks of an axis."""
    if scale.ndim == 0 or (scale.shape == (1,) and not block):
        return ops.reshape(scale, shape=()) if scale.ndim else scale
    position = normalize_axis(axis, x.ndim)
    if not block:
        if scale.ndim != 1:
            return refuse(f"a scale of {scale.ndim} axes is for blocks, and no block size is given")
        return ops.reshape(scale, shape=tuple(scale.shape[0] if a == position else 1 for a in range(x.ndim)))
    spread = ops.repeat(scale, repeats=block, axis=position)
    if spread.shape[position] == x.shape[position]:
        return spread
    return ops.slice(spread, starts=(0,), stops=(x.shape[position],), steps=(1,), axes=(position,))


def quantized(x: Value, scale: Value, zero: Value | None, dtype: DType, saturate: bool = True) -> Value:
    """``saturate(round(x / scale) + zero)``, halves to even."""
    dtype = dtype if zero is None else zero.dtype
    compute = scale.dtype if scale.dtype.is_floating else x.dtype
    ratio = ops.divide(as_type(x, compute), as_type(scale, compute))
    if dtype.is_floating:
        ratio = ratio if zero is None else ops.add(ratio, ops.astype(zero, dtype=compute))
        return cast_to(ratio, dtype, saturate=saturate)
    rounded = as_type(ops.round(ratio), DType.FLOAT32 if compute.bits < 32 else compute)
    if zero is not None:
        rounded = ops.add(rounded, ops.astype(zero, dtype=rounded.dtype))
    low, high = integer_range(dtype)
    return ops.astype(ops.clip(rounded, float(low), float(high)), dtype=dtype)


def dequantized(x: Value, scale: Value, zero: Value | None, dtype: DType) -> Value:
    """``(x - zero) * scale``; integers are subtracted as integers."""
    compute = DType.FLOAT32 if scale.dtype.bits < 32 else scale.dtype
    if x.dtype.is_integer:
        wide = as_type(x, DType.INT32)
        wide = wide if zero is None else ops.subtract(wide, as_type(zero, DType.INT32))
    else:
        wide = ops.astype(x, dtype=compute)
        wide = wide if zero is None else ops.subtract(wide, ops.astype(zero, dtype=compute))
    return as_type(ops.multiply(as_type(wide, compute), as_type(scale, compute)), dtype)


@lift.rule("MatMulInteger")
def _(a: Value, b: Value, a_zero: Value | None, b_zero: Value | None) -> Value:
    return integer_product(a, a_zero, b, b_zero)


def integer_product(a: Value, a_zero: Value | None, b: Value, b_zero: Value | None) -> Value:
    """``(a - a_zero) @ (b - b_zero)`` in int32; a zero point of one axis is per row of a or per column of b."""
    left = shifted(a, None if a_zero is None or a_zero.ndim != 1 else ops.expand_dims(a_zero, axis=(1,)), a_zero)
    return ops.matmul(left, shifted(b, None, b_zero))


def shifted(x: Value, laid: Value | None, zero: Value | None) -> Value:
    """X minus its zero point, in int32."""
    wide = ops.astype(x, dtype=DType.INT32)
    point = zero if laid is None else laid
    return wide if point is None else ops.subtract(wide, ops.astype(point, dtype=DType.INT32))


@lift.rule("QLinearMatMul")
def _(
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    y_scale: Value,
    y_zero: Value,
) -> Value:
    product = integer_product(a, a_zero, b, b_zero)
    left = ops.expand_dims(a_scale, axis=(1,)) if a_scale.ndim == 1 and a_scale.shape != (1,) else a_scale
    return requantized(product, ops.multiply(*_wide(left, b_scale)), y_scale, y_zero)


def _wide(*scales: Value) -> list[Value]:
    return [as_type(scale, DType.FLOAT32) for scale in scales]


def requantized(product: Value, scale: Value, y_scale: Value, y_zero: Value) -> Value:
    """Exact integers of one scale as integers of another."""
    (out_scale,) = _wide(y_scale)
    factor = ops.divide(scale, out_scale)
    rounded = ops.round(ops.multiply(ops.astype(product, dtype=DType.FLOAT32), factor))
    low, high = integer_range(y_zero.dtype)
    moved = ops.add(rounded, ops.astype(y_zero, dtype=DType.FLOAT32))
    return ops.astype(ops.clip(moved, float(low), float(high)), dtype=y_zero.dtype)


@lift.rule("ConvInteger")
def _(
    x: Value,
    weight: Value,
    x_zero: Value | None,
    w_zero: Value | None,
    *,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Value:
    options = (auto_pad, dilations, group, kernel_shape, pads, strides)
    return integer_convolution(x, x_zero, weight, w_zero, None, options)


def integer_convolution(
    x: Value,
    x_zero: Value | None,
    weight: Value,
    w_zero: Value | None,
    bias: Value | None,
    options: tuple[str, Ints, int, Ints, Ints, Ints],
) -> Value:
    """The convolution of integers less their zero points, in int32; computed in float64, which holds every sum."""
    auto_pad, dilations, group, kernel_shape, pads, strides = options
    place = window(x, kernel_sizes(weight, kernel_shape), strides, dilations, pads, auto_pad)
    per_channel = w_zero is not None and w_zero.ndim == 1 and w_zero.shape != (1,)
    laid = ops.expand_dims(w_zero, axis=tuple(range(1, weight.ndim))) if per_channel else None
    left, kernel = shifted(x, None, x_zero), shifted(weight, laid, w_zero)
    operands = [None if v is None else ops.astype(v, dtype=DType.FLOAT64) for v in (left, kernel, bias)]
    return ops.astype(convolved(operands[0], operands[1], operands[2], place, group), dtype=DType.INT32)  # type: ignore[arg-type]


@lift.rule("QLinearConv")
def _(
    x: Value,
    x_scale: Value,
    x_zero: Value,
    weight: Value,
    w_scale: Value,
    w_zero: Value,
    y_scale: Value,
    y_zero: Value,
    bias: Value | None,
    *,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Value:
    options = (auto_pad, dilations, group, kernel_shape, pads, strides)
    product = integer_convolution(x, x_zero, weight, w_zero, bias, options)
    per_channel = w_scale.ndim == 1 and w_scale.shape != (1,)
    laid = ops.expand_dims(w_scale, axis=tuple(range(1, x.ndim - 1))) if per_channel else w_scale
    return requantized(product, ops.multiply(*_wide(x_scale, laid)), y_scale, y_zero)
