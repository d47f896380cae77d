"""`keras.ops` by class of operation: picking elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.shapes import product, slice_length
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_operations_shape import sizes_of
from kxchange_keras.promotion import promoted, value_of
from kxchange_keras.registry import operation


@operation("Take")
def _(call: Call, x: Any, indices: Any) -> Value:
    value, axis = value_of(call, x), call.option("axis", None)
    if axis is None:
        value, axis = ops.reshape(value, shape=(product(value.shape),)), 0
    places = value_of(call, np.asarray(indices, dtype=np.int32) if isinstance(indices, list) else indices)
    places = places if places.dtype.is_integer else ops.astype(places, dtype=DType.INT32)
    return ops.take(value, places, axis=int(axis))


@operation("TakeAlongAxis")
def _(call: Call, x: Any, indices: Any) -> Value:
    axis = call.option("axis", None)
    if axis is None:
        call.refuse("it takes from a flattened tensor")
    return ops.take_along_axis(value_of(call, x), value_of(call, indices), axis=int(axis))


@operation("GetItem")
def _(call: Call, x: Any, key: Any) -> Value:
    return picked(call, value_of(call, x), key)


def picked(call: Call, x: Value, key: Any) -> Value:
    """``x[key]`` for ints, slices, None, Ellipsis and at most one tensor."""
    keys = list(key) if isinstance(key, list | tuple) else [key]
    taken = sum(1 for item in keys if item is not None and item is not Ellipsis)
    if not any(item is Ellipsis for item in keys):
        keys.append(Ellipsis)
    place = next(i for i, item in enumerate(keys) if item is Ellipsis)
    keys[place : place + 1] = [slice(None)] * (x.ndim - taken)
    if sum(isinstance(item, Value | np.ndarray) for item in keys) > 1:
        call.refuse("it indexes with several tensors")
    return _picked(call, x, keys)


def _picked(call: Call, x: Value, keys: list[Any]) -> Value:
    axis, dropped, added = 0, list[int](), list[int]()
    starts, stops, steps, axes = list[Dim](), list[Dim](), list[int](), list[int]()
    gathered: tuple[int, Value] | None = None
    for item in keys:
        if item is None:
            added.append(axis - len(dropped) + len(added))
            continue
        if isinstance(item, slice):
            step = 1 if item.step is None else int(item.step)
            start, stop, _ = slice_length(x.shape[axis], item.start, item.stop, step)
            if not (start == 0 and stop == x.shape[axis] and step == 1):
                for kept, number in ((starts, start), (stops, stop), (steps, step), (axes, axis)):
                    kept.append(number)  # type: ignore[arg-type]
        elif isinstance(item, int | DimExpr) and not isinstance(item, bool):
            size = x.shape[axis]
            place = item if not isinstance(item, int) or item >= 0 else size + item
            for kept, number in ((starts, place), (stops, place + 1), (steps, 1), (axes, axis)):
                kept.append(number)  # type: ignore[arg-type]
            dropped.append(axis)
        else:
            gathered = axis, value_of(call, item)
        axis += 1
    if axes:
        x = ops.slice(x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps), axes=tuple(axes))
    if gathered is not None:
        if dropped or added or gathered[1].dtype is DType.BOOL:
            call.refuse("it indexes with a tensor among other things")
        return ops.take(x, gathered[1], axis=gathered[0])
    x = ops.squeeze(x, axis=tuple(dropped)) if dropped else x
    return ops.expand_dims(x, axis=tuple(added)) if added else x


@operation("Slice")
def _(call: Call, inputs: Any, start_indices: Any) -> Value:
    x, sizes = value_of(call, inputs), sizes_of(call, call.option("shape"))
    starts = [value_of(call, start) for start in start_indices] if isinstance(start_indices, list | tuple) else None
    if starts is None:
        call.refuse("its starts are a tensor")
    return ops.dynamic_slice(x, *(cast(start, DType.INT32) for start in starts), sizes=sizes)


@operation("SliceUpdate")
def _(call: Call, inputs: Any, start_indices: Any, updates: Any) -> Value:
    if not isinstance(start_indices, list | tuple):
        call.refuse("its starts are a tensor")
    x, new = promoted(call, value_of(call, inputs), value_of(call, updates))
    return ops.dynamic_update_slice(x, new, *(cast(value_of(call, s), DType.INT32) for s in start_indices))
