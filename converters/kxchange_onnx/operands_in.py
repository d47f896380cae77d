"""Operands that a rule must know while the model is read: shapes, axes, counts, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value, topological_order
from kxchange.known import Array, has_ratios, is_symbolic, python_number
from kxchange.literals import literal
from kxchange.types import DType
from kxchange_onnx.lift import SCOPE, refuse


def content(value: Value) -> Array | None:
    """What a small tensor holds, None where only a run can tell."""
    found = SCOPE.lifter.knowledge.content(value)
    return None if found is None or has_ratios(found) else found


def known(value: Value, what: str) -> Array:
    """What the operand holds.

    Raises:
        CaptureError: Only a run can tell; the message names the inputs that it depends on.
    """
    found = content(value)
    if found is None:
        return refuse(f"its {what} must be known when the model is read, and {_dependence(value)}")
    return found


def _dependence(value: Value) -> str:
    """Why a content is unknown: the inputs it is computed from."""
    nodes = list(topological_order([value]))
    inputs = [str(node.attrs["name"]) for node in nodes if node.op == "input"]
    if not inputs:
        return "it follows from sizes that are symbols, but is no expression of them"
    listed = ", ".join(repr(name) for name in inputs[:4]) + (", ..." if len(inputs) > 4 else "")
    noun = "the input" if len(inputs) == 1 else "the inputs"
    return f"it depends on {noun} {listed}: bind them with constants={{name: array}}"


def dims(value: Value, what: str) -> tuple[Dim, ...]:
    """A 1-D (or rank-0) integer operand as sizes."""
    return tuple(_dim(item, what) for item in known(value, what).reshape(-1))


def dim(value: Value, what: str) -> Dim:
    """An integer operand of one element as a size."""
    found = dims(value, what)
    return found[0] if len(found) == 1 else refuse(f"its {what} has {len(found)} elements, not 1")


def _dim(item: Any, what: str) -> Dim:
    if isinstance(item, DimExpr):
        return item
    if isinstance(item, bool) or item != int(item):
        return refuse(f"its {what} holds {item}, which is no size")
    return int(item)


def ints(value: Value, what: str) -> tuple[int, ...]:
    """An integer operand as plain ints."""
    return tuple(d if isinstance(d, int) else refuse(f"its {what} depends on the size {d}") for d in dims(value, what))


def optional_ints(value: Value | None, what: str) -> tuple[int, ...] | None:
    """The same for an operand that may be absent."""
    return None if value is None else ints(value, what)


def floats(value: Value, what: str) -> tuple[float, ...]:
    """A floating operand as plain floats."""
    found = known(value, what)
    if is_symbolic(found):
        return refuse(f"its {what} depends on sizes")
    return tuple(float(item) for item in found.reshape(-1).astype(np.float64))


def scalar(value: Value, what: str) -> bool | int | float | complex:
    """An operand of one element as a Python number."""
    found = known(value, what)
    if is_symbolic(found) or found.size != 1:
        return refuse(f"its {what} is not one number known by now")
    return python_number(found.reshape(()), value.dtype)


def row(sizes: tuple[Dim, ...]) -> Value:
    """Sizes as an int64 [count] tensor."""
    array: Any = np.empty(len(sizes), dtype=object)
    array[:] = sizes
    if all(isinstance(size, int) for size in sizes):
        array = np.asarray(sizes, dtype=np.int64).reshape(len(sizes))
    return literal(array, DType.INT64)


def size_value(size: Dim) -> Value:
    """A size as an int64 [] tensor."""
    return ops.full(shape=(), value=size, dtype=DType.INT64)
