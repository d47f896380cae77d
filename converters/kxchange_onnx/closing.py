"""Sub-graphs closed: what they read of the graphs around them becomes an operand."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange.graph import Graph, Node, Value, interpret, placeholder
from kxchange.spec import keep

CONSTANTS = frozenset({"full", "constant", "arange", "eye"})


def captured(outputs: Sequence[Value], inputs: Sequence[Value], born: set[Node]) -> list[Value]:
    """The outer values that the nodes behind `outputs` read, in a stable order; constants are none."""
    found: dict[Value, None] = {}
    seen = {value.node for value in inputs}
    pending = list(reversed(outputs))
    while pending:
        value = pending.pop()
        node = value.node
        if node in born or node.op in CONSTANTS:
            if node not in seen:
                seen.add(node)
                pending.extend(item for item in reversed(node.inputs) if item is not None)
        elif node not in seen:
            found[value] = None
    return list(found)


def closed(outputs: Sequence[Value], inputs: Sequence[Value], consts: Sequence[Value]) -> Graph:
    """The sub-graph with `consts` as its first inputs."""
    fresh = {value: placeholder(f"const_{index}", value.type) for index, value in enumerate(consts)}
    # A region of a graph begins at whole nodes; outputs of them that nothing reads stand for themselves.
    sources = dict.fromkeys(value.node for value in consts)
    starts = [item for node in sources for item in node.outputs]
    region = Graph((*starts, *inputs), tuple(outputs))
    arguments = [fresh.get(item, item) for item in starts]
    results = interpret(region, (*arguments, *inputs), lambda node, operands: keep(node, tuple(operands)))
    return Graph((*fresh.values(), *inputs), results)
