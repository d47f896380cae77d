"""A model as a table of layers, in the way of Keras's summary: one row per module path, whatever the format."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from kxchange.graph import Graph, Node
from kxchange.model import Parameter
from kxchange.types import TensorType

ROWS = 40
"""More rows than this are joined at the level above."""
LONG = 12
"""Characters of a symbolic size that is shown."""
VIEWS = frozenset({"reshape", "permute_dims", "expand_dims", "squeeze", "astype", "full", "broadcast_to"})
"""Ops that are named in a row only where there is nothing else in it."""


@dataclass(slots=True)
class Layer:
    """One row: all nodes of one module path.

    Attributes:
        name: The path, or the name or op of a node without one.
        ops: What it computes with, and how often.
        output: Type of its last value.
        parameters: How many numbers its parameters hold, each counted where it is read first.
    """

    name: str
    ops: Counter[str] = field(default_factory=Counter[str])
    output: str = ""
    parameters: int = 0

    @property
    def what(self) -> str:
        """The ops in a few words."""
        telling = {op: count for op, count in self.ops.items() if op not in VIEWS} or dict(self.ops)
        shown = [op if count == 1 else f"{op} x{count}" for op, count in list(telling.items())[:3]]
        return ", ".join(shown) + (f" +{len(telling) - 3}" if len(telling) > 3 else "")

    def to_json(self) -> dict[str, object]:
        """The row for programs."""
        return {"name": self.name, "ops": dict(self.ops), "output": self.output, "parameters": self.parameters}


def layers(graph: Graph, parameters: Mapping[str, Parameter], rows: int = ROWS) -> list[Layer]:
    """The rows of a graph in order, at the deepest level at which they are no more than `rows`."""
    nodes = graph.nodes()
    depths = {len(split(path_of(node))) for node in nodes} or {1}
    for depth in range(max(depths), 0, -1):
        found = joined(nodes, parameters, depth)
        if len(found) <= rows:
            return found
    return joined(nodes, parameters, 1)


def joined(nodes: tuple[Node, ...] | list[Node], parameters: Mapping[str, Parameter], depth: int) -> list[Layer]:
    """The rows at one level; what is computed from parameters alone belongs to the first node that reads it."""
    found: dict[str, Layer] = {}
    held: dict[Node, frozenset[str]] = {}  # what a node computes from parameters and nothing else
    seen: set[str] = set()
    for node in nodes:
        operands = [value.node for value in node.inputs if value is not None]
        if node.op == "parameter":
            held[node] = frozenset({canonical(str(node.attrs["name"]), parameters)})
            continue
        if node.op == "input":
            continue
        read = frozenset[str]().union(*(held.get(operand, frozenset()) for operand in operands))
        if all(operand in held for operand in operands):
            held[node] = read
            continue
        name = ".".join(split(path_of(node))[:depth])
        layer = found.setdefault(name, Layer(name))
        layer.ops[node.op] += 1
        layer.output = short(node.types[0]) if node.types else ""
        layer.parameters += sum(size(parameters[entry]) for entry in read - seen if entry in parameters)
        seen |= read
    return list(found.values())


def short(type: TensorType) -> str:
    """The type, with `...` for a size that is a long expression."""
    dims = (str(dim) for dim in type.shape)
    return f"{type.dtype}[{', '.join(dim if len(dim) <= LONG else '...' for dim in dims)}]"


def canonical(name: str, parameters: Mapping[str, Parameter]) -> str:
    """The name under which a tied parameter counts."""
    entry = parameters.get(name)
    return entry.alias_of if entry is not None and entry.alias_of else name


def size(entry: Parameter) -> int:
    """Numbers in a parameter."""
    return prod(int(dim) for dim in entry.type.shape)


def path_of(node: Node) -> str:
    """The module path of a node, or its name, or its op."""
    return (node.source.path if node.source else "") or node.name or node.op


def split(path: str) -> list[str]:
    """The levels of a path, as torch, Keras and TensorFlow write them."""
    return [part for part in re.split(r"[./]", path) if part] or [path]


def activation_transposes(graph: Graph) -> int:
    """How many `permute_dims` move activations: those of parameters are made once, not in each run."""
    found, constant = 0, set[Node]()
    for node in graph.nodes():
        operands = [value.node for value in node.inputs if value is not None]
        if node.op == "parameter" or (node.op != "input" and all(operand in constant for operand in operands)):
            constant.add(node)
        elif node.op == "permute_dims":
            found += 1
    return found
