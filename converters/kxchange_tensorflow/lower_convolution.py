"""Lowering of convolutions and pools over windows. TensorFlow's CPU kernels take channels last."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_tensorflow.lowering import largest, output_shape, size_of, vector

Tensor = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[Any, Any], ...]

lower = Table("tensorflow")


def channels_last(x: Tensor, channel_axis: int) -> Tensor:
    """The tensor with its channels behind."""
    if channel_axis != 1:
        return x
    return tf.transpose(x, [0, *range(2, x.shape.rank), 1])


def back(x: Tensor, channel_axis: int) -> Tensor:
    """The inverse of `channels_last`."""
    if channel_axis != 1:
        return x
    return tf.transpose(x, [0, x.shape.rank - 1, *range(1, x.shape.rank - 1)])


def framed(x: Tensor, padding: Pads, value: Any = 0) -> Tensor:
    """Spatial padding of a tensor with its channels behind; negative padding cuts."""
    if all(isinstance(size, int) and size == 0 for pair in padding for size in pair):
        return x
    pairs = [(0, 0), *padding, (0, 0)]
    if not all(isinstance(size, int) and size >= 0 for pair in pairs for size in pair):
        begin = vector([largest(-start, 0) for start, _ in pairs])
        end = vector([size_of(x, axis) - largest(-stop, 0) for axis, (_, stop) in enumerate(pairs)])
        x = tf.strided_slice(x, begin, end, tf.ones((len(pairs),), tf.int64))
    amounts = tf.stack([vector([largest(size, 0) for size in pair]) for pair in pairs])
    return tf.pad(x, amounts, constant_values=tf.constant(value, x.dtype)) if value else tf.pad(x, amounts)


def lifted(x: Tensor, rank: int) -> tuple[Tensor, bool]:
    """One spatial axis as two, because kernels for two are the complete ones."""
    return (tf.expand_dims(x, 1), True) if rank == 1 else (x, False)


def _is_taken(node: Node) -> bool:
    dtype = node.types[0].dtype
    return dtype.is_floating or dtype.bits <= 32


@lower.rule("conv", when=_is_taken)
def convolve(
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
    """A convolution; integers are computed in float64, which holds their sums exactly."""
    if x.dtype.is_integer:
        wide = [None if value is None else tf.cast(value, tf.float64) for value in (x, weight, bias)]
        attrs = {"strides": strides, "padding": padding, "dilations": dilations, "groups": groups}
        return tf.cast(tf.cast(convolve(*wide, **attrs, channel_axis=channel_axis), tf.int64), x.dtype)
    rank = len(strides)
    kernel = tf.transpose(weight, [*range(2, 2 + rank), 1, 0])
    same = is_same(padding, tuple(kernel.shape[:rank]), strides, dilations)
    data = channels_last(x, channel_axis)
    data, flat = lifted(data if same else framed(data, padding), rank)
    if flat:
        kernel, strides, dilations = kernel[None], (1, *strides), (1, *dilations)
    y = _grouped(data, kernel, strides, dilations, groups, "SAME" if same else "VALID")
    y = tf.squeeze(y, [1]) if flat else y
    return back(y if bias is None else y + bias, channel_axis)


def is_same(padding: Pads, window: Sequence[Any], strides: Ints, dilations: Ints) -> bool:
    """Whether the padding is what TensorFlow calls SAME, whatever the size: one convolution then, without a pad."""
    if None in window or set(strides) != {1}:
        return False
    totals = [(size - 1) * step for size, step in zip(window, dilations, strict=True)]
    return tuple(padding) == tuple((total // 2, total - total // 2) for total in totals)


def _grouped(data: Tensor, kernel: Tensor, strides: Ints, dilations: Ints, groups: int, frame: Any) -> Tensor:
    if groups == 1:
        return _plain(data, kernel, strides, dilations, frame)
    channels, square = data.shape[-1], len(set(strides)) == 1 and (strides[0] == 1 or max(dilations) == 1)
    if groups == channels and len(strides) == 2 and square:
        shape = (*kernel.shape[:2], channels, kernel.shape[-1] // channels)
        steps = [1, *strides, 1]
        return tf.nn.depthwise_conv2d(data, tf.reshape(kernel, shape), steps, frame, dilations=list(dilations))
    parts = zip(tf.split(data, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([_plain(part, own, strides, dilations, frame) for part, own in parts], -1)


def _plain(data: Tensor, kernel: Tensor, strides: Ints, dilations: Ints, frame: Any) -> Tensor:
    if max(dilations) > 1 and max(strides) > 1:  # TensorFlow takes one or the other
        y = tf.nn.convolution(data, kernel, padding=frame, dilations=list(dilations))
        return y[(slice(None), *(slice(None, None, step) for step in strides))]
    return tf.nn.convolution(data, kernel, strides=list(strides), padding=frame, dilations=list(dilations))


def _without_dilation(node: Node) -> bool:
    return node.types[0].dtype.is_floating and max(node.attrs["dilations"]) == 1 and node.attrs["groups"] == 1


@lower.rule("conv_transpose", when=_without_dilation)
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Tensor:
    rank = len(strides)
    data, kernel = channels_last(x, channel_axis), tf.transpose(weight, [*range(2, 2 + rank), 1, 0])
    data, flat = lifted(data, rank)
    if flat:
        kernel, strides, padding, output_padding = kernel[None], (1, *strides), ((0, 0), *padding), (0, *output_padding)
    # A window shorter than the stride leaves gaps behind the last one, which belong to the stride, not to the result.
    full = [(size_of(data, axis + 1) - 1) * step + kernel.shape[axis] for axis, step in enumerate(strides)]
    shape = tf.cast(vector([size_of(data, 0), *full, kernel.shape[-2]]), tf.int32)
    y = tf.nn.conv_transpose(data, kernel, shape, list(strides), "VALID")
    ends = [(-before, extra - after) for (before, after), extra in zip(padding, output_padding, strict=True)]
    y = framed(y, tuple(ends))
    y = tf.squeeze(y, [1]) if flat else y
    return back(y if bias is None else y + bias, channel_axis)


def _counted(x: Tensor, window: Ints, strides: Ints, padding: Pads, dilations: Ints, channel_axis: int) -> Pads:
    """The padding with which the windows are as many as inference says: more behind, or less, with `ceil_mode`."""
    counts = output_shape()[2:] if channel_axis == 1 else output_shape()[1:-1]
    offset = 2 if channel_axis == 1 else 1
    axes = zip(counts, window, strides, padding, dilations, strict=True)
    return tuple(
        (before, (count - 1) * stride + dilation * (span - 1) + 1 - size_of(x, axis + offset) - before)
        for axis, (count, span, stride, (before, _), dilation) in enumerate(axes)
    )


@lower.rule("max_pool")
def _(
    x: Tensor, *, window: Ints, strides: Ints, padding: Pads, dilations: Ints, ceil_mode: bool, channel_axis: int
) -> Tensor:
    pads = _counted(x, window, strides, padding, dilations, channel_axis) if ceil_mode else padding
    lowest = -math.inf if x.dtype.is_floating else x.dtype.min
    data = framed(channels_last(x, channel_axis), pads, lowest)
    if max(dilations) > 1 or len(window) == 3 or not x.dtype.is_floating:
        counts = output_shape()[2:] if channel_axis == 1 else output_shape()[1:-1]
        return back(_greatest(data, window, strides, dilations, counts), channel_axis)
    data, flat = lifted(data, len(window))
    found = tf.nn.max_pool2d(
        data, [1, *window] if flat else list(window), [1, *strides] if flat else list(strides), "VALID"
    )
    return back(tf.squeeze(found, [1]) if flat else found, channel_axis)


def _greatest(data: Tensor, window: Ints, strides: Ints, dilations: Ints, counts: tuple[Any, ...]) -> Tensor:
    """The greatest of one strided slice per tap, for what TensorFlow's own pool does not take."""
    from kxchange_tensorflow.lower_elementwise import maximum

    result: Tensor = None
    for tap in np.ndindex(*window):
        cut = [slice(None)]
        for place, dilation, step, count in zip(tap, dilations, strides, counts, strict=True):
            start = place * dilation
            cut.append(slice(start, start + (count - 1) * step + 1, step))
        part = data[tuple(cut)]
        result = part if result is None else maximum(result, part)
    return result


