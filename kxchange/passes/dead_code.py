"""Drop what nothing reads but liveness cannot see: constants of the model, operands that a loop or branch ignores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kxchange.graph import Graph, Node, Value, rewrite
from kxchange.model import Model, Role
from kxchange.passes.bodies import bodies_of, map_bodies
from kxchange.spec import keep


def remove_dead_code(model: Model) -> Model:
    """The model without constants that no function reads and without operands that no sub-graph reads.

    Dead nodes need no pass: the nodes of a graph are those that its outputs need. Parameters, buffers and states stay,
    read or not, since they belong to the model; only what the source called a constant is dropped.
    """
    functions = {n: f.with_graph(drop_unread_operands(f.graph)) for n, f in model.functions.items()}
    read = {name for function in functions.values() for name in read_parameters(function.graph)}
    read |= {name for function in functions.values() for name in function.updates.values()}
    tied = {entry.alias_of for entry in model.parameters.values() if entry.alias_of and entry.name in read}
    kept = [p for p in model.parameters.values() if p.role is not Role.CONSTANT or p.name in read | tied]
    unchanged = all(functions[n].graph is f.graph for n, f in model.functions.items())
    if unchanged and len(kept) == len(model.parameters):
        return model
    return model.replace(functions=functions, parameters=kept)


def read_parameters(graph: Graph) -> Iterator[str]:
    """Names of the parameters that a graph reads, in its sub-graphs too."""
    pending = [graph]
    while pending:
        for node in pending.pop().nodes():
            pending += bodies_of(node)
            if node.op == "parameter":
                yield str(node.attrs["name"])


def drop_unread_operands(graph: Graph) -> Graph:
    """The graph with control flow that takes only what its sub-graphs read; results stay as they are."""

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        settled = keep(map_bodies(node, drop_unread_operands), operands)
        narrow = NARROWED.get(node.op)
        return settled if narrow is None else narrow(settled[0].node).outputs

    return rewrite(graph, change)


def reads(graph: Graph) -> list[bool]:
    """For each input of a sub-graph, whether anything in it reads the input."""
    read = {value.node for node in graph.nodes() for value in node.inputs if value is not None}
    read |= {value.node for value in graph.outputs}
    return [value.node in read for value in graph.inputs]


def _select(items: Sequence[Any], wanted: Sequence[bool]) -> tuple[Any, ...]:
    return tuple(item for item, keep_it in zip(items, wanted, strict=True) if keep_it)


def _narrowed(node: Node, wanted: Sequence[bool], attrs: dict[str, Any]) -> Node:
    """The node without the operands that are not wanted."""
    if all(wanted):
        return node
    operands = _select(node.inputs, wanted)
    return Node(node.op, operands, {**node.attrs, **attrs}, node.types, node.name, node.source, node.constraints)


def _narrow_cond(node: Node) -> Node:
    branches: tuple[Graph, ...] = node.attrs["branches"]
    wanted = [any(each) for each in zip(*map(reads, branches), strict=True)]
    narrow = tuple(Graph(_select(branch.inputs, wanted), branch.outputs) for branch in branches)
    return _narrowed(node, [True, *wanted], {"branches": narrow})


def _narrow_scan(node: Node) -> Node:
    body: Graph = node.attrs["body"]
    consts, carry = node.attrs["num_consts"], node.attrs["num_carry"]
    wanted = [read or consts <= i < consts + carry for i, read in enumerate(reads(body))]
    narrow = Graph(_select(body.inputs, wanted), body.outputs)
    return _narrowed(node, wanted, {"body": narrow, "num_consts": sum(wanted[:consts])})


def _narrow_while(node: Node) -> Node:
    test: Graph = node.attrs["cond"]
    body: Graph = node.attrs["body"]
    first, second = node.attrs["cond_consts"], node.attrs["body_consts"]
    tested = [*reads(test)[:first], *(True for _ in test.inputs[first:])]
    stepped = [*reads(body)[:second], *(True for _ in body.inputs[second:])]
    attrs = {
        "cond": Graph(_select(test.inputs, tested), test.outputs),
        "body": Graph(_select(body.inputs, stepped), body.outputs),
        "cond_consts": sum(tested[:first]),
        "body_consts": sum(stepped[:second]),
    }
    return _narrowed(node, [*tested[:first], *stepped], attrs)


NARROWED = {"cond": _narrow_cond, "scan": _narrow_scan, "while_loop": _narrow_while}
