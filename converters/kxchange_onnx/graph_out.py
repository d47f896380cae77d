"""From a model's function to an ONNX model in memory: legalize, interpret, name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

import kxchange
from kxchange.constraints import Constraint
from kxchange.dims import DimExpr, Range
from kxchange.errors import Blocker, UnsupportedOpError
from kxchange.graph import Graph, Node, Value, parameter, rewrite
from kxchange.model import Function, Model
from kxchange.passes.cancel_transposes import cancel_transposes
from kxchange.passes.channels import channels_first
from kxchange.passes.common_subexpressions import merge_common_subexpressions
from kxchange.passes.legalize import legalize
from kxchange.spec import keep
from kxchange_onnx.dims_out import bind_symbols
from kxchange_onnx.lower import EXPANSIONS, TABLE, supports
from kxchange_onnx.lowering import lower_graph
from kxchange_onnx.model_records import initializers, metadata, unread_function, unread_parameters
from kxchange_onnx.opsets import checked, ir_version, latest, targeting
from kxchange_onnx.writing import Writer, describe, emit, set_type, writing


def lower_model(model: Model, *, opset: int | None = None, function: str | None = None) -> ir.Model:
    """One function of a model as an ONNX model; parameters are read when it is serialized.

    Raises:
        UnsupportedOpError: The opset lacks ops; all of them, each with its places.
        BuildError: The opset is not one that can be written, or a size cannot be computed from the inputs.
    """
    chosen = model.function(function)
    version = checked(opset)
    if opset is None and version < latest():
        version = sufficient(chosen.graph, version)
    ranges = known_ranges([*model.constraints, *(constraint for _, constraint in chosen.node_constraints())])
    name = next(key for key, candidate in model.functions.items() if candidate is chosen)
    with targeting(version), writing(Writer(TABLE, model.parameters, ranges)) as writer:
        graph = merge_common_subexpressions(
            cancel_transposes(legal(channels_first(untied(chosen.graph, model)), version))
        )
        inputs, outputs = _lower(writer, chosen, graph)
        onnx_graph = ir.Graph(
            inputs,
            outputs,
            nodes=_needed(writer.scope.nodes, outputs),
            initializers=initializers(writer),
            opset_imports={"": version},
            name=name,
        )
    return ir.Model(
        onnx_graph,
        ir_version=ir_version(version),
        producer_name="kxchange",
        producer_version=kxchange.__version__,
        functions=unread_function(unread_parameters(model, writer), version),
        metadata_props=metadata(model, chosen, writer),
    )


def sufficient(graph: Graph, version: int) -> int:
    """The opset, or the first newer one that has every op that the graph needs; the opset itself if none has."""
    for newer in range(version, latest() + 1):
        with targeting(newer):
            try:
                legalize(graph, supports, "onnx", EXPANSIONS)
            except UnsupportedOpError:
                continue
            return newer
    return version


def known_ranges(constraints: Iterable[Constraint]) -> dict[str, Range]:
    """The least size of each symbol that a constraint speaks of alone."""
    ranges: dict[str, Range] = {}
    for constraint in constraints:
        name = constraint.left.lone_atom() if isinstance(constraint.left, DimExpr) else None
        if constraint.kind == "at_least" and isinstance(name, str) and isinstance(constraint.right, int):
            ranges[name] = (max(constraint.right, (ranges.get(name) or (0, None))[0] or 0), None)
    return ranges


def untied(graph: Graph, model: Model) -> Graph:
    """The graph with every read of a tied parameter under its first name: one initializer, one transpose of it."""

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        if node.op == "parameter" and (first := model.parameters[str(node.attrs["name"])].alias_of):
            return (parameter(first, node.types[0]),)
        return keep(node, operands)

    return rewrite(graph, change) if any(entry.alias_of for entry in model.parameters.values()) else graph


def legal(graph: Graph, version: int) -> Graph:
    """The graph in ops that the opset has; those that need a newer one are told so."""
    try:
        return legalize(graph, supports, "onnx", EXPANSIONS)
    except UnsupportedOpError as error:
        blockers = [_explained(blocker, graph, version) for blocker in error.blockers]
        advice = "Write a newer opset, or use another backend." if version < latest() else "Use another backend."
        raise UnsupportedOpError(f"onnx opset {version}", blockers, advice) from None


def _explained(blocker: Blocker, graph: Graph, version: int) -> Blocker:
    """The blocker with the opset that takes the op, if one does, or with what ONNX lacks."""
    for newer in range(version + 1, latest() + 1):
        with targeting(newer):
            try:
                legalize(graph, supports, "onnx", EXPANSIONS)
            except UnsupportedOpError as error:
                if any(other.op == blocker.op for other in error.blockers):
                    continue
            return Blocker(blocker.op, f"it needs opset {newer}", blocker.places)
    if blocker.op in TABLE.entries:
        reason = "ONNX has it for other element types only (for complex numbers it has no arithmetic)"
        return Blocker(blocker.op, reason, blocker.places)
    return blocker


def _lower(writer: Writer, function: Function, graph: Graph) -> tuple[list[ir.Value], list[ir.Value]]:
    """Emit the graph; returns the values of its inputs and of its outputs, under their own names."""
    inputs: list[ir.Value] = []
    for value in graph.inputs:
        given = ir.Value(name=writer.unique(str(value.node.attrs["name"])))
        set_type(given, value.type)
        bind_symbols(given, value.type)
        inputs.append(given)
    names = [writer.unique(name) for name in function.output_names]
    for name, entry in writer.parameters.items():
        if entry.alias_of is None and name not in writer.names:
            writer.names[name] = 1
            writer.reserved.add(name)
    results = lower_graph(graph, inputs)
    return inputs, _outputs(writer, inputs, names, results, graph.outputs)


def _outputs(
    writer: Writer,
    inputs: Sequence[ir.Value],
    names: Sequence[str],
    results: Sequence[ir.Value],
    values: Sequence[Value],
) -> list[ir.Value]:
    """The results under the outputs' names; one that is an input, a parameter or another output gets a copy."""
    taken = {id(value) for value in inputs}
    outputs: list[ir.Value] = []
    for name, result, value in zip(names, results, values, strict=True):
        if id(result) in taken or result.producer() is None:
            result = emit("Identity", result)
            describe(writer.scope.nodes[-1], name)
        result.name = name
        set_type(result, value.type)
        taken.add(id(result))
        outputs.append(result)
    return outputs


def _needed(nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]) -> list[ir.Node]:
    """The nodes that something reads, in order: a rule may have computed a size that turned out not to be needed."""
    kept: list[ir.Node] = []
    final = {id(value) for value in outputs}
    for node in reversed(nodes):
        if any(value.uses() or id(value) in final for value in node.outputs):
            kept.append(node)
            continue
        for index in range(len(node.inputs)):
            node.replace_input_with(index, None)
    return kept[::-1]
