"""Put the channels of spatial ops where a target wants them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from kxchange.graph import Graph, Node, Value, emitting, rewrite
from kxchange.ops.manipulation import permute_dims
from kxchange.passes.bodies import bodies_of, map_bodies
from kxchange.passes.cancel_transposes import cancel_transposes, inverse
from kxchange.spec import apply_op, keep


def channels_first(graph: Graph) -> Graph:
    """Every op with a `channel_axis` takes its channels on axis 1, with the fewest transposes that this needs.

    ``conv(x, channel_axis=-1)`` becomes ``permute_dims(conv(permute_dims(x), channel_axis=1))``; transposes that meet
    their inverse are removed, so that a channels-last network is left with one in front and at most one behind.
    The same graph where every op has its channels there already.
    """
    return _with_channels(graph, last=False)


def channels_last(graph: Graph) -> Graph:
    """The same with the channels on the last axis: for targets whose kernels want them there."""
    return _with_channels(graph, last=True)


def _with_channels(graph: Graph, *, last: bool) -> Graph:
    return cancel_transposes(_moved(graph, last)) if _needs_moves(graph, last) else graph


def _needs_moves(graph: Graph, last: bool) -> bool:
    """Whether any op of the graph, or of a graph inside it, has its channels elsewhere."""
    return any(
        _differs(node, last) or any(_needs_moves(body, last) for body in bodies_of(node)) for node in graph.nodes()
    )


def _differs(node: Node, last: bool) -> bool:
    axis, x = node.attrs.get("channel_axis"), node.inputs[0] if node.inputs else None
    if not isinstance(axis, int) or x is None or x.ndim < 3 or any(type.rank != x.ndim for type in node.types):
        return False
    return axis % x.ndim not in ((0, x.ndim - 1) if last else (0, 1))


def _moved(graph: Graph, last: bool) -> Graph:
    return rewrite(graph, partial(_move, last))


def _move(last: bool, node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
    x = operands[0] if operands else None
    if x is None or not _differs(node, last):
        return keep(map_bodies(node, partial(_moved, last=last)), operands)
    axis = node.attrs["channel_axis"] % x.ndim
    others = [other for other in range(1, x.ndim) if other != axis]
    forth = (0, *others, axis) if last else (0, axis, *others)
    attrs = {**node.attrs, "channel_axis": -1 if last else 1}
    with emitting(node.name, node.source):
        moved = Node(node.op, node.inputs, attrs, node.types, node.name, node.source)
        found = apply_op(moved, (permute_dims(x, axes=forth), *operands[1:]))
        return tuple(permute_dims(value, axes=inverse(forth)) for value in found)
