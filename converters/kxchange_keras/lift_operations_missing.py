"""`keras.ops` by class of operation: statistics, and those in which NaN stands for what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_operations_reduction import countable
from kxchange_keras.promotion import axes_of, float_of, promoted, value_of
from kxchange_keras.registry import operation


def _how(call: Call, x: Value) -> dict[str, Any]:
    return {"axis": axes_of(call.option("axis", None), x.ndim), "keepdims": bool(call.option("keepdims", False))}


def _filled(x: Value, number: float) -> Value:
    return ops.where(ops.isnan(x), number, x) if x.dtype.is_floating else x


@operation("Nansum", "Nanprod")
def _(call: Call, x: Any) -> Value:
    value, adds = countable(value_of(call, x)), call.config.class_name == "Nansum"
    return (ops.sum if adds else ops.prod)(_filled(value, 0.0 if adds else 1.0), **_how(call, value))


@operation("Nanmax", "Nanmin")
def _(call: Call, x: Any) -> Value:
    value, largest = value_of(call, x), call.config.class_name == "Nanmax"
    pick = ops.max if largest else ops.min
    if not value.dtype.is_floating:
        return pick(value, **_how(call, value))
    found = pick(_filled(value, -math.inf if largest else math.inf), **_how(call, value))
    return ops.where(ops.all(ops.isnan(value), **_how(call, value)), math.nan, found)


def _mean(x: Value, **how: Any) -> Value:
    there = cast(ops.logical_not(ops.isnan(x)), x.dtype)
    return ops.divide(ops.sum(_filled(x, 0.0), **how), ops.sum(there, **how))


@operation("Nanmean")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return _mean(value, **_how(call, value))


@operation("Nanvar", "Nanstd")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    how = _how(call, value)
    middle = _mean(value, axis=how["axis"], keepdims=True)
    found = _mean(ops.square(ops.subtract(value, middle)), **how)
    return found if call.config.class_name == "Nanvar" else ops.sqrt(found)


@operation("Nancumsum", "Nancumprod")
def _(call: Call, x: Any) -> Value:
    adds = call.config.class_name == "Nancumsum"
    value, axis = _filled(value_of(call, x), 0.0 if adds else 1.0), call.option("axis", None)
    value = cast(value, DType.INT32) if value.dtype is DType.BOOL else value
    if axis is None:
        value, axis = ops.reshape(value, shape=(product(value.shape),)), 0
    return (ops.cumulative_sum if adds else ops.cumulative_prod)(value, axis=int(axis))


@operation("Median")
def _(call: Call, x: Any) -> Value:
    return _quantile(call, x, 0.5, "linear")


@operation("Quantile", "Percentile")
def _(call: Call, x: Any, q: Any) -> Value:
    given = q if isinstance(q, int | float | np.ndarray | list | tuple) else _constant(call, q)
    shares = np.asarray(given, np.float64) / (100.0 if call.config.class_name == "Percentile" else 1.0)
    return _quantile(call, x, shares.tolist(), str(call.option("method", "linear")))


def _constant(call: Call, q: Any) -> Any:
    if not isinstance(q, Value) or q.node.op != "constant":
        call.refuse("its quantiles are computed")
    return np.asarray(q.node.attrs["value"].array)


def _quantile(call: Call, x: Any, shares: Any, method: str) -> Value:
    """Quantiles along axes of known size; several stand in front."""
    value = float_of(call, x)
    axes = axes_of(call.option("axis", None), value.ndim)
    rest = tuple(axis for axis in range(value.ndim) if axis not in axes)
    count: Dim = product(tuple(value.shape[axis] for axis in axes))
    if not isinstance(count, int) or method not in ("linear", "lower", "higher", "nearest", "midpoint"):
        call.refuse("it takes quantiles of an unknown number of elements, or by a method that has no rule")
    kept = tuple(value.shape[axis] for axis in rest)
    rows = ops.sort(ops.reshape(ops.permute_dims(value, axes=(*rest, *axes)), shape=(*kept, count)), axis=-1)
    lost = ops.any(ops.isnan(rows), axis=(rows.ndim - 1,))
    several = isinstance(shares, list)
    found = [_at(rows, lost, share * (count - 1), method) for share in (shares if several else [shares])]
    if call.option("keepdims", False):
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        found = [ops.reshape(part, shape=shape) for part in found]
    return ops.stack(*found, axis=0) if several else found[0]


def _at(rows: Value, lost: Value, place: float, method: str) -> Value:
    """The element at a place between two, along the last axis."""
    low, high = math.floor(place), math.ceil(place)
    share = {"lower": 0.0, "higher": 1.0, "midpoint": 0.5, "nearest": float(round(place) - low)}.get(
        method, place - low
    )
    first, second = (
        ops.squeeze(
            ops.slice(rows, starts=(i,), stops=(i + 1,), steps=(1,), axes=(rows.ndim - 1,)), axis=(rows.ndim - 1,)
        )
        for i in (low, high)
    )
    mixed = first if low == high else ops.add(ops.multiply(first, 1.0 - share), ops.multiply(second, share))
    return ops.where(lost, math.nan, mixed)


@operation("Trapezoid")
def _(call: Call, y: Any) -> Value:
    """The area under points that lie `dx` apart."""
    value, axis = float_of(call, y), int(call.option("axis", -1))
    if call.option("x", None) is not None:
        call.refuse("its points are given")
    axis %= value.ndim
    size = value.shape[axis]
    later = ops.slice(value, starts=(1,), stops=(size,), steps=(1,), axes=(axis,))
    earlier = ops.slice(value, starts=(0,), stops=(size - 1,), steps=(1,), axes=(axis,))
    return ops.multiply(ops.sum(ops.add(later, earlier), axis=(axis,)), 0.5 * float(call.option("dx", 1.0)))


@operation("Linspace")
def _(call: Call, start: Any, stop: Any) -> Value:
    """Numbers between two tensors, both included unless the option says otherwise."""
    first, last = promoted(call, value_of(call, start), value_of(call, stop), floating=True)
    count, ends = int(call.option("num", 50)), bool(call.option("endpoint", True))
    if call.option("retstep", False) or int(call.option("axis", 0)) or count < 1:
        call.refuse("it gives its step too, stands along another axis, or is empty")
    gaps = max(count - 1 if ends else count, 1)
    shape = (count, *((1,) * max(first.ndim, last.ndim)))
    steps = ops.reshape(ops.arange(start=0, stop=count, step=1, dtype=first.dtype), shape=shape)
    share = ops.divide(steps, float(gaps))
    return ops.add(ops.multiply(ops.subtract(1.0, share), first), ops.multiply(share, last))
