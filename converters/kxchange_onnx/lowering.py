"""A legal canonical graph, interpreted into the ONNX graph being written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import onnx_ir as ir

from kxchange.dims import DimExpr
from kxchange.graph import Graph, Node, interpret
from kxchange_onnx.dims_out import bind_symbols, is_bound
from kxchange_onnx.writing import CURRENT, finish


def lower_graph(graph: Graph, args: Sequence[ir.Value]) -> tuple[ir.Value, ...]:
    """Emit the nodes of `graph` into the open scope; returns the values of its outputs."""
    read = CURRENT.get().read
    read.update(graph.outputs)
    for node in graph.nodes():
        read.update(value for value in node.inputs if value is not None)
    return interpret(graph, args, _apply)


def _apply(node: Node, operands: list[ir.Value | None]) -> Sequence[ir.Value]:
    writer = CURRENT.get()
    if node.op == "parameter":
        return (writer.parameter(str(node.attrs["name"])),)
    outer, writer.node = writer.node, node
    first = len(writer.scope.nodes)
    results = writer.table.apply(node, operands)
    writer.node = outer
    finish(node, cast("Sequence[ir.Value]", results), first)
    for value, type in zip(results, node.types, strict=True):
        for dim in type.shape:
            if isinstance(dim, DimExpr) and isinstance(dim.lone_atom(), str) and not is_bound(str(dim)):
                bind_symbols(value, type)
    return results
