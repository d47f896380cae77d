"""Sums, means, extremes, norms and running totals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import normalize_axis
from kxchange.types import DType
from kxchange_torch.lift import lift
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_promotion import cast, to_bool, to_float

Axes = tuple[int, ...] | int | None


def axes_of(x: Value, axes: Axes) -> tuple[int, ...] | None:
    """Axes as torch means them: none at all is all of them."""
    if axes is None or axes == ():
        return None
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _summed(x: Value, dtype: DType | None) -> Value:
    """The operand in the dtype in which torch adds it up: integers and bools in int64."""
    if dtype is not None:
        return cast(x, dtype)
    return cast(x, DType.INT64) if x.dtype.is_bool or x.dtype.is_integer else x


def reduce_axes(op: Callable[..., Value], x: Value, axes: Axes, keepdims: bool = False, **attrs: Any) -> Value:
    """A reduction; of a rank-0 tensor it is the tensor's own value, whatever axis is named."""
    if x.ndim == 0:
        return op(x, axis=(), keepdims=False, **attrs)
    return op(x, axis=axes_of(x, axes), keepdims=keepdims, **attrs)


@lift.rule("aten.sum.default")
def _(x: Value, dtype: DType | None) -> Value:
    return reduce_axes(ops.sum, _summed(x, dtype), None)


@lift.rule("aten.sum.dim_IntList")
def _(x: Value, axes: Axes, keepdims: bool, dtype: DType | None) -> Value:
    return reduce_axes(ops.sum, _summed(x, dtype), axes, keepdims)


@lift.rule("aten.prod.default")
def _(x: Value, dtype: DType | None) -> Value:
    return reduce_axes(ops.prod, _summed(x, dtype), None)


@lift.rule("aten.prod.dim_int")
def _(x: Value, axis: int, keepdims: bool, dtype: DType | None) -> Value:
    return reduce_axes(ops.prod, _summed(x, dtype), axis, keepdims)


@lift.rule("aten.nansum.default")
def _(x: Value, axes: Axes, keepdims: bool, dtype: DType | None) -> Value:
    clean = ops.where(ops.isnan(x), 0.0, x) if x.dtype.is_floating else x
    return reduce_axes(ops.sum, _summed(clean, dtype), axes, keepdims)


@lift.rule("aten.mean.default")
def _(x: Value, dtype: DType | None) -> Value:
    return reduce_axes(ops.mean, cast(x, dtype or x.dtype), None)


@lift.rule("aten.mean.dim")
def _(x: Value, axes: Axes, keepdims: bool, dtype: DType | None) -> Value:
    return reduce_axes(ops.mean, cast(x, dtype or x.dtype), axes, keepdims)


@lift.rule("aten.amax.default")
def _(x: Value, axes: Axes, keepdims: bool) -> Value:
    return _extreme(x, axes, keepdims, largest=True)


@lift.rule("aten.amin.default")
def _(x: Value, axes: Axes, keepdims: bool) -> Value:
    return _extreme(x, axes, keepdims, largest=False)


def _extreme(x: Value, axes: Axes, keepdims: bool, *, largest: bool) -> Value:
    if x.dtype.is_bool:
        return reduce_axes(ops.any if largest else ops.all, x, axes, keepdims)
    return reduce_axes(ops.max if largest else ops.min, x, axes, keepdims)


@lift.rule("aten.max.default")
def _(x: Value) -> Value:
    return _extreme(x, None, False, largest=True)


@lift.rule("aten.min.default")
def _(x: Value) -> Value:
    return _extreme(x, None, False, largest=False)


@lift.rule("aten.aminmax.default")
def _(x: Value, axis: int | None, keepdims: bool) -> tuple[Value, Value]:
    return _extreme(x, axis, keepdims, largest=False), _extreme(x, axis, keepdims, largest=True)


def arg_extreme(x: Value, axis: int | None, keepdims: bool, *, largest: bool) -> Value:
    """Index of the first extreme along an axis, or in the flattened tensor."""
    op = ops.argmax if largest else ops.argmin
    if x.ndim == 0:
        return full((), 0, DType.INT64)
    if axis is not None:
        return op(x, axis=axis, keepdims=keepdims)
    index = op(ops.reshape(x, shape=(-1,)), axis=0, keepdims=False)
    return ops.reshape(index, shape=(1,) * x.ndim) if keepdims else index


@lift.rule("aten.argmax.default")
def _(x: Value, axis: int | None, keepdims: bool) -> Value:
    return arg_extreme(x, axis, keepdims, largest=True)


@lift.rule("aten.argmin.default")
def _(x: Value, axis: int | None, keepdims: bool) -> Value:
    return arg_extreme(x, axis, keepdims, largest=False)


