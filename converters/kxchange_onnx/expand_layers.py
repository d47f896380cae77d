"""Layers in forms that ONNX's own do not have: channels last, symbolic paddings, float64 convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange.dims import Dim, dim_max
from kxchange.graph import Node, Value
from kxchange.ops.arithmetic import add, divide, maximum, minimum, multiply, subtract
from kxchange.ops.attention import scaled_dot_product_attention
from kxchange.ops.conversion import astype
from kxchange.ops.convolution import conv
from kxchange.ops.creation import arange, full
from kxchange.ops.group_normalization import instance_norm
from kxchange.ops.indexing import take
from kxchange.ops.joining import integer_range, pad
from kxchange.ops.linalg import matmul
from kxchange.ops.manipulation import expand_dims, permute_dims, reshape, squeeze
from kxchange.ops.normalization import affine
from kxchange.ops.pooling import avg_pool
from kxchange.ops.reduction import max_, sum_
from kxchange.ops.slicing import slice_
from kxchange.ops.spatial import spatial_sizes, window_dims
from kxchange.ops.window import spans
from kxchange.shapes import product, require_divides
from kxchange.spec import REGISTRY
from kxchange.table import Table
from kxchange.types import DType

TABLE = Table("onnx")
Dims = tuple[Dim, ...]
Ints = tuple[int, ...]
Pads = tuple[tuple[Dim, Dim], ...]


def channels_last(node: Node) -> bool:
    """Whether the channels are the last axis of a batch with spatial axes."""
    return node.attrs["channel_axis"] == -1 and len(node.types[0].shape) > 2


def channels_in_front(name: str, x: Value, *operands: Value | None, **attrs: Any) -> Value:
    """The op on the transposed input, and the result transposed back."""
    forth = (0, x.ndim - 1, *range(1, x.ndim - 1))
    back = (0, *range(2, x.ndim), 1)
    result = REGISTRY[name](permute_dims(x, axes=forth), *operands, **{**attrs, "channel_axis": 1})
    return permute_dims(result, axes=back)


for _name in ("conv_transpose", "resize", "depth_to_space", "space_to_depth", "instance_norm"):

    def _transposed(*operands: Any, _name: str = _name, **attrs: Any) -> Value:
        return channels_in_front(_name, *operands, **attrs)

    TABLE.rule(_name, when=channels_last)(_transposed)


@TABLE.rule("group_norm")
def _(x: Value, scale: Value | None, bias: Value | None, *, groups: int, epsilon: float, channel_axis: int) -> Value:
    # ONNX defines GroupNormalization by E[x^2] - E[x]^2, and ONNX Runtime computes just that: all digits are lost where
    # the mean is large beside the deviation. An instance norm over each group keeps them.
    if channel_axis == -1 and x.ndim > 2:
        attrs = {"groups": groups, "epsilon": epsilon, "channel_axis": channel_axis}
        return channels_in_front("group_norm", x, scale, bias, **attrs)
    batch, channels, *space = x.shape
    rows = reshape(x, shape=(batch, groups, require_divides(groups, channels, "channels in groups") * product(space)))
    return affine(reshape(instance_norm(rows, epsilon=epsilon), shape=x.shape), scale, bias, channel_axis)


@TABLE.rule("conv")
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Value:
    attrs: dict[str, Any] = {"strides": strides, "dilations": dilations, "groups": groups}
    if channel_axis == -1:
        return channels_in_front("conv", x, weight, bias, padding=padding, **attrs)
    if any(pair != (0, 0) for pair in padding) and not _plain(padding):
        framed = frame(x, padding, 0.0)
        none = ((0, 0),) * len(padding)
        return conv(framed, weight, bias, padding=none, channel_axis=1, **attrs)
    return _unfolded_conv(frame(x, padding, 0.0), weight, bias, strides, dilations, groups)


def _plain(padding: Pads) -> bool:
    return all(isinstance(end, int) and end >= 0 for pair in padding for end in pair)


def frame(x: Value, padding: Pads, fill: float) -> Value:
    """Pad, or crop where negative, the trailing axes."""
    lead = x.ndim - len(padding)
    added = tuple((dim_max(before, 0), dim_max(after, 0)) for before, after in padding)
    if any(pair != (0, 0) for pair in added):
        x = pad(x, padding=((0, 0),) * lead + added, mode="constant", value=fill)
    cut = [(dim_max(0 - before, 0), dim_max(0 - after, 0)) for before, after in padding]
    axes = [axis for axis, pair in enumerate(cut) if pair != (0, 0)]
    if not axes:
        return x
    starts = tuple(cut[axis][0] for axis in axes)
    stops = tuple(x.shape[lead + axis] - cut[axis][1] for axis in axes)
    return slice_(x, starts=starts, stops=stops, steps=(1,) * len(axes), axes=tuple(lead + axis for axis in axes))


def unfolded(x: Value, window: Ints, strides: Ints, dilations: Ints, counts: Dims) -> Value:
    """Every window over the trailing axes: [batch, channels, count, taps, count, taps ...]."""
    for axis in reversed(range(len(window))):
        starts = multiply(arange(start=0, stop=counts[axis], step=1, dtype=DType.INT64), strides[axis])
        offsets = arange(start=0, stop=window[axis] * dilations[axis], step=dilations[axis], dtype=DType.INT64)
        x = take(x, add(expand_dims(starts, axis=(1,)), offsets), axis=axis + 2, mode="error")
    return x


def _unfolded_conv(x: Value, weight: Value, bias: Value | None, strides: Ints, dilations: Ints, groups: int) -> Value:
    """A convolution as one matrix product per group: ONNX Runtime convolves float32 only."""
    out, inner, *window = weight.shape
    rank = len(window)
    none = ((0, 0),) * rank
    counts = window_dims(x.shape[2:], tuple(window), strides, none, dilations)
    view = unfolded(x, tuple(window), strides, dilations, counts)
    taps, places = tuple(range(3, 3 + 2 * rank, 2)), tuple(range(2, 2 + 2 * rank, 2))
    moved = permute_dims(view, axes=(0, 1, *taps, *places))
    depth = inner * int(np.prod(window))
    columns = reshape(moved, shape=(x.shape[0], groups, depth, product(counts)))
    kernel = reshape(weight, shape=(groups, out // groups, depth))
    y = reshape(matmul(kernel, columns), shape=(x.shape[0], out, *counts))
    return y if bias is None else add(y, reshape(bias, shape=(out, *(1,) * rank)))


@TABLE.rule("max_pool")
def _(
    x: Value,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    ceil_mode: bool,
    channel_axis: int,
) -> Value:
    if channel_axis == -1:
        sizes: dict[str, Any] = {"window": window, "strides": strides, "padding": padding, "dilations": dilations}
        return channels_in_front("max_pool", x, ceil_mode=ceil_mode, **sizes)
    counts = window_dims(spatial_sizes(x.type, 1), window, strides, padding, dilations, ceil_mode=ceil_mode)
    lowest = -math.inf if x.dtype.is_floating else integer_range(x.dtype)[0]
    reach = spans(window, dilations)
    framed = frame(x, _reaching(x.shape[2:], padding, counts, strides, reach), lowest)
    view = unfolded(framed, window, strides, dilations, counts)
    return max_(view, axis=tuple(range(3, view.ndim, 2)), keepdims=False)


def _reaching(sizes: Sequence[Dim], padding: Pads, counts: Dims, strides: Ints, reach: Ints) -> Pads:
    """The padding in front, and behind as much as the last window needs."""
    axes = zip(sizes, padding, counts, strides, reach, strict=True)
    return tuple(
        (before, dim_max(after, (count - 1) * stride + span - size - before))
        for size, (before, after), count, stride, span in axes
    )


@TABLE.rule("avg_pool", when=lambda node: node.attrs["channel_axis"] == -1 or _scaled(node) or _double(node))
def _(
    x: Value,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> Value:
    sizes: dict[str, Any] = {"window": window, "strides": strides, "padding": padding, "ceil_mode": ceil_mode}
    if channel_axis == -1:
        return channels_in_front("avg_pool", x, count_include_pad=count_include_pad, divisor=divisor, **sizes)
    taps = int(np.prod(window))
    if x.dtype is DType.FLOAT64:
        return _unfolded_mean(x, window, strides, padding, ceil_mode, count_include_pad, divisor)
    mean = avg_pool(x, count_include_pad=True, divisor=None, channel_axis=1, **sizes)
    return mean if divisor == taps else multiply(mean, taps / float(divisor or taps))


def _scaled(node: Node) -> bool:
    return node.attrs["divisor"] is not None and not node.attrs["ceil_mode"]


def _double(node: Node) -> bool:
    return node.types[0].dtype is DType.FLOAT64


def _unfolded_mean(
    x: Value, window: Ints, strides: Ints, padding: Pads, ceil_mode: bool, include: bool, divisor: int | None
) -> Value:
    ones = (1,) * len(window)
    counts = window_dims(spatial_sizes(x.type, 1), window, strides, padding, ones, ceil_mode=ceil_mode)
    reaching = _reaching(x.shape[2:], padding, counts, strides, window)
    view = unfolded(frame(x, reaching, 0.0), window, strides, ones, counts)
    taps = tuple(range(3, view.ndim, 2))
    sums = sum_(view, axis=taps, keepdims=False)
    if divisor is not None:
        return divide(sums, float(divisor))
    return divide(sums, _covered(x, window, strides, padding, counts, include))


def _covered(x: Value, window: Ints, strides: Ints, padding: Pads, counts: Dims, include: bool) -> Value:
    """Elements that each window divides by, at least 1: the product of its extents along the axes."""
    covered = full(shape=(), value=1, dtype=DType.INT64)
    for axis, count in enumerate(counts):
        before, after = padding[axis]
        size = x.shape[2 + axis]
        starts = subtract(multiply(arange(start=0, stop=count, step=1, dtype=DType.INT64), strides[axis]), before)
        stops = minimum(add(starts, window[axis]), size + after if include else size)
        extent = subtract(stops, starts if include else maximum(starts, 0))
        placed = expand_dims(extent, axis=tuple(range(1, len(counts) - axis)))
        covered = multiply(covered, placed)
    return astype(maximum(covered, 1), dtype=x.dtype)


@TABLE.rule("scaled_dot_product_attention", when=lambda node: len(node.types[0].shape) == 3)
def _(query: Value, key: Value, value: Value, mask: Value | None, *, scale: float | None, is_causal: bool) -> Value:
    """Heads without a batch: one of a batch of one."""
    queries, keys, values = (expand_dims(x, axis=(0,)) for x in (query, key, value))
    attended = scaled_dot_product_attention(queries, keys, values, mask, scale=scale, is_causal=is_causal)
    return squeeze(attended, axis=(0,))
