"""Functions: those that a model brings along, and the bodies that the schemas of the onnx package give operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import onnx

from kxchange.errors import FormatError, LimitError
from kxchange.graph import Value
from kxchange_onnx.lift import Items
from kxchange_onnx.names_in import domain_of
from kxchange_onnx.types_in import type_proto

Key = tuple[str, str, str]
"""Domain, name and overload of a function."""
MAX_NODES = 250_000
"""Nodes that a model may have once its functions are inlined."""


def local_functions(model: onnx.ModelProto) -> dict[Key, onnx.FunctionProto]:
    """The functions of a model.

    Raises:
        FormatError: One is defined twice, or they call each other in a circle.
        LimitError: They call each other so often that the model would be too large.
    """
    found: dict[Key, onnx.FunctionProto] = {}
    for function in model.functions:
        key = (domain_of(function.domain), function.name, function.overload)
        if key in found:
            raise FormatError(f"the function {function.name!r} of domain {function.domain!r} is defined twice.")
        found[key] = function
    calls = {key: _calls(function.node, found) for key, function in found.items()}
    sizes = _expanded_sizes(calls)
    total, called = _calls(model.graph.node, found)
    total += sum(sizes[key] * times for key, times in called.items())
    if total > MAX_NODES:
        raise LimitError(f"the model has more than {MAX_NODES} nodes once its functions are inlined.")
    return found


Calls = tuple[int, Counter[Key]]
"""Number of nodes of a body, and how often it calls each function."""


def _calls(nodes: Iterable[onnx.NodeProto], functions: dict[Key, onnx.FunctionProto]) -> Calls:
    """The nodes of a body and its calls, also those in sub-graphs."""
    count, called = 0, Counter[Key]()
    pending = list(nodes)
    while pending:
        node = pending.pop()
        key = (domain_of(node.domain), node.op_type, node.overload)
        count += 1
        if key in functions:
            called[key] += 1
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                pending.extend(graph.node)
    return count, called


def _expanded_sizes(calls: dict[Key, Calls]) -> dict[Key, int]:
    """Number of nodes of each function with all calls written out, callees first.

    Raises:
        FormatError: A function calls itself, directly or not.
    """
    sizes: dict[Key, int] = {}
    for start in calls:
        stack: list[tuple[Key, bool]] = [(start, False)]
        active: set[Key] = set()
        while stack:
            key, leaving = stack.pop()
            count, called = calls[key]
            if leaving:
                active.discard(key)
                sizes[key] = count + sum(sizes[callee] * times for callee, times in called.items())
            elif key in active:
                raise FormatError(f"the function {key[1]!r} of domain {key[0]!r} calls itself, directly or not.")
            elif key not in sizes:
                active.add(key)
                stack.append((key, True))
                stack.extend((callee, False) for callee in called)
    return sizes


def with_defaults(
    given: Sequence[onnx.AttributeProto], domain: str, name: str, version: int
) -> list[onnx.AttributeProto]:
    """The attributes of a call with the schema's defaults for those that it leaves out: bodies refer to them."""
    schema = onnx.defs.get_schema(name, version, domain)
    names = {attribute.name for attribute in given}
    defaults = [a.default_value for a in schema.attributes.values() if a.default_value.type and a.name not in names]
    return [*given, *defaults]


def schema_function(
    node: onnx.NodeProto, domain: str, version: int, operands: Sequence[Any]
) -> onnx.FunctionProto | None:
    """The body that an operator's schema has for this node; None where it has none."""
    schema = onnx.defs.get_schema(node.op_type, version, domain)
    if schema.has_function:  # pyright: ignore[reportAttributeAccessIssue]
        return _fixed_body(domain, node.op_type, schema.since_version, version)
    if not schema.has_context_dependent_function:  # pyright: ignore[reportAttributeAccessIssue]
        return None
    chosen = [v for v in schema.context_dependent_function_opset_versions if v <= version]  # pyright: ignore[reportAttributeAccessIssue]
    types = [_operand_type(operand) for operand in operands]
    if not chosen or any(type is None for type in types):
        return None
    data = schema.get_context_dependent_function_with_opset_version(  # pyright: ignore[reportAttributeAccessIssue]
        max(chosen), node.SerializeToString(), [type.SerializeToString() for type in types if type is not None]
    )
    return onnx.FunctionProto.FromString(data) if data else None


def has_body(domain: str, name: str, version: int) -> bool:
    """Whether the schema of an operator has a function body, of any kind."""
    try:
        schema = onnx.defs.get_schema(name, version, domain)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function  # pyright: ignore[reportAttributeAccessIssue]


@lru_cache(maxsize=256)
def _fixed_body(domain: str, name: str, since: int, version: int) -> onnx.FunctionProto | None:
    schema = onnx.defs.get_schema(name, since, domain)
    chosen = [v for v in schema.function_opset_versions if v <= version]  # pyright: ignore[reportAttributeAccessIssue]
    if not chosen:
        return None
    data = schema.get_function_with_opset_version(max(chosen))  # pyright: ignore[reportAttributeAccessIssue]
    return onnx.FunctionProto.FromString(data) if isinstance(data, bytes) else data


def _operand_type(operand: Any) -> onnx.TypeProto | None:
    if operand is None:
        return onnx.TypeProto()
    if isinstance(operand, Value):
        return type_proto(operand.type)
    if isinstance(operand, Items) and operand.values and isinstance(operand.values[0], Value):
        element = type_proto(operand.values[0].type)
        element.tensor_type.ClearField("shape")
        return onnx.helper.make_sequence_type_proto(element)
    return None
