"""Type rules that convolutions, pools and resizing share: which axes are spatial, and how windows change them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange.dims import Dim, dim_min
from kxchange.errors import TypeInferenceError
from kxchange.shapes import require_at_least, window_output
from kxchange.types import TensorType

Dims = tuple[Dim, ...]
Ints = tuple[int, ...]
Pads = tuple[tuple[Dim, Dim], ...]


def spatial_axes(x: TensorType, channel_axis: int) -> Ints:
    """The axes of x that are neither batch nor channels.

    Raises:
        TypeInferenceError: There is none, or `channel_axis` is not 1 or -1.
    """
    if channel_axis not in (1, -1):
        raise TypeInferenceError(f"channel_axis must be 1 or -1, not {channel_axis}.")
    if x.rank < 3:
        raise TypeInferenceError(f"the input needs a batch, a channel and a spatial axis; it has {x.rank} axes.")
    return tuple(range(2, x.rank)) if channel_axis == 1 else tuple(range(1, x.rank - 1))


def spatial_sizes(x: TensorType, channel_axis: int) -> Dims:
    """The sizes of the spatial axes."""
    return tuple(x.shape[axis] for axis in spatial_axes(x, channel_axis))


def windowed_sizes(x: TensorType, channel_axis: int, **per_axis: Sequence[Any]) -> Dims:
    """The sizes of one to three spatial axes, after a check that every attribute has one entry for each.

    Raises:
        TypeInferenceError: An attribute has another length, or there are more than three spatial axes.
    """
    sizes = spatial_sizes(x, channel_axis)
    if len(sizes) > 3:
        raise TypeInferenceError(f"windows slide over one to three spatial axes, not {len(sizes)}.")
    for name, entries in per_axis.items():
        if len(entries) != len(sizes):
            raise TypeInferenceError(f"{name} {entries} needs one entry for each of {len(sizes)} spatial axes.")
    return sizes


def arranged(batch: Dim, channels: Dim, sizes: Dims, channel_axis: int) -> Dims:
    """A shape in the layout that `channel_axis` states."""
    return (batch, channels, *sizes) if channel_axis == 1 else (batch, *sizes, channels)


def window_dims(
    sizes: Dims, window: Ints, strides: Ints, padding: Pads, dilations: Ints, *, ceil_mode: bool = False
) -> Dims:
    """Number of windows per axis; paddings may be symbolic."""
    axes = zip(sizes, window, strides, padding, dilations, strict=True)
    return tuple(_window_dim(*axis, ceil_mode=ceil_mode) for axis in axes)


def _window_dim(
    size: Dim, window: int, stride: int, padding: tuple[Dim, Dim], dilation: int, *, ceil_mode: bool
) -> Dim:
    before, after = padding
    if isinstance(before, int) and isinstance(after, int):
        return window_output(size, window, stride, dilation, before, after, ceil_mode)
    padded = size + before + after
    count = window_output(padded, window, stride, dilation, 0, 0)
    if not ceil_mode:
        return count
    require_at_least(size + before, 1, "the first window must start in the input or in the padding before it")
    return dim_min((padded - dilation * (window - 1) - 2 + stride) // stride + 1, (size + before - 1) // stride + 1)
