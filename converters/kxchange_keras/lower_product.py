"""Lowering of activations, matrix products, convolutions with computed kernels, and pools."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_keras.lower_elementwise import widened
from kxchange_keras.lower_reduction import in_float32
from kxchange_keras.lowering import is_static, operand_dims, output_type
from kxchange_keras.plans_conv import is_last
from kxchange_keras.windows_out import framed, named_padding

Tensor = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[Any, Any], ...]
ops: Any = keras.ops
lower = Table("keras")


def _floating(node: Node) -> bool:
    return node.types[0].dtype.is_floating


def _is_exact(node: Node) -> bool:
    """TensorFlow's own rounds the constants of the formula to float32."""
    return _floating(node) and node.types[0].dtype.bits <= 32


for _name, _call in {"relu": ops.relu, "relu6": ops.relu6, "softsign": ops.softsign, "silu": ops.silu}.items():
    lower.rule(_name, when=_floating)(in_float32(_call))
lower.direct(sigmoid=in_float32(ops.sigmoid), selu=in_float32(ops.selu), log_sigmoid=in_float32(ops.log_sigmoid))
lower.direct(hard_swish=in_float32(ops.hard_silu), tanh_shrink=in_float32(ops.tanh_shrink))


@lower.rule("gelu", when=lambda node: _is_exact(node))
@in_float32
def _(x: Tensor, *, approximate: str) -> Tensor:
    return ops.gelu(x, approximate=approximate == "tanh")


@lower.rule("elu")
@in_float32
def _(x: Tensor, *, alpha: float) -> Tensor:
    return ops.elu(x, alpha=alpha)


@lower.rule("leaky_relu", when=lambda node: _is_exact(node))
@in_float32
def _(x: Tensor, *, negative_slope: float) -> Tensor:
    return ops.leaky_relu(x, negative_slope=negative_slope)


@lower.rule("softplus", when=lambda node: node.attrs["beta"] == 1.0 and node.attrs["threshold"] == math.inf)
@in_float32
def _(x: Tensor, *, beta: float, threshold: float) -> Tensor:
    return ops.softplus(x)


@lower.rule("softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Tensor, *, axis: int) -> Tensor:
    return ops.softmax(x, axis=axis)


@lower.rule("log_softmax", when=lambda node: bool(node.types[0].rank))
@in_float32
def _(x: Tensor, *, axis: int) -> Tensor:
    return ops.log_softmax(x, axis=axis)


@lower.rule("matmul")
@widened
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return ops.matmul(x1, x2)


@lower.rule("linear")
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = widened(ops.matmul)(x, ops.transpose(weight))
    return product if bias is None else widened(ops.add)(product, bias)


@lower.rule("einsum", when=_floating)
def _(*xs: Tensor, equation: str) -> Tensor:
    return ops.einsum(equation, *xs)


@lower.rule("conv", when=lambda node: is_last(node) and _floating(node))
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Tensor:
    rank, window = len(strides), tuple(int(str(size)) for size in operand_dims(1)[2:])
    stated = named_padding(operand_dims()[1:-1], window, strides, dilations, padding)
    data = x if stated else framed(x, padding, dims=operand_dims())
    kernel = ops.transpose(weight, (*range(2, 2 + rank), 1, 0))
    attrs: dict[str, Any] = {"strides": strides, "padding": stated or "valid", "dilation_rate": dilations}
    if max(strides) > 1 and max(dilations) > 1:
        data = data if not stated or stated == "valid" else framed(x, padding, dims=operand_dims())
        attrs |= {"strides": 1, "padding": "valid"}
    data, kernel = ([whole] if groups == 1 else ops.split(whole, groups, -1) for whole in (data, kernel))
    found = [ops.conv(part, own, **attrs, data_format="channels_last") for part, own in zip(data, kernel, strict=True)]
    y = ops.concatenate(found, axis=-1) if groups > 1 else found[0]
    if attrs["strides"] == 1 and max(strides) > 1:
        y = ops.get_item(y, (slice(None), *(slice(None, None, step) for step in strides)))
    return y if bias is None else ops.add(y, bias)


@lower.rule("max_pool", when=lambda node: is_last(node))
def _(
    x: Tensor, *, window: Ints, strides: Ints, padding: Pads, dilations: Ints, ceil_mode: bool, channel_axis: int
) -> Tensor:
    stated = named_padding(operand_dims()[1:-1], window, strides, dilations, padding)
    dtype = output_type().dtype
    has_kernel = dtype.is_floating and max(dilations) == 1 and (len(window) < 3 or dtype.bits <= 32)
    if stated and not ceil_mode and has_kernel:
        return _layer("MaxPooling", window, strides, stated)(x)
    lowest = -math.inf if dtype.is_floating else int(np.iinfo(dtype.numpy).min)
    counts = output_type().shape[1:-1]
    pads = _covering(padding, window, strides, dilations, counts) if is_static(counts) else padding
    data = framed(x, pads, lowest, operand_dims())
    if has_kernel and (is_static(counts) or not ceil_mode):
        return _layer("MaxPooling", window, strides, "valid")(data)
    return _greatest(data, window, strides, dilations)


def _covering(padding: Pads, window: Ints, strides: Ints, dilations: Ints, counts: Any) -> Pads:
    """The padding with which the windows are as many as inference says: more behind, or less, with `ceil_mode`."""
    axes = zip(padding, window, strides, dilations, counts, operand_dims()[1:-1], strict=True)
    return tuple(
        (before, (count - 1) * stride + dilation * (span - 1) + 1 - length - before)
        for (before, _), span, stride, dilation, count, length in axes
    )


def _layer(kind: str, window: Ints, strides: Ints, padding: str) -> Any:
    layer = getattr(keras.layers, f"{kind}{len(window)}D")
    return layer(window, strides=strides, padding=padding, data_format="channels_last", dtype=output_type().dtype.value)


def _greatest(data: Tensor, window: Ints, strides: Ints, dilations: Ints) -> Tensor:
    """The greatest of one strided slice per tap, for what Keras's own pool does not take."""
    result: Tensor = None
    for tap in np.ndindex(*window):
        cut: list[slice] = [slice(None)]
        for place, dilation, step, span in zip(tap, dilations, strides, window, strict=True):
            behind = (span - 1 - place) * dilation
            cut.append(slice(place * dilation, -behind or None, step))
        part = ops.get_item(data, tuple(cut))
        result = part if result is None else widened(ops.maximum)(result, part)
    return result


def _plain_mean(node: Node) -> bool:
    if len(node.attrs["window"]) == 3 and node.types[0].dtype.bits > 32:  # TensorFlow has no such kernel on the CPU
        return False
    return is_last(node) and _floating(node) and not node.attrs["ceil_mode"] and node.attrs["divisor"] is None


@lower.rule("avg_pool", when=_plain_mean)
def _(
    x: Tensor,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> Tensor:
    stated = named_padding(operand_dims()[1:-1], window, strides, (1,) * len(window), padding)
    if stated == "valid" or (stated and not count_include_pad):
        return _layer("AveragePooling", window, strides, stated)(x)
    means = _layer("AveragePooling", window, strides, "valid")(framed(x, padding, dims=operand_dims()))
    if count_include_pad:
        return means
    ones = ops.ones_like(ops.get_item(x, (slice(0, 1), Ellipsis, slice(0, 1))))
    covered = _layer("AveragePooling", window, strides, "valid")(
        framed(ones, padding, dims=(1, *operand_dims()[1:-1], 1))
    )
    return ops.divide(means, covered)
