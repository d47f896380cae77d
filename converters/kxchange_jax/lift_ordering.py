"""Lifting of sorts and searches."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_jax.lift import SCOPE, cast, lift


@lift.rule("sort")
def _(*xs: Value, dimension: int, num_keys: int, **_: Any) -> tuple[Value, ...] | Value:
    if len(xs) == 1 and not xs[0].dtype.is_complex:
        return ops.sort(xs[0], axis=dimension)
    if num_keys == 1 and not xs[0].dtype.is_complex and len(xs) == 2 and counts_axis(xs[1], dimension):
        order = ops.argsort(xs[0], axis=dimension)
        return ops.take_along_axis(xs[0], order, axis=dimension), cast(order, xs[1].dtype)
    ordered = list(xs)
    for key in range(num_keys - 1, -1, -1):  # the last key first: each sort keeps the order of equals
        for part in (ops.imag, ops.real) if ordered[key].dtype.is_complex else (_itself,):
            order = ops.argsort(part(ordered[key]), axis=dimension)
            ordered = [ops.take_along_axis(x, order, axis=dimension) for x in ordered]
    return tuple(ordered) if len(xs) > 1 else ordered[0]


def _itself(x: Value) -> Value:
    return x


def counts_axis(x: Value, axis: int) -> bool:
    """Whether a value is 0, 1, 2 ... along an axis, on every row: what `iota` was lifted to."""
    node = x.node
    if node.op == "broadcast_to" and node.inputs[0] is not None and node.inputs[0].ndim == x.ndim:
        node = node.inputs[0].node
    if x.ndim > 1:
        others = tuple(a for a in range(x.ndim) if a != axis % x.ndim)
        if node.op != "expand_dims" or node.attrs["axis"] != others or node.inputs[0] is None:
            return False
        node = node.inputs[0].node
    return node.op == "arange" and node.attrs["start"] == 0 and node.attrs["step"] == 1


@lift.rule("approx_top_k")
def _(x: Value, *, k: Dim, reduction_dimension: int, is_max_k: bool, **_: Any) -> tuple[Value, Value]:
    values, places = ops.top_k(x, k=k, axis=reduction_dimension, largest=is_max_k)
    return values, cast(places, SCOPE.types[1].dtype)


@lift.rule("top_k")
def _(x: Value, *, k: Dim, axis: int = -1, **_: Any) -> tuple[Value, Value]:
    values, places = ops.top_k(x, k=k, axis=axis)
    return values, cast(places, SCOPE.types[1].dtype)
