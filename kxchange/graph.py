"""The canonical graph: immutable expressions, and the one loop that gives them a meaning."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kxchange.shapes import Constraint
from kxchange.types import TensorType

T = TypeVar("T")
Attrs = Mapping[str, Any]

LEAVES = frozenset({"input", "parameter"})
"""Ops without a reference: a runner binds them to values by name."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a node comes from: the last frame of the user's code, and the module path it ran in."""

    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else ""
        return " ".join(part for part in (place, f"({self.path})" if self.path and place else self.path) if part)


class Node:
    """One application of an op. Compared by identity; never changed after construction."""

    __slots__ = ("attrs", "constraints", "inputs", "name", "op", "source", "types")

    def __init__(
        self,
        op: str,
        inputs: tuple[Value | None, ...],
        attrs: Attrs,
        types: tuple[TensorType, ...],
        name: str = "",
        source: Source | None = None,
        constraints: tuple[Constraint, ...] = (),
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attrs = attrs
        self.types = types
        self.name = name
        self.source = source
        self.constraints = constraints

    @property
    def outputs(self) -> tuple[Value, ...]:
        """One value per output."""
        if len(self.types) == 1:
            return (Value(self),)
        return tuple(Value(self, index) for index in range(len(self.types)))

    @property
    def where(self) -> str:
        """Name and source, for messages."""
        label = f"'{self.name}'" if self.name else f"a {self.op!r} node"
        return f"{label} at {self.source}" if self.source and str(self.source) else label

    def __repr__(self) -> str:
        operands = ", ".join("None" if value is None else str(value.type) for value in self.inputs)
        return f"<{self.op}({operands}) -> {', '.join(map(str, self.types))}{' ' + self.name if self.name else ''}>"


class Value:
    """Output number `index` of `node`."""

    __slots__ = ("index", "node")

    def __init__(self, node: Node, index: int = 0) -> None:
        self.node = node
        self.index = index

    @property
    def type(self) -> TensorType:
        """Element type and shape."""
        return self.node.types[self.index]

    @property
    def dtype(self) -> Any:
        """Element type."""
        return self.node.types[self.index].dtype

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape: ints and symbolic dims."""
        return self.node.types[self.index].shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.node.types[self.index].shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and other.node is self.node and other.index == self.index

    def __hash__(self) -> int:
        return (id(self.node) >> 4) + self.index

    def __repr__(self) -> str:
        return f"Value({self.node!r}, {self.index})"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Inputs (values of `input` nodes) and outputs; the nodes between are derived."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    _order: list[Node] = field(default_factory=list[Node], repr=False)

    def nodes(self) -> list[Node]:
        """Every node but the inputs, each after the nodes it depends on, in a stable order."""
        if not self._order and self.outputs:
            self._order.extend(topological_order(self.outputs, (value.node for value in self.inputs)))
        return self._order

    def users(self) -> dict[Node, list[Node]]:
        """For each node, the nodes that read one of its outputs."""
        users: dict[Node, list[Node]] = {value.node: [] for value in self.inputs}
        for node in self.nodes():
            users.setdefault(node, [])
            for producer in {value.node: None for value in node.inputs if value is not None}:
                users[producer].append(node)
        return users

    def __repr__(self) -> str:
        inputs = ", ".join(str(value.type) for value in self.inputs)
        return (
            f"<Graph ({inputs}) -> {', '.join(str(value.type) for value in self.outputs)}, {len(self.nodes())} nodes>"
        )


def topological_order(outputs: Sequence[Value], stop: Iterable[Node] = ()) -> Iterator[Node]:
    """Yield the nodes that `outputs` need, producers first, without those in `stop`; no recursion."""
    seen = set(stop)
    stack = [(value.node, False) for value in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((value.node, False) for value in reversed(node.inputs) if value is not None)


def placeholder(name: str, type: TensorType) -> Value:
    """A fresh graph input."""
    return Value(Node("input", (), {"name": name}, (type,), name))


def parameter(name: str, type: TensorType) -> Value:
    """A read of the model's parameter `name`."""
    return Value(Node("parameter", (), {"name": name}, (type,), name))


def interpret(
    graph: Graph, args: Sequence[T], apply: Callable[[Node, list[T | None]], Sequence[T]], *, release: bool = False
) -> tuple[T, ...]:
    """Run `graph` with every node given the meaning `apply` gives it.

    Evaluation, lowering, decomposition and printing are all this one loop.

    Args:
        graph: What to run.
        args: One value per graph input.
        apply: Called with each node and its operands' values (`None` for an absent operand); returns one
            value per output of the node. Parameter nodes come with no operands.
        release: Drop each value after its last use, so that memory stays at the live set.
    """
    environment: dict[Node, Sequence[Any]] = {}
    for value, arg in zip(graph.inputs, args, strict=True):
        # A region of a graph may begin at a node with several outputs: all of them, in order.
        environment[value.node] = (*environment.get(value.node, ()), arg)
    nodes = graph.nodes()
    expiring = _last_uses(graph, nodes) if release else {}
    for node in nodes:
        operands = [None if value is None else environment[value.node][value.index] for value in node.inputs]
        environment[node] = apply(node, operands)
        for expired in expiring.get(node, ()):
            del environment[expired]
    return tuple(environment[value.node][value.index] for value in graph.outputs)


def _last_uses(graph: Graph, nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    keep = {value.node for value in graph.outputs}
    last: dict[Node, Node] = {}
    for node in nodes:
        for value in node.inputs:
            if value is not None:
                last[value.node] = node
    expiring: dict[Node, list[Node]] = {}
    for producer, consumer in last.items():
        if producer not in keep:
            expiring.setdefault(consumer, []).append(producer)
    return expiring


class Provenance:
    """The name and source given to nodes as they are emitted, and the nodes emitted so far."""

    __slots__ = ("name", "source")

    def __init__(self) -> None:
        self.name = ""
        self.source: Source | None = None


PROVENANCE = Provenance()


@contextmanager
def emitting(name: str = "", source: Source | None = None) -> Generator[None]:
    """Give `name` and `source` to the nodes emitted inside the block."""
    before = PROVENANCE.name, PROVENANCE.source
    PROVENANCE.name, PROVENANCE.source = name, source
    try:
        yield
    finally:
        PROVENANCE.name, PROVENANCE.source = before


def rewrite(graph: Graph, change: Callable[[Node, tuple[Value | None, ...]], Sequence[Value]]) -> Graph:
    """Rebuild `graph` through `change`, which returns the values that stand for a node's outputs.

    `change` gets each node with its (possibly replaced) operands and returns `keep(node, operands)` to leave
    it alone: an untouched node keeps its identity and its types. Linear in nodes.
    """

    def apply(node: Node, operands: list[Value | None]) -> Sequence[Value]:
        return change(node, tuple(operands))

    outputs = interpret(graph, graph.inputs, apply)
    return graph if outputs == graph.outputs else Graph(graph.inputs, outputs)
