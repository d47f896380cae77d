"""Serialized `jax.export` artifacts, alone or in the folders that `save` writes, as models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from jax import export

from kxchange.dims import symbols
from kxchange.errors import CaptureError, FormatError, UnsupportedOpError
from kxchange.format.reader import TensorFile
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.canonicalize import canonicalize
from kxchange.types import DType, TensorType
from kxchange_jax import hlo_tensors  # noqa: F401 - fills the table
from kxchange_jax.artifact_parser import program_text
from kxchange_jax.folder import FORMAT, MANIFEST, PARAMETERS, SUFFIX
from kxchange_jax.hlo_in import Reader
from kxchange_jax.parameters_in import ParameterTable
from kxchange_jax.private import dim_of, ir, key_text, mlir_context

MAX_BYTES = 2**31


def load(path: Path) -> Model:
    """Read an artifact of `jax.export`: a file, whose arguments are all inputs, or a folder with its parameters.

    Nothing in it is run: it is parsed by the bindings that ship with jaxlib, and operations of an allow-list become
    nodes. Custom calls are refused, but for those that state sizes.

    Raises:
        FormatError: It is damaged, or no such artifact.
        UnsupportedOpError: Operations that are not on the list, all of them.
        CaptureError: Its parts contradict each other.
    """
    path = Path(path)
    if not path.is_dir():
        table = ParameterTable()
        function, constraints = _function(_deserialize(path), table, {})
        return _model({"main": function}, table, constraints, path)
    manifest = _manifest(path)
    table = _parameters(path, manifest)
    functions: dict[str, Function] = {}
    constraints: list[Any] = []
    for name, entry in manifest["functions"].items():
        file = path / Path(str(entry["file"])).name
        functions[name], found = _function(_deserialize(file), table, entry)
        constraints += found
    return _model(functions, table, constraints, path)


def _model(functions: dict[str, Function], table: ParameterTable, constraints: list[Any], path: Path) -> Model:
    known = {dim for function in functions.values() for dim in function.dims}
    stated = list(dict.fromkeys(constraint for constraint in constraints if constraint.symbols <= known))
    provenance = {"backend": "jax", "file": path.name, "versions": {"jax": jax.__version__}}
    return canonicalize(Model(functions, table.entries, constraints=stated, provenance=provenance))


def _deserialize(path: Path) -> export.Exported:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FormatError(f"{path.name} is larger than an artifact can be.")
        return export.deserialize(bytearray(path.read_bytes()))
    except FormatError:
        raise
    except Exception as error:
        raise FormatError(f"{path.name} is no artifact of jax.export: {type(error).__name__}: {error}.") from error


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        functions, parameters = found["functions"], found["parameters"]
        sound = found["format"] == FORMAT and found["version"] == 1 and functions
        files = all(str(entry["file"]).endswith(SUFFIX) for entry in functions.values())
        roles = all(Role(entry["role"]) for entry in parameters.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path.name}/{MANIFEST} is damaged: {type(error).__name__}: {error}.") from error
    if not (sound and files and roles):
        raise FormatError(f"{path.name}/{MANIFEST} is of another format or version.")
    return found


def _parameters(path: Path, manifest: Mapping[str, Any]) -> ParameterTable:
    file = TensorFile.open(path / PARAMETERS, strict=False, mode="c")
    table = ParameterTable()
    for name, stated in manifest["parameters"].items():
        first = stated.get("alias_of") or name
        if first not in file.names:
            raise FormatError(f"{path.name}/{PARAMETERS} has no tensor {first!r}, which {MANIFEST} names.")
        entry = Parameter(name, file.tensor(first), role=Role(stated["role"]), trainable=bool(stated.get("trainable")))
        table.adopt(entry.replace(alias_of=stated.get("alias_of")) if stated.get("alias_of") else entry)
    return table


def _function(artifact: export.Exported, table: ParameterTable, entry: Mapping[str, Any]) -> tuple[Function, list[Any]]:
    arguments = [_argument(path, aval) for path, aval in _flat(artifact.in_tree, artifact.in_avals)]
    values = [_input(path, type, table if entry else ParameterTable(), bool(entry)) for path, type in arguments]
    with mlir_context() as context, numbering(taken=_symbols(arguments)):
        context.allow_unregistered_dialects = False
        module = _module(artifact)
        reader = Reader(module, table)
        given = [value for index, value in enumerate(values) if index in set(artifact.module_kept_var_idx)]
        results = reader.call("main", _leading(reader, given))
    if blockers := reader.collected():
        raise UnsupportedOpError("load (jax)", blockers, "Export the function without these operations.")
    inputs = tuple(value for value in values if value.node.op != "parameter")
    names = [".".join(map(key_text, path)) for path, _ in _flat(artifact.out_tree, results)]
    names = [name or f"output_{index}" for index, name in enumerate(names)]
    updates = {str(k): str(v) for k, v in dict(entry.get("updates") or {}).items() if v in table.entries and k in names}
    order = [names.index(name) for name in entry.get("outputs") or names if name in names]
    if len(order) != len(names):
        raise FormatError(f"{MANIFEST} names other outputs than the artifact has: {sorted(names)}.")
    graph = Graph(_ordered(inputs, entry), tuple(results[place] for place in order))
    return Function(graph, tuple(names[place] for place in order), updates), reader.constraints


def _module(artifact: export.Exported) -> Any:
    text = program_text(artifact.mlir_module_serialized)
    try:
        return ir.Module.parse(text)
    except Exception as error:  # jaxlib raises several types of its own
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise FormatError(f"the artifact's program cannot be read ({reason}). Export it again.") from error


def _symbols(arguments: Sequence[tuple[Any, TensorType]]) -> set[str]:
    return {name for _, type in arguments for dim in type.shape for name in symbols(dim)}


def _ordered(inputs: tuple[Value, ...], entry: Mapping[str, Any]) -> tuple[Value, ...]:
    wanted = list(entry.get("inputs") or [])
    by_name = {str(value.node.attrs["name"]): value for value in inputs}
    return tuple(by_name[name] for name in wanted) if set(wanted) == set(by_name) else inputs


def _flat(tree: Any, leaves: Sequence[Any]) -> list[tuple[tuple[Any, ...], Any]]:
    return jax.tree_util.tree_flatten_with_path(jax.tree_util.tree_unflatten(tree, list(leaves)))[0]


def _argument(path: tuple[Any, ...], aval: Any) -> tuple[tuple[Any, ...], TensorType]:
    return path, TensorType(DType.of(aval.dtype), tuple(dim_of(size, {}) for size in aval.shape))


def _input(path: tuple[Any, ...], type: TensorType, table: ParameterTable, named: bool) -> Value:
    """The parameter or the input that an argument is: in our folders the first argument holds the parameters."""
    (_, place, *rest) = path
    name = ".".join(map(key_text, rest))
    if not named:
        start = f"input_{key_text(place)}" if key_text(place).isdigit() else key_text(place)
        return placeholder(f"{start}.{name}" if name else start, type)
    if key_text(place) != "0":
        return placeholder(name, type)
    if name not in table.entries or table.canonical(name).type != type:
        raise CaptureError(f"the artifact takes a parameter {name!r} of type {type}, which {PARAMETERS} does not hold.")
    return parameter(table.canonical(name).name, type)


def _leading(reader: Reader, given: list[Value]) -> list[Value]:
    """The arguments of the module: where it is for several platforms, the number of one comes first."""
    from kxchange_jax.lift import scalar

    count = len(reader.functions["main"].regions[0].blocks[0].arguments) if "main" in reader.functions else 0
    if count == len(given) + 1:
        return [scalar(0, DType.INT32), *given]
    if count != len(given):
        raise CaptureError(f"the module takes {count} arguments, and {len(given)} are described.")
    return given
