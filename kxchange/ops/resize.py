"""Resampling of the spatial axes."""

from __future__ import annotations

from typing import cast

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.creation import constant
from kxchange.ops.indexing import take
from kxchange.ops.interpolation import COORDINATE_MODES, MODES, NEAREST_MODES, Sampling, taps
from kxchange.ops.operands import require_floating
from kxchange.ops.resampling import resample
from kxchange.ops.separable import dense, mix
from kxchange.ops.spatial import Dims, arranged, spatial_axes
from kxchange.ops.window import Array
from kxchange.shapes import require_at_least
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op
def resize(
    x: Tensor,
    /,
    *,
    sizes: Dims,
    mode: str = "linear",
    coordinate_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coefficient: float = -0.75,
    antialias: bool = False,
    exclude_outside: bool = False,
    scales: tuple[float, ...] | None = None,
    channel_axis: int = 1,
) -> Tensor:
    """Resample the spatial axes to `sizes`, one axis after another (traps R01 to R07).

    Output element i of an axis reads the input at a coordinate c, with ``scale = new size / size``:

    * ``half_pixel``: ``(i + 0.5) / scale - 0.5``;
    * ``pytorch_half_pixel``: the same, but 0 where the new size is 1;
    * ``half_pixel_symmetric``: the same, shifted so that the centers of input and output agree where `scales` do
      not give whole sizes;
    * ``align_corners``: ``i * (size - 1) / (new size - 1)``, 0 where the new size is 1;
    * ``asymmetric``: ``i / scale``.

    Reads outside of the input read its edge.

    Args:
        x: [batch, channels, *spatial] (or channels last), any number of spatial axes; floating unless mode is
            nearest.
        sizes: New sizes of the spatial axes; may be symbolic.
        mode: ``nearest``; ``linear``, weights 1 - |d| at distance d; ``cubic``, Keys' kernel.
        coordinate_mode: How coordinates are computed, see above.
        nearest_mode: ``floor``, ``ceil``, or to the nearest with ties down (``round_prefer_floor``) or up
            (``round_prefer_ceil``).
        cubic_coefficient: Keys' a; -0.75 in torch and ONNX, -0.5 in TensorFlow and JAX.
        antialias: When an axis shrinks, stretch the kernel by 1 / scale and normalise its weights.
        exclude_outside: Elements outside of the input weigh nothing (the rest is normalised) instead of repeating
            the edge.
        scales: Per spatial axis, the scale that coordinates are computed with, where it is not new size / size.
        channel_axis: 1 or -1.

    Returns:
        [batch, channels, *sizes] in the layout of x.
    """
    sampling = Sampling(mode, coordinate_mode, nearest_mode, cubic_coefficient, antialias, exclude_outside)
    for index, size in enumerate(sizes):
        axis = index + (2 if channel_axis == 1 else 1)
        places, weights = taps(x.shape[axis], cast("int", size), scales[index] if scales else None, sampling)
        x = _sample(x, axis, places, weights)
    return x


def _sample(x: Array, axis: int, places: Array, weights: Array) -> Array:
    if places.shape[1] == 1:
        return np.take(x, places[:, 0], axis=axis)
    taken = np.take(np.moveaxis(x, axis, -1), places, axis=-1)
    return np.moveaxis((taken * weights.astype(x.dtype)).sum(axis=-1), -1, axis)


@resize.infer
def _(
    x: TensorType,
    /,
    *,
    sizes: Dims,
    mode: str,
    coordinate_mode: str,
    nearest_mode: str,
    cubic_coefficient: float,
    antialias: bool,
    exclude_outside: bool,
    scales: tuple[float, ...] | None,
    channel_axis: int,
) -> TensorType:
    _require_known("mode", mode, MODES)
    _require_known("coordinate_mode", coordinate_mode, COORDINATE_MODES)
    _require_known("nearest_mode", nearest_mode, NEAREST_MODES)
    if mode != "nearest":
        require_floating(x, "x")
    axes = spatial_axes(x, channel_axis)
    for name, entries in {"sizes": sizes, "scales": scales or sizes}.items():
        if len(entries) != len(axes):
            raise TypeInferenceError(f"{name} {entries} needs one entry for each of {len(axes)} spatial axes.")
    if scales is not None and min(scales) <= 0:
        raise TypeInferenceError(f"scales must be positive, not {scales}.")
    for axis, size in zip(axes, sizes, strict=True):
        require_at_least(x.shape[axis], 1, "an axis to resize needs an element to read")
        require_at_least(size, 0, "a new size cannot be negative")
    return x.with_shape(arranged(x.shape[0], x.shape[channel_axis], sizes, channel_axis))


def _require_known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise TypeInferenceError(f"{name} {value!r} is unknown; use one of {', '.join(known)}.")


@resize.decompose
def _(
    x: Value,
    /,
    *,
    sizes: Dims,
    mode: str,
    coordinate_mode: str,
    nearest_mode: str,
    cubic_coefficient: float,
    antialias: bool,
    exclude_outside: bool,
    scales: tuple[float, ...] | None,
    channel_axis: int,
) -> Value:
    sampling = Sampling(mode, coordinate_mode, nearest_mode, cubic_coefficient, antialias, exclude_outside)
    for index, count in enumerate(sizes):
        axis = index + (2 if channel_axis == 1 else 1)
        x = _resampled(x, axis, count, scales[index] if scales else None, sampling)
    return x


def _resampled(x: Value, axis: int, count: Dim, scale: float | None, sampling: Sampling) -> Value:
    size = x.shape[axis]
    if isinstance(size, int) and isinstance(count, int):
        return _read(x, axis, taps(size, count, scale, sampling), sampling.mode)
    if scale is None or (scale == int(scale) and count == size * int(scale)):
        return resample(x, axis, count, sampling)
    raise TypeInferenceError(
        f"the scale {scale} does not say how {size} elements become {count}: it is no whole number."
    )


def _read(x: Value, axis: int, table: tuple[Array, Array], mode: str) -> Value:
    places, weights = table
    size = x.shape[axis]
    if mode != "nearest":
        return mix(x, dense(places, weights, size), axis)
    if places[:, 0].tolist() == list(range(size)):
        return x
    return take(x, constant(value=Constant(places[:, 0])), axis=axis)
