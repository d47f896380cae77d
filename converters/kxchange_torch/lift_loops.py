"""Loops that a lifting rule writes itself: closed graphs made from functions on values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import DType, TensorType

Step = Callable[..., Sequence[Value]]


def _closed(function: Step, types: Sequence[TensorType]) -> Graph:
    inputs = tuple(placeholder(f"x{i}", type) for i, type in enumerate(types))
    return Graph(inputs, tuple(function(*inputs)))


def while_any(test: Callable[..., Value], step: Step, consts: Sequence[Value], carry: Sequence[Value]) -> Any:
    """Carried values, put through `step` for as long as `test` marks any element.

    Args:
        test: (consts..., carry...) -> a bool tensor.
        step: (consts..., carry...) -> carry..., of unchanged types.
        consts: What both read.
        carry: The values to begin with.
    """
    types = [value.type for value in (*consts, *carry)]
    condition = _closed(lambda *values: [_any(test(*values))], types)
    body = _closed(step, types)
    count = len(consts)
    return ops.while_loop(*consts, *consts, *carry, cond=condition, body=body, cond_consts=count, body_consts=count)


def _any(marked: Value) -> Value:
    return ops.any(marked, axis=tuple(range(marked.ndim))) if marked.ndim else marked


def count_through(step: Step, consts: Sequence[Value], carry: Sequence[Value], length: Dim) -> Any:
    """`step` for ``k = 0 .. length - 1``.

    Args:
        step: (consts..., carry..., k) -> (carry..., kept...); k is int64[].
        consts: What every step reads.
        carry: The values to begin with.
        length: Number of steps.

    Returns:
        The carry at the end, then what was kept of each step, along a new axis 0.
    """
    number = TensorType(DType.INT64, ())
    body = _closed(step, [*(value.type for value in (*consts, *carry)), number])
    steps = ops.arange(start=0, stop=length, step=1, dtype=DType.INT64)
    return ops.scan(
        *consts, *carry, steps, body=body, num_consts=len(consts), num_carry=len(carry), reverse=False, length=length
    )
