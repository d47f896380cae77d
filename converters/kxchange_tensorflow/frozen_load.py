"""Models from frozen graphs: a `GraphDef` in a `.pb` file, whose constants are the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kxchange.errors import FormatError, InputError, LimitError
from kxchange.model import Model
from kxchange.types import DType
from kxchange_tensorflow.graph_lifting import reference
from kxchange_tensorflow.graph_load import Building, Entry, Port
from kxchange_tensorflow.graph_proto import GraphRecord, NodeRecord, OtherType, Shape, graph_of
from kxchange_tensorflow.wire import Message

MAX_FILE = 2**31
"""What protobuf itself allows."""
NO_RESULT = frozenset({"Assert", "Const", "NoOp", "Placeholder", "Print"})
"""Operators that are no output of a graph even where nothing reads them."""


def load(
    path: Path,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    dynamic: Mapping[str, Sequence[Any]] | None = None,
) -> Model:
    """Read a frozen graph.

    Args:
        path: The file.
        inputs: Tensors to feed, ``x:0``; by default those of all placeholders.
        outputs: Tensors to compute; by default the results of all nodes that nothing reads.
        dynamic: Dims by input name, in place of the file's; None entries keep them.

    Raises:
        FormatError: The file is damaged or hostile.
        UnsupportedOpError: It has operators that cannot be lifted; all of them are listed.
    """
    record = graph_of(Message(read_limited(path)))
    entry = Entry("main", _inputs(record, inputs), _outputs(record, outputs))
    building = Building(record, path.name, _no_variable, frozen=True, dynamic=dynamic or {})
    functions = building.functions([entry])
    building.order(record.nodes)
    return building.model(functions, provenance={"format": "graphdef", "file": path.name})


def read_limited(path: Path) -> memoryview:
    """The bytes of a protobuf file.

    Raises:
        LimitError: There are more than protobuf allows.
    """
    size = path.stat().st_size
    if size > MAX_FILE:
        raise LimitError(f"{path.name}: {size:,} bytes are above the limit of {MAX_FILE:,}.")
    return memoryview(path.read_bytes())


def _no_variable(node: NodeRecord) -> NoReturn:
    raise FormatError(
        f"the graph is not frozen: {node.name[:200]!r} is a variable, and the file has no values of variables. "
        "Load the SavedModel instead."
    )


def _inputs(record: GraphRecord, names: Sequence[str] | None) -> tuple[Port, ...]:
    if names is None:
        names = [f"{node.name}:0" for node in record.nodes.values() if node.op == "Placeholder"]
    return tuple(_port(record, name) for name in names)


def _port(record: GraphRecord, name: str) -> Port:
    node = _node(record, name)
    dtype, shape = node.attrs.get("dtype"), node.attrs.get("shape")
    kind = dtype if isinstance(dtype, DType | OtherType) else node.attrs.get("T", DType.FLOAT32)
    return Port(name, name, kind, shape if isinstance(shape, Shape) else Shape(None))


def _outputs(record: GraphRecord, names: Sequence[str] | None) -> tuple[Port, ...]:
    if names is None:
        read = {reference(text.lstrip("^"), record.nodes)[0] for node in record.nodes.values() for text in node.inputs}
        ends = [node for node in record.nodes.values() if node.name not in read and node.op not in NO_RESULT]
        names = [f"{node.name}:0" for node in ends]
    if not names:
        raise FormatError("the graph has no node that nothing reads. Name its outputs: outputs=[...].")
    for name in names:
        _node(record, name)
    return tuple(Port(name, name, DType.FLOAT32) for name in names)


def _node(record: GraphRecord, name: str) -> NodeRecord:
    node = record.nodes.get(reference(name, record.nodes)[0])
    if node is None:
        raise InputError(f"the graph has no tensor {name!r}.")
    return node
