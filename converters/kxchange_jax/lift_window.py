"""Lifting of reductions over windows: as pools, with the windowed axes as spatial ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, broadcast, lift, number_of, permuted, refuse
from kxchange_jax.lift_reduction import neutral
from kxchange_jax.lift_shape import interleaved
from kxchange_jax.taps_in import Taps

Ints = tuple[int, ...]
Pads = tuple[tuple[Dim, Dim], ...]
Pool = Callable[..., Value]


def _window_reduction(kind: str) -> Callable[..., Value]:
    def rule(
        x: Value,
        *,
        window_dimensions: Ints,
        window_strides: Ints,
        padding: Pads,
        base_dilation: Ints,
        window_dilation: Ints,
        **_: Any,
    ) -> Value:
        return pooled(x, kind, window_dimensions, window_strides, padding, base_dilation, window_dilation)

    return rule


for _kind in ("sum", "max", "min"):
    lift.rule(f"reduce_window_{_kind}")(_window_reduction(_kind))


@lift.rule("reduce_window")
def _(
    *operands: Value,
    jaxpr: Any,
    window_dimensions: Ints,
    window_strides: Ints,
    padding: Pads,
    base_dilation: Ints,
    window_dilation: Ints,
    **_: Any,
) -> Value:
    equations = getattr(jaxpr, "jaxpr", jaxpr).eqns
    if len(operands) != 2 or len(equations) != 1 or equations[0].primitive.name not in COMBINE:
        refuse("a reduction over windows by a function of several steps has no op")
    name = equations[0].primitive.name
    x, initial = operands
    kind = {"add": "sum", "max": "max", "min": "min"}.get(name)
    if kind is not None and not x.dtype.is_bool and number_of(initial) == _start(kind, x):
        return pooled(x, kind, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    taps = Taps(window_dimensions, window_strides, padding, base_dilation, window_dilation, SCOPE.types[0].shape)
    combine = COMBINE_BOOLS[name] if x.dtype.is_bool else COMBINE[name]
    return reduce(combine, taps.parts(x, initial), broadcast(initial, SCOPE.types[0].shape, ()))


COMBINE: dict[str, Pool] = {
    "add": ops.add,
    "mul": ops.multiply,
    "max": ops.maximum,
    "min": ops.minimum,
    "and": ops.bitwise_and,
    "or": ops.bitwise_or,
}
COMBINE_BOOLS: dict[str, Pool] = {
    "add": ops.logical_or,
    "mul": ops.logical_and,
    "max": ops.logical_or,
    "min": ops.logical_and,
    "and": ops.logical_and,
    "or": ops.logical_or,
}


def _start(kind: str, x: Value) -> Any:
    return 0 if kind == "sum" else neutral(x.dtype, largest=kind == "min")


def pooled(x: Value, kind: str, window: Ints, strides: Ints, padding: Pads, spreads: Ints, dilations: Ints) -> Value:
    """The reduction of every window of a tensor of any rank."""
    if x.dtype.is_bool:
        bits = ops.astype(x, dtype=DType.UINT8)
        return ops.astype(pooled(bits, kind, window, strides, padding, spreads, dilations), dtype=DType.BOOL)
    start = _start(kind, x)
    for axis, spread in enumerate(spreads):
        if spread > 1:
            x = interleaved(x, axis, spread - 1, start)
    axes = [a for a in range(x.ndim) if (window[a], strides[a], padding[a]) != (1, 1, (0, 0))]
    if not axes:
        return x
    if len(axes) > 3:
        refuse(f"windows over {len(axes)} axes have no op; one to three are known")
    pick = tuple(axes)
    layout, back = _layout(x, pick)
    arranged = layout(x)
    sizes = [tuple(values[axis] for axis in pick) for values in (window, strides, dilations)]
    pads = tuple(padding[axis] for axis in pick)
    return back(POOLS[kind](arranged, *sizes, pads, _channel_axis(x, pick)))


def _channel_axis(x: Value, axes: Ints) -> int:
    return -1 if axes == tuple(range(1, x.ndim - 1)) else 1


def _layout(x: Value, axes: Ints) -> tuple[Callable[[Value], Value], Callable[[Value], Value]]:
    """To (batch, channels, windowed axes) and back; nothing to do where the tensor is like that already."""
    if axes in (tuple(range(1, x.ndim - 1)), tuple(range(2, x.ndim))):
        return lambda v: v, lambda v: v
    others = [axis for axis in range(x.ndim) if axis not in axes]
    order = (*others, *axes)
    rest = tuple(x.shape[axis] for axis in others)
    count: Dim = 1
    for size in rest:
        count = count * size

    def forth(v: Value) -> Value:
        moved = permuted(v, order)
        return ops.reshape(moved, shape=(count, 1, *moved.shape[len(others) :]))

    def back(v: Value) -> Value:
        split = ops.reshape(v, shape=(*rest, *v.shape[2:]))
        return permuted(split, [order.index(axis) for axis in range(x.ndim)])

    return forth, back


def _sum(x: Value, window: Ints, strides: Ints, dilations: Ints, pads: Pads, channel_axis: int) -> Value:
    if not x.dtype.is_floating or any(dilation > 1 for dilation in dilations):
        return _sum_by_conv(x, window, strides, dilations, pads, channel_axis)
    return ops.avg_pool(
        x,
        window=window,
        strides=strides,
        padding=pads,
        count_include_pad=True,
        divisor=1,
        channel_axis=channel_axis,
    )


def _sum_by_conv(x: Value, window: Ints, strides: Ints, dilations: Ints, pads: Pads, channel_axis: int) -> Value:
    channels = x.shape[channel_axis]
    if not isinstance(channels, int):
        refuse(f"a sum over windows of {x.type} with a symbolic number of channels has no op")
    kernel = ops.full(shape=(channels, 1, *window), value=1, dtype=x.dtype)
    return ops.conv(
        x, kernel, strides=strides, padding=pads, dilations=dilations, groups=channels, channel_axis=channel_axis
    )


def _max(x: Value, window: Ints, strides: Ints, dilations: Ints, pads: Pads, channel_axis: int) -> Value:
    return ops.max_pool(x, window=window, strides=strides, padding=pads, dilations=dilations, channel_axis=channel_axis)


def _min(x: Value, window: Ints, strides: Ints, dilations: Ints, pads: Pads, channel_axis: int) -> Value:
    turned = ops.negative if x.dtype.is_floating else ops.bitwise_invert  # of integers the one that never overflows
    return turned(_max(turned(x), window, strides, dilations, pads, channel_axis))


POOLS: dict[str, Pool] = {"sum": _sum, "max": _max, "min": _min}
