"""`keras.ops.image` by class of operation: patches, borders, colours."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_keras.call import Call
from kxchange_keras.decoding import integers
from kxchange_keras.lift_geometry import channel_axis, padding_of, spatial
from kxchange_keras.promotion import float_of, value_of
from kxchange_keras.registry import operation


@operation("ExtractPatches")
def _(call: Call, images: Any) -> Value:
    """[batch, rows, columns, size * channels]: what lies under each place of a window."""
    x, size = value_of(call, images), call.option("size")
    rank = len(size) if isinstance(size, list | tuple) else 2
    window = integers(size, rank, "size")
    stated = call.option("strides", None)
    steps = window if stated is None else integers(stated, rank, "strides")
    rates = integers(call.option("dilation_rate", 1), rank, "dilation_rate")
    unbatched = x.ndim == rank + 1
    x = ops.expand_dims(x, axis=(0,)) if unbatched else x
    first = channel_axis(call) == 1
    x = ops.permute_dims(x, axes=(0, *range(2, x.ndim), 1)) if first else x
    y = _patches(x, window, steps, rates, padding_of(call, spatial(x, -1), window, steps, rates))
    y = ops.permute_dims(y, axes=(0, y.ndim - 1, *range(1, y.ndim - 1))) if first else y
    return ops.squeeze(y, axis=(0,)) if unbatched else y


def _patches(x: Value, window: tuple[int, ...], steps: tuple[int, ...], rates: tuple[int, ...], padding: Any) -> Value:
    rank = len(window)
    if any(before != 0 or after != 0 for before, after in padding):
        x = ops.pad(x, padding=((0, 0), *padding, (0, 0)), mode="constant", value=0.0)
    counts = tuple(
        (size - (span - 1) * rate - 1) // step + 1
        for size, span, rate, step in zip(x.shape[1:-1], window, rates, steps, strict=True)
    )
    if steps == window and set(rates) == {1}:
        return _tiles(x, window, counts)
    found: list[Value] = []
    for place in _places(window):
        starts = tuple(index * rate for index, rate in zip(place, rates, strict=True))
        stops = tuple(s + (n - 1) * step + 1 for s, n, step in zip(starts, counts, steps, strict=True))
        found.append(ops.slice(x, starts=starts, stops=stops, steps=steps, axes=tuple(range(1, rank + 1))))
    return ops.concat(*found, axis=-1)


def _tiles(x: Value, window: tuple[int, ...], counts: tuple[Dim, ...]) -> Value:
    """Windows side by side: a reshape and a transpose."""
    rank, channels = len(window), x.shape[-1]
    whole = tuple(count * span for count, span in zip(counts, window, strict=True))
    if whole != x.shape[1:-1]:
        axes, ones = tuple(range(1, rank + 1)), (1,) * rank
        x = ops.slice(x, starts=(0,) * rank, stops=whole, steps=ones, axes=axes)
    pairs = [size for pair in zip(counts, window, strict=True) for size in pair]
    x = ops.reshape(x, shape=(x.shape[0], *pairs, channels))
    x = ops.permute_dims(x, axes=(0, *range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2), 2 * rank + 1))
    size = channels
    for span in window:
        size = size * span
    return ops.reshape(x, shape=(x.shape[0], *counts, size))


def _places(window: tuple[int, ...]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for span in window:
        found = [(*place, index) for place in found for index in range(span)]
    return found


def _borders(call: Call, x: Value, word: str, sign: int) -> tuple[tuple[int, int], list[tuple[Dim, Dim]]]:
    """The axes of rows and columns, and what is put on or taken off at both ends of each."""
    axes = (x.ndim - 2, x.ndim - 1) if channel_axis(call) == 1 else (x.ndim - 3, x.ndim - 2)
    found: list[tuple[Dim, Dim]] = []
    ends = (("top", "bottom", "target_height"), ("left", "right", "target_width"))
    for axis, (start, stop, target) in zip(axes, ends, strict=True):
        before, after = (call.option(f"{end}_{word}", None) for end in (start, stop))
        goal = call.option(target, None)
        change = None if goal is None else (goal - x.shape[axis]) * sign
        if before is None:
            before = change - after
        elif after is None:
            after = change - before
        found.append((before, after))
    return (axes[0], axes[1]), found


@operation("PadImages")
def _(call: Call, images: Any) -> Value:
    x = value_of(call, images)
    axes, ends = _borders(call, x, "padding", 1)
    pairs: list[tuple[Dim, Dim]] = [(0, 0)] * x.ndim
    for axis, pair in zip(axes, ends, strict=True):
        pairs[axis] = pair
    return ops.pad(x, padding=tuple(pairs), mode="constant", value=0.0)


@operation("CropImages")
def _(call: Call, images: Any) -> Value:
    x = value_of(call, images)
    axes, ends = _borders(call, x, "cropping", -1)
    starts = tuple(before for before, _ in ends)
    stops = tuple(x.shape[axis] - after for axis, (_, after) in zip(axes, ends, strict=True))
    return ops.slice(x, starts=starts, stops=stops, steps=(1, 1), axes=axes)


@operation("RGBToHSV")
def _(call: Call, images: Any) -> Value:
    x = float_of(call, images)
    axis = x.ndim - 3 if channel_axis(call) == 1 else x.ndim - 1
    red, green, blue = ops.split(x, sizes=(1, 1, 1), axis=axis)
    value = ops.max(x, axis=(axis,), keepdims=True)
    spread = ops.subtract(value, ops.min(x, axis=(axis,), keepdims=True))
    flat, black = ops.equal(spread, 0.0), ops.equal(value, 0.0)
    safe = ops.where(flat, 1.0, spread)
    saturation = ops.where(black, 0.0, ops.divide(spread, ops.where(black, 1.0, value)))
    turn = lambda a, b: ops.divide(ops.subtract(a, b), ops.multiply(safe, 6.0))  # noqa: E731
    by_red, by_green, by_blue = turn(green, blue), ops.add(turn(blue, red), 1 / 3), ops.add(turn(red, green), 2 / 3)
    hue = ops.where(ops.equal(value, red), by_red, ops.where(ops.equal(value, green), by_green, by_blue))
    hue = ops.where(flat, 0.0, ops.where(ops.less(hue, 0.0), ops.add(hue, 1.0), hue))
    return ops.concat(hue, saturation, value, axis=axis)


@operation("HSVToRGB")
def _(call: Call, images: Any) -> Value:
    x = float_of(call, images)
    axis = x.ndim - 3 if channel_axis(call) == 1 else x.ndim - 1
    hue, saturation, value = ops.split(x, sizes=(1, 1, 1), axis=axis)
    angle = ops.multiply(hue, 6.0)
    shares = (
        ops.subtract(ops.abs(ops.subtract(angle, 3.0)), 1.0),
        ops.subtract(2.0, ops.abs(ops.subtract(angle, 2.0))),
        ops.subtract(2.0, ops.abs(ops.subtract(angle, 4.0))),
    )
    keep = ops.subtract(1.0, saturation)
    parts = [ops.multiply(value, ops.add(keep, ops.multiply(saturation, ops.clip(s, 0.0, 1.0)))) for s in shares]
    return ops.concat(*parts, axis=axis)
