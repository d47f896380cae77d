"""Models from `.tflite` files. TensorFlow is not needed, and nothing in the file is run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kxchange import ops  # noqa: F401 - declares the ops
from kxchange.dims import Dim, DimExpr, parse_dim, symbol
from kxchange.errors import FormatError, InputError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, parameter, placeholder
from kxchange.known import Knowledge
from kxchange.literals import literal
from kxchange.model import Array, Function, Model, Parameter
from kxchange.types import TensorType
from kxchange_tensorflow.lift import Absent
from kxchange_tensorflow.tflite_file import Signature, Tensor, TFLiteFile, read
from kxchange_tensorflow.tflite_lifting import TFLiteLifter, is_stored

BATCH = "batch"
Dynamic = Mapping[str, Sequence[Any]]


def load(path: Path, *, dynamic: Dynamic | None = None) -> Model:
    """Read a `.tflite` file.

    The first sub-graph becomes the function `main`, whose inputs and outputs are called as the file's tensors are. A
    file with several signatures gives one function each, under its key, with the names that callers of it use.

    Args:
        path: The file.
        dynamic: Dims by input name, in place of the file's; None entries keep them.

    Raises:
        FormatError: The file is damaged or hostile.
        UnsupportedOpError: It has operators that cannot be lifted; all of them are listed.
    """
    return Loading(read(path), path.name, dynamic or {}).model()


class Loading:
    """One file on its way to a model."""

    def __init__(self, file: TFLiteFile, name: str, dynamic: Dynamic) -> None:
        self.file = file
        self.name = name
        self.dynamic = dynamic
        self.parameters: dict[str, Parameter] = {}
        self.arrays: dict[str, Array] = {}
        self._leaves: dict[tuple[int, int], Value] = {}

    def model(self) -> Model:
        """The model."""
        entries = self.file.signatures if len(self.file.signatures) > 1 else ()
        with numbering():
            functions = {entry.key: self._function(entry.subgraph, entry) for entry in entries}
            functions = functions or {"main": self._function(0, None)}
        provenance = {"format": "tflite", "file": self.name, "schema": self.file.version}
        metadata = {"description": self.file.description} if self.file.description else {}
        if len(self.file.signatures) == 1:
            metadata["signature"] = self.file.signatures[0].key
        return Model(functions, self.parameters, metadata=metadata, provenance=provenance)

    def _function(self, index: int, signature: Signature | None) -> Function:
        graph = self.file.subgraphs[index]
        given = {place: name for name, place in signature.inputs.items()} if signature else {}
        names = _unique(given.get(place, graph.tensors[place].name) for place in graph.inputs)
        inputs = [placeholder(n, self._type(n, graph.tensors[p])) for n, p in zip(names, graph.inputs, strict=True)]
        knowledge = Knowledge(lambda name: self.arrays[name])
        lifter = TFLiteLifter(self.file, self._constant, knowledge)
        places = list(signature.outputs.values()) if signature else list(graph.outputs)
        outputs = lifter.run(index, inputs, places)
        if blockers := lifter.blockers():
            raise UnsupportedOpError("kxchange_tensorflow", blockers, f"{self.name} was not loaded.")
        if any(isinstance(output, Absent) for output in outputs):
            raise FormatError(f"{self.name}: an output is given by no operator.")
        labels = list(signature.outputs) if signature else [graph.tensors[place].name for place in places]
        return Function(Graph(tuple(inputs), tuple(outputs)), tuple(_unique(labels)))

    def _type(self, name: str, tensor: Tensor) -> TensorType:
        if tensor.dtype is None:
            raise FormatError(f"{self.name}: input {name!r} is a {tensor.kind}; a model takes tensors of numbers only.")
        given = self.dynamic.get(name)
        if given is not None and len(given) != len(tensor.shape):
            raise InputError(f"input {name!r} has {len(tensor.shape)} axes, and {len(given)} dims were given for it.")
        dims = [_dim(name, axis, size) for axis, size in enumerate(tensor.shape)]
        if given is not None:
            dims = [old if new is None else as_dim(new) for new, old in zip(given, dims, strict=True)]
        return TensorType(tensor.dtype, tuple(dims))

    def _constant(self, index: int, place: int) -> Value:
        if (index, place) not in self._leaves:
            self._leaves[index, place] = self._leaf(self.file.subgraphs[index].tensors[place])
        return self._leaves[index, place]

    def _leaf(self, tensor: Tensor) -> Value:
        if tensor.dtype is not None and tensor.data is None:
            return literal(np.zeros(tensor.shape, tensor.dtype.numpy), tensor.dtype)
        array = tensor.array
        if not is_weight(tensor, array):
            return literal(array, tensor.dtype)  # pyright: ignore[reportArgumentType]
        name = free_name(tensor.name, self.parameters)
        entry = Parameter(name, array, trainable=array.dtype.kind == "f")
        self.parameters[name], self.arrays[name] = entry, array
        return parameter(name, entry.type)


def is_weight(tensor: Tensor, array: Array) -> bool:
    """Whether a constant is one of the model's weights, not a number of its structure."""
    if is_stored(tensor):
        return True
    return bool(array.ndim) and tensor.dtype is not None and tensor.dtype.is_floating


def free_name(wanted: str, taken: Mapping[str, object]) -> str:
    """The name, with a number behind it where it is taken."""
    base, number = wanted or "constant", 1
    name = base
    while name in taken:
        name, number = f"{base}#{number}", number + 1
    return name


def _unique(names: Any) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        found[free_name(name, found)] = None
    return list(found)


def _dim(name: str, axis: int, size: int) -> Dim:
    if size >= 0:
        return size
    return symbol(BATCH if axis == 0 else f"{identifier(name)}_{axis}")


def identifier(text: str) -> str:
    """A name that the language of dims has, as like the text as it can be."""
    cleaned = re.sub(r"[^A-Za-z0-9_.]", "_", text)[:48]
    return cleaned if re.match(r"[A-Za-z_]", cleaned) else f"d_{cleaned}"


def as_dim(given: Any) -> Dim:
    """A dim as a caller writes it."""
    return given if isinstance(given, int | DimExpr) else parse_dim(str(given))
