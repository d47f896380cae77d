"""Graphs as text: one numbered assignment per node."""

from __future__ import annotations

from typing import Any

from kxchange.graph import Graph, Node


def lines(graph: Graph) -> list[str]:
    """The graph in order: ``%3: float32[batch, 8] = linear(%0, fc.weight, fc.bias)  # fc at net.py:12``."""
    names: dict[Node, str] = {value.node: str(value.node.attrs["name"]) for value in graph.inputs}
    printed: list[str] = []
    for node in graph.nodes():
        if node.op == "parameter":
            names[node] = str(node.attrs["name"])
            continue
        names[node] = f"%{len(printed)}"
        printed.append(line(node, names))
    results = ", ".join(reference(value, names) for value in graph.outputs)
    return [*printed, f"return {results}"]


def line(node: Node, names: dict[Node, str]) -> str:
    """One node."""
    operands = [reference(value, names) for value in node.inputs]
    attrs = [f"{name}={attribute(value)}" for name, value in node.attrs.items()]
    types = ", ".join(map(str, node.types))
    comment = f"  # {node.where}" if node.name or node.source else ""
    return f"{names[node]}: {types} = {node.op}({', '.join([*operands, *attrs])}){comment}"


def reference(value: Any, names: dict[Node, str]) -> str:
    """How an operand is written."""
    if value is None:
        return "None"
    name = names[value.node]
    return f"{name}.{value.index}" if len(value.node.types) > 1 else name


def attribute(value: Any) -> str:
    """How an attribute is written; sub-graphs by their signature."""
    return repr(value) if isinstance(value, (Graph, str, float)) else str(value)
