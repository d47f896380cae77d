"""Lifting of what JAX's derivatives of pools are made of: the element that a window selects, and where it came from."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, lift, scalar
from kxchange_jax.lift_reduction import neutral
from kxchange_jax.lift_shape import padded_with
from kxchange_jax.taps_in import Taps

Ints = tuple[int, ...]
Pads = tuple[tuple[Dim, Dim], ...]


def _is_better(x: Value, best: Value, select: Any) -> Value:
    """Whether a later element of a window is selected before an earlier one: equals are not."""
    return ops.greater(x, best) if select.name in ("ge", "gt") else ops.less(x, best)


def _worst(x: Value, select: Any) -> Value:
    return scalar(neutral(x.dtype, largest=select.name in ("le", "lt")), x.dtype)


@lift.rule("select_and_gather_add")
def _(
    tangents: Value,
    x: Value,
    *,
    select_prim: Any,
    window_dimensions: Ints,
    window_strides: Ints,
    padding: Pads,
    base_dilation: Ints,
    window_dilation: Ints,
    **_: Any,
) -> Value:
    counts = SCOPE.types[0].shape
    taps = Taps(window_dimensions, window_strides, padding, base_dilation, window_dilation, counts)
    pairs = zip(taps.parts(x, _worst(x, select_prim)), taps.parts(tangents, scalar(0, tangents.dtype)), strict=True)
    best, result = next(pairs)
    for value, tangent in pairs:
        better = _is_better(value, best, select_prim)
        best, result = ops.where(better, value, best), ops.where(better, tangent, result)
    return result


@lift.rule("select_and_scatter_add")
def _(
    source: Value,
    x: Value,
    *,
    select_prim: Any,
    window_dimensions: Ints,
    window_strides: Ints,
    padding: Pads,
    **_: Any,
) -> Value:
    ones = (1,) * x.ndim
    taps = Taps(window_dimensions, window_strides, padding, ones, ones, tuple(source.shape))
    filler = _worst(x, select_prim)
    parts = list(taps.parts(x, filler))
    chosen = _chosen(parts, select_prim)
    whole = tuple(taps.padded(x, filler).shape)
    total = ops.full(shape=whole, value=0, dtype=source.dtype)
    for index, start in enumerate(taps.starts()):
        share = ops.where(ops.equal(chosen, index), source, scalar(0, source.dtype))
        total = ops.add(total, _placed(share, start, taps, whole))
    cut = tuple((-low, -high, 0) for low, high in padding)
    return padded_with(total, scalar(0, source.dtype), cut)


def _chosen(parts: list[Value], select: Any) -> Value:
    """For each window the number of the position that it selects."""
    best = parts[0]
    chosen = ops.full(shape=tuple(best.shape), value=0, dtype=DType.INT32)
    for index, value in enumerate(parts[1:], start=1):
        better = _is_better(value, best, select)
        best = ops.where(better, value, best)
        chosen = ops.where(better, scalar(index, chosen.dtype), chosen)
    return chosen


def _placed(share: Value, start: Ints, taps: Taps, whole: tuple[Dim, ...]) -> Value:
    """One value per window, at the window's position in the padded tensor."""
    config = tuple(
        (first, size - first - extent, stride - 1)
        for first, size, extent, stride in zip(start, whole, taps.extents(), taps.strides, strict=True)
    )
    return padded_with(share, scalar(0, share.dtype), config)
