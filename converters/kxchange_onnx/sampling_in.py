"""Reading tensors at fractional positions that the data say: gathers and weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import refuse

KEYS = -0.75
"""The coefficient of the cubic kernel."""
REACH = 4.0
"""How far outside of an axis a position may stay: every tap there is outside, too."""


@dataclass(frozen=True, slots=True)
class Taps:
    """The elements of one axis that are read: positions (floating, whole) and weights, in pairs."""

    size: Dim
    positions: tuple[Value, ...]
    weights: tuple[Value | None, ...]


def number(size: Dim, dtype: DType, offset: float = 0.0) -> Any:
    """A size plus a number, as an operand of ops on a floating tensor."""
    if isinstance(size, int):
        return size + offset
    return ops.add(ops.full(shape=(), value=size, dtype=dtype), offset)


def taps(at: Value, size: Dim, mode: str) -> Taps:
    """What reading an axis at the positions `at` takes.

    Args:
        at: Positions in elements, floating.
        size: Size of the axis.
        mode: nearest, linear or cubic.
    """
    at = ops.clip(at, -REACH, ops.broadcast_to(_scalar(number(size, at.dtype, REACH - 1), at.dtype), shape=()))
    if mode == "nearest":
        return Taps(size, (ops.round(at),), (None,))
    first = ops.floor(at)
    share = ops.subtract(at, first)
    if mode == "linear":
        return Taps(size, (first, ops.add(first, 1.0)), (ops.subtract(1.0, share), share))
    if mode != "cubic":
        return refuse(f"its mode {mode!r} is unknown")
    steps = (-1.0, 0.0, 1.0, 2.0)
    positions = tuple(first if step == 0 else ops.add(first, step) for step in steps)
    return Taps(size, positions, tuple(_cubic(ops.abs(ops.subtract(share, step)), step) for step in steps))


def _scalar(given: Any, dtype: DType) -> Value:
    return given if isinstance(given, Value) else ops.full(shape=(), value=given, dtype=dtype)


def _cubic(distance: Value, step: float) -> Value:
    """Keys' kernel, in its part for the two near taps or for the two far ones."""
    a, d = KEYS, distance
    if step in (0.0, 1.0):
        inner = ops.subtract(ops.multiply(d, a + 2), a + 3)
        return ops.add(ops.multiply(ops.multiply(inner, d), d), 1.0)
    inner = ops.add(ops.multiply(ops.subtract(ops.multiply(d, a), 5 * a), d), 8 * a)
    return ops.subtract(ops.multiply(inner, d), 4 * a)


def reflected(at: Value, size: Dim, align_corners: bool) -> Value:
    """Positions folded back into the axis, at its outer elements or at their outer edges."""
    low = 0.0 if align_corners else -0.5
    span = number(size, at.dtype, -1.0 if align_corners else 0.0)
    if span == 0:
        return ops.multiply(at, 0.0)
    phase = ops.remainder(ops.subtract(at, low), span * 2 if not isinstance(span, Value) else ops.multiply(span, 2.0))
    return ops.add(ops.subtract(span, ops.abs(ops.subtract(phase, span))), low)


def terms(x: Value, axes: Sequence[Taps], padding: str, align_corners: bool) -> Iterator[Value]:
    """The weighted elements whose sum is the sample: [batch, *outer, channels] each.

    Args:
        x: [batch, channels, *spatial].
        axes: Taps per spatial axis, of positions [batch, *outer].
        padding: What is read outside: zeros, border or reflection.
        align_corners: Where reflection folds.
    """
    rank = len(axes)
    rows = ops.permute_dims(x, axes=(0, *range(2, 2 + rank), 1))
    prepared = [[_placed(axis, index, padding, align_corners) for index in range(len(axis.positions))] for axis in axes]
    for corner in itertools.product(*prepared):
        places = ops.stack(*(place for place, _ in corner), axis=-1)
        found = ops.gather_nd(rows, places, batch_dims=1)
        weights = [weight for _, weight in corner if weight is not None]
        if not weights:
            yield found
            continue
        factor = ops.expand_dims(reduce(ops.multiply, weights), axis=(-1,))
        # An infinite element outside of the weight of a tap must not make a NaN of 0.
        yield ops.multiply(found, factor)


def _placed(axis: Taps, index: int, padding: str, align_corners: bool) -> tuple[Value, Value | None]:
    """Index and weight of one tap; outside of the axis the weight is 0, or the index is moved inside."""
    position, weight = axis.positions[index], axis.weights[index]
    dtype = position.dtype
    last = _scalar(number(axis.size, dtype, -1.0), dtype)
    if padding == "reflection":
        position = reflected(position, axis.size, align_corners)
    inside = ops.clip(position, 0.0, last)
    if padding == "zeros":
        share = ops.full(shape=(), value=1.0, dtype=dtype) if weight is None else weight
        weight = ops.where(ops.equal(inside, position), share, 0.0)
    return ops.astype(inside, dtype=DType.INT64), weight


def sample(x: Value, axes: Sequence[Taps], padding: str, align_corners: bool = False) -> Value:
    """[batch, channels, *outer]: x read at fractional positions."""
    total = reduce(ops.add, terms(x, axes, padding, align_corners))
    return ops.permute_dims(total, axes=(0, total.ndim - 1, *range(1, total.ndim - 1)))
