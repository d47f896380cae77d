"""`keras.ops` by class of operation: layers without weights of their own."""

from __future__ import annotations

import math
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.decoding import integers
from kxchange_keras.lift_attention import fitting_mask
from kxchange_keras.lift_convolution import spread, windowed
from kxchange_keras.lift_geometry import channel_axis, depthwise_kernel, moved_kernel, padding_of, spatial
from kxchange_keras.lift_reshaping import resized
from kxchange_keras.promotion import axes_of, dtype_named, float_of, floats_of, promoted, value_of
from kxchange_keras.registry import operation


@operation("MaxPool", "AveragePool")
def _(call: Call, inputs: Any) -> Value:
    x, axis = value_of(call, inputs), channel_axis(call)
    rank = x.ndim - 2
    window = integers(call.option("pool_size"), rank, "pool_size")
    strides = call.option("strides", None)
    steps = window if strides is None else integers(strides, rank, "strides")
    padding = padding_of(call, spatial(x, axis), window, steps, (1,) * rank)
    if call.config.class_name == "AveragePool":
        return ops.avg_pool(float_of(call, x), window=window, strides=steps, padding=padding, channel_axis=axis)
    ones = (1,) * rank
    return ops.max_pool(x, window=window, strides=steps, padding=padding, dilations=ones, channel_axis=axis)


@operation("AdaptiveMaxPool", "AdaptiveAveragePool")
def _(call: Call, inputs: Any) -> Value:
    x = value_of(call, inputs)
    size = integers(call.option("output_size"), x.ndim - 2, "output_size")
    pool = ops.adaptive_max_pool if call.config.class_name == "AdaptiveMaxPool" else ops.adaptive_avg_pool
    return pool(x, output_size=size, channel_axis=channel_axis(call))


@operation("Conv")
def _(call: Call, inputs: Any, kernel: Any) -> Value:
    x, weight = promoted(call, value_of(call, inputs), value_of(call, kernel))
    channels = x.shape[channel_axis(call)]
    groups = channels // weight.shape[-2]
    if not isinstance(groups, int):
        call.refuse("its number of groups is unknown")
    return windowed(call, x, moved_kernel(weight), groups, None)


@operation("DepthwiseConv")
def _(call: Call, inputs: Any, kernel: Any) -> Value:
    x, weight = promoted(call, value_of(call, inputs), value_of(call, kernel))
    return windowed(call, x, depthwise_kernel(weight), int(weight.shape[-2]), None)


@operation("SeparableConv")
def _(call: Call, inputs: Any, depthwise: Any, pointwise: Any) -> Value:
    x, first, second = promoted(call, *(value_of(call, item) for item in (inputs, depthwise, pointwise)))
    y = windowed(call, x, depthwise_kernel(first), int(first.shape[-2]), None)
    ones, none = (1,) * (second.ndim - 2), ((0, 0),) * (second.ndim - 2)
    return ops.conv(
        y, moved_kernel(second), strides=ones, padding=none, dilations=ones, channel_axis=channel_axis(call)
    )


@operation("ConvTranspose")
def _(call: Call, inputs: Any, kernel: Any) -> Value:
    x, weight = promoted(call, value_of(call, inputs), value_of(call, kernel))
    return spread(call, x, moved_kernel(weight), None)


@operation("BatchNorm")
def _(call: Call, x: Any, mean: Any, variance: Any, offset: Any = None, scale: Any = None) -> Value:
    given = [item for item in (mean, variance, scale, offset) if item is not None]
    value, *vectors = promoted(call, value_of(call, x), *(value_of(call, item) for item in given), floating=True)
    rest = iter(vectors)
    operands = [None if item is None else next(rest) for item in (mean, variance, scale, offset)]
    axis = call.option("axis")
    axis = int(axis[0] if isinstance(axis, list | tuple) else axis)
    axis = -1 if axis % value.ndim == value.ndim - 1 else axis
    return ops.batch_norm(value, *operands, epsilon=float(call.option("epsilon", 1e-3)), channel_axis=axis)


def _trailing(axes: tuple[int, ...], rank: int) -> bool:
    return tuple(sorted(axes)) == tuple(range(rank - len(axes), rank))


