"""Sliding windows over the trailing axes of an array: what convolutions and pools share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Pairs = Sequence[tuple[Any, Any]]
"""(before, after) per axis; dims in a signature, ints by the time a reference runs."""


def spans(window: Sequence[int], dilations: Sequence[int]) -> tuple[int, ...]:
    """Elements from the first to the last tap of a dilated window."""
    return tuple(dilation * (size - 1) + 1 for size, dilation in zip(window, dilations, strict=True))


def place(x: Array, before: Sequence[Any], lengths: Sequence[Any], fill: float) -> Array:
    """Pad (or crop, where negative) the trailing axes: `before` elements in front, `lengths` in total."""
    sizes = x.shape[x.ndim - len(lengths) :]
    if not any(before) and sizes == tuple(lengths):
        return x
    placed = np.full((*x.shape[: x.ndim - len(lengths)], *lengths), fill, dtype=x.dtype)
    target: list[slice] = []
    origin: list[slice] = []
    for shift, size, length in zip(before, sizes, lengths, strict=True):
        start, stop = max(shift, 0), min(shift + size, length)
        target.append(slice(start, max(stop, start)))
        origin.append(slice(start - shift, max(stop, start) - shift))
    placed[(..., *target)] = x[(..., *origin)]
    return placed


def windows(
    x: Array,
    window: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    before: Sequence[Any],
    counts: Sequence[int],
    fill: float = 0.0,
) -> Array:
    """Every window over the trailing axes of `x`, as a view [..., *counts, *window].

    Args:
        x: Array whose last `len(window)` axes are windowed.
        window: Taps per axis.
        strides: Elements between neighbouring windows.
        dilations: Elements between neighbouring taps.
        before: Elements of padding in front; what is needed behind follows from `counts`.
        counts: Windows per axis.
        fill: Value of the padding.
    """
    reach = spans(window, dilations)
    lengths = [(max(count, 1) - 1) * stride + span for count, stride, span in zip(counts, strides, reach, strict=True)]
    axes = tuple(range(x.ndim - len(lengths), x.ndim))
    view = sliding_window_view(place(x, before, lengths, fill), reach, axis=axes)
    starts = [slice(0, count * stride, stride) for count, stride in zip(counts, strides, strict=True)]
    taps = [slice(None, None, dilation) for dilation in dilations]
    return view[(..., *starts, *taps)]


def window_counts(
    sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int], padding: Pairs, *, ceil_mode: bool = False
) -> tuple[int, ...]:
    """Windows per axis; with `ceil_mode` the last may end beyond the padding but not start there (trap C11)."""
    counts: list[int] = []
    for size, span, stride, (before, after) in zip(sizes, reach, strides, padding, strict=True):
        room = size + before + after - span
        count = (-(-room // stride) if ceil_mode else room // stride) + 1
        counts.append(min(count, (size + before - 1) // stride + 1) if ceil_mode else count)
    return tuple(counts)
