"""`keras.ops` by class of operation: writing to places, and grouping."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_operations_shape import sizes_of
from kxchange_keras.promotion import axes_of, promoted, value_of
from kxchange_keras.registry import operation


def _places(call: Call, indices: Any) -> Value:
    found = value_of(call, np.asarray(indices, np.int32) if isinstance(indices, list) else indices)
    return found if found.dtype.is_integer else cast(found, DType.INT32)


def _empty(shape: tuple[Dim, ...], like: Value) -> Value:
    return ops.full(shape=shape, value=0.0 if like.dtype.is_floating else 0, dtype=like.dtype)


@operation("ScatterUpdate")
def _(call: Call, inputs: Any, indices: Any, updates: Any) -> Value:
    x = value_of(call, inputs)
    reduction = call.option("reduction", None) or "set"
    names = {"add": "add", "max": "max", "min": "min", "mul": "multiply", "set": "set"}
    if reduction not in names:
        call.refuse(f"its reduction {reduction!r} has no rule")
    new = cast(value_of(call, updates), x.dtype)
    return ops.scatter_nd(x, _places(call, indices), new, reduction=names[reduction])


@operation("Scatter")
def _(call: Call, indices: Any, values: Any) -> Value:
    new, places = value_of(call, values), _places(call, indices)
    return ops.scatter_nd(_empty(sizes_of(call, call.option("shape")), new), places, new, reduction="add")


@operation("SegmentSum")
def _(call: Call, data: Any, segment_ids: Any) -> Value:
    """Sums of the rows of each segment; a row of none (a number outside) counts nowhere."""
    x, places, count = value_of(call, data), _places(call, segment_ids), call.option("num_segments", None)
    if not isinstance(count, int):
        call.refuse("its number of segments is what the data says")
    outside = ops.logical_or(ops.less(places, 0), ops.greater_equal(places, count))
    rows = ops.expand_dims(ops.where(outside, count, places), axis=(places.ndim,))
    found = ops.scatter_nd(_empty((count + 1, *x.shape[places.ndim :]), x), rows, x, reduction="add")
    return ops.slice(found, starts=(0,), stops=(count,), steps=(1,), axes=(0,))


@operation("UnravelIndex")
def _(call: Call, indices: Any) -> tuple[Value, ...]:
    places, found = _places(call, indices), list[Value]()
    for size in reversed(sizes_of(call, call.option("shape"))):
        found.append(ops.remainder(places, size))
        places = ops.floor_divide(places, size)
    return tuple(reversed(found))


@operation("Rot90")
def _(call: Call, array: Any) -> Value:
    x = value_of(call, array)
    first, second = axes_of(call.option("axes", (0, 1)), x.ndim)
    order = list(range(x.ndim))
    order[first], order[second] = second, first
    turns = int(call.option("k", 1)) % 4
    if turns == 2:
        return ops.flip(x, axis=(first, second))
    if turns == 1:
        return ops.permute_dims(ops.flip(x, axis=(second,)), axes=tuple(order))
    return ops.flip(ops.permute_dims(x, axes=tuple(order)), axis=(second,)) if turns else x


@operation("Meshgrid")
def _(call: Call, *x: Any) -> list[Value]:
    values = [value_of(call, item) for item in x]
    values = [ops.reshape(item, shape=(product(item.shape),)) for item in values]
    order = list(range(len(values)))
    if call.option("indexing", "xy") == "xy" and len(values) > 1:
        order[0], order[1] = 1, 0
    shape: list[Dim] = [1] * len(values)
    for item, axis in zip(values, order, strict=True):
        shape[axis] = item.shape[0]
    found: list[Value] = []
    for item, axis in zip(values, order, strict=True):
        along = tuple(item.shape[0] if place == axis else 1 for place in range(len(values)))
        found.append(ops.broadcast_to(ops.reshape(item, shape=along), shape=tuple(shape)))
    return found


@operation("Ldexp")
def _(call: Call, x1: Any, x2: Any) -> Value:
    base, exponent = promoted(call, value_of(call, x1), value_of(call, x2), floating=True)
    return ops.multiply(base, ops.pow(ops.full(shape=(), value=2.0, dtype=base.dtype), exponent))


@operation("Rearrange")
def _(call: Call, tensor: Any, pattern: str, **sizes: Any) -> Value:
    """``b (h p) -> b h p``: names of axes, split and merged in brackets."""
    x = value_of(call, tensor)
    left, _, right = str(pattern).partition("->")
    before, after = _groups(left), _groups(right)
    if len(before) != x.ndim or "..." in pattern:
        call.refuse(f"its pattern {pattern[:60]!r} does not fit {x.ndim} axes")
    known: dict[str, Dim] = dict(sizes)
    for names, size in zip(before, x.shape, strict=True):
        open_names = [name for name in names if name not in known]
        if len(open_names) > 1:
            call.refuse(f"its pattern {pattern[:60]!r} leaves sizes open")
        for name in open_names:
            rest = product(tuple(known[other] for other in names if other != name))
            known[name] = size // rest
    order = [name for names in before for name in names]
    wanted = [name for names in after for name in names]
    if sorted(order) != sorted(wanted):
        call.refuse(f"its pattern {pattern[:60]!r} has other axes on its sides")
    x = ops.reshape(x, shape=tuple(known[name] for name in order))
    x = ops.permute_dims(x, axes=tuple(order.index(name) for name in wanted))
    return ops.reshape(x, shape=tuple(product(tuple(known[name] for name in names)) for names in after))


def _groups(side: str) -> list[list[str]]:
    return [found.strip("()").split() for found in re.findall(r"\([^)]*\)|[^\s()]+", side)]