@operation("LayerNorm")
def _(call: Call, x: Any, gamma: Any = None, beta: Any = None) -> Value:
    value = float_of(call, x)
    axes = axes_of(call.option("axis", -1), value.ndim)
    stated = call.option("epsilon", None)
    epsilon = 1e-7 if stated is None else float(stated)
    if call.option("rms_scaling", False) or not _trailing(axes, value.ndim):
        call.refuse("it normalises over axes that are not the last, or by the variance alone")
    vectors = [None if item is None else cast(value_of(call, item), value.dtype) for item in (gamma, beta)]
    return ops.layer_norm(value, *vectors, axes=len(axes), epsilon=epsilon)


@operation("RMSNorm")
def _(call: Call, x: Any, scale: Any = None) -> Value:
    value = float_of(call, x)
    axes = axes_of(call.option("axis", -1), value.ndim)
    stated = call.option("epsilon", None)
    if not _trailing(axes, value.ndim):
        call.refuse("it normalises over axes that are not the last")
    factor = None if scale is None else cast(value_of(call, scale), value.dtype)
    return ops.rms_norm(value, factor, axes=len(axes), epsilon=1e-7 if stated is None else float(stated))


@operation("Normalize")
def _(call: Call, x: Any) -> Value:
    value, order = float_of(call, x), call.option("order", 2)
    axes = axes_of(call.option("axis", -1), value.ndim)
    stated = call.option("epsilon", None)
    epsilon = 1e-7 if stated is None else float(stated)
    if order == 2:
        return ops.l2_normalize(value, axis=axes, epsilon=epsilon)
    if order not in (1, math.inf, "inf"):
        call.refuse(f"its order {order!r} has no rule")
    size = ops.abs(value)
    norm = (ops.sum if order == 1 else ops.max)(size, axis=axes, keepdims=True)
    return ops.divide(value, ops.maximum(norm, epsilon))


@operation("DotProductAttention")
def _(call: Call, query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: Any = None) -> Value:
    if call.option("attn_logits_soft_cap", None) is not None:
        call.refuse("it caps its scores")
    given = promoted(call, *(value_of(call, item) for item in (query, key, value)), floating=True)
    turned = [ops.permute_dims(item, axes=(0, 2, 1, 3)) for item in given]
    added = None if bias is None else cast(value_of(call, bias), turned[0].dtype)
    if mask is not None:
        kept = fitting_mask(cast(value_of(call, mask), DType.BOOL), turned[0].dtype, fused=True, dialect=3)
        added = kept if added is None else ops.add(added, kept)
    how: dict[str, Any] = {"is_causal": bool(call.option("is_causal", False))}
    if scale is not None:
        how["scale"] = float(scale)
    return ops.permute_dims(ops.scaled_dot_product_attention(*turned, added, **how), axes=(0, 2, 1, 3))  # pyright: ignore[reportCallIssue]


@operation("MultiHot")
def _(call: Call, inputs: Any) -> Value:
    stated = call.option("dtype", None)
    dtype = floats_of(call) if stated is None else dtype_named(call, stated)
    x, axis = value_of(call, inputs), int(call.option("axis", -1))
    rows = ops.one_hot(x, depth=int(call.option("num_classes")), axis=axis, dtype=dtype)
    return ops.max(rows, axis=(1 if x.ndim > 1 else 0,))


@operation("Resize")
def _(call: Call, images: Any) -> Value:
    if call.option("crop_to_aspect_ratio", False) or call.option("pad_to_aspect_ratio", False):
        call.refuse("it keeps the aspect ratio")
    x, antialias = value_of(call, images), bool(call.option("antialias", False))
    size = integers(call.option("size"), 2, "size")
    axis = channel_axis(call)
    unbatched = x.ndim == 3
    x = ops.expand_dims(x, axis=(0,)) if unbatched else x
    y = resized(call, x, size, str(call.option("interpolation", "bilinear")), axis, antialias=antialias)
    return ops.squeeze(y, axis=(0,)) if unbatched else y


@operation("DepthToSpace", "SpaceToDepth")
def _(call: Call, x: Any) -> Value:
    move = ops.depth_to_space if call.config.class_name == "DepthToSpace" else ops.space_to_depth
    return move(value_of(call, x), block_size=int(call.option("block_size")), channel_axis=channel_axis(call))


@operation("RGBToGrayscale")
def _(call: Call, images: Any) -> Value:
    x, axis = float_of(call, images), channel_axis(call)
    axis = -3 if axis == 1 else -1
    parts = ops.split(x, sizes=(1, 1, 1), axis=axis)
    red, green, blue = (ops.multiply(part, share) for part, share in zip(parts, (0.2989, 0.5870, 0.1140), strict=True))
    return ops.add(ops.add(red, green), blue)
