"""Pools: over windows, over everything, and over bins."""

from __future__ import annotations

from collections.abc import Callable

from kxchange import ops
from kxchange.graph import Value
from kxchange_keras.call import Call, cast
from kxchange_keras.decoding import integers
from kxchange_keras.lift_geometry import channel_axis, padding_of, spatial, spatial_axes
from kxchange_keras.registry import layer


def _window(call: Call, x: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = x.ndim - 2
    stated = call.option("pool_size" if "pool_size" in call.config.options else "pool_length", 2)
    window = integers(stated, rank, "pool_size")
    strides = call.option("strides" if "strides" in call.config.options else "stride", None)
    return window, window if strides is None else integers(strides, rank, "strides")


@layer("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D")
def _(call: Call, x: Value) -> Value:
    window, strides = _window(call, x)
    axis, ones = channel_axis(call), (1,) * (x.ndim - 2)
    padding = padding_of(call, spatial(x, axis), window, strides, ones)
    return ops.max_pool(x, window=window, strides=strides, padding=padding, dilations=ones, channel_axis=axis)


@layer("AveragePooling1D", "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D")
def _(call: Call, x: Value) -> Value:
    window, strides = _window(call, x)
    axis = channel_axis(call)
    padding = padding_of(call, spatial(x, axis), window, strides, (1,) * (x.ndim - 2))
    x = x if x.dtype.is_floating else cast(x, call.dtype)
    return ops.avg_pool(x, window=window, strides=strides, padding=padding, count_include_pad=False, channel_axis=axis)


@layer(
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
)
def _(call: Call, x: Value) -> Value:
    return ops.max(x, axis=spatial_axes(x, channel_axis(call)), keepdims=bool(call.option("keepdims", False)))


@layer("GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalAvgPool2D", "GlobalAvgPool3D")
def _(call: Call, x: Value) -> Value:
    return _mean(call, x)


def _mean(call: Call, x: Value) -> Value:
    x = x if x.dtype.is_floating else cast(x, call.dtype)
    return ops.mean(x, axis=spatial_axes(x, channel_axis(call)), keepdims=bool(call.option("keepdims", False)))


@layer("GlobalAveragePooling1D", "GlobalAvgPool1D")
def _(call: Call, x: Value) -> Value:
    """With a mask, the mean of the steps that count."""
    if call.mask is None:
        return _mean(call, x)
    axis, keepdims = channel_axis(call), bool(call.option("keepdims", False))
    steps = 2 if axis == 1 else 1
    weight = ops.expand_dims(ops.astype(call.mask, dtype=x.dtype), axis=(1 if axis == 1 else 2,))
    total = ops.sum(ops.multiply(x, weight), axis=(steps,), keepdims=keepdims)
    return ops.divide(total, ops.sum(weight, axis=(steps,), keepdims=keepdims))


def _adaptive(pool: Callable[..., Value]) -> Callable[..., Value]:
    def rule(call: Call, x: Value) -> Value:
        size = integers(call.option("output_size"), x.ndim - 2, "output_size")
        return pool(x, output_size=size, channel_axis=channel_axis(call))

    return rule


for _rank in (1, 2, 3):
    layer(f"AdaptiveAveragePooling{_rank}D")(_adaptive(ops.adaptive_avg_pool))
    layer(f"AdaptiveMaxPooling{_rank}D")(_adaptive(ops.adaptive_max_pool))
