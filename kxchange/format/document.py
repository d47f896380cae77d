"""A model as the `kx` document: everything but the bytes of its tensors, as canonical JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from kxchange.dims import DimExpr
from kxchange.errors import FormatError, KxchangeError
from kxchange.format.attributes import AttributeReader, AttributeWriter
from kxchange.format.dtypes import storage_of
from kxchange.format.graph_document import GraphReader, GraphWriter, read_tables
from kxchange.format.limits import MAX_FUNCTIONS, check_limit
from kxchange.format.names import shown
from kxchange.format.records import check_dim, fields_of, parse_type, texts
from kxchange.graph import Graph
from kxchange.model import Array, Function, Model, Parameter, Role
from kxchange.shapes import Constraint
from kxchange.types import TensorType

VERSION = 1
MIN_READER = 1
FEATURES: frozenset[str] = frozenset({"integrity", "samples"})
"""Must-understand features that this reader knows."""
MEMBERS: dict[str, type] = {
    "kx": int, "min_reader": int, "features": list, "constraints": list, "types": list, "sources": list, "paths": list,
    "ops": dict, "functions": list, "parameters": list, "metadata": dict, "provenance": object, "evidence": list,
    "samples": list, "integrity": dict, "ext": dict,
}  # fmt: skip
FUNCTION: dict[str, type] = {
    "name": str, "inputs": list, "nodes": list, "outputs": list, "output_names": list, "updates": dict,
    "structure": object,
}  # fmt: skip
PARAMETER: dict[str, type] = {"name": str, "role": str, "trainable": bool}
MALFORMED = (KxchangeError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a record of another form can raise."""
Reader = Callable[[str, TensorType], Array]


def write_document(model: Model) -> tuple[dict[str, Any], dict[str, Array], dict[str, Parameter]]:
    """The document of a model, without integrity.

    Returns:
        The document; the arrays of large constants and samples by tensor name; the stored parameters by tensor name.
    """
    stored = {name: entry for name, entry in model.parameters.items() if entry.alias_of is None}
    graphs = GraphWriter(frozenset(stored))
    functions = [write_function(name, function, graphs) for name, function in model.functions.items()]
    samples = graphs.attributes
    document: dict[str, Any] = {
        "kx": VERSION,
        "min_reader": MIN_READER,
        "features": ["integrity"] + (["samples"] if model.samples else []),
        "constraints": [write_constraint(constraint) for constraint in model.constraints],
        "functions": functions,
        "parameters": [write_parameter(entry) for entry in model.parameters.values()],
        "metadata": dict(model.metadata),
        "provenance": samples.encode(model.provenance),
        "evidence": [samples.encode(record) for record in model.evidence],
        "samples": [samples.encode(write_sample(sample)) for sample in model.samples],
        "ext": {},
        **graphs.tables(),
    }
    return document, graphs.attributes.tensors, stored


def write_function(name: str, function: Function, graphs: GraphWriter) -> dict[str, Any]:
    """One entry point."""
    return {
        "name": name,
        **graphs.write(function.graph),
        "output_names": list(function.output_names),
        "updates": dict(function.updates),
        "structure": graphs.attributes.encode(function.structure),
    }


def write_constraint(constraint: Constraint) -> dict[str, str]:
    """One constraint, if it can be read again."""
    for dim in (constraint.left, constraint.right):
        check_dim(dim, "Cannot write a constraint")
    return constraint.to_json()


def write_parameter(entry: Parameter) -> dict[str, Any]:
    """One row of the parameter table."""
    record: dict[str, Any] = {"name": entry.name, "role": entry.role.value, "trainable": entry.trainable}
    if entry.alias_of is not None:
        return record | {"alias_of": entry.alias_of}
    return record | {"type": str(entry.type)}


