"""Lifting of reductions and running reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import DType, TensorType
from kxchange_jax.lift import SCOPE, cast, lift, permuted, refuse, scalar
from kxchange_jax.lift_elementwise import extreme
from kxchange_jax.private import scanned_reduction

Axes = tuple[int, ...]


def _reduction(op: Callable[..., Value], on_bools: Callable[..., Value] | None = None) -> Callable[..., Value]:
    def rule(x: Value, *, axes: Axes, **_: Any) -> Value:
        chosen = on_bools if on_bools is not None and x.dtype.is_bool else op
        return chosen(x, axis=tuple(axes)) if axes else x

    return rule


lift.rule("reduce_sum")(_reduction(ops.sum))
lift.rule("reduce_prod")(_reduction(ops.prod))
lift.rule("reduce_max")(_reduction(ops.max, ops.any))
lift.rule("reduce_min")(_reduction(ops.min, ops.all))


def _by_bits(combine: Callable[..., Value], on_bools: Callable[..., Value]) -> Callable[..., Value]:
    """A reduction of integers bit by bit: a loop over the axis."""

    def rule(x: Value, *, axes: Axes, **_: Any) -> Value:
        if x.dtype.is_bool:
            return on_bools(x, axes) if axes else x
        start = -1 if combine is ops.bitwise_and and x.dtype.is_signed else 0
        if combine is ops.bitwise_and and not x.dtype.is_signed:
            start = int(np.iinfo(x.dtype.numpy).max)
        for axis in sorted((axis % x.ndim for axis in axes), reverse=True):
            x = _folded(x, axis, combine, start)
        return x

    return rule


def _folded(x: Value, axis: int, combine: Callable[..., Value], start: int) -> Value:
    first = permuted(x, (axis, *(a for a in range(x.ndim) if a != axis)))
    type = TensorType(x.dtype, tuple(first.shape[1:]))
    carry, element = placeholder("carry", type), placeholder("x", type)
    body = Graph((carry, element), (combine(carry, element),))
    initial = ops.full(shape=type.shape, value=start, dtype=x.dtype)
    return ops.scan(initial, first, body=body, num_consts=0, num_carry=1, length=first.shape[0])


def _odd(x: Value, axes: Axes) -> Value:
    """Whether an odd number of booleans is true."""
    count = ops.sum(ops.astype(x, dtype=DType.INT32), axis=tuple(axes))
    return ops.equal(ops.bitwise_and(count, 1), 1)


lift.rule("reduce_and")(_by_bits(ops.bitwise_and, lambda x, axes: ops.all(x, axis=tuple(axes))))
lift.rule("reduce_or")(_by_bits(ops.bitwise_or, lambda x, axes: ops.any(x, axis=tuple(axes))))
lift.rule("reduce_xor")(_by_bits(ops.bitwise_xor, _odd))


def _position(op: Callable[..., Value]) -> Callable[..., Value]:
    def rule(x: Value, *, axes: Axes, index_dtype: Any, **_: Any) -> Value:
        x = ops.astype(x, dtype=DType.UINT8) if x.dtype.is_bool else x
        return cast(op(x, axis=axes[0]), DType.of(index_dtype))

    return rule


lift.rule("argmax")(_position(ops.argmax))
lift.rule("argmin")(_position(ops.argmin))


def _running(op: Callable[..., Value]) -> Callable[..., Value]:
    return lambda x, *, axis, reverse, **_: op(x, axis=axis, reverse=reverse)


def _extreme(op: Callable[..., Value], compare: Callable[..., Value]) -> Callable[..., Value]:
    def rule(x: Value, *, axis: int, reverse: bool, **_: Any) -> Value:
        if x.dtype.is_complex:
            return _running_loop(x, axis, extreme(compare), reverse=reverse)
        if not reverse:
            return op(x, axis=axis)
        return ops.flip(op(ops.flip(x, axis=(axis,)), axis=axis), axis=(axis,))

    return rule


lift.rule("cumsum")(_running(ops.cumulative_sum))
lift.rule("cumprod")(_running(ops.cumulative_prod))
lift.rule("cummax")(_extreme(ops.cumulative_max, ops.greater))
lift.rule("cummin")(_extreme(ops.cumulative_min, ops.less))


@lift.rule("cumlogsumexp")
def _(x: Value, *, axis: int, reverse: bool, **_: Any) -> Value:
    # A loop: one shift for the whole axis would lose what is far below the largest element.
    return _running_loop(x, axis, ops.logaddexp, reverse=reverse, initial=float("-inf"))


def _running_loop(
    x: Value, axis: int, combine: Callable[..., Value], *, reverse: bool, initial: float | None = None
) -> Value:
    """All partial results along an axis, by a loop from `initial`; from the first element where it changes nothing."""
    order = (axis, *(a for a in range(x.ndim) if a != axis))
    first = permuted(x, order)
    type = TensorType(x.dtype, tuple(first.shape[1:]))
    carry, element = placeholder("carry", type), placeholder("x", type)
    total = combine(carry, element)
    start = _end_of(first, reverse) if initial is None else ops.full(shape=type.shape, value=initial, dtype=x.dtype)
    counts = {"num_consts": 0, "num_carry": 1, "reverse": reverse, "length": first.shape[0]}
    _, stacked = ops.scan(start, first, body=Graph((carry, element), (total, total)), **counts)
    return permuted(stacked, tuple(int(place) for place in np.argsort(order)))


def _end_of(x: Value, last: bool) -> Value:
    """The first or last row."""
    size = x.shape[0]
    start = size - 1 if last else 0
    return ops.squeeze(ops.slice(x, starts=(start,), stops=(start + 1,), steps=(1,), axes=(0,)), axis=(0,))


COMBINED = {
    "add": ops.sum,
    "mul": ops.prod,
    "max": ops.max,
    "min": ops.min,
    "and": ops.all,
    "or": ops.any,
}
"""Reductions by the primitive that combines two elements."""
JOINED = {"add": ops.add, "mul": ops.multiply, "max": ops.maximum, "min": ops.minimum}


@lift.rule("reduce")
def _(*operands: Value, jaxpr: Any, dimensions: Axes, **_: Any) -> Any:
    x, initial = operands[0], operands[-1]
    name = jaxpr.jaxpr.eqns[0].primitive.name if len(jaxpr.jaxpr.eqns) == 1 else ""
    if len(operands) != 2 or name not in COMBINED or (name in ("and", "or")) is not x.dtype.is_bool:
        results = tuple(SCOPE.lifter.expand(scanned_reduction(SCOPE.equation), operands))
        return results[0] if len(results) == 1 else results
    reduced = COMBINED[name](x, axis=tuple(dimensions)) if dimensions else x
    join = {"and": ops.logical_and, "or": ops.logical_or}.get(name) or JOINED[name]
    return join(reduced, initial)


def neutral(dtype: DType, largest: bool) -> Any:
    """The number that never wins a maximum (or a minimum, where `largest`)."""
    if dtype.is_complex:
        refuse("complex numbers have no order")
    if dtype.is_bool:
        return largest
    if dtype.is_floating:
        return float("inf") if largest else float("-inf")
    limits = np.iinfo(dtype.numpy)
    return int(limits.max if largest else limits.min)


def zero(dtype: DType) -> Value:
    """A rank-0 zero."""
    return scalar(0, dtype)
