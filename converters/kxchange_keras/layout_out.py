"""What a graph becomes before it is written with Keras: channels last, and biases beside their products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Graph, Node, Value, emitting, parameter, rewrite
from kxchange.passes.cancel_transposes import cancel_transposes
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.legalize import legalize
from kxchange.passes.simplify import simplify
from kxchange.spec import REGISTRY, keep
from kxchange.table import Table
from kxchange_keras.layers_out import Plan, Statics, plan_graph
from kxchange_keras.lower import Supports, is_first

expansions = Table("keras")
SPATIAL = tuple(name for name, spec in REGISTRY.items() if "channel_axis" in spec.attrs)


def _turned(name: str) -> Callable[..., Value]:
    """The op with its channels behind, between two transposes."""

    def rule(x: Value, *rest: Value | None, **attrs: Any) -> Value:
        rank = x.ndim
        last = ops.permute_dims(x, axes=(0, *range(2, rank), 1))
        y = getattr(ops, name)(last, *rest, **{**attrs, "channel_axis": -1})
        return ops.permute_dims(y, axes=(0, rank - 1, *range(1, rank - 1)))

    return rule


for _name in SPATIAL:
    expansions.rule(_name, when=is_first)(_turned(_name))


def fused(graph: Graph) -> Graph:
    """Products with a weight as dense layers, and the biases added to products and convolutions as their own."""
    statics = Statics(graph)

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        rule = {"matmul": _dense, "add": _biased}.get(node.op)
        if rule is None or node in statics.nodes:
            return keep(node, operands)
        with emitting(node.name, node.source):
            found = rule(node, operands, statics)
        return keep(node, operands) if found is None else (found,)

    return rewrite(graph, change)


def _dense(node: Node, operands: tuple[Value | None, ...], statics: Statics) -> Value | None:
    x, weight = operands
    if x is None or weight is None or weight.ndim != 2 or x.ndim < 2:
        return None
    if not statics.holds(node.inputs[1]) or statics.reads(node.inputs[0]) or not x.dtype.is_floating:
        return None
    return ops.linear(x, ops.permute_dims(weight, axes=(1, 0)))


def _biased(node: Node, operands: tuple[Value | None, ...], statics: Statics) -> Value | None:
    for place in (0, 1):
        product, bias, before = operands[place], operands[1 - place], node.inputs[place]
        if product is None or bias is None or before is None or not statics.holds(node.inputs[1 - place]):
            continue
        if product.type != node.types[0] or not statics.alone(before):
            continue
        inner = product.node
        if inner.op not in ("linear", "conv", "conv_transpose") or inner.inputs[2] is not None:
            continue
        axis = inner.attrs.get("channel_axis", -1) % product.ndim
        sizes = (1,) * (product.ndim - bias.ndim) + tuple(bias.shape)
        if any(size != 1 for at, size in enumerate(sizes) if at != axis) or sizes[axis] != product.shape[axis]:
            continue
        vector = ops.reshape(bias, shape=(sizes[axis],)) if bias.ndim > 1 else bias
        return getattr(ops, inner.op)(*inner.inputs[:2], vector, **inner.attrs)
    return None


def untied(graph: Graph, canonical: Callable[[str], str]) -> Graph:
    """The graph with every tied parameter read by its first name."""

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        name = str(node.attrs["name"]) if node.op == "parameter" else ""
        return (parameter(canonical(name), node.types[0]),) if canonical(name) != name else keep(node, operands)

    return rewrite(graph, change)


def arranged(graph: Graph, canonical: Callable[[str], str]) -> tuple[Graph, Mapping[Node, Plan]]:
    """The graph as it is written, and the layers among its nodes.

    Raises:
        UnsupportedOpError: Ops that Keras has not, all of them.
    """
    graph = fused(untied(graph, canonical))
    shared: set[str] = set()
    while True:
        supports = Supports(shared, canonical)
        legal = legalize(graph, supports, "keras", expansions)
        legal = merge_common_subexpressions(simplify(cancel_transposes(legal)))
        plans, found = plan_graph(legal, canonical, shared)
        if found <= shared:
            return legal, plans
        shared |= found


def legal(graph: Graph) -> Graph:
    """The graph as it is written.

    Raises:
        UnsupportedOpError: Ops that Keras has not, all of them.
    """
    return arranged(graph, str)[0]
