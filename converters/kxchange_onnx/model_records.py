"""What a model has beside its graph, in an ONNX file: metadata, and the parameters that nothing reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import onnx_ir as ir

from kxchange.model import Function, Model, Parameter, Role
from kxchange_onnx.writing import Writer, lazy_tensor

DOMAIN = "kxchange"
UNREAD = "unread_parameters"
"""A function that nothing calls: ONNX Runtime warns of initializers that nothing reads, and drops them."""
OWN_CONSTANT = re.compile(r"constant_\d+")
"""How this converter names what it writes for constants of the graph."""
UNREAD_LIMIT = 2**26
"""Bytes of unread parameters that a file carries; beyond it only their names."""


def initializers(writer: Writer) -> list[ir.Value]:
    """The initializers that something reads: parameters in the model's order, then constants of the graph."""
    read = [value for value in writer.initializers.values() if value.uses()]
    order = {id(writer.weights[name]): index for index, name in enumerate(writer.parameters) if name in writer.weights}
    for value in read:
        value.type = value.shape = None  # they stand in the tensor
    return sorted(read, key=lambda value: order.get(id(value), len(order)))


def unread_parameters(model: Model, writer: Writer) -> list[Parameter]:
    """The parameters that nothing reads under any of their names: no node of the function, or none that was needed."""
    read = {name for name, value in writer.weights.items() if value.uses()}
    return [e for e in model.parameters.values() if e.alias_of is None and e.name not in read]


def unread_function(entries: Iterable[Parameter], opset: int) -> list[ir.Function]:
    """The parameters as constants of a function that nothing calls; none where they are too large for that."""
    kept = list(entries)
    if not kept or sum(entry.nbytes for entry in kept) > UNREAD_LIMIT:
        return []
    nodes = [_constant(entry) for entry in kept]
    outputs = [node.outputs[0] for node in nodes]
    graph = ir.Graph([], outputs, nodes=nodes, opset_imports={"": opset}, name=UNREAD)
    return [ir.Function(DOMAIN, UNREAD, graph=graph, attributes=())]


def _constant(entry: Parameter) -> ir.Node:
    node = ir.Node("", "Constant", [], [ir.AttrTensor("value", lazy_tensor(entry, entry.name))], num_outputs=1)
    node.outputs[0].name = entry.name
    return node


def metadata(model: Model, function: Function, writer: Writer) -> dict[str, str]:
    """What ONNX has no place for, as JSON under ``kxchange.<name>``; empty records are left out.

    ``aliases`` (name -> first name), ``unread_parameters``, ``order`` (all names, where those two are not all of it),
    ``roles`` and ``trainable`` (where they are not the usual ones), ``renamed`` (name -> initializer), ``parameters``
    (those called as constants of the graph are), ``updates`` (output -> state), ``constraints``.
    """
    entries = list(model.parameters.values())
    aliases = {entry.name: entry.alias_of for entry in entries if entry.alias_of}
    unread = [entry.name for entry in unread_parameters(model, writer)]
    constraints = [*model.constraints, *(constraint for _, constraint in function.node_constraints())]
    records: dict[str, Any] = {
        "aliases": aliases,
        "unread_parameters": unread,
        "order": [entry.name for entry in entries] if aliases or unread else [],
        "roles": {entry.name: str(entry.role) for entry in entries if entry.role is not Role.PARAMETER},
        "trainable": {e.name: e.trainable for e in entries if e.trainable is not (e.role is Role.PARAMETER)},
        "renamed": {name: value.name for name, value in writer.weights.items() if value.name != name},
        "parameters": [entry.name for entry in entries if OWN_CONSTANT.fullmatch(entry.name)],
        "updates": dict(function.updates),
        "constraints": [constraint.to_json() for constraint in constraints],
    }
    own = {f"kxchange.{name}": json.dumps(record, sort_keys=True) for name, record in records.items() if record}
    return {**model.metadata, **own}
