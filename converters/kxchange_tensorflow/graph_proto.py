"""TensorFlow graphs as plain records, read from their protobuf form without TensorFlow.

Field numbers are those of the public `.proto` files: graph, node_def, attr_value, tensor, tensor_shape, function,
op_def.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from kxchange.errors import FormatError, LimitError
from kxchange.format.limits import DIM_BELOW, ELEMENTS_BELOW, MAX_NODES, MAX_RANK
from kxchange.types import DType
from kxchange_tensorflow.wire import Message

Array = NDArray[Any]

DTYPES: dict[int, DType] = {
    1: DType.FLOAT32,
    2: DType.FLOAT64,
    3: DType.INT32,
    4: DType.UINT8,
    5: DType.INT16,
    6: DType.INT8,
    8: DType.COMPLEX64,
    9: DType.INT64,
    10: DType.BOOL,
    14: DType.BFLOAT16,
    17: DType.UINT16,
    18: DType.COMPLEX128,
    19: DType.FLOAT16,
    22: DType.UINT32,
    23: DType.UINT64,
    24: DType.FLOAT8_E5M2,
    25: DType.FLOAT8_E4M3FN,
    29: DType.INT4,
    30: DType.UINT4,
}
"""Element types by number."""
OTHER_TYPES = {7: "string", 11: "qint8", 12: "quint8", 13: "qint32", 15: "qint16", 16: "quint16"}
OTHER_TYPES |= {20: "resource", 21: "variant"}
REFERENCE = 100
"""Added to the number of a type for a reference to a variable of it."""
MAX_CONSTANT = 2**31
"""Bytes of a constant that the file states as one repeated value."""

Attr = Any
"""str, int, float, bool, DType, `Shape`, `TensorData`, `FunctionName`, or a tuple of such."""


@dataclass(frozen=True, slots=True)
class OtherType:
    """An element type that holds no numbers."""

    name: str


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes, -1 where open; `dims` is None where even the rank is."""

    dims: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function that an attribute names, with its own attributes."""

    name: str


@dataclass(frozen=True)
class TensorData:
    """A constant that is decoded when it is read."""

    message: Message

    @property
    def dtype(self) -> DType | OtherType:
        """Its element type."""
        return dtype_of(self.message.integer(1))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Its sizes.

        Raises:
            FormatError: One is open.
        """
        dims = shape_of(self.message.message(2)).dims
        if dims is None or -1 in dims:
            raise FormatError("a constant of the graph has no shape.")
        return dims

    @cached_property
    def array(self) -> Array:
        """Its values.

        Raises:
            FormatError: The data does not suit type and shape.
        """
        dtype = self.dtype
        if isinstance(dtype, OtherType):
            raise FormatError(f"a constant of the graph holds {dtype.name}s, not numbers.")
        count, content = math.prod(self.shape), self.message.span(4)
        kind = dtype.numpy
        if len(content):
            if len(content) != count * kind.itemsize:
                raise FormatError(f"a constant has {len(content)} bytes, where {self.shape} of {dtype} takes others.")
            return np.frombuffer(content, kind).reshape(self.shape)
        return _repeated(self._listed(dtype), count, kind).reshape(self.shape)

    @property
    def strings(self) -> list[bytes]:
        """The elements of a string tensor."""
        return [bytes(span) for span in self.message.spans(8)]

    def _listed(self, dtype: DType) -> Array:
        message, kind = self.message, dtype.numpy
        if dtype is DType.FLOAT32:
            return np.frombuffer(message.packed(5, "<f"), "<f4")
        if dtype is DType.FLOAT64:
            return np.frombuffer(message.packed(6, "<d"), "<f8")
        if dtype is DType.COMPLEX64:
            return np.frombuffer(message.packed(9, "<f"), "<c8")
        if dtype is DType.COMPLEX128:
            return np.frombuffer(message.packed(12, "<d"), "<c16")
        if dtype in (DType.FLOAT16, DType.BFLOAT16):
            bits = np.asarray(message.integers(13), np.int64).astype(np.uint16)
            return bits.view(kind if dtype is DType.FLOAT16 else ml_dtypes.bfloat16)
        number = {DType.INT64: 10, DType.BOOL: 11, DType.UINT32: 16, DType.UINT64: 17}.get(dtype, 7)
        return np.asarray(message.integers(number), np.int64).astype(kind)


def _repeated(listed: Array, count: int, kind: np.dtype) -> Array:
    """The listed elements; the last one stands for all that are missing."""
    if len(listed) > count or count * kind.itemsize > MAX_CONSTANT:
        raise FormatError(f"a constant of the graph lists {len(listed)} elements of {count}.")
    if not len(listed):
        return np.zeros((count,), kind)
    if len(listed) == count:
        return listed
    return np.concatenate([listed, np.broadcast_to(listed[-1:], (count - len(listed),))])


