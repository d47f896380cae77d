"""Functions inside a trace as closed graphs: what they read from outside becomes an operand."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange.graph import Graph, Node, Value, interpret, placeholder
from kxchange.spec import keep

FREE = frozenset({"full", "constant", "arange", "eye"})
"""Leaves that need no operand: they are made anew inside."""


def close(bodies: Sequence[tuple[Sequence[Value], Sequence[Value]]]) -> tuple[list[Graph], list[Value]]:
    """Graphs of ``(inputs, outputs)``, with the outer values that any of them reads as inputs in front, and those.

    What does not depend on the inputs is computed outside, once.
    """
    outer: dict[Value, None] = {}
    for inputs, outputs in bodies:
        for value in _outer(inputs, outputs):
            outer[value] = None
    return [_closed(inputs, outputs, list(outer)) for inputs, outputs in bodies], list(outer)


def _dependent(inputs: Sequence[Value], outputs: Sequence[Value]) -> dict[Node, bool]:
    """Whether each node behind `outputs` depends on `inputs`."""
    found: dict[Node, bool] = {value.node: True for value in inputs}
    pending = [value.node for value in outputs]
    while pending:
        node = pending[-1]
        below = [value.node for value in node.inputs if value is not None]
        missing = [item for item in below if item not in found]
        if node not in found and missing:
            pending += missing
            continue
        pending.pop()
        found.setdefault(node, any(found[item] for item in below))
    return found


def _is_free(value: Value) -> bool:
    return value.node.op in FREE and not value.node.inputs


def _outer(inputs: Sequence[Value], outputs: Sequence[Value]) -> list[Value]:
    depends = _dependent(inputs, outputs)
    frontier = [value for value in outputs if not depends[value.node]]
    frontier += [
        value
        for node, inner in depends.items()
        if inner
        for value in node.inputs
        if value is not None and not depends[value.node]
    ]
    return [value for value in dict.fromkeys(frontier) if not _is_free(value)]


def _closed(inputs: Sequence[Value], outputs: Sequence[Value], outer: Sequence[Value]) -> Graph:
    fresh = {value: placeholder(f"const_{index}", value.type) for index, value in enumerate(outer)}
    starts = [item for node in dict.fromkeys(value.node for value in outer) for item in node.outputs]
    region = Graph((*starts, *inputs), tuple(outputs))
    arguments = [fresh.get(item, item) for item in starts]
    results = interpret(region, (*arguments, *inputs), lambda node, operands: keep(node, tuple(operands)))
    return Graph((*fresh.values(), *inputs), results)
