"""Quantized operators of `com.microsoft`: back to real numbers, the operator, and quantized again."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import MICROSOFT, lift, refuse
from kxchange_onnx.lift_normalization import as_type
from kxchange_onnx.lift_pooling import max_pooled, spatial
from kxchange_onnx.lift_quantization import dequantized, integer_product, quantized, requantized
from kxchange_onnx.windows_in import window

Ints = Sequence[int] | None


def real(x: Value, scale: Value, zero: Value | None) -> Value:
    """Quantized numbers as floats; scale and zero point are single numbers."""
    return dequantized(x, _single(scale), None if zero is None else _single(zero), scale.dtype)


def _single(value: Value) -> Value:
    if any(size != 1 for size in value.shape):
        return refuse(f"scales per channel, {value.type}, have no lift here")
    return ops.reshape(value, shape=()) if value.ndim else value


def _back(y: Value, scale: Value, zero: Value | None) -> Value:
    return quantized(y, _single(scale), None if zero is None else _single(zero), DType.UINT8)


def _pair(op: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    def rule(
        a: Value,
        a_scale: Value,
        a_zero: Value | None,
        b: Value,
        b_scale: Value,
        b_zero: Value | None,
        scale: Value,
        zero: Value | None,
    ) -> Value:
        return _back(op(real(a, a_scale, a_zero), real(b, b_scale, b_zero)), scale, zero)

    return rule


lift.add(MICROSOFT, "QLinearAdd", _pair(ops.add))
lift.add(MICROSOFT, "QLinearMul", _pair(ops.multiply))


@lift.rule("QLinearSigmoid", domain=MICROSOFT)
def _(x: Value, x_scale: Value, x_zero: Value | None, scale: Value, zero: Value | None) -> Value:
    return _back(ops.sigmoid(real(x, x_scale, x_zero)), scale, zero)


@lift.rule("QLinearLeakyRelu", domain=MICROSOFT, defaults={"alpha": 0.01})
def _(x: Value, x_scale: Value, x_zero: Value | None, scale: Value, zero: Value | None, *, alpha: float) -> Value:
    return _back(ops.leaky_relu(real(x, x_scale, x_zero), negative_slope=alpha), scale, zero)


@lift.rule("QLinearSoftmax", domain=MICROSOFT, defaults={"axis": -1})
def _(
    x: Value, x_scale: Value, x_zero: Value | None, scale: Value, zero: Value | None, *, axis: int, opset: int | None
) -> Value:
    if opset is not None and opset < 13 and axis not in (-1, x.ndim - 1):
        return refuse("softmax over several axes at once (before opset 13) has no lift when it is quantized")
    return _back(ops.softmax(real(x, x_scale, x_zero), axis=axis), scale, zero)


@lift.rule("QLinearConcat", domain=MICROSOFT)
def _(scale: Value, zero: Value, *xs: Value, axis: int) -> Value:
    parts = [real(*xs[start : start + 3]) for start in range(0, len(xs), 3)]
    return _back(ops.concat(*parts, axis=axis), scale, zero)


@lift.rule("QLinearGlobalAveragePool", domain=MICROSOFT, defaults={"channels_last": 0})
def _(x: Value, x_scale: Value, x_zero: Value, scale: Value, zero: Value, *, channels_last: int) -> Value:
    axes = tuple(range(1, x.ndim - 1)) if channels_last else spatial(x)
    return _back(ops.mean(real(x, x_scale, x_zero), axis=axes, keepdims=True), scale, zero)


@lift.rule(
    "QLinearAveragePool",
    domain=MICROSOFT,
    defaults={"auto_pad": "NOTSET", "ceil_mode": 0, "channels_last": 0, "count_include_pad": 0},
)
def _(
    x: Value,
    x_scale: Value,
    x_zero: Value | None,
    scale: Value,
    zero: Value | None,
    *,
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    kernel_shape: Sequence[int],
    pads: Ints,
    strides: Ints,
) -> Value:
    place = window(x, kernel_shape, strides, None, pads, auto_pad)
    y = ops.avg_pool(
        real(x, x_scale, x_zero),
        window=place.sizes,
        strides=place.strides,
        padding=place.padding,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
    )
    return _back(y, scale, zero)


@lift.rule("QGemm", domain=MICROSOFT, defaults={"alpha": 1.0, "transA": 0, "transB": 0})
def _(
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    c: Value | None,
    scale: Value | None,
    zero: Value | None,
    *,
    alpha: float,
    transA: int,  # noqa: N803
    transB: int,  # noqa: N803
) -> Value:
    """Integers summed exactly, with the bias; quantized again where an output scale is given."""
    left = ops.permute_dims(a, axes=(1, 0)) if transA else a
    right = ops.permute_dims(b, axes=(1, 0)) if transB else b
    total = integer_product(left, a_zero, right, b_zero)
    total = total if c is None else ops.add(total, c)
    factor = ops.multiply(as_type(a_scale, DType.FLOAT32), as_type(b_scale, DType.FLOAT32))
    factor = factor if alpha == 1 else ops.multiply(factor, alpha)
    if scale is None or zero is None:
        return ops.multiply(ops.astype(total, dtype=DType.FLOAT32), factor)
    return requantized(total, factor, scale, zero)


@lift.rule("MatMulIntegerToFloat", domain=MICROSOFT)
def _(
    a: Value,
    b: Value,
    a_scale: Value,
    b_scale: Value,
    a_zero: Value | None,
    b_zero: Value | None,
    bias: Value | None,
) -> Value:
    product = ops.astype(integer_product(a, a_zero, b, b_zero), dtype=a_scale.dtype)
    y = ops.multiply(product, ops.multiply(a_scale, b_scale))
    return y if bias is None else ops.add(y, bias)


@lift.rule("DynamicQuantizeMatMul", domain=MICROSOFT)
def _(a: Value, b: Value, b_scale: Value, b_zero: Value | None, bias: Value | None) -> Value:
    """A is quantized to uint8 by its own range, which always holds 0."""
    low, high = ops.minimum(ops.min(a), 0.0), ops.maximum(ops.max(a), 0.0)
    span = ops.divide(ops.subtract(high, low), 255.0)
    scale = ops.where(ops.equal(span, 0.0), 1.0, span)
    zero = ops.astype(ops.round(ops.clip(ops.divide(ops.negative(low), scale), 0.0, 255.0)), dtype=DType.UINT8)
    product = integer_product(quantized(a, scale, zero, DType.UINT8), zero, b, b_zero)
    y = ops.multiply(ops.astype(product, dtype=a.dtype), ops.multiply(scale, b_scale))
    return y if bias is None else ops.add(y, bias)


@lift.rule("QuantizeLinear", domain=MICROSOFT)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int | None) -> Value:
    return quantized(x, _laid(scale, x, axis), None if zero is None else _laid(zero, x, axis), DType.UINT8)


@lift.rule("DequantizeLinear", domain=MICROSOFT)
def _(x: Value, scale: Value, zero: Value | None, *, axis: int | None) -> Value:
    return dequantized(x, _laid(scale, x, axis), None if zero is None else _laid(zero, x, axis), scale.dtype)


def _laid(scale: Value, x: Value, axis: int | None) -> Value:
    if axis is None or scale.ndim == 0:
        return _single(scale)
    return ops.reshape(scale, shape=tuple(scale.shape[0] if a == axis % x.ndim else 1 for a in range(x.ndim)))


@lift.rule("MatMulNBits", domain=MICROSOFT, defaults={"accuracy_level": 0, "bits": 4, "weight_prepacked": 0})
def _(
    a: Value,
    packed: Value,
    scales: Value,
    zeros: Value | None,
    order: Value | None,
    bias: Value | None,
    *,
    K: int,  # noqa: N803
    N: int,  # noqa: N803
    accuracy_level: int,
    bits: int,
    block_size: int,
) -> Value:
    """Weights of 2, 4 or 8 bits, with a scale and a zero point per block of each row."""
    if bits not in (2, 4, 8) or order is not None:
        return refuse(f"weights of {bits} bits{'' if order is None else ' in another order (g_idx)'} have no lift")
    blocks = math.ceil(K / block_size)
    rows = ops.astype(_unpacked(packed, bits, (N, blocks, block_size)), dtype=a.dtype)
    if zeros is None:
        rows = ops.subtract(rows, float(1 << (bits - 1)))
    else:
        points = zeros if zeros.dtype.is_floating else _zero_points(zeros, bits, N, blocks)
        rows = ops.subtract(rows, ops.reshape(as_type(points, a.dtype), shape=(N, blocks, 1)))
    weight = ops.multiply(rows, ops.reshape(as_type(scales, a.dtype), shape=(N, blocks, 1)))
    weight = ops.reshape(weight, shape=(N, blocks * block_size))
    if blocks * block_size != K:
        weight = ops.slice(weight, starts=(0,), stops=(K,), steps=(1,), axes=(1,))
    return ops.linear(a, weight, bias)


def _unpacked(packed: Value, bits: int, shape: tuple[int, ...]) -> Value:
    """Numbers of less than a byte, the first in the lowest bits."""
    if bits == 8:
        return ops.reshape(packed, shape=shape)
    mask = (1 << bits) - 1
    fields = [ops.bitwise_and(ops.bitwise_right_shift(packed, shift), mask) for shift in range(0, 8, bits)]
    return ops.reshape(ops.stack(*fields, axis=-1), shape=shape)


def _zero_points(zeros: Value, bits: int, rows: int, blocks: int) -> Value:
    per_row = math.ceil(blocks * bits / 8)
    wide = _unpacked(ops.reshape(zeros, shape=(rows, per_row)), bits, (rows, per_row * (8 // bits)))
    if wide.shape[1] == blocks:
        return wide
    return ops.slice(wide, starts=(0,), stops=(blocks,), steps=(1,), axes=(1,))


@lift.rule("NhwcMaxPool", domain=MICROSOFT, defaults={"auto_pad": "NOTSET", "ceil_mode": 0})
def _(
    x: Value,
    *,
    auto_pad: str,
    ceil_mode: int,
    dilations: Ints,
    kernel_shape: Sequence[int],
    pads: Ints,
    strides: Ints,
) -> Value:
    """The maximum over windows, channels behind."""
    first = ops.permute_dims(x, axes=(0, x.ndim - 1, *range(1, x.ndim - 1)))
    place = window(first, kernel_shape, strides, dilations, pads, auto_pad)
    return ops.permute_dims(max_pooled(first, place, bool(ceil_mode)), axes=(0, *range(2, x.ndim), 1))