@lift.rule("aten.max.dim")
def _(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    values = cast(x, DType.INT32) if x.dtype.is_bool else x
    return _extreme(x, axis, keepdims, largest=True), arg_extreme(values, axis, keepdims, largest=True)


@lift.rule("aten.min.dim")
def _(x: Value, axis: int, keepdims: bool) -> tuple[Value, Value]:
    values = cast(x, DType.INT32) if x.dtype.is_bool else x
    return _extreme(x, axis, keepdims, largest=False), arg_extreme(values, axis, keepdims, largest=False)


def _like_source(result: Value, x: Value) -> Value:
    """`any` and `all` of uint8 stay uint8 in torch."""
    return cast(result, DType.UINT8) if x.dtype is DType.UINT8 else result


@lift.rule("aten.any.default")
def _(x: Value) -> Value:
    return _like_source(reduce_axes(ops.any, to_bool(x), None), x)


@lift.rule("aten.any.dim", "aten.any.dims")
def _(x: Value, axes: Axes, keepdims: bool) -> Value:
    return _like_source(reduce_axes(ops.any, to_bool(x), axes, keepdims), x)


@lift.rule("aten.all.default")
def _(x: Value) -> Value:
    return _like_source(reduce_axes(ops.all, to_bool(x), None), x)


@lift.rule("aten.all.dim", "aten.all.dims")
def _(x: Value, axes: Axes, keepdims: bool) -> Value:
    return _like_source(reduce_axes(ops.all, to_bool(x), axes, keepdims), x)


@lift.rule("aten.count_nonzero.default")
def _(x: Value, axis: int | None) -> Value:
    return reduce_axes(ops.sum, cast(to_bool(x), DType.INT64), axis)


@lift.rule("aten.count_nonzero.dim_IntList")
def _(x: Value, axes: Axes) -> Value:
    return reduce_axes(ops.sum, cast(to_bool(x), DType.INT64), axes)


@lift.rule("aten.logsumexp.default", "aten.special_logsumexp.default")
def _(x: Value, axes: Axes, keepdims: bool) -> Value:
    return reduce_axes(ops.logsumexp, to_float(x), axes, keepdims)


def variance(x: Value, axes: Axes, correction: float | None, keepdims: bool) -> Value:
    """Variance with `correction` taken from the count (1 where torch is not told)."""
    return reduce_axes(ops.var, x, axes, keepdims, correction=float(1 if correction is None else correction))


def _moments(name: str, finish: Callable[[Value], Value]) -> None:
    def correction(x: Value, axes: Axes, correction: float | None, keepdims: bool) -> Value:
        return finish(variance(x, axes, correction, keepdims))

    def unbiased(x: Value, unbiased: bool) -> Value:
        return finish(variance(x, None, float(unbiased), False))

    def unbiased_along(x: Value, axes: Axes, unbiased: bool, keepdims: bool) -> Value:
        return finish(variance(x, axes, float(unbiased), keepdims))

    lift.rule(f"aten.{name}.correction")(correction)
    lift.rule(f"aten.{name}.default")(unbiased)
    lift.rule(f"aten.{name}.dim")(unbiased_along)


_moments("var", lambda v: v)
_moments("std", lambda v: ops.sqrt(v))


@lift.rule("aten.var_mean.correction")
def _(x: Value, axes: Axes, correction: float | None, keepdims: bool) -> tuple[Value, Value]:
    return variance(x, axes, correction, keepdims), reduce_axes(ops.mean, x, axes, keepdims)


@lift.rule("aten.std_mean.correction")
def _(x: Value, axes: Axes, correction: float | None, keepdims: bool) -> tuple[Value, Value]:
    return ops.sqrt(variance(x, axes, correction, keepdims)), reduce_axes(ops.mean, x, axes, keepdims)


def vector_norm(x: Value, order: float, axes: Axes, keepdims: bool) -> Value:
    """``sum(|x|**p) ** (1/p)`` and its limits at 0 and infinity."""
    size = ops.abs(x)
    if order == 2:
        return ops.sqrt(reduce_axes(ops.sum, ops.square(x), axes, keepdims))
    if order == 1:
        return reduce_axes(ops.sum, size, axes, keepdims)
    if math.isinf(order):
        return reduce_axes(ops.max if order > 0 else ops.min, size, axes, keepdims)
    if order == 0:
        return reduce_axes(ops.sum, cast(ops.not_equal(x, 0), x.dtype), axes, keepdims)
    return ops.pow(reduce_axes(ops.sum, ops.pow(size, order), axes, keepdims), 1 / order)


@lift.rule("aten.linalg_vector_norm.default")
def _(x: Value, order: float, axes: Axes, keepdims: bool, dtype: DType | None) -> Value:
    return vector_norm(cast(x, dtype or x.dtype), order, axes, keepdims)


@lift.rule("aten.norm.ScalarOpt_dim")
def _(x: Value, order: float | None, axes: Axes, keepdims: bool) -> Value:
    return vector_norm(x, 2 if order is None else order, axes, keepdims)


@lift.rule("aten.norm.ScalarOpt_dim_dtype")
def _(x: Value, order: float | None, axes: Axes, keepdims: bool, dtype: DType) -> Value:
    return vector_norm(cast(x, dtype), 2 if order is None else order, axes, keepdims)


@lift.rule("aten.norm.Scalar", "aten.norm.ScalarOpt")
def _(x: Value, order: float) -> Value:
    return vector_norm(x, 2 if order is None else order, None, False)


@lift.rule("aten.dist.default")
def _(x1: Value, x2: Value, order: float) -> Value:
    return vector_norm(ops.subtract(x1, x2), order, None, False)


def _running(x: Value, axis: int, op: Callable[..., Value]) -> Value:
    return op(x, axis=axis) if x.ndim else x


@lift.rule("aten.cumsum.default")
def _(x: Value, axis: int, dtype: DType | None) -> Value:
    return _running(_summed(x, dtype), axis, ops.cumulative_sum)


@lift.rule("aten.cumprod.default")
def _(x: Value, axis: int, dtype: DType | None) -> Value:
    return _running(_summed(x, dtype), axis, ops.cumulative_prod)


def _running_extreme(x: Value, axis: int, op: Callable[..., Value]) -> tuple[Value, Value]:
    """Running extreme and where it was last seen: torch moves on to later equal elements."""
    if x.ndim == 0:
        return x, full((), 0, DType.INT64)
    if x.dtype.is_bool:
        values, places = _running_extreme(cast(x, DType.UINT8), axis, op)
        return to_bool(values), places
    values = op(x, axis=axis)
    at = ops.equal(x, values)
    if x.dtype.is_floating:
        at = ops.logical_or(at, ops.isnan(x))
    index = ops.arange(start=0, stop=x.shape[axis], step=1, dtype=DType.INT64)
    shaped = ops.reshape(index, shape=_along(x, axis))
    return values, ops.cumulative_max(ops.where(at, shaped, 0), axis=axis)


def _along(x: Value, axis: int) -> tuple[Dim, ...]:
    """A shape that is that of `x` along one axis and 1 elsewhere."""
    position = normalize_axis(axis, x.ndim)
    return tuple(size if i == position else 1 for i, size in enumerate(x.shape))


@lift.rule("aten.cummax.default")
def _(x: Value, axis: int) -> tuple[Value, Value]:
    return _running_extreme(x, axis, ops.cumulative_max)


@lift.rule("aten.cummin.default")
def _(x: Value, axis: int) -> tuple[Value, Value]:
    return _running_extreme(x, axis, ops.cumulative_min)


@lift.rule("aten.logcumsumexp.default")
def _(x: Value, axis: int) -> Value:
    """Shifted by the largest element of the axis, so that nothing overflows."""
    if x.ndim == 0:
        return x
    top = ops.max(x, axis=(axis,), keepdims=True)
    top = ops.where(ops.isfinite(top), top, 0.0)
    return ops.add(ops.log(ops.cumulative_sum(ops.exp(ops.subtract(x, top)), axis=axis)), top)


@lift.rule("aten.trace.default")
def _(x: Value) -> Value:
    rows, columns = x.shape
    eye = ops.eye(rows=rows, columns=columns, dtype=DType.BOOL)
    x = _summed(x, None)
    return ops.sum(ops.where(eye, x, 0), axis=None)


@lift.rule("aten.sum_to_size.default")
def _(x: Value, shape: tuple[Dim, ...]) -> Value:
    if not shape:
        return ops.sum(_summed(x, None), axis=None)
    lead = x.ndim - len(shape)
    axes = tuple(i for i, size in enumerate(x.shape) if i < lead or (shape[i - lead] == 1 and size != 1))
    result = ops.sum(_summed(x, None), axis=axes, keepdims=True) if axes else x
    return ops.reshape(result, shape=shape) if lead else result


@lift.rule("aten.nanmean.default")
def _(x: Value, axes: Axes, keepdims: bool, dtype: DType | None) -> Value:
    x = cast(x, dtype or x.dtype)
    seen = ops.logical_not(ops.isnan(x))
    total = reduce_axes(ops.sum, ops.where(seen, x, 0.0), axes, keepdims)
    return ops.divide(total, reduce_axes(ops.sum, cast(seen, x.dtype), axes, keepdims))
