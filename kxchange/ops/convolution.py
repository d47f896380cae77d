"""Convolutions over one to three spatial axes.

Kernels are always out, in, spatial (in, out, spatial for the transposed form), whatever `channel_axis` says of the
input and the output: 1 (batch, channels, *spatial) or -1 (batch, *spatial, channels).
"""

from __future__ import annotations

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.joining import pad
from kxchange.ops.manipulation import permute_dims, reshape
from kxchange.ops.operands import require_numeric, same_dtype
from kxchange.ops.slicing import flip, slice_
from kxchange.ops.spatial import Dims, Ints, Pads, arranged, spatial_axes, window_dims, windowed_sizes
from kxchange.ops.window import Array, place, spans, window_counts, windows
from kxchange.shapes import conv_transpose_output, require_divides, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    /,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int = 1,
    channel_axis: int = 1,
) -> Tensor:
    """Cross-correlation, the "convolution" of neural networks: the kernel is not flipped.

    ``y[n, o, i] = bias[o] + sum over c, k of weight[o, c, k] * x[n, g * C/groups + c, i * stride + k * dilation
    - before]``, with g the group of output channel o and zeros outside of x.

    Args:
        x: Input, [batch, channels, *spatial] (or channels last), one to three spatial axes.
        weight: Kernel, [out_channels, channels / groups, *window].
        bias: [out_channels].
        strides: Steps between windows, one per spatial axis.
        padding: Zeros (before, after) each spatial axis; may be symbolic ("same" on a symbolic size, trap C03);
            negative entries crop.
        dilations: Steps between taps of the kernel.
        groups: Channels are split into this many groups that do not mix.
        channel_axis: 1 or -1.

    Returns:
        [batch, out_channels, *counts] in the layout of x, ``count = (size + before + after - dilation *
        (window - 1) - 1) // stride + 1``.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    batch, channels, *sizes = moved.shape
    counts = window_counts(sizes, spans(weight.shape[2:], dilations), strides, padding)
    patches = windows(moved, weight.shape[2:], strides, dilations, [before for before, _ in padding], counts)
    rank = len(counts)
    order = (0, 1, *range(2 + rank, 2 + 2 * rank), *range(2, 2 + rank))
    columns = patches.transpose(order).reshape(batch, groups, channels // groups * _volume(weight), _product(counts))
    kernel = weight.reshape(groups, weight.shape[0] // groups, columns.shape[2])
    return _finish((kernel @ columns).reshape(batch, weight.shape[0], *counts), bias, channel_axis)


@conv.infer
def _(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None,
    /,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> TensorType:
    sizes = windowed_sizes(x, channel_axis, strides=strides, padding=padding, dilations=dilations)
    channels = _checked_channels(x, weight, bias, weight.shape[:1], groups, channel_axis)
    require_equal(channels, weight.shape[1] * groups, f"input channels of a kernel in {groups} groups")
    require_divides(groups, weight.shape[0], "output channels in groups")
    counts = window_dims(sizes, _window(weight), strides, padding, dilations)
    return x.with_shape(arranged(x.shape[0], weight.shape[0], counts, channel_axis))


def _checked_channels(
    x: TensorType, weight: TensorType, bias: TensorType | None, produced: Dims, groups: int, channel_axis: int
) -> Dim:
    """The input's channels, after the checks that both convolutions make."""
    same_dtype(x, weight, bias)
    require_numeric(x, "x")
    if weight.rank != x.rank:
        raise TypeInferenceError(f"the kernel must have as many axes as the input, {x.rank}, not {weight.rank}.")
    if groups < 1:
        raise TypeInferenceError(f"groups must be at least 1, not {groups}.")
    if bias is not None:
        if bias.rank != 1:
            raise TypeInferenceError(f"bias must have 1 axis, not {bias.rank}.")
        require_equal(bias.shape[0], produced[0], "bias and output channels")
    return require_divides(groups, x.shape[channel_axis], "input channels in groups") * groups


def _window(weight: TensorType) -> Ints:
    window = tuple(size for size in weight.shape[2:] if isinstance(size, int))
    if len(window) < weight.rank - 2:
        raise TypeInferenceError(f"the window of a kernel cannot be symbolic ({weight}).")
    return window


