"""What is known of small tensors before the model runs: numbers, and sizes as expressions of the dims.

A shape computation (``Shape -> Gather -> Mul -> Concat``) is lifted like any other; when an operator needs to know its
operand (``Reshape`` its shape) the content is read here off the graph, and the computation is dead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import DimExpr
from kxchange.errors import KxchangeError
from kxchange.graph import Node, Value
from kxchange.reference import evaluate_node
from kxchange.spec import dims_of
from kxchange.symbolic import Ratio, evaluate_symbolic
from kxchange.types import DType, TensorType

Array = NDArray[Any]
"""A concrete array, or an object array of ints, floats, dims and ratios of dims."""

LIMIT = 4096
"""Elements above which a tensor's content is nobody's size or axis."""


class Knowledge:
    """Contents by node, found when they are asked for.

    Attributes:
        read: Names of the small parameters whose content was looked at.
    """

    def __init__(self, array: Callable[[str], Array], *, keep: bool = False) -> None:
        self.read: set[str] = set()
        self._array = array
        self._keep = keep
        self._known: dict[Node, tuple[Array | None, ...]] = {}
        self._weighted: set[Node] = set()

    def content(self, value: Value) -> Array | None:
        """What the tensor holds, None where only a run can tell."""
        if not _is_small(value.type):
            return None
        if value.node not in self._known:
            self._visit(value.node)
        return self._known[value.node][value.index]

    def is_weight(self, value: Value) -> bool:
        """Whether a floating parameter is part of the content, or any where all are kept: it must not be baked in."""
        return value.node in self._weighted

    def _visit(self, node: Node) -> None:
        """Find the contents of `node`, producers first; no recursion."""
        stack = [(node, False)]
        while stack:
            current, ready = stack.pop()
            if current in self._known:
                continue
            if ready or not self._may_be_known(current):
                self._known[current] = self._evaluate(current) if ready else (None,) * len(current.types)
                continue
            stack.append((current, True))
            stack.extend((v.node, False) for v in current.inputs if v is not None and v.node not in self._known)

    def _may_be_known(self, node: Node) -> bool:
        if node.op == "input" or not all(_is_small(type) for type in node.types):
            return False
        return all(value is None or _is_small(value.type) for value in node.inputs)

    def _evaluate(self, node: Node) -> tuple[Array | None, ...]:
        if node.op == "parameter":
            if self._keep or node.types[0].dtype.is_floating:
                self._weighted.add(node)
            self.read.add(node.attrs["name"])
            return (self._array(node.attrs["name"]),)
        operands: list[Array | None] = []
        for value in node.inputs:
            content = None if value is None else self._known[value.node][value.index]
            if value is not None and content is None:
                return (None,) * len(node.types)
            operands.append(content)
        if any(value is not None and value.node in self._weighted for value in node.inputs):
            self._weighted.add(node)
        try:
            return _apply(node, operands)
        except (KxchangeError, ValueError, IndexError, TypeError, ArithmeticError):
            return (None,) * len(node.types)


def _is_small(type: TensorType) -> bool:
    return not any(isinstance(dim, DimExpr) for dim in type.shape) and math.prod(type.shape) <= LIMIT


def _apply(node: Node, operands: list[Array | None]) -> tuple[Array | None, ...]:
    symbolic = any(array is not None and array.dtype == object for array in operands)
    symbolic = symbolic or any(dims_of(value) for value in node.attrs.values())
    if not symbolic:
        return evaluate_node(node, operands, {})
    results = evaluate_symbolic(node, operands)
    return tuple(None if r is None else _settled(r, t) for r, t in zip(results, node.types, strict=True))


def _settled(array: Array, type: TensorType) -> Array | None:
    """An object array without dims in it becomes one of numbers."""
    if array.shape != type.shape:
        return None
    if array.dtype != object or any(isinstance(item, DimExpr | Ratio) for item in array.flat):
        return array
    return array.astype(type.dtype.numpy)


def is_symbolic(array: Array) -> bool:
    """Whether there are dims in the content."""
    return array.dtype == object


def has_ratios(array: Array) -> bool:
    """Whether the content holds fractions of dims, which only rounding makes sizes again."""
    return array.dtype == object and any(isinstance(item, Ratio) for item in array.flat)


def python_number(array: Array, dtype: DType) -> bool | int | float | complex:
    """The one element of an array as a Python number of its kind."""
    item = array.reshape(()).item() if array.dtype.kind in "biufc" else float(array.reshape(()).astype(np.float64))
    if dtype.is_bool:
        return bool(item)
    return int(item) if dtype.is_integer else item