def write_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded case with its arrays as constants."""
    from kxchange.constant import Constant

    return {
        key: {name: Constant(array) for name, array in value.items()} if key in ("inputs", "outputs") else value
        for key, value in sample.items()
    }


def read_document(document: Any, read_tensor: Reader, source: str) -> Model:
    """The model of a document; parameters are read when they are used.

    Args:
        document: Decoded canonical JSON.
        read_tensor: Gives the array of a tensor by name and logical type.
        source: How messages call the file.

    Raises:
        FormatError: the document is not one that `write_document` writes, or is from a newer kxchange.
    """
    check_version(document, source)
    try:
        return _read(cast("dict[str, Any]", document), read_tensor, source)
    except FormatError:
        raise
    except (
        KxchangeError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise FormatError(f"{source}: the kx document is malformed: {shown(str(error))}.") from None


def check_version(document: Any, source: str) -> None:
    """Refuse what is not a kx document, needs a newer reader, or has a feature this one does not know."""
    record = cast("dict[str, Any]", document)
    if not isinstance(document, dict) or type(record.get("kx")) is not int:
        raise FormatError(f"{source} holds no kx document.")
    # What a newer reader is needed for comes first: the rest may be unknown here.
    least, features = record.get("min_reader"), record.get("features")
    if type(least) is not int or not isinstance(features, list):
        raise FormatError(f"{source}: the kx document names no reader version and features.")
    if least > VERSION:
        raise FormatError(f"{source} needs a reader of version {least}; this one is {VERSION}. Update kxchange.")
    if not 1 <= least <= record["kx"]:
        raise FormatError(f"{source}: version {record['kx']} cannot have the oldest reader {least}.")
    if "shard" in record:
        raise FormatError(
            f"{source} is one shard of a model and holds weights only. Load the index beside it, `*.kx.index.json`."
        )
    declared = texts(cast("Any", features), f"{source}: features")
    unknown = [name for name in declared if name not in FEATURES]
    if unknown:
        raise FormatError(f"{source} needs the feature {shown(unknown[0])}, unknown to this kxchange. Update kxchange.")
    if "integrity" not in declared or len(set(declared)) != len(declared):
        raise FormatError(f"{source} does not declare the feature 'integrity' once, which every kx document does.")
    fields_of(record, MEMBERS, f"{source}: the kx document")


def _read(document: dict[str, Any], read_tensor: Reader, source: str) -> Model:
    parameters = read_parameters(document["parameters"], read_tensor, source)
    graphs = GraphReader(read_tables(document, source), read_tensor, source)
    check_limit(len(document["functions"]), MAX_FUNCTIONS, f"{source}: functions")
    records = [fields_of(record, FUNCTION, f"{source}: a function") for record in document["functions"]]
    functions = {record["name"]: read_function(record, graphs) for record in records}
    if len(functions) != len(document["functions"]):
        raise FormatError(f"{source} names one function twice.")
    for function in functions.values():
        check_parameter_types(function.graph, parameters, source)
    decode = graphs.attributes.decode
    texts(list(document["metadata"].values()), f"{source}: metadata")
    return Model(
        functions,
        parameters,
        constraints=[Constraint.from_json(record) for record in document["constraints"]],
        metadata=document["metadata"],
        provenance=decode(document["provenance"]),
        evidence=[decode(record) for record in document["evidence"]],
        samples=[read_sample(decode(record)) for record in document["samples"]],
    )


def read_function(record: dict[str, Any], graphs: GraphReader) -> Function:
    """One entry point."""
    graph = graphs.read(record)
    names = tuple(texts(record["output_names"], f"{graphs.file}: output_names"))
    texts(list(record["updates"].values()), f"{graphs.file}: updates")
    if len(names) != len(graph.outputs) or len(set(names)) != len(names):
        raise FormatError(f"{graphs.file}: function {shown(record['name'])} needs one distinct name per output.")
    inputs = [value.node.attrs["name"] for value in graph.inputs]
    if len(set(inputs)) != len(inputs):
        raise FormatError(f"{graphs.file}: function {shown(record['name'])} names one input twice.")
    return Function(graph, names, dict(record["updates"]), graphs.attributes.decode(record["structure"]))


def read_parameters(records: list[dict[str, Any]], read_tensor: Reader, source: str) -> dict[str, Parameter]:
    """The parameter table, aliases resolved."""
    found: dict[str, Parameter] = {}
    for record in records:
        aliased = "alias_of" in record
        fields_of(record, PARAMETER | {"alias_of" if aliased else "type": str}, f"{source}: parameter {shown(record)}")
        name = record["name"]
        if name in found:
            raise FormatError(f"{source} names the parameter {shown(name)} twice.")
        first = record.get("alias_of")
        if first is not None and (first not in found or found[first].alias_of is not None):
            raise FormatError(
                f"{source}: parameter {shown(name)} is an alias of {shown(first)}, which is no tensor before it."
            )
        type = found[first].type if first is not None else parse_type(record["type"], source)
        if any(isinstance(dim, DimExpr) for dim in type.shape):
            raise FormatError(f"{source}: parameter {shown(name)} has the type {type}; a parameter's shape is static.")
        role, stored = Role(record["role"]), first if first is not None else name
        found[name] = Parameter(
            name,
            lambda stored=stored, type=type: read_tensor(stored, type),
            type=type,
            role=role,
            trainable=record["trainable"],
            alias_of=first,
        )
    return found


def check_parameter_types(graph: Graph, parameters: Mapping[str, Parameter], source: str) -> None:
    """Every parameter leaf reads a parameter of the table, with its type; also inside sub-graphs."""
    for node in graph.nodes():
        if node.op == "parameter":
            name = node.attrs["name"]
            if name not in parameters:
                raise FormatError(
                    f"{source}: the graph reads the parameter {shown(name)}, which the file does not have."
                )
            if parameters[name].type != node.types[0]:
                raise FormatError(
                    f"{source}: the graph reads parameter {shown(name)} as {node.types[0]}, "
                    f"but it is {parameters[name].type}."
                )


def read_sample(sample: dict[str, Any]) -> dict[str, Any]:
    """A recorded case with plain arrays."""
    return {
        key: {name: constant.array for name, constant in value.items()} if key in ("inputs", "outputs") else value
        for key, value in sample.items()
    }


def expected_entry(type: TensorType) -> tuple[str, tuple[int, ...]]:
    """What the header must say of a tensor of this logical type."""
    storage = storage_of(type.dtype, [dim for dim in type.shape if isinstance(dim, int)])
    return storage.code, storage.shape


__all__ = ["AttributeReader", "AttributeWriter", "expected_entry", "read_document", "write_document"]
