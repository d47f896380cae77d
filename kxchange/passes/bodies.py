"""Sub-graphs among a node's attributes: the bodies of loops and branches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from kxchange.graph import Graph, Node


def map_bodies(node: Node, change: Callable[[Graph], Graph]) -> Node:
    """The node with `change` applied to every sub-graph; the same node where none changed."""
    if not has_bodies(node):
        return node
    attrs = {name: _map_attr(value, change) for name, value in node.attrs.items()}
    if all(attrs[name] is value for name, value in node.attrs.items()):
        return node
    return Node(node.op, node.inputs, attrs, node.types, node.name, node.source, node.constraints)


def has_bodies(node: Node) -> bool:
    """Whether any attribute is a sub-graph."""
    for value in node.attrs.values():
        if isinstance(value, Graph):
            return True
        # Far most attributes are numbers: their type is asked for before anything is looped over.
        if type(value) is tuple and any(isinstance(item, Graph) for item in cast("tuple[Any, ...]", value)):
            return True
    return False


def bodies_of(node: Node) -> list[Graph]:
    """Every sub-graph among the attributes."""
    found: list[Graph] = []
    for value in node.attrs.values():
        if isinstance(value, Graph):
            found.append(value)
        elif isinstance(value, tuple):
            found += [item for item in cast("tuple[Any, ...]", value) if isinstance(item, Graph)]
    return found


def _map_attr(value: Any, change: Callable[[Graph], Graph]) -> Any:
    if isinstance(value, Graph):
        return change(value)
    if not isinstance(value, tuple):
        return value
    before = cast("tuple[Any, ...]", value)
    after = tuple(_map_attr(item, change) for item in before)
    return before if all(a is b for a, b in zip(after, before, strict=True)) else after