@op
def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    /,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int = 1,
    channel_axis: int = 1,
) -> Tensor:
    """Transposed convolution: the gradient of `conv` with respect to its input (traps C04, C05).

    Every input element adds ``x * weight`` to the output at ``i * stride + k * dilation - before``.

    Args:
        x: Input, [batch, channels, *spatial] (or channels last), one to three spatial axes.
        weight: Kernel, [channels, out_channels / groups, *window].
        bias: [out_channels].
        strides: Steps between the places that neighbouring input elements add to.
        padding: Elements cropped (before, after) each spatial axis of the full result; may be symbolic; negative
            entries add zeros.
        output_padding: Elements appended behind each spatial axis, as if less had been cropped there.
        dilations: Steps between taps of the kernel.
        groups: Channels are split into this many groups that do not mix.
        channel_axis: 1 or -1.

    Returns:
        [batch, out_channels, *lengths] in the layout of x, ``length = (size - 1) * stride - before - after +
        dilation * (window - 1) + 1 + output_padding``.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    reach = spans(weight.shape[2:], dilations)
    full = _spread(moved, weight, strides, dilations, groups)
    lengths = [
        (size - 1) * stride + span - before - after + extra
        for size, stride, span, (before, after), extra in zip(
            moved.shape[2:], strides, reach, padding, output_padding, strict=True
        )
    ]
    return _finish(place(full, [-before for before, _ in padding], lengths, 0), bias, channel_axis)


@conv_transpose.infer
def _(
    x: TensorType,
    weight: TensorType,
    bias: TensorType | None,
    /,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> TensorType:
    per_axis = {"strides": strides, "padding": padding, "dilations": dilations, "output_padding": output_padding}
    sizes = windowed_sizes(x, channel_axis, **per_axis)
    produced = weight.shape[1] * groups if weight.rank > 1 else 0
    channels = _checked_channels(x, weight, bias, (produced,), groups, channel_axis)
    require_equal(channels, weight.shape[0], "input channels of a kernel")
    axes = zip(sizes, _window(weight), strides, dilations, padding, output_padding, strict=True)
    lengths = tuple(
        conv_transpose_output(size, window, stride, dilation, before, after, extra)
        for size, window, stride, dilation, (before, after), extra in axes
    )
    return x.with_shape(arranged(x.shape[0], produced, lengths, channel_axis))


def _spread(x: Array, weight: Array, strides: tuple[int, ...], dilations: tuple[int, ...], groups: int) -> Array:
    """The full transposed convolution: one product, then one strided addition per tap of the kernel."""
    batch, channels, *sizes = x.shape
    window = weight.shape[2:]
    kernel = weight.reshape(groups, channels // groups, weight.shape[1] * _volume(weight))
    columns = kernel.transpose(0, 2, 1) @ x.reshape(batch, groups, channels // groups, _product(sizes))
    columns = columns.reshape(batch, groups * weight.shape[1], *window, *sizes)
    steps = [(size - 1) * stride + 1 for size, stride in zip(sizes, strides, strict=True)]
    lengths = [step + span - 1 for step, span in zip(steps, spans(window, dilations), strict=True)]
    full = np.zeros((*columns.shape[:2], *lengths), dtype=columns.dtype)
    for tap in np.ndindex(*window):
        starts = [index * dilation for index, dilation in zip(tap, dilations, strict=True)]
        places = [slice(start, start + step, s) for start, step, s in zip(starts, steps, strides, strict=True)]
        full[(..., *places)] += columns[(slice(None), slice(None), *tap)]
    return full


@conv_transpose.decompose
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    /,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Value:
    reach = spans(_window(weight.type), dilations)
    around = tuple(
        (span - 1 - before, span - 1 - after + extra)
        for span, (before, after), extra in zip(reach, padding, output_padding, strict=True)
    )
    return conv(
        _interleaved(x, strides, channel_axis),
        _turned(weight, groups),
        bias,
        strides=(1,) * len(strides),
        padding=around,
        dilations=dilations,
        groups=groups,
        channel_axis=channel_axis,
    )


def _interleaved(x: Value, strides: Ints, channel_axis: int) -> Value:
    """Put ``stride - 1`` zeros between neighbours along each spatial axis."""
    axes = spatial_axes(x.type, channel_axis)
    if set(strides) == {1}:
        return x
    step = dict(zip(axes, strides, strict=True))
    split = [part for axis, size in enumerate(x.shape) for part in ((size, 1) if axis in step else (size,))]
    behind = [(0, more) for axis in range(x.ndim) for more in ((0, step[axis] - 1) if axis in step else (0,))]
    wide = tuple(size * step.get(axis, 1) for axis, size in enumerate(x.shape))
    spread = reshape(pad(reshape(x, shape=tuple(split)), padding=tuple(behind)), shape=wide)
    stops = tuple((x.shape[axis] - 1) * step[axis] + 1 for axis in axes)
    return slice_(spread, starts=(0,) * len(axes), stops=stops, steps=(1,) * len(axes), axes=axes)


def _turned(weight: Value, groups: int) -> Value:
    """The kernel of the equal `conv`: in and out exchanged within each group, every spatial axis reversed."""
    channels, produced, *window = weight.shape
    spatial = tuple(range(2, weight.ndim))
    if groups == 1:
        return flip(permute_dims(weight, axes=(1, 0, *spatial)), axis=spatial)
    split = reshape(weight, shape=(groups, channels // groups, produced, *window))
    exchanged = permute_dims(split, axes=(0, 2, 1, *(axis + 1 for axis in spatial)))
    return flip(reshape(exchanged, shape=(produced * groups, channels // groups, *window)), axis=spatial)


def _finish(y: Array, bias: Array | None, channel_axis: int) -> Array:
    if bias is not None:
        y = y + bias.reshape(-1, *(1,) * (y.ndim - 2))
    return np.moveaxis(y, 1, channel_axis)


def _volume(weight: Array) -> int:
    return _product(weight.shape[2:])


def _product(sizes: tuple[int, ...] | list[int]) -> int:
    return int(np.prod(sizes, dtype=np.int64))
