"""Models from SavedModel folders of TensorFlow 1 and 2: the graph, its signatures, and the checkpoint beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kxchange.errors import FormatError, InputError
from kxchange.model import Model, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_tensorflow.bundle import Bundle
from kxchange_tensorflow.frozen_load import read_limited
from kxchange_tensorflow.graph_load import Building, Entry, Port
from kxchange_tensorflow.graph_proto import GraphRecord, NodeRecord, OtherType, dtype_of, graph_of, shape_of
from kxchange_tensorflow.object_graph import SUFFIX, object_variables
from kxchange_tensorflow.restoring import checkpoint_keys
from kxchange_tensorflow.wire import Message

GRAPH_FILE = "saved_model.pb"
DEFAULT = "serving_default"
INTERNAL = "__saved_model"
"""How the names of signatures begin that initialize, and compute nothing."""
LOG = logging.getLogger("kxchange.tensorflow")


def load(
    path: Path,
    *,
    tags: Sequence[str] | None = None,
    signatures: Sequence[str] | None = None,
    dynamic: Mapping[str, Sequence[Any]] | None = None,
) -> Model:
    """Read a SavedModel; TensorFlow is not needed, and nothing in it is run.

    Every signature becomes a function of its name, ``serving_default`` first. Signatures that take or give strings are
    left out unless they are asked for; `provenance` names them.

    Args:
        path: The folder.
        tags: Tags of the graph to load, where there are several.
        signatures: Names of those to load; by default all.
        dynamic: Dims by input name, in place of the file's; None entries keep them.

    Raises:
        FormatError: The files are damaged or hostile.
        UnsupportedOpError: A signature has operators that cannot be lifted; all of them are listed.
    """
    folder = path if path.is_dir() else path.parent
    chosen = _meta_graph(Message(read_limited(folder / GRAPH_FILE)), tags)
    record = graph_of(chosen.message(2))
    entries, left_out = _entries(chosen, signatures)
    variables = Variables(folder, chosen, record)
    building = Building(record, folder.name, variables.parameter, dynamic=dynamic or {})
    functions = building.functions(entries)
    building.order(variables.order(record), variables.unread())
    info = chosen.message(1)
    provenance: dict[str, Any] = {"format": "savedmodel", "file": folder.name, "tensorflow": info.text(5)}
    if left_out:
        provenance["left_out"] = left_out
        LOG.warning("%s: left out %s", folder.name, "; ".join(f"{n} ({why})" for n, why in left_out.items()))
    return building.model(functions, provenance=provenance)


def _meta_graph(model: Message, tags: Sequence[str] | None) -> Message:
    graphs = model.messages(2)
    if not graphs:
        raise FormatError(f"{GRAPH_FILE} has no graph.")
    known = [tuple(sorted(graph.message(1).texts(4))) for graph in graphs]
    if tags is None:
        return graphs[known.index(("serve",)) if ("serve",) in known else 0]
    if tuple(sorted(tags)) not in known:
        raise InputError(f"the SavedModel has graphs with the tags {known}, not {sorted(tags)}.")
    return graphs[known.index(tuple(sorted(tags)))]


def _entries(graph: Message, wanted: Sequence[str] | None) -> tuple[list[Entry], dict[str, str]]:
    known = {name: value for name, value in graph.entries(5).items() if not name.startswith(INTERNAL)}
    if missing := [name for name in wanted or () if name not in known]:
        raise InputError(f"the SavedModel has no signature {missing[0]!r}; it has {', '.join(sorted(known))}.")
    names = list(wanted) if wanted else sorted(known, key=lambda name: (name != DEFAULT, name))
    entries = [Entry(name, _ports(known[name], 1), _ports(known[name], 2)) for name in names]
    strings = {} if wanted else {entry.name: _strings(entry) for entry in entries if _strings(entry)}
    kept = [entry for entry in entries if entry.name not in strings and entry.outputs]
    if not kept:
        reasons = "; ".join(f"{name}: {why}" for name, why in strings.items()) or "it has none"
        raise FormatError(f"no signature of the SavedModel can be loaded ({reasons}).")
    return kept, strings


def _ports(signature: Message, number: int) -> tuple[Port, ...]:
    found: list[Port] = []
    for name, info in sorted(signature.entries(number).items()):
        if not info.has(1):
            raise FormatError(f"{name!r} of a signature is no dense tensor.")
        found.append(Port(name, info.text(1), dtype_of(info.integer(2)), shape_of(info.message(3))))
    return tuple(found)


def _strings(entry: Entry) -> str:
    """Why the signature is left out, if it is."""
    for what, ports in (("input", entry.inputs), ("output", entry.outputs)):
        for port in ports:
            if isinstance(port.dtype, OtherType):
                return f"its {what} {port.name!r} is a {port.dtype.name}"
    return ""


class Variables:
    """The variables of a SavedModel: which key of the checkpoint each one is, and what it is called."""

    def __init__(self, folder: Path, graph: Message, record: GraphRecord) -> None:
        self.keys = checkpoint_keys(graph, record)
        self.objects = object_variables(graph.message(7))
        self.named: dict[str, str] = {}
        self._prefix = folder / "variables" / "variables"
        self._bundle: Bundle | None = None

    @property
    def bundle(self) -> Bundle:
        """The checkpoint, opened when the first variable is read."""
        if self._bundle is None:
            self._bundle = Bundle(self._prefix)
        return self._bundle

    def parameter(self, node: NodeRecord) -> Parameter:
        """The variable behind a node.

        Raises:
            FormatError: The checkpoint does not have it in this type.
        """
        called = variable_name(node)
        key = self.keys.get(node.name) or called
        entry = self._parameter(key, called)
        if node.attrs.get("dtype") is not entry.type.dtype:
            raise FormatError(f"the variable {called!r} has another type in the graph than in the checkpoint.")
        return entry

    def _parameter(self, key: str, called: str) -> Parameter:
        read: Callable[[], Any] = self.bundle.reader(key)
        entry, known = self.bundle.entries[key], self.objects.get(key)
        dtype: Any = entry.dtype
        trainable = (known is None or known.trainable) and dtype.is_floating
        name = self._name(key, called if known is None else known.label)
        role = Role.PARAMETER if trainable else Role.BUFFER
        return Parameter(name, read, type=TensorType(dtype, entry.shape), role=role, trainable=trainable)

    def _name(self, key: str, wanted: str) -> str:
        """The name of the variable with this key; the key itself where another one is called the same."""
        name = wanted if self.named.setdefault(wanted, key) == key else key.removesuffix(SUFFIX)
        self.named.setdefault(name, key)
        return name

    def unread(self) -> list[Parameter]:
        """Variables of the model that no signature reads."""
        found: list[Parameter] = []
        for key, variable in self.objects.items():
            known = self.bundle.entries.get(key) if not variable.is_of_training else None
            if known is not None and isinstance(known.dtype, DType) and variable.label not in self.named:
                found.append(self._parameter(key, variable.label))
        return found

    def order(self, record: GraphRecord) -> list[str]:
        """Names in the source's order."""
        labels = [variable.label for variable in self.objects.values()]
        return labels + [variable_name(node) for node in record.nodes.values() if node.op in HANDLES]


HANDLES = frozenset({"VarHandleOp", "Variable", "VariableV2"})


def variable_name(node: NodeRecord) -> str:
    """What a variable is called: its shared name, else its node's."""
    return str(node.attrs.get("shared_name") or node.name)
