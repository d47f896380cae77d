"""Where `resize` reads and with which weights: one small table per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

COORDINATE_MODES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric")
NEAREST_MODES = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
MODES = ("nearest", "linear", "cubic")


@dataclass(frozen=True, slots=True)
class Sampling:
    """The attributes of `resize` that are the same for every axis; see there."""

    mode: str
    coordinate_mode: str
    nearest_mode: str
    cubic_coefficient: float
    antialias: bool
    exclude_outside: bool


def taps(size: int, count: int, scale: float | None, sampling: Sampling) -> tuple[Array, Array]:
    """Indices into an axis of `size` and their weights, both [count, taps], for an output axis of `count`.

    Indices outside of the axis are moved to its edge; a row of weights sums to 1.
    """
    centers = coordinates(size, count, scale, sampling.coordinate_mode)
    if sampling.mode == "nearest":
        rounded = round_coordinates(centers, sampling.nearest_mode)
        return np.clip(rounded, 0, size - 1)[:, None], np.ones((count, 1))
    ratio = count / size if scale is None else scale
    stretch = max(1.0, 1.0 / ratio) if sampling.antialias and ratio > 0 else 1.0
    radius = stretch * (1 if sampling.mode == "linear" else 2)
    first = np.floor(centers - radius).astype(np.int64) + 1
    positions = first[:, None] + np.arange(int(np.ceil(2 * radius)))
    weights = _kernel((positions - centers[:, None]) / stretch, sampling)
    if sampling.exclude_outside:
        weights = np.where((positions >= 0) & (positions < size), weights, 0.0)
    if sampling.exclude_outside or sampling.antialias:
        weights = weights / weights.sum(axis=1, keepdims=True)
    return np.clip(positions, 0, size - 1), weights


def coordinates(size: int, count: int, scale: float | None, mode: str) -> Array:
    """The point of the input axis, in elements, that each output element reads; rounded once."""
    i = np.arange(count, dtype=np.float64)
    if mode == "align_corners":
        return i * (size - 1) / max(count - 1, 1)
    if mode == "pytorch_half_pixel" and count == 1:
        return np.zeros(1)
    if mode == "asymmetric":
        return i * size / count if scale is None else i / scale
    if scale is None:
        return ((2 * i + 1) * size - count) / (2 * count)
    shift = 0.5 * size * (1 - count / (scale * size)) if mode == "half_pixel_symmetric" else 0.0
    return shift + (i + 0.5) / scale - 0.5


def round_coordinates(centers: Array, nearest_mode: str) -> Array:
    """Index of the nearest element; the mode decides ties."""
    rounded = {
        "floor": np.floor(centers),
        "ceil": np.ceil(centers),
        "round_prefer_floor": np.ceil(centers - 0.5),
        "round_prefer_ceil": np.floor(centers + 0.5),
    }[nearest_mode]
    return rounded.astype(np.int64)


def _kernel(distance: Array, sampling: Sampling) -> Array:
    """Weight of a tap at `distance` from the sampled point: a triangle, or Keys' cubic with coefficient a."""
    d = np.abs(distance)
    if sampling.mode == "linear":
        return np.maximum(1.0 - d, 0.0)
    a = sampling.cubic_coefficient
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))