@lower.rule("avg_pool", when=lambda node: len(node.attrs["window"]) in (1, 2, 3))
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
    ones = (1,) * len(window)
    pads = _counted(x, window, strides, padding, ones, channel_axis) if ceil_mode else padding
    data = channels_last(x, channel_axis)
    means = _means(framed(data, pads), window, strides)
    size = float(np.prod(window))
    if divisor is not None:
        return back(means * tf.constant(size / divisor, x.dtype), channel_axis)
    if all(isinstance(s, int) and s == 0 for pair in pads for s in pair) or (count_include_pad and not ceil_mode):
        return back(means, channel_axis)
    counted = tf.ones_like(data[:1, ..., :1])
    inner = padding if count_include_pad else ((0, 0),) * len(window)
    counted = framed(counted, inner, 1)
    outer = tuple((s - i, e - j) for (s, e), (i, j) in zip(pads, inner, strict=True))
    covered = _means(framed(counted, outer), window, strides)
    return back(means / tf.maximum(covered, tf.constant(1 / size, x.dtype)), channel_axis)


def _means(data: Tensor, window: Ints, strides: Ints) -> Tensor:
    if len(window) == 3:  # there is no float64 kernel for three axes; a mean of means over windows of one size is exact
        return _means_of_depth(data, window, strides)
    data, flat = lifted(data, len(window))
    sizes, steps = ((1, *window), (1, *strides)) if flat else (window, strides)
    found = tf.nn.avg_pool2d(data, list(sizes), list(steps), "VALID")
    return tf.squeeze(found, [1]) if flat else found


def _means_of_depth(data: Tensor, window: Ints, strides: Ints) -> Tensor:
    batch, depth, height, width, channels = (size_of(data, axis) for axis in range(5))
    planes = tf.reshape(data, vector([batch * depth, height, width, channels]))
    planes = tf.nn.avg_pool2d(planes, list(window[1:]), list(strides[1:]), "VALID")
    inner = [size_of(planes, 1), size_of(planes, 2)]
    columns = tf.reshape(planes, vector([batch, depth, inner[0] * inner[1], channels]))
    found = tf.nn.avg_pool2d(columns, [window[0], 1], [strides[0], 1], "VALID")
    return tf.reshape(found, vector([batch, size_of(found, 1), *inner, channels]))
