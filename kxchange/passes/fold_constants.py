"""Evaluate what depends on no input and no parameter."""

from __future__ import annotations

from kxchange.constant import Constant
from kxchange.dims import DimExpr
from kxchange.errors import KxchangeError
from kxchange.graph import LEAVES, Graph, Node, Value, rewrite
from kxchange.model import Array
from kxchange.passes.bodies import has_bodies, map_bodies
from kxchange.reference import evaluate_node
from kxchange.spec import REGISTRY, dims_of, keep

LIMIT = 4096
"""Elements above which a constant is left as the expression that makes it: a file should not grow by folding."""
SOURCES = frozenset({"full", "constant", "arange", "eye"})


def fold_constants(graph: Graph, limit: int = LIMIT) -> Graph:
    """Replace constant expressions by `constant` nodes: ``add(full(2), full(3))`` becomes ``constant(5)``.

    Only ops whose operands are all constants and whose results are static and at most `limit` elements; leaves such
    as `full` and `arange` stay, since they say more than their values. What cannot be evaluated stays as it is.

    Results are rounded to their dtype, so this is for a target's graph, after `retype`: a folded float32 model no
    longer knows its constants in float64.
    """
    constant: set[Node] = set()

    def change(node: Node, operands: tuple[Value | None, ...]) -> tuple[Value, ...]:
        results = keep(map_bodies(node, lambda body: fold_constants(body, limit)), operands)
        current = results[0].node if results else node
        if not is_constant(current, constant, limit):
            return results
        if current.op not in SOURCES:
            try:
                results = fold_node(current)
            except KxchangeError:
                return results
        constant.update(value.node for value in results)
        return results

    return rewrite(graph, change)


def is_constant(node: Node, known: set[Node], limit: int) -> bool:
    """Whether `node` reads only constants and makes small static tensors."""
    if node.op in LEAVES or node.constraints or has_bodies(node):
        return False
    if any(dims_of(value) for value in node.attrs.values()):
        return False
    if any(value is not None and value.node not in known for value in node.inputs):
        return False
    return all(is_small(type.shape, limit) for type in node.types)


def is_small(shape: tuple[int | DimExpr, ...], limit: int) -> bool:
    """Whether a shape is static and holds at most `limit` elements."""
    count = 1
    for dim in shape:
        if isinstance(dim, DimExpr):
            return False
        count *= dim
    return count <= limit


def fold_node(node: Node) -> tuple[Value, ...]:
    """The values of a node over constants, as `constant` nodes of the same name and source.

    Raises:
        KxchangeError: The node cannot be evaluated.
    """
    operands = [None if value is None else evaluate_constant(value) for value in node.inputs]
    arrays = evaluate_node(node, operands, {})
    bind = REGISTRY["constant"].bind_attrs
    folded = [
        Node("constant", (), bind({"value": Constant(array)}), (type,), node.name, node.source)
        for array, type in zip(arrays, node.types, strict=True)
    ]
    return tuple(Value(each) for each in folded)


def evaluate_constant(value: Value) -> Array:
    """The array of a constant leaf."""
    return evaluate_node(value.node, [], {})[value.index]
