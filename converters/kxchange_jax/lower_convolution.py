"""Lowering of convolutions and pools over windows."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from kxchange.table import Table
from kxchange_jax.lowering import output_shape

Array = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[Any, Any], ...]

lower = Table("jax")

SPATIAL = "DHW"


def layouts(rank: int, channel_axis: int, kernel: str) -> tuple[str, str, str]:
    """JAX's names for the axes of input, kernel and output."""
    spatial = SPATIAL[-rank:]
    data = f"NC{spatial}" if channel_axis == 1 else f"N{spatial}C"
    return data, f"{kernel}{spatial}", data


def along_channels(bias: Array, rank: int, channel_axis: int) -> Array:
    """A bias per channel, shaped to broadcast."""
    return bias.reshape((-1, *(1,) * rank)) if channel_axis == 1 else bias


@lower.rule("conv")
def _(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Array:
    rank = len(strides)
    if not all(isinstance(size, int) for pair in padding for size in pair):  # JAX convolves with known padding only
        around = [(before, after, 0) for before, after in _spatial(padding, (0, 0), channel_axis)]
        x, padding = lax.pad(x, np.zeros((), x.dtype), around), ((0, 0),) * rank
    y = lax.conv_general_dilated(
        x,
        weight,
        strides,
        padding,
        rhs_dilation=dilations,
        dimension_numbers=layouts(rank, channel_axis, "OI"),
        feature_group_count=groups,
    )
    return y if bias is None else y + along_channels(bias, rank, channel_axis)


@lower.rule("conv_transpose")
def _(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Array:
    rank = len(strides)
    window = weight.shape[2:]
    reach = [dilation * (size - 1) for dilation, size in zip(dilations, window, strict=True)]
    around = [
        (span - before, span - after + extra)
        for span, (before, after), extra in zip(reach, padding, output_padding, strict=True)
    ]
    turned = lax.rev(weight, tuple(range(2, 2 + rank)))
    if groups > 1:  # [channels, out/groups] -> [channels/groups, out], group by group
        split = turned.reshape((groups, weight.shape[0] // groups, *weight.shape[1:]))
        turned = jnp.moveaxis(split, 0, 1).reshape((weight.shape[0] // groups, groups * weight.shape[1], *window))
    y = lax.conv_general_dilated(
        x,
        turned,
        (1,) * rank,
        around,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        dimension_numbers=layouts(rank, channel_axis, "IO"),
        feature_group_count=groups,
    )
    return y if bias is None else y + along_channels(bias, rank, channel_axis)


def _spatial(values: tuple[Any, ...], around: Any, channel_axis: int) -> tuple[Any, ...]:
    """One entry per axis from one per spatial axis."""
    return (around, around, *values) if channel_axis == 1 else (around, *values, around)


def _framed(x: Array, window: Ints, strides: Ints, padding: Pads, dilations: Ints, channel_axis: int) -> Pads:
    """The padding with which the windows are as many as inference says: more behind, or less, with `ceil_mode`."""
    sizes = x.shape[2:] if channel_axis == 1 else x.shape[1:-1]
    counts = output_shape()[2:] if channel_axis == 1 else output_shape()[1:-1]
    axes = zip(sizes, counts, window, strides, padding, dilations, strict=True)
    return tuple(
        (before, (count - 1) * stride + dilation * (span - 1) + 1 - size - before)
        for size, count, span, stride, (before, _), dilation in axes
    )


def _windowed(
    x: Array, neutral: Any, combine: Any, window: Ints, strides: Ints, pads: Pads, dilations: Ints, channel_axis: int
) -> Array:
    return lax.reduce_window(
        x,
        np.asarray(neutral, x.dtype),
        combine,
        _spatial(window, 1, channel_axis),
        _spatial(strides, 1, channel_axis),
        _spatial(pads, (0, 0), channel_axis),
        window_dilation=_spatial(dilations, 1, channel_axis),
    )


@lower.rule("max_pool")
def _(
    x: Array,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    ceil_mode: bool,
    channel_axis: int,
) -> Array:
    pads = _framed(x, window, strides, padding, dilations, channel_axis) if ceil_mode else padding
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    lowest = -np.inf if floating else np.iinfo(x.dtype).min
    if any(dilation > 1 for dilation in dilations):
        return _dilated_max(x, lowest, window, strides, pads, dilations, channel_axis)
    return _windowed(x, lowest, lax.max, window, strides, pads, dilations, channel_axis)


def _dilated_max(
    x: Array, lowest: Any, window: Ints, strides: Ints, pads: Pads, dilations: Ints, channel_axis: int
) -> Array:
    """The greatest of one strided slice per tap: JAX cannot differentiate a dilated window."""
    shape = output_shape()
    config = [(before, after, 0) for before, after in _spatial(pads, (0, 0), channel_axis)]
    wide = lax.pad(x, np.asarray(lowest, x.dtype), config)
    steps = _spatial(strides, 1, channel_axis)
    result: Array = None
    for tap in np.ndindex(*window):
        starts = _spatial(tuple(i * d for i, d in zip(tap, dilations, strict=True)), 0, channel_axis)
        stops = [s + (count - 1) * step + 1 for s, count, step in zip(starts, shape, steps, strict=True)]
        part = lax.slice(wide, starts, stops, steps)
        result = part if result is None else jnp.maximum(result, part)
    return result


@lower.rule("avg_pool")
def _(
    x: Array,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> Array:
    ones = (1,) * len(window)
    pads = _framed(x, window, strides, padding, ones, channel_axis) if ceil_mode else padding
    sums = _windowed(x, 0, lax.add, window, strides, pads, ones, channel_axis)
    if divisor is not None:
        return sums / jnp.asarray(divisor, x.dtype)
    if count_include_pad and not ceil_mode:
        return sums / jnp.asarray(int(np.prod(window)), x.dtype)
    sizes = x.shape[2:] if channel_axis == 1 else x.shape[1:-1]
    if count_include_pad:
        sizes = tuple(size + before + after for size, (before, after) in zip(sizes, padding, strict=True))
        pads = tuple((0, after - behind) for (_, after), (_, behind) in zip(pads, padding, strict=True))
    counted = jnp.ones(_spatial(sizes, 1, channel_axis), x.dtype)
    covered = _windowed(counted, 0, lax.add, window, strides, pads, ones, channel_axis)
    return sums / jnp.maximum(covered, jnp.ones((), x.dtype))
