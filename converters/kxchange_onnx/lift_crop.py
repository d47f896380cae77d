"""TensorFlow's crop_and_resize, which ONNX's Resize can be told to do: gathers and weights from known sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.ops.interpolation import round_coordinates
from kxchange.types import DType
from kxchange_onnx.lift import refuse

Array = NDArray[Any]


def crop_and_resize(
    x: Value,
    axes: Sequence[int],
    sizes: Sequence[Dim],
    window: Sequence[float],
    mode: str,
    nearest_mode: str,
    outside: float,
) -> Value:
    """Resample a window of each axis, given in parts of its length; what lies outside of x becomes `outside`."""
    if mode not in ("linear", "nearest") or len(window) != 2 * len(axes):
        return refuse(f"cropping in the mode {mode!r} with a region of {len(window)} numbers has no lift")
    shape, beyond = x.shape, None
    for index, (axis, count) in enumerate(zip(axes, sizes, strict=True)):
        size = shape[axis]
        if not isinstance(size, int) or not isinstance(count, int):
            return refuse(f"cropping from {size} to {count} elements needs known sizes")
        centers = _centers(size, count, window[index], window[len(axes) + index])
        x = _read(x, axis, centers, size, nearest_mode if mode == "nearest" else None)
        missing = (centers < 0) | (centers > size - 1)
        if missing.any():
            flags = missing.reshape([-1 if a == axis else 1 for a in range(x.ndim)])
            here = ops.constant(value=Constant(flags))
            beyond = here if beyond is None else ops.logical_or(beyond, here)
    return x if beyond is None else ops.where(beyond, outside, x)


def _centers(size: int, count: int, start: float, end: float) -> Array:
    if count <= 1:
        return np.full(count, 0.5 * (start + end) * (size - 1))
    return start * (size - 1) + np.arange(count) * (end - start) * (size - 1) / (count - 1)


def _read(x: Value, axis: int, centers: Array, size: int, nearest_mode: str | None) -> Value:
    if nearest_mode is not None:
        return _take(x, axis, round_coordinates(centers, nearest_mode), size)
    low = np.floor(centers)
    shares = (centers - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
    if not shares.any():
        return _take(x, axis, low, size)
    share = ops.astype(ops.constant(value=Constant(shares)), dtype=x.dtype)
    first, second = _take(x, axis, low, size), _take(x, axis, low + 1, size)
    return ops.add(first, ops.multiply(ops.subtract(second, first), share))


def _take(x: Value, axis: int, places: Array, size: int) -> Value:
    indices = np.clip(places, 0, size - 1).astype(DType.INT64.numpy)
    return ops.take(x, ops.constant(value=Constant(indices)), axis=axis)
