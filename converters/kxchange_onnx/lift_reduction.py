"""Reductions: axes as an attribute first, as an operand later."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.ops.joining import integer_range
from kxchange.shapes import normalize_axes, product
from kxchange.types import DType
from kxchange_onnx.lift import lift
from kxchange_onnx.operands_in import dims, optional_ints

Reduce = Callable[..., Value]


def _mean(x: Value, *, axis: Any, keepdims: bool) -> Value:
    if x.dtype.is_floating:
        return ops.mean(x, axis=axis, keepdims=keepdims)
    count = product(x.shape[a] for a in (range(x.ndim) if axis is None else axis))
    return ops.truncated_divide(ops.sum(x, axis=axis, keepdims=keepdims), count)


def _extreme(op: Reduce, boolean: Reduce, empty: Callable[[DType], Any]) -> Reduce:
    """The greatest or least; of nothing, what stands before everything else; of bools, any or all."""

    def reduce(x: Value, *, axis: Any, keepdims: bool) -> Value:
        if x.dtype.is_bool:
            return boolean(x, axis=axis, keepdims=keepdims)
        axes = tuple(range(x.ndim)) if axis is None else normalize_axes(axis, x.ndim)
        if any(x.shape[a] == 0 for a in axes):
            kept = tuple(1 if a in axes else size for a, size in enumerate(x.shape) if keepdims or a not in axes)
            return ops.full(shape=kept, value=empty(x.dtype), dtype=x.dtype)
        return op(x, axis=axis, keepdims=keepdims)

    return reduce


def _norm1(x: Value, *, axis: Any, keepdims: bool) -> Value:
    return ops.sum(ops.abs(x), axis=axis, keepdims=keepdims)


def _norm2(x: Value, *, axis: Any, keepdims: bool) -> Value:
    total = ops.sum(ops.square(as_float(x)), axis=axis, keepdims=keepdims)
    return like(ops.sqrt(total), x)


def _log_sum(x: Value, *, axis: Any, keepdims: bool) -> Value:
    return like(ops.log(ops.sum(as_float(x), axis=axis, keepdims=keepdims)), x)


def _log_sum_exp(x: Value, *, axis: Any, keepdims: bool) -> Value:
    return like(ops.logsumexp(as_float(x), axis=axis, keepdims=keepdims), x)


def _sum_square(x: Value, *, axis: Any, keepdims: bool) -> Value:
    return ops.sum(ops.square(x), axis=axis, keepdims=keepdims)


def as_float(x: Value) -> Value:
    """Integers as float64, in which roots and logarithms of them are exact enough to be truncated."""
    return x if x.dtype.is_floating else ops.astype(x, dtype=DType.FLOAT64)


def like(result: Value, x: Value) -> Value:
    """The result in the dtype of the operand."""
    return result if result.dtype is x.dtype else ops.astype(result, dtype=x.dtype)


def _lowest(dtype: DType) -> Any:
    return -math.inf if dtype.is_floating else integer_range(dtype)[0]


def _highest(dtype: DType) -> Any:
    return math.inf if dtype.is_floating else integer_range(dtype)[1]


REDUCTIONS: dict[str, tuple[Reduce, int]] = {
    "ReduceSum": (ops.sum, 13),
    "ReduceProd": (ops.prod, 18),
    "ReduceMean": (_mean, 18),
    "ReduceMax": (_extreme(ops.max, ops.any, _lowest), 18),
    "ReduceMin": (_extreme(ops.min, ops.all, _highest), 18),
    "ReduceL1": (_norm1, 18),
    "ReduceL2": (_norm2, 18),
    "ReduceLogSum": (_log_sum, 18),
    "ReduceLogSumExp": (_extreme(_log_sum_exp, ops.any, lambda dtype: -math.inf), 18),
    "ReduceSumSquare": (_sum_square, 18),
}
"""Reduction by operator, with the version that takes axes as an operand."""


def _by_attribute(reduce: Reduce) -> Callable[..., Value]:
    def rule(x: Value, *, axes: Sequence[int] | None, keepdims: int) -> Value:
        return reduce(x, axis=normalize_axes(axes, x.ndim) if axes else None, keepdims=bool(keepdims))

    return rule


def _by_operand(reduce: Reduce) -> Callable[..., Value]:
    def rule(x: Value, axes: Value | None, *, keepdims: int, noop_with_empty_axes: int) -> Value:
        chosen = optional_ints(axes, "axes")
        nothing = () if noop_with_empty_axes else None
        axis = normalize_axes(chosen, x.ndim) if chosen else nothing
        return reduce(x, axis=axis, keepdims=bool(keepdims))

    return rule


for _name, (_reduce, _since) in REDUCTIONS.items():
    lift.add("", _name, _by_attribute(_reduce))
    lift.add("", _name, _by_operand(_reduce), since=_since)


def _arg(op: Reduce) -> Callable[..., Value]:
    def rule(x: Value, *, axis: int, keepdims: int) -> Value:
        return op(x, axis=axis, keepdims=bool(keepdims))

    return rule


def _arg_last(op: Reduce) -> Callable[..., Value]:
    def rule(x: Value, *, axis: int, keepdims: int, select_last_index: int) -> Value:
        if not select_last_index:
            return op(x, axis=axis, keepdims=bool(keepdims))
        from_end = op(ops.flip(x, axis=(axis,)), axis=axis, keepdims=bool(keepdims))
        return ops.subtract(ops.full(shape=(), value=x.shape[axis] - 1, dtype=DType.INT64), from_end)

    return rule


for _name, _op in {"ArgMax": ops.argmax, "ArgMin": ops.argmin}.items():
    lift.add("", _name, _arg(_op))
    lift.add("", _name, _arg_last(_op), since=12)


def _cumulative(op: Reduce) -> Callable[..., Value]:
    def rule(x: Value, axis: Value, *, exclusive: int, reverse: int) -> Value:
        (position,) = dims(axis, "axis")
        return op(x, axis=position, exclusive=bool(exclusive), reverse=bool(reverse))

    return rule


lift.add("", "CumSum", _cumulative(ops.cumulative_sum))
lift.add("", "CumProd", _cumulative(ops.cumulative_prod))
