"""Running a legalized graph with TensorFlow: rules are called on tensors, sizes are ints or rank-0 tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import reduce
from typing import Any

import tensorflow as tf

from kxchange.dims import Dim, DimExpr, evaluate
from kxchange.errors import BuildError
from kxchange.graph import Graph, Node, interpret
from kxchange.spec import as_tuple
from kxchange.table import Table
from kxchange.types import TensorType

Tensor = Any
Tensors = Sequence[Tensor]
CURRENT: ContextVar[Lowering] = ContextVar("CURRENT")


class Lowering:
    """One trace of a function of a model.

    Attributes:
        rules: The lowering table.
        sizes: Size by symbol: an int or a rank-0 int64 tensor.
        parameters: Something to read by parameter name.
        node: The node whose rule is running.
    """

    def __init__(self, rules: Table, sizes: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self.rules = rules
        self.sizes = dict(sizes)
        self.parameters = parameters
        self.node: Node | None = None

    def run(self, graph: Graph, inputs: Tensors) -> tuple[Tensor, ...]:
        """The graph's outputs for these inputs."""
        token = CURRENT.set(self)
        try:
            return interpret(graph, inputs, self.apply, release=True)
        finally:
            CURRENT.reset(token)

    def apply(self, node: Node, operands: list[Any]) -> Tensors:
        """The values of one node's outputs."""
        if node.op == "parameter":
            return (tf.convert_to_tensor(self.parameters[str(node.attrs["name"])]),)
        attrs = {name: self.resolve(value) for name, value in node.attrs.items()}
        before, self.node = self.node, node
        try:
            results = as_tuple(self.rules.entries[node.op].rule(*operands, **attrs))
        finally:
            self.node = before
        if len(results) != len(node.types):
            raise BuildError(f"tensorflow's rule for {node.where} gave {len(results)} values, not {len(node.types)}.")
        return tuple(self.typed(type, result) for type, result in zip(node.types, results, strict=True))

    def typed(self, type: TensorType, result: Tensor) -> Tensor:
        """A result that knows the sizes that were inferred, and gives those that only the data decides."""
        result = tf.convert_to_tensor(result)
        known = [dim if isinstance(dim, int) else None for dim in type.shape]
        if result.shape.rank is None or result.shape.as_list() != known:
            result = tf.ensure_shape(result, known)
        for axis, dim in enumerate(type.shape):
            name = dim.lone_atom() if isinstance(dim, DimExpr) else None
            if isinstance(name, str) and name not in self.sizes:
                self.sizes[name] = size_of(result, axis)
        return result

    def resolve(self, value: Any) -> Any:
        """An attribute value with every dim in it as a size."""
        if isinstance(value, DimExpr):
            return self.size(value)
        return tuple(map(self.resolve, value)) if type(value) is tuple else value

    def size(self, dim: Dim) -> Any:
        """A dim as an int or a rank-0 tensor."""
        return evaluate(dim, self.sizes, maximum=_fold(largest), minimum=_fold(smallest))


def largest(first: Any, second: Any) -> Any:
    """The larger of two sizes."""
    return (
        max(first, second) if isinstance(first, int) and isinstance(second, int) else tf.maximum(*wide(first, second))
    )


def smallest(first: Any, second: Any) -> Any:
    """The smaller of two sizes."""
    return (
        min(first, second) if isinstance(first, int) and isinstance(second, int) else tf.minimum(*wide(first, second))
    )


def wide(*sizes: Any) -> list[Tensor]:
    """Sizes as int64 tensors."""
    return [tf.cast(size, tf.int64) for size in sizes]


def _fold(pick: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *sizes: reduce(pick, sizes)


def size_of(x: Tensor, axis: int) -> Any:
    """The size of an axis: an int where the trace knows it."""
    known = x.shape[axis]
    return tf.shape(x, out_type=tf.int64)[axis] if known is None else int(known)


def shape_of(x: Tensor) -> list[Any]:
    """All sizes of a tensor."""
    return [size_of(x, axis) for axis in range(x.shape.rank)]


def vector(sizes: Sequence[Any]) -> Tensor:
    """Sizes as one rank-1 int64 tensor; a constant where all are known."""
    if all(isinstance(size, int) for size in sizes):
        return tf.constant(list(sizes), tf.int64, shape=(len(sizes),))
    return tf.stack(wide(*sizes))


def current_node() -> Node:
    """The node whose rule is running."""
    node = CURRENT.get().node
    if node is None:
        raise BuildError("a lowering rule of tensorflow ran outside of a lowering.")
    return node


def output_shape(index: int = 0) -> tuple[Any, ...]:
    """The inferred shape of an output of the node whose rule is running."""
    lowering = CURRENT.get()
    return tuple(lowering.size(dim) for dim in current_node().types[index].shape)


def size(dim: Dim) -> Any:
    """A dim as a size of the lowering that is running."""
    return CURRENT.get().size(dim)


def body_function(graph: Graph) -> Callable[..., tuple[Tensor, ...]]:
    """A sub-graph of the node whose rule is running, as a function of its inputs."""
    lowering = CURRENT.get()

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        return Lowering(lowering.rules, lowering.sizes, lowering.parameters).run(graph, inputs)

    return run
