"""Compute every expression once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, cast

from kxchange.graph import Graph, Node, Value, rewrite
from kxchange.passes.bodies import map_bodies
from kxchange.spec import keep

DISTINCT = frozenset({"dropout"})
"""Ops of which two applications differ: training draws anew for each."""


def merge_common_subexpressions(graph: Graph) -> Graph:
    """Merge nodes with the same op, operands and attributes: ``exp(x) + exp(x)`` computes one ``exp``.

    The first node in topological order stays. Bodies of control flow are merged within themselves. Linear in nodes.
    """
    seen: dict[Hashable, tuple[Value, ...]] = {}

    def change(node: Node, operands: tuple[Value | None, ...]) -> tuple[Value, ...]:
        node = map_bodies(node, merge_common_subexpressions)
        if node.op in DISTINCT:
            return keep(node, operands)
        key = (node.op, operands, tuple(exact(value) for value in node.attrs.values()), node.types)
        if key not in seen:
            seen[key] = keep(node, operands)
        return seen[key]

    return rewrite(graph, change)


def exact(value: Any) -> Hashable:
    """A key under which two attribute values are equal only if they are the same value of the same type.

    Python finds ``0.0 == -0.0``, ``1 == True == 1.0`` and ``nan != nan``; a graph must not.
    """
    if isinstance(value, tuple):
        return tuple(exact(item) for item in cast("tuple[Any, ...]", value))
    if isinstance(value, (float, complex)):
        return (type(value).__name__, repr(value))
    return (type(value).__name__, value)