def dtype_of(number: int) -> DType | OtherType:
    """The element type of a number.

    Raises:
        FormatError: There is none.
    """
    plain = number - REFERENCE if number > REFERENCE else number
    if plain in DTYPES:
        return DTYPES[plain]
    if plain not in OTHER_TYPES:
        raise FormatError(f"there is no TensorFlow element type {number}.")
    return OtherType(OTHER_TYPES[plain])


def shape_of(message: Message) -> Shape:
    """A shape.

    Raises:
        FormatError: It is malformed.
    """
    if message.integer(3):
        return Shape(None)
    dims = tuple(dim.integer(1) for dim in message.messages(2))
    if len(dims) > MAX_RANK or any(not -1 <= dim < DIM_BELOW for dim in dims):
        raise FormatError(f"the graph has a tensor of shape {dims[:40]}.")
    if math.prod(max(dim, 1) for dim in dims) >= ELEMENTS_BELOW:
        raise LimitError(f"the graph has a tensor of shape {dims}.")
    return Shape(dims)


def attr_of(message: Message) -> Attr:
    """The value of an attribute."""
    if message.has(1):
        return _list_of(message.message(1))
    if message.has(2):
        return bytes(message.span(2)).decode("utf-8", "surrogateescape")
    for number, read in ((3, message.integer), (4, message.float)):
        if message.has(number):
            return read(number)
    if message.has(5):
        return bool(message.integer(5))
    if message.has(6):
        return dtype_of(message.integer(6))
    if message.has(7):
        return shape_of(message.message(7))
    if message.has(8):
        return TensorData(message.message(8))
    return FunctionName(message.message(10).text(1)) if message.has(10) else None


def _list_of(message: Message) -> tuple[Any, ...]:
    if message.has(2):
        return tuple(bytes(span).decode("utf-8", "surrogateescape") for span in message.spans(2))
    if message.has(3):
        return tuple(message.integers(3))
    if message.has(4):
        return tuple(float(item) for item in np.frombuffer(message.packed(4, "<f"), "<f4"))
    if message.has(5):
        return tuple(bool(item) for item in message.integers(5))
    if message.has(6):
        return tuple(dtype_of(item) for item in message.integers(6))
    if message.has(7):
        return tuple(shape_of(item) for item in message.messages(7))
    return tuple(FunctionName(item.text(1)) for item in message.messages(9))


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One node: its name, operator, inputs (``name``, ``name:1``, ``name:output:0``) and attributes."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Attr]

    @property
    def data(self) -> tuple[str, ...]:
        """Inputs that carry tensors; the others only order."""
        return tuple(name for name in self.inputs if not name.startswith("^"))


@dataclass(frozen=True, slots=True)
class FunctionRecord:
    """One function of a graph's library."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: Mapping[str, str]
    nodes: Mapping[str, NodeRecord]


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """A graph and the functions that it calls."""

    nodes: Mapping[str, NodeRecord]
    functions: Mapping[str, FunctionRecord] = field(default_factory=dict[str, FunctionRecord])


def graph_of(message: Message) -> GraphRecord:
    """A `GraphDef`.

    Raises:
        FormatError: It is malformed.
    """
    functions = [function_of(item) for item in message.message(2).messages(1)]
    return GraphRecord(nodes_of(message.messages(1)), {f.name: f for f in functions})


def nodes_of(messages: list[Message]) -> dict[str, NodeRecord]:
    """Nodes by name.

    Raises:
        FormatError: Two have one name, or there are too many.
    """
    if len(messages) > MAX_NODES:
        raise LimitError(f"the graph has {len(messages):,} nodes, where {MAX_NODES:,} are the limit.")
    found: dict[str, NodeRecord] = {}
    for item in messages:
        attrs = {name: attr_of(value) for name, value in item.entries(5).items()}
        node = NodeRecord(item.text(1), item.text(2), tuple(item.texts(3)), attrs)
        if node.name in found:
            raise FormatError(f"the graph has two nodes called {node.name[:200]!r}.")
        found[node.name] = node
    return found


def function_of(message: Message) -> FunctionRecord:
    """A `FunctionDef`."""
    signature = message.message(1)
    results = {entry.text(1): entry.text(2) for entry in message.messages(4)}
    return FunctionRecord(
        signature.text(1),
        tuple(arg.text(1) for arg in signature.messages(2)),
        tuple(arg.text(1) for arg in signature.messages(3)),
        results,
        nodes_of(message.messages(3)),
    )
