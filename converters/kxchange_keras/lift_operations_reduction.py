"""`keras.ops` by class of operation: over axes."""

from __future__ import annotations

import math
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_operations_shape import diagonal_of
from kxchange_keras.promotion import axes_of, dtype_named, float_of, promoted, value_of
from kxchange_keras.registry import operation

NARROW = (DType.BOOL, DType.INT8, DType.INT16)


def _axes(call: Call, x: Value) -> dict[str, Any]:
    return {"axis": axes_of(call.option("axis", None), x.ndim), "keepdims": bool(call.option("keepdims", False))}


def countable(x: Value) -> Value:
    """Narrow whole numbers as int32, in which Keras adds them up."""
    if x.dtype in NARROW:
        return cast(x, DType.INT32)
    return cast(x, DType.UINT32) if x.dtype in (DType.UINT8, DType.UINT16) else x


@operation("Sum", "Prod")
def _(call: Call, x: Any) -> Value:
    value, stated = countable(value_of(call, x)), call.option("dtype", None)
    value = value if stated is None else cast(value, dtype_named(call, stated))
    return (ops.sum if call.config.class_name == "Sum" else ops.prod)(value, **_axes(call, value))


@operation("Mean")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.mean(value, **_axes(call, value))


@operation("Var")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.var(value, **_axes(call, value))


@operation("Std")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.sqrt(ops.var(value, **_axes(call, value)))


@operation("Max", "Amax", "Min", "Amin")
def _(call: Call, x: Any) -> Value:
    value, largest = value_of(call, x), call.config.class_name in ("Max", "Amax")
    found = (ops.max if largest else ops.min)(value, **_axes(call, value))
    start = call.option("initial", None)
    return found if start is None else (ops.maximum if largest else ops.minimum)(*promoted(call, found, start))


@operation("Ptp")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return ops.subtract(ops.max(value, **_axes(call, value)), ops.min(value, **_axes(call, value)))


@operation("All", "Any")
def _(call: Call, x: Any) -> Value:
    value = cast(value_of(call, x), DType.BOOL)
    return (ops.all if call.config.class_name == "All" else ops.any)(value, **_axes(call, value))


@operation("Argmax", "Argmin")
def _(call: Call, x: Any) -> Value:
    value, axis = value_of(call, x), call.option("axis", None)
    pick = ops.argmax if call.config.class_name == "Argmax" else ops.argmin
    if axis is not None:
        return cast(pick(value, axis=int(axis), keepdims=bool(call.option("keepdims", False))), DType.INT32)
    flat = cast(pick(ops.reshape(value, shape=(product(value.shape),)), axis=0), DType.INT32)
    return ops.reshape(flat, shape=(1,) * value.ndim) if call.option("keepdims", False) else flat


@operation("CountNonzero")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    found = cast(cast(value, DType.BOOL), DType.INT32)
    return ops.sum(found, axis=axes_of(call.option("axis", None), value.ndim))


@operation("Logsumexp")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.logsumexp(value, **_axes(call, value))


@operation("Cumsum", "Cumprod")
def _(call: Call, x: Any) -> Value:
    value, stated = value_of(call, x), call.option("dtype", None)
    value = cast(value, DType.INT32) if value.dtype is DType.BOOL else value
    value = value if stated is None else cast(value, dtype_named(call, stated))
    axis = call.option("axis", None)
    if axis is None:
        value, axis = ops.reshape(value, shape=(product(value.shape),)), 0
    return (ops.cumulative_sum if call.config.class_name == "Cumsum" else ops.cumulative_prod)(value, axis=int(axis))


@operation("Average")
def _(call: Call, x: Any, weights: Any = None) -> Value:
    value = float_of(call, x)
    axes = axes_of(call.option("axis", None), value.ndim)
    if weights is None:
        return ops.mean(value, axis=axes)
    value, weight = promoted(call, value, value_of(call, weights), floating=True)
    if weight.ndim < value.ndim:
        if len(axes) != 1 or weight.ndim != 1:
            call.refuse("its weights do not lie along one axis")
        sizes: list[Dim] = [1] * value.ndim
        sizes[axes[0]] = weight.shape[0]
        weight = ops.reshape(weight, shape=tuple(sizes))
    weight = ops.broadcast_to(weight, shape=value.shape)
    return ops.divide(ops.sum(ops.multiply(value, weight), axis=axes), ops.sum(weight, axis=axes))


@operation("Moments")
def _(call: Call, x: Any) -> tuple[Value, Value]:
    value = float_of(call, x)
    how = {"axis": axes_of(call.option("axes"), value.ndim), "keepdims": bool(call.option("keepdims", False))}
    return ops.mean(value, **how), ops.var(value, **how)


@operation("Norm")
def _(call: Call, x: Any) -> Value:
    value, order, axis = float_of(call, x), call.option("ord", None), call.option("axis", None)
    axes = axes_of(axis, value.ndim)
    how: dict[str, Any] = {"axis": axes, "keepdims": bool(call.option("keepdims", False))}
    vector = len(axes) == 1
    if order is None or order == "fro" or (order == 2 and vector):
        return ops.sqrt(ops.sum(ops.square(value), **how))
    size = ops.abs(value)
    if not vector:
        call.refuse(f"its order {order!r} of a matrix norm has no rule")
    if order in (math.inf, "inf"):
        return ops.max(size, **how)
    if order != 1:
        call.refuse(f"its order {order!r} has no rule")
    return ops.sum(size, **how)


@operation("Trace", "Diagonal")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    first, second = (int(call.option(name, default)) % value.ndim for name, default in (("axis1", 0), ("axis2", 1)))
    found = diagonal_of(call, value, first, second, int(call.option("offset", 0)))
    return found if call.config.class_name == "Diagonal" else ops.sum(countable(found), axis=(found.ndim - 1,))


@operation("Diff")
def _(call: Call, a: Any) -> Value:
    value, axis = value_of(call, a), int(call.option("axis", -1))
    axis %= value.ndim
    for _ in range(int(call.option("n", 1))):
        size = value.shape[axis]
        later = ops.slice(value, starts=(1,), stops=(size,), steps=(1,), axes=(axis,))
        earlier = ops.slice(value, starts=(0,), stops=(size - 1,), steps=(1,), axes=(axis,))
        value = ops.subtract(later, earlier)
    return value
