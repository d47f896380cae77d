"""The signature of a `.pt2` program: what each input and output of the graph is, and the trees the caller sees."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.export import ExportGraphSignature, ModuleCallEntry, ModuleCallSignature
from torch.export.graph_signature import (
    ConstantArgument,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    SymIntArgument,
    TensorArgument,
)

from kxchange.errors import FormatError
from kxchange_torch.private import flatten
from kxchange_torch.pt2_graph import Pt2Graph
from kxchange_torch.pt2_tensors import checked_name

TREE_VERSION = 1
MAX_DEPTH = 64
TENSORS = {
    "parameter": (InputKind.PARAMETER, "parameter_name"),
    "buffer": (InputKind.BUFFER, "buffer_name"),
    "tensor_constant": (InputKind.CONSTANT_TENSOR, "tensor_constant_name"),
}
WRITES = {
    "buffer_mutation": (OutputKind.BUFFER_MUTATION, "buffer_name"),
    "parameter_mutation": (OutputKind.PARAMETER_MUTATION, "parameter_name"),
}


def read_signature(record: Mapping[str, Any], graph: Pt2Graph) -> ExportGraphSignature:
    """What the graph's inputs and outputs are.

    Raises:
        FormatError: The signature does not fit the graph, or has inputs that are no tensors or numbers.
    """
    inputs, outputs = record["input_specs"], record["output_specs"]
    if len(inputs) != len(graph.placeholders):
        raise FormatError(f"the signature has {len(inputs)} inputs, the graph {len(graph.placeholders)}.")
    return ExportGraphSignature(
        [_input(item, node) for item, node in zip(inputs, graph.placeholders, strict=True)],
        [_output(item, graph) for item in outputs],
    )


def _input(record: Mapping[str, Any], node: Any) -> InputSpec:
    (kind, value), *_ = record.items()
    if kind == "user_input":
        form = next(iter(value["arg"]))
        if form == "as_tensor":
            return InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None)
        if form in ("as_sym_int", "as_sym_float", "as_sym_bool"):
            return InputSpec(InputKind.USER_INPUT, SymIntArgument(node.name), None)
        return InputSpec(InputKind.USER_INPUT, ConstantArgument(node.name, node.meta.get("val")), None)
    if kind == "constant_input":
        constant = next(iter(value["value"].items()))
        number = None if constant[0] == "as_none" else constant[1]
        return InputSpec(InputKind.USER_INPUT, ConstantArgument(node.name, number), None)
    if kind not in TENSORS:
        raise FormatError(f"the program has an input of kind {kind!r}: kxchange reads no objects that are not tensors.")
    role, key = TENSORS[kind]
    persistent = bool(value["persistent"]) if kind == "buffer" else None
    return InputSpec(role, TensorArgument(node.name), checked_name(value[key], kind), persistent)


def _output(record: Mapping[str, Any], graph: Pt2Graph) -> OutputSpec:
    (kind, value), *_ = record.items()
    result = graph.argument({"as_tensor": value["arg"]} if "name" in value["arg"] else value["arg"])
    name = getattr(result, "name", "")
    if kind == "user_output":
        form = next(iter(value["arg"]))
        if form == "as_tensor":
            return OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(name), None)
        symbolic = form.startswith("as_sym") and name
        argument = SymIntArgument(name) if symbolic else ConstantArgument(name, result)
        return OutputSpec(OutputKind.USER_OUTPUT, argument, None)
    if kind in WRITES:
        role, key = WRITES[kind]
        return OutputSpec(role, TensorArgument(name), checked_name(value[key], kind))
    if kind == "user_input_mutation":
        written = graph.argument({"as_tensor": {"name": value["user_input_name"]}})
        return OutputSpec(OutputKind.USER_INPUT_MUTATION, TensorArgument(name), written.name)
    raise FormatError(f"the program has an output of kind {kind!r}; kxchange reads programs for inference.")


def read_calls(record: Sequence[Mapping[str, Any]], fields: Mapping[str, Any]) -> list[ModuleCallEntry]:
    """How the program is called: the trees of its arguments and results.

    Raises:
        FormatError: It does not say.
    """
    signature = next((entry.get("signature") for entry in record if entry.get("fqn") == ""), None)
    if not isinstance(signature, Mapping):
        raise FormatError("the program does not say how it is called.")
    names = signature.get("forward_arg_names")
    known = list(names) if isinstance(names, list) and all(map(_is_argument, names)) else None
    arguments = _tree(signature["in_spec"], fields)
    if not isinstance(arguments, tuple) or len(arguments) != 2 or not isinstance(arguments[1], dict):
        raise FormatError("the arguments of the program are not a tuple and a dict.")
    if not all(map(_is_argument, arguments[1])):
        raise FormatError("the program has keyword arguments whose names Python does not allow.")
    in_spec, out_spec = flatten(arguments)[1], flatten(_tree(signature["out_spec"], fields))[1]
    call = ModuleCallSignature([], [], in_spec, out_spec, known)  # pyright: ignore[reportArgumentType]
    return [ModuleCallEntry("", call)]


def _is_argument(name: Any) -> bool:
    return isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) and name != "self"


def _tree(text: Any, fields: Mapping[str, Any]) -> Any:
    """Containers with empty leaves. Only tuples, lists and dicts are made: classes become dicts of their fields."""
    try:
        version, tree = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"the program's tree of arguments cannot be read: {error}.") from None
    if version != TREE_VERSION:
        raise FormatError(f"the program's trees have version {str(version)[:20]}; kxchange knows {TREE_VERSION}.")
    return _nested(tree, fields, iter(range(MAX_DEPTH)))


def _nested(tree: Mapping[str, Any], fields: Mapping[str, Any], depth: Iterator[int] | int) -> Any:
    level = depth if isinstance(depth, int) else 0
    if level > MAX_DEPTH:
        raise FormatError("the program's arguments are nested too deeply.")
    kind = tree["type"]
    children = [_nested(child, fields, level + 1) for child in tree["children_spec"]]
    if kind is None:
        return object()
    if kind == "builtins.tuple":
        return tuple(children)
    if kind == "builtins.list":
        return children
    keys = _keys(kind, tree.get("context"), fields)
    if len(keys) != len(children):
        raise FormatError(f"the program has a container of type {str(kind)[:80]!r}, whose members have no names.")
    return {_key(key): child for key, child in zip(keys, children, strict=True)}


def _keys(kind: Any, context: Any, fields: Mapping[str, Any]) -> Sequence[Any]:
    """Names of the members of a dict, a named tuple or a dataclass."""
    for named in (kind, context):
        if isinstance(named, str) and named in fields:
            return fields[named]["field_names"]
    try:
        found = json.loads(context) if isinstance(context, str) else context
    except (ValueError, RecursionError):
        return ()
    while isinstance(found, list) and len(found) == 2 and isinstance(found[0], list) and found[1] in ([], None):
        found = found[0]
    return found if isinstance(found, list) else ()


def _key(key: Any) -> Any:
    return key if type(key) is int else checked_name(key, "argument")
