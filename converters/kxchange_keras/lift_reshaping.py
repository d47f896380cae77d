"""Layers that only move elements."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange_keras.call import Call, cast
from kxchange_keras.decoding import integers
from kxchange_keras.lift_geometry import channel_axis, cut, spatial, spatial_axes
from kxchange_keras.registry import layer


@layer("Flatten")
def _(call: Call, x: Value) -> Value:
    if channel_axis(call) == 1 and x.ndim > 2:
        x = ops.permute_dims(x, axes=(0, *range(2, x.ndim), 1))
    if x.ndim == 1:
        return ops.expand_dims(x, axis=(1,))
    return ops.reshape(x, shape=(x.shape[0], product(x.shape[1:])))


@layer("Reshape")
def _(call: Call, x: Value) -> Value:
    target = [int(size) for size in call.option("target_shape")]
    return ops.reshape(x, shape=(x.shape[0], *target))


@layer("Permute")
def _(call: Call, x: Value) -> Value:
    return ops.permute_dims(x, axes=(0, *(int(axis) for axis in call.option("dims"))))


@layer("RepeatVector")
def _(call: Call, x: Value) -> Value:
    count = int(call.option("n"))
    return ops.broadcast_to(ops.expand_dims(x, axis=(1,)), shape=(x.shape[0], count, *x.shape[1:]))


def pairs(value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis from an int, a list of ints, or a list of pairs."""
    if isinstance(value, int):
        return ((value, value),) * rank
    items = list(value)
    if rank == 1 and len(items) == 2 and all(isinstance(item, int) for item in items):
        return ((items[0], items[1]),)
    return tuple(
        (item, item) if isinstance(item, int) else integers(item, 2, "a pair")  # type: ignore[misc]
        for item in items
    )


@layer("Cropping1D", "Cropping2D", "Cropping3D")
def _(call: Call, x: Value) -> Value:
    axis = channel_axis(call)
    cropping = pairs(call.option("cropping"), x.ndim - 2)
    return cut(x, dict(zip(spatial_axes(x, axis), cropping, strict=True)))


@layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def _(call: Call, x: Value) -> Value:
    places = spatial_axes(x, channel_axis(call))
    around = dict(zip(places, pairs(call.option("padding"), len(places)), strict=True))
    return ops.pad(x, padding=tuple(around.get(axis, (0, 0)) for axis in range(x.ndim)))


@layer("UpSampling1D")
def _(call: Call, x: Value) -> Value:
    return ops.repeat(x, repeats=int(call.option("size" if "size" in call.config.options else "length")), axis=1)


@layer("UpSampling3D")
def _(call: Call, x: Value) -> Value:
    return _repeated(call, x)


def _repeated(call: Call, x: Value) -> Value:
    places = spatial_axes(x, channel_axis(call))
    for axis, count in zip(places, integers(call.option("size"), len(places), "size"), strict=True):
        x = ops.repeat(x, repeats=count, axis=axis) if count != 1 else x
    return x


@layer("UpSampling2D")
def _(call: Call, x: Value) -> Value:
    mode = str(call.option("interpolation", "nearest")).lower()
    if mode == "nearest":
        return _repeated(call, x)
    axis = channel_axis(call)
    factors = integers(call.option("size"), 2, "size")
    sizes: tuple[Dim, ...] = tuple(size * count for size, count in zip(spatial(x, axis), factors, strict=True))
    return resized(call, x, sizes, mode, axis)


SAMPLING: dict[str, dict[str, Any]] = {
    "nearest": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic", "cubic_coefficient": -0.5, "exclude_outside": True},
}
"""What Keras's names of interpolations mean (traps R03, R05)."""


def resized(call: Call, x: Value, sizes: tuple[Dim, ...], mode: str, axis: int, *, antialias: bool = False) -> Value:
    """An image resampled with half-pixel centers."""
    if mode not in SAMPLING:
        call.refuse(f"its interpolation {mode!r} has no rule")
    floats = x if x.dtype.is_floating or mode == "nearest" else cast(x, call.dtype)
    attrs = SAMPLING[mode]
    return ops.resize(
        floats, sizes=sizes, coordinate_mode="half_pixel", antialias=antialias, channel_axis=axis, **attrs
    )
