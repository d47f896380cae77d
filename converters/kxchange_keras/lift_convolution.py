"""Convolutions of every kind."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_keras.call import Call
from kxchange_keras.lift_activation import activate
from kxchange_keras.lift_core import BIAS, floating
from kxchange_keras.lift_geometry import (
    channel_axis,
    depthwise_kernel,
    moved_kernel,
    padding_of,
    spatial,
    stored_kernel,
)
from kxchange_keras.registry import Weight, layer

Sizes = tuple[int, ...]


@layer(
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Convolution1D",
    "Convolution2D",
    "Convolution3D",
    weights=("kernel", BIAS),
)
def _(call: Call, x: Value) -> Value:
    x, kernel = floating(call, x), stored_kernel(call, call.weight("kernel"))
    y = windowed(call, x, kernel, int(call.option("groups", 1)), call.optional("bias"))
    return activate(call, y, call.option("activation", None))


def windowed(call: Call, x: Value, kernel: Value, groups: int, bias: Value | None) -> Value:
    """The convolution itself; inputs with more than one batch axis are folded into one."""
    rank = kernel.ndim - 2
    strides, dilations = call.axes("strides", rank, 1), call.axes("dilation_rate", rank, 1)
    axis, window = channel_axis(call), tuple(kernel.shape[2:])
    if axis == -1 and x.ndim > rank + 2:
        return _folded(call, x, kernel, groups, bias)
    padding = padding_of(call, spatial(x, axis), window, strides, dilations)
    attrs: dict[str, Any] = {"strides": strides, "padding": padding, "dilations": dilations}
    return ops.conv(x, kernel, bias, **attrs, groups=groups, channel_axis=axis)


def _folded(call: Call, x: Value, kernel: Value, groups: int, bias: Value | None) -> Value:
    """Keras takes several batch axes before the spatial ones."""
    rank = kernel.ndim - 2
    leading = x.shape[: x.ndim - rank - 1]
    count: Any = 1
    for size in leading:
        count = count * size
    flat = windowed(call, ops.reshape(x, shape=(count, *x.shape[len(leading) :])), kernel, groups, bias)
    return ops.reshape(flat, shape=(*leading, *flat.shape[1:]))


def _depthwise_weights(config: Any) -> list[Weight]:
    return [Weight("depthwise_kernel" if config.dialect < 3 else "kernel"), BIAS]


@layer("DepthwiseConv1D", "DepthwiseConv2D", weights=_depthwise_weights)
def _(call: Call, x: Value) -> Value:
    kernel = call.weight(call.layer.weights[0].name)
    y = _channelwise(call, floating(call, x), kernel, call.optional("bias"))
    return activate(call, y, call.option("activation", None))


def _channelwise(call: Call, x: Value, kernel: Value, bias: Value | None) -> Value:
    return windowed(call, x, depthwise_kernel(kernel), int(kernel.shape[-2]), bias)


@layer(
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    weights=("depthwise_kernel", "pointwise_kernel", BIAS),
)
def _(call: Call, x: Value) -> Value:
    y = _channelwise(call, floating(call, x), call.weight("depthwise_kernel"), None)
    pointwise = moved_kernel(call.weight("pointwise_kernel"))
    ones, none = (1,) * (pointwise.ndim - 2), ((0, 0),) * (pointwise.ndim - 2)
    y = ops.conv(
        y, pointwise, call.optional("bias"), strides=ones, padding=none, dilations=ones, channel_axis=channel_axis(call)
    )
    return activate(call, y, call.option("activation", None))


@layer(
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Convolution1DTranspose",
    "Convolution2DTranspose",
    "Convolution3DTranspose",
    weights=("kernel", BIAS),
)
def _(call: Call, x: Value) -> Value:
    kernel = stored_kernel(call, call.weight("kernel"))
    y = spread(call, floating(call, x), kernel, call.optional("bias"))
    return activate(call, y, call.option("activation", None))


def spread(call: Call, x: Value, kernel: Value, bias: Value | None) -> Value:
    """A transposed convolution; "same" crops as TensorFlow does (trap C05)."""
    rank = kernel.ndim - 2
    strides, dilations = call.axes("strides", rank, 1), call.axes("dilation_rate", rank, 1)
    extra = call.option("output_padding", None)
    added = (None,) * rank if extra is None else call.axes("output_padding", rank)
    same = str(call.option("padding", "valid")).lower() == "same"
    window = tuple(kernel.shape[2:])
    axes = [
        _crop(dilation * (tap - 1) + 1, stride, more, same=same)
        for tap, stride, dilation, more in zip(window, strides, dilations, added, strict=True)
    ]
    return ops.conv_transpose(
        x,
        kernel,
        bias,
        strides=strides,
        padding=tuple(pair for pair, _ in axes),
        output_padding=tuple(behind for _, behind in axes),
        dilations=dilations,
        channel_axis=channel_axis(call),
    )


def _crop(span: int, stride: int, more: int | None, *, same: bool) -> tuple[tuple[int, int], int]:
    """What is cut before and after the full result, whose length is ``(size - 1) * stride + span``, or added behind."""
    if more is None:
        excess = span - stride if same else min(span - stride, 0)
    else:
        excess = 2 * (span // 2) - more if same else -more
    if excess <= 0:
        return (0, 0), -excess
    return (excess // 2, excess - excess // 2), 0
