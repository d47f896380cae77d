"""Branches that only keep a runtime from running over nothing: ``if length > 0``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange.dims import DimExpr, evaluate, symbols
from kxchange.errors import KxchangeError
from kxchange.graph import Graph, Value
from kxchange.reference import evaluate as run
from kxchange.types import TensorType

OTHERS = 2
"""The size of every other symbol in the trial."""
LIMIT = 2**22
"""Elements of one operand above which the trial is not made."""


def same_for_none(condition: Value, branches: Sequence[Graph], consts: Sequence[Value]) -> bool:
    """Whether a branch taken on ``size > 0`` is not needed, since its main side gives for 0 what the other side does.

    Ops of the language are defined for 0 steps, where runtimes are not; both sides are run for 0 to see that.

    Args:
        condition: What the branch is taken on.
        branches: The sides for false and for true.
        consts: The operands of both.
    """
    name = _guarded(condition)
    if name is None:
        return False
    sizes = {
        symbol: 0 if symbol == name else OTHERS for value in consts for dim in value.shape for symbol in symbols(dim)
    }
    sizes[name] = 0
    try:
        operands = [_trial(value.type, sizes) for value in consts]
        otherwise, main = (run(branch, operands, dims=sizes) for branch in branches)
    except (KxchangeError, ValueError, IndexError, ArithmeticError):
        return False
    return len(main) == len(otherwise) and all(_equal(a, b) for a, b in zip(main, otherwise, strict=True))


def _guarded(condition: Value) -> str | None:
    """The symbol that the condition demands to be greater than 0."""
    while condition.node.op in ("reshape", "squeeze") and condition.node.inputs[0] is not None:
        condition = condition.node.inputs[0]
    node = condition.node
    if node.op != "greater" or any(value is None or value.node.op != "full" for value in node.inputs):
        return None
    left, right = (value.node.attrs["value"] for value in node.inputs if value is not None)
    name = left.lone_atom() if isinstance(left, DimExpr) else None
    return name if isinstance(name, str) and right == 0 else None


def _trial(type: TensorType, sizes: dict[str, int]) -> Any:
    """Random numbers of a type, zeros for integers."""
    shape = tuple(evaluate(dim, sizes) for dim in type.shape)
    if math.prod(shape) > LIMIT or not type.dtype.is_floating:
        return np.broadcast_to(np.zeros((), type.dtype.numpy), shape)
    return np.random.default_rng(0).standard_normal(shape).astype(type.dtype.numpy)


def _equal(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
