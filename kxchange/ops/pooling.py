"""Pools over fixed windows; `adaptive_pooling` has those whose windows follow from the output size."""

from __future__ import annotations

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.convolution import conv
from kxchange.ops.creation import full
from kxchange.ops.elementwise import abs_, divide, maximum, pow_
from kxchange.ops.operands import require_floating, require_numeric
from kxchange.ops.spatial import Dims, Ints, Pads, arranged, spatial_sizes, window_dims, windowed_sizes
from kxchange.ops.window import Array, Pairs, spans, window_counts, windows
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def max_pool(
    x: Tensor,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    ceil_mode: bool = False,
    channel_axis: int = 1,
) -> Tensor:
    """Greatest element of each window; padding never wins and NaN always does (trap C12).

    Args:
        x: [batch, channels, *spatial] (or channels last), one to three spatial axes, real numbers.
        window: Taps per spatial axis.
        strides: Steps between windows (the stride of a pool is never implied by its window: trap C13).
        padding: Elements (before, after) each spatial axis; may be symbolic.
        dilations: Steps between taps.
        ceil_mode: Round the number of windows up, but drop a window that would start in the padding behind
            (trap C11).
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *counts] in the layout of x.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    counts = window_counts(moved.shape[2:], spans(window, dilations), strides, padding, ceil_mode=ceil_mode)
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = windows(moved, window, strides, dilations, [before for before, _ in padding], counts, lowest)
    return np.moveaxis(view.max(axis=_last(window)), 1, channel_axis)


@max_pool.infer
def _(
    x: TensorType,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    ceil_mode: bool,
    channel_axis: int,
) -> TensorType:
    require_numeric(x, "x")
    if x.dtype.is_complex:
        raise TypeInferenceError(f"{x.dtype.value} has no order.")
    return _pooled(x, window, strides, padding, dilations, ceil_mode, channel_axis)


def _pooled(
    x: TensorType, window: Ints, strides: Ints, padding: Pads, dilations: Ints, ceil_mode: bool, channel_axis: int
) -> TensorType:
    per_axis = {"window": window, "strides": strides, "padding": padding, "dilations": dilations}
    sizes = windowed_sizes(x, channel_axis, **per_axis)
    counts = window_dims(sizes, window, strides, padding, dilations, ceil_mode=ceil_mode)
    return x.with_shape(arranged(x.shape[0], x.shape[channel_axis], counts, channel_axis))


@op
def avg_pool(
    x: Tensor,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    divisor: int | None = None,
    channel_axis: int = 1,
) -> Tensor:
    """Mean of each window (traps C09, C10).

    Args:
        x: [batch, channels, *spatial] (or channels last), one to three spatial axes, floating.
        window: Taps per spatial axis.
        strides: Steps between windows.
        padding: Zeros (before, after) each spatial axis; may be symbolic.
        ceil_mode: Round the number of windows up, but drop a window that would start in the padding behind; what
            a window covers beyond the padding is never counted.
        count_include_pad: Divide by the elements of the padded input under the window, not only those of x.
        divisor: Divide by this instead.
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *counts] in the layout of x; 0 where a window covers nothing that counts.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    sizes, ones = moved.shape[2:], (1,) * len(window)
    counts = window_counts(sizes, window, strides, padding, ceil_mode=ceil_mode)
    sums = windows(moved, window, strides, ones, [before for before, _ in padding], counts).sum(axis=_last(window))
    covered = divisor or _covered(sizes, window, strides, padding, counts, count_include_pad).astype(x.dtype)
    return np.moveaxis(sums / covered, 1, channel_axis)


def _covered(sizes: Ints, window: Ints, strides: Ints, padding: Pairs, counts: Ints, include: bool) -> Array:
    """Elements that each window divides by, at least 1: the product of its extents along the axes."""
    covered = np.ones((), dtype=np.int64)
    for size, span, stride, (before, after), count in zip(sizes, window, strides, padding, counts, strict=True):
        starts = np.arange(count) * stride - before
        stops = np.minimum(starts + span, size + after if include else size)
        covered = np.multiply.outer(covered, stops - (starts if include else np.maximum(starts, 0)))
    return np.maximum(covered, 1)


