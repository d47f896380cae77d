"""The lowering table: canonical op -> `keras.ops`, and which nodes are native layers instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kxchange.graph import Node, Value, topological_order
from kxchange.spec import dims_of
from kxchange.table import Table
from kxchange_keras import (
    lower_elementwise,
    lower_indexing,
    lower_product,
    lower_reduction,
    plans_conv,
    plans_layer,
    shaping_out,
)
from kxchange_keras.layers_out import PLANNERS, is_whole, sources

lower = Table("keras")
for _family in (lower_elementwise, lower_indexing, lower_product, lower_reduction, shaping_out):
    lower.include(_family.lower)
PLANS = (plans_conv, plans_layer)
"""Files that fill the table of layers."""

INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32")
SPELLED = frozenset((*INTEGERS, "float16", "bfloat16", "float32", "float64"))
"""Types that Keras has on every backend."""


class Reads:
    """Which values depend on parameters only; asked node by node while a graph is rewritten."""

    def __init__(self) -> None:
        self._static: dict[Node, bool] = {}

    def holds(self, *values: Value | None) -> bool:
        """Whether each is absent or a whole parameter, its elements moved."""
        return all(value is None or is_whole(value) for value in values)

    def reads(self, *values: Value | None) -> bool:
        """Whether each is absent or an expression on parameters."""
        return all(value is None or (self._is_static(value.node) and bool(sources(value))) for value in values)

    def alone(self, value: Value) -> bool:
        """Unknown while the graph is being rewritten."""
        return False

    def _is_static(self, node: Node) -> bool:
        if node not in self._static:
            for inner in topological_order((Value(node),), self._static):
                below = all(value is None or self._static[value.node] for value in inner.inputs)
                symbolic = any(dims_of(value) for value in inner.attrs.values())
                self._static[inner] = inner.op != "input" and below and not symbolic
        return self._static[node]


class Supports:
    """Which nodes Keras takes whole.

    Attributes:
        shared: Parameters that no layer can hold.
    """

    def __init__(self, shared: Iterable[str] = (), canonical: Any = str) -> None:
        self.shared = frozenset(shared)
        self._canonical = canonical
        self._reads: Any = Reads()

    def __call__(self, node: Node) -> bool:
        """Whether a node is a layer or has a rule."""
        if any(type.dtype.value not in SPELLED for type in node.types):
            return False
        if any(value is not None and value.dtype.value not in SPELLED for value in node.inputs):
            return False
        if is_first(node):
            return False
        planner = PLANNERS.get(node.op)
        plan = planner(node, self._reads) if planner is not None else None
        if plan is not None and not {self._canonical(name) for name in plan.sources} & self.shared:
            return True
        return lower.supports(node)


def is_first(node: Node) -> bool:
    """Whether a node's channels stand before other axes: TensorFlow's kernels on the CPU know no such order."""
    x = node.inputs[0] if node.inputs else None
    return x is not None and node.attrs.get("channel_axis") == 1 and x.ndim > 2


def supports(node: Node) -> bool:
    """Whether Keras takes this very node natively."""
    return Supports()(node)
