"""Running a legalized graph with JAX: rules are called on arrays or tracers, sizes are Python arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp

from kxchange.dims import Dim, DimExpr, evaluate
from kxchange.errors import BuildError
from kxchange.graph import Graph, Node, interpret
from kxchange.spec import as_tuple
from kxchange.table import Table
from kxchange.types import TensorType
from kxchange_jax.private import largest, size_as_value, smallest

Array = Any
"""A JAX array, a tracer of one, or a NumPy array that is a constant."""
Arrays = Sequence[Array]

CURRENT: ContextVar[Lowering] = ContextVar("CURRENT")


class Lowering:
    """One call of a function of a model.

    Attributes:
        rules: The lowering table.
        sizes: Size by symbol: ints, or another tracer's symbolic sizes. Sizes that only the data decides are added.
        parameters: Array by parameter name.
        node: The node whose rule is running.
    """

    def __init__(self, rules: Table, sizes: Mapping[str, Any], parameters: Mapping[str, Array]) -> None:
        self.rules = rules
        self.sizes = dict(sizes)
        self.parameters = parameters
        self.node: Node | None = None

    def run(self, graph: Graph, inputs: Arrays) -> tuple[Array, ...]:
        """The graph's outputs for these inputs."""
        token = CURRENT.set(self)
        try:
            return interpret(graph, inputs, self.apply, release=True)
        finally:
            CURRENT.reset(token)

    def apply(self, node: Node, operands: list[Any]) -> Arrays:
        """The values of one node's outputs."""
        if node.op == "parameter":
            return (self.parameters[str(node.attrs["name"])],)
        attrs = {name: self.resolve(value) for name, value in node.attrs.items()}
        before, self.node = self.node, node
        try:
            with jax.named_scope(node.name or node.op):
                results = as_tuple(self.rules.entries[node.op].rule(*operands, **attrs))
        finally:
            self.node = before
        if len(results) != len(node.types):
            raise BuildError(f"jax's rule for {node.where} gave {len(results)} values, not {len(node.types)}.")
        for type, result in zip(node.types, results, strict=True):
            self.bind_fresh(type, result)
        return results

    def resolve(self, value: Any) -> Any:
        """An attribute value with every dim in it as a size."""
        if isinstance(value, DimExpr):
            return self.size(value)
        return tuple(map(self.resolve, value)) if type(value) is tuple else value

    def size(self, dim: Dim) -> Any:
        """A dim as an int or a symbolic size."""
        return evaluate(dim, self.sizes, maximum=_fold(largest), minimum=_fold(smallest))

    def bind_fresh(self, type: TensorType, result: Array) -> None:
        """Read sizes that only a node's data decides from its result."""
        for dim, size in zip(type.shape, result.shape, strict=False):
            name = dim.lone_atom() if isinstance(dim, DimExpr) else None
            if isinstance(name, str):
                self.sizes.setdefault(name, size)


def _fold(pick: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda *sizes: reduce(pick, sizes)


def current_node() -> Node:
    """The node whose rule is running."""
    node = CURRENT.get().node
    if node is None:
        raise BuildError("a lowering rule of jax ran outside of a lowering.")
    return node


def output_shape(index: int = 0) -> tuple[Any, ...]:
    """The inferred shape of an output of the node whose rule is running."""
    lowering = CURRENT.get()
    return tuple(lowering.size(dim) for dim in current_node().types[index].shape)


def has_static_shape(node: Node) -> bool:
    """Whether the sizes of the first operand are known."""
    first = node.inputs[0]
    return first is not None and all(isinstance(dim, int) for dim in first.shape)


def body_function(graph: Graph) -> Callable[..., tuple[Array, ...]]:
    """A sub-graph of the node whose rule is running, as a function of its inputs."""
    lowering = CURRENT.get()

    def run(*inputs: Array) -> tuple[Array, ...]:
        inner = Lowering(lowering.rules, lowering.sizes, lowering.parameters)
        return tuple(jnp.asarray(result) for result in inner.run(graph, inputs))

    return run


def number(value: Any, dtype: Any) -> Array:
    """A rank-0 constant; a symbolic size becomes a traced number."""
    if isinstance(value, int | float | complex):
        return jnp.asarray(value, dtype)
    return size_as_value(value).astype(dtype)