@avg_pool.infer
def _(
    x: TensorType,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> TensorType:
    require_floating(x, "x")
    if divisor == 0:
        raise TypeInferenceError("divisor cannot be 0.")
    return _pooled(x, window, strides, padding, (1,) * len(window), ceil_mode, channel_axis)


@avg_pool.decompose
def _(
    x: Value,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> Value:
    channels = x.shape[channel_axis]
    if not isinstance(channels, int):
        raise TypeInferenceError(f"a pool becomes a depthwise conv, whose groups cannot be symbolic ({channels}).")
    framed = _framed(spatial_sizes(x.type, channel_axis), window, strides, padding) if ceil_mode else padding
    sums = _window_sum(x, channels, window, strides, framed, channel_axis)
    if divisor is not None:
        return divide(sums, float(divisor))
    if count_include_pad and not ceil_mode:
        return divide(sums, float(np.prod(window)))
    ones, missing = _ones(x.type, padding if count_include_pad else None, framed, channel_axis)
    return divide(sums, maximum(_window_sum(ones, 1, window, strides, missing, channel_axis), 1.0))


def _window_sum(x: Value, channels: int, window: Ints, strides: Ints, padding: Pads, channel_axis: int) -> Value:
    kernel = full(shape=(channels, 1, *window), value=1.0, dtype=x.dtype)
    ones = (1,) * len(window)
    return conv(x, kernel, strides=strides, padding=padding, dilations=ones, groups=channels, channel_axis=channel_axis)


def _framed(sizes: Dims, window: Ints, strides: Ints, padding: Pads) -> Pads:
    """The padding with which windows counted downwards are as many as those counted upwards without it."""
    counts = window_dims(sizes, window, strides, padding, (1,) * len(window), ceil_mode=True)
    axes = zip(sizes, window, strides, padding, counts, strict=True)
    return tuple(
        (before, _at_least_0((count - 1) * stride + span - size - before))
        for size, span, stride, (before, _), count in axes
    )


def _at_least_0(padding: Dim) -> Dim:
    """Crop nothing where that is known; a symbolic padding stays one exact expression."""
    return max(padding, 0) if isinstance(padding, int) else padding


def _ones(x: TensorType, counted: Pads | None, framed: Pads, channel_axis: int) -> tuple[Value, Pads]:
    """What counts as 1 under the windows, with the padding around it that counts as 0."""
    sizes = spatial_sizes(x, channel_axis)
    if counted is not None:
        sizes = tuple(size + sum(pair) for size, pair in zip(sizes, counted, strict=True))
        framed = tuple(
            (0, _at_least_0(after - behind)) for (_, after), (_, behind) in zip(framed, counted, strict=True)
        )
    shape = (1, 1, *sizes) if channel_axis == 1 else (1, *sizes, 1)
    return full(shape=shape, value=1.0, dtype=x.dtype), framed


@op
def lp_pool(
    x: Tensor,
    /,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    p: float = 2,
    channel_axis: int = 1,
) -> Tensor:
    """p-norm of each window, ``(sum of |x| ** p) ** (1 / p)``.

    Args:
        x: [batch, channels, *spatial] (or channels last), one to three spatial axes, floating.
        window: Taps per spatial axis.
        strides: Steps between windows.
        padding: Zeros (before, after) each spatial axis; may be symbolic.
        p: Order of the norm, positive.
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *counts] in the layout of x.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    counts = window_counts(moved.shape[2:], window, strides, padding)
    view = windows(np.abs(moved), window, strides, (1,) * len(window), [before for before, _ in padding], counts)
    return np.moveaxis((view**p).sum(axis=_last(window)) ** (1.0 / p), 1, channel_axis)


@lp_pool.infer
def _(x: TensorType, /, *, window: Ints, strides: Ints, padding: Pads, p: float, channel_axis: int) -> TensorType:
    require_floating(x, "x")
    if p <= 0:
        raise TypeInferenceError(f"the order of the norm must be positive, not {p}.")
    return _pooled(x, window, strides, padding, (1,) * len(window), False, channel_axis)


@lp_pool.decompose
def _(x: Value, /, *, window: Ints, strides: Ints, padding: Pads, p: float, channel_axis: int) -> Value:
    powers = pow_(abs_(x), float(p))
    sums = avg_pool(
        powers,
        window=window,
        strides=strides,
        padding=padding,
        count_include_pad=True,
        divisor=1,
        channel_axis=channel_axis,
    )
    return pow_(sums, 1.0 / p)


def _last(window: Ints) -> Ints:
    return tuple(range(-len(window), 0))
