"""Put the channels of spatial ops where a target wants them."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange.graph import Graph, Node, Value, emitting, rewrite
from kxchange.ops.manipulation import permute_dims
from kxchange.passes.bodies import map_bodies
from kxchange.passes.cancel_transposes import cancel_transposes, inverse
from kxchange.spec import apply_op, keep


def channels_first(graph: Graph) -> Graph:
    """Every op with a `channel_axis` takes its channels on axis 1, with the fewest transposes that this needs.

    ``conv(x, channel_axis=-1)`` becomes ``permute_dims(conv(permute_dims(x), channel_axis=1))``; transposes that meet
    their inverse are removed, so that a channels-last network is left with one in front and at most one behind.
    The same graph where every op has its channels there already.
    """
    if not any(map(_differs, graph.nodes())) and not any(_holds_others(node) for node in graph.nodes()):
        return graph
    return cancel_transposes(_moved(graph))


def _moved(graph: Graph) -> Graph:
    return rewrite(graph, _move)


def _differs(node: Node) -> bool:
    axis, x = node.attrs.get("channel_axis"), node.inputs[0] if node.inputs else None
    return isinstance(axis, int) and x is not None and x.ndim > 2 and axis % x.ndim not in (0, 1)


def _holds_others(node: Node) -> bool:
    from kxchange.passes.bodies import bodies_of

    return any(_differs(inner) or _holds_others(inner) for body in bodies_of(node) for inner in body.nodes())


def _move(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
    x = operands[0] if operands else None
    if not _differs(node) or x is None or any(type.rank != x.ndim for type in node.types):
        return keep(map_bodies(node, _moved), operands)
    axis = node.attrs["channel_axis"] % x.ndim
    forth = (0, axis, *(other for other in range(1, x.ndim) if other != axis))
    with emitting(node.name, node.source):
        moved = Node(node.op, node.inputs, {**node.attrs, "channel_axis": 1}, node.types, node.name, node.source)
        found = apply_op(moved, (permute_dims(x, axes=forth), *operands[1:]))
        return tuple(permute_dims(value, axes=inverse(forth)) for value in found)
