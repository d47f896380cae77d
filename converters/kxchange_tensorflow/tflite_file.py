"""A `.tflite` file as plain records, every index in it checked; nothing is computed and TensorFlow is not needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.errors import FormatError, LimitError
from kxchange.format.limits import DIM_BELOW, MAX_NODES, MAX_RANK
from kxchange.types import DType
from kxchange_tensorflow.flatbuffer import Buffer, Table
from kxchange_tensorflow.tflite_schema import DTYPES, LAST_OLD_CODE, NOT_BUILTIN, OPERATORS, OPTIONS, OTHER_TYPES

Array = NDArray[Any]

IDENTIFIER = b"TFL3"
MAX_FILE = 8 * 2**30


@dataclass(frozen=True, slots=True)
class Quantization:
    """``real = scale * (stored - zero_point)``, per tensor or per index of one axis."""

    scale: Array
    zero_point: Array
    axis: int

    @property
    def per_tensor(self) -> bool:
        """Whether one scale holds for all elements."""
        return self.scale.size == 1


@dataclass(frozen=True)
class Tensor:
    """One tensor of a sub-graph.

    Attributes:
        name: As in the file.
        dtype: Element type; None for strings, resources and variants, which `kind` names.
        shape: Sizes; -1 where the file leaves one open.
        data: The bytes of a constant; None for a computed one.
        quantization: How stored integers stand for real numbers.
        is_variable: Whether it keeps its value from one run to the next.
        sparse: Whether the data is not stored densely.
    """

    name: str
    dtype: DType | None
    kind: str
    shape: tuple[int, ...]
    data: memoryview | None
    quantization: Quantization | None
    is_variable: bool
    sparse: bool

    @cached_property
    def array(self) -> Array:
        """The constant's values, as they are stored.

        Raises:
            FormatError: The bytes do not suit the type.
        """
        if self.dtype is None or self.data is None or self.sparse:
            raise FormatError(f"tensor {self.name!r} holds {'sparse data' if self.sparse else self.kind} and no array.")
        count = math.prod(self.shape)
        if self.dtype.bits < 8:
            return _unpacked(self.data, self.dtype, count, self.name).reshape(self.shape)
        wanted = count * self.dtype.numpy.itemsize
        if min(self.shape, default=0) < 0 or len(self.data) != wanted:
            raise FormatError(f"tensor {self.name!r} has {len(self.data)} bytes, where {self.shape} takes {wanted}.")
        return np.frombuffer(self.data, self.dtype.numpy).reshape(self.shape)


def _unpacked(data: memoryview, dtype: DType, count: int, name: str) -> Array:
    """Elements of less than a byte, the first in the lowest bits."""
    per_byte = 8 // dtype.bits
    if len(data) != -(-count // per_byte):
        raise FormatError(f"tensor {name!r} has {len(data)} bytes for {count} elements of {dtype.bits} bits.")
    packed = np.frombuffer(data, np.uint8)
    parts = [(packed >> (dtype.bits * place)) & (2**dtype.bits - 1) for place in range(per_byte)]
    found = np.stack(parts, axis=1).reshape(-1)[:count].astype(np.int16)
    if dtype.is_signed:
        found = np.where(found >= 2 ** (dtype.bits - 1), found - 2**dtype.bits, found)
    return found.astype(dtype.numpy)


@dataclass(frozen=True, slots=True)
class Operator:
    """One step: builtin or custom name, tensor indices (-1 for an absent operand), options."""

    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SubGraph:
    """Tensors, and the operators in the order in which they run."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """A named entry point: the caller's names of some sub-graph's tensors."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    subgraph: int


@dataclass(frozen=True, slots=True)
class TFLiteFile:
    """The whole file."""

    version: int
    description: str
    subgraphs: tuple[SubGraph, ...]
    signatures: tuple[Signature, ...] = field(default=())


def read(path: Path) -> TFLiteFile:
    """Read a file.

    Raises:
        FormatError: It is damaged or hostile.
        LimitError: It is too large.
    """
    size = path.stat().st_size
    if size > MAX_FILE:
        raise LimitError(f"{path.name}: {size:,} bytes are above the limit of {MAX_FILE:,}.")
    return parse(memoryview(path.read_bytes()))


def parse(data: memoryview) -> TFLiteFile:
    """Read a file's bytes.

    Raises:
        FormatError: They are damaged or hostile.
    """
    if len(data) < 8 or bytes(data[4:8]) != IDENTIFIER:
        raise FormatError("this is no TFLite file: it does not say TFL3 in bytes 4 to 8.")
    root = Buffer(data).root()
    version = root.number(0, "uint32", 0)
    if version != 3:
        raise FormatError(f"the TFLite file has schema version {version}; only 3 is known.")
    codes = [_operator_name(code) for code in root.tables(1)]
    buffers = [_data(buffer, index, root) for index, buffer in enumerate(root.tables(4))]
    graphs = root.tables(2)
    subgraphs = tuple(_subgraph(table, codes, buffers) for table in graphs)
    if not subgraphs:
        raise FormatError("the TFLite file has no sub-graph.")
    signatures = tuple(_signature(table, subgraphs) for table in root.tables(7))
    return TFLiteFile(version, root.text(3), subgraphs, signatures)


def _operator_name(code: Table) -> tuple[str, bool]:
    old, new = code.number(0, "int8", 0), code.number(3, "int32", 0)
    number = max(old, new) if old >= 0 else new
    if number == NOT_BUILTIN:
        return code.text(1) or "(unnamed)", True
    if old > LAST_OLD_CODE or not 0 <= number < len(OPERATORS):
        return f"builtin operator {number}", False
    return OPERATORS[number], False


def _data(buffer: Table, index: int, root: Table) -> memoryview | None:
    """The bytes of a buffer: inside the flatbuffer, or behind it in large files."""
    offset, size = buffer.number(1, "uint64", 0), buffer.number(2, "uint64", 0)
    if offset > 1 and index:
        return root.bytes_at(offset, size)
    found = buffer.span(0)
    return found if found is not None and len(found) else None


def _subgraph(table: Table, codes: list[tuple[str, bool]], buffers: list[memoryview | None]) -> SubGraph:
    tensors = tuple(_tensor(entry, buffers) for entry in table.tables(0))
    operators = table.tables(3)
    if len(operators) > MAX_NODES:
        raise LimitError(f"a sub-graph has {len(operators):,} operators, where {MAX_NODES:,} are the limit.")
    count = len(tensors)
    return SubGraph(
        table.text(4),
        tensors,
        _indices(table, 1, count, "an input"),
        _indices(table, 2, count, "an output"),
        tuple(_operator(entry, codes, count) for entry in operators),
    )


def _indices(table: Table, place: int, count: int, what: str, *, optional: bool = False) -> tuple[int, ...]:
    found = table.numbers(place, "int32")
    indices = tuple(int(index) for index in found) if found is not None else ()
    if any(not (-1 if optional else 0) <= index < count for index in indices):
        raise FormatError(f"{what} of a TFLite sub-graph is tensor {indices} of {count}.")
    return indices


def _tensor(table: Table, buffers: list[memoryview | None]) -> Tensor:
    name, code, index = table.text(3), table.number(1, "int8", 0), table.number(2, "uint32", 0)
    if index >= len(buffers):
        raise FormatError(f"tensor {name!r} is in buffer {index} of {len(buffers)}.")
    if code not in DTYPES and code not in OTHER_TYPES:
        raise FormatError(f"tensor {name!r} has the unknown element type {code}.")
    data = buffers[index]
    shape, open_shape = _shape(table, 0, name), _shape(table, 7, name)
    if open_shape and len(open_shape) != len(shape):
        raise FormatError(f"tensor {name!r} has the shapes {shape} and {open_shape}.")
    return Tensor(
        name,
        DTYPES.get(code),
        DTYPES[code].value if code in DTYPES else OTHER_TYPES[code],
        (open_shape or shape) if data is None else shape,
        data,
        _quantization(table.table(4), name, shape),
        table.number(5, "bool", False),
        table.table(6) is not None,
    )


def _shape(table: Table, place: int, name: str) -> tuple[int, ...]:
    found = table.numbers(place, "int32")
    shape = tuple(int(size) for size in found) if found is not None else ()
    if len(shape) > MAX_RANK or any(not -1 <= size < DIM_BELOW for size in shape):
        raise FormatError(f"tensor {name!r} has the shape {shape[:40]}.")
    return shape


def _quantization(table: Table | None, name: str, shape: tuple[int, ...]) -> Quantization | None:
    scale = None if table is None else table.numbers(2, "float32")
    if table is None or scale is None or not scale.size:
        return None
    zero_point, axis = table.numbers(3, "int64"), table.number(6, "int32", 0)
    points = np.zeros(scale.shape, np.int64) if zero_point is None or not zero_point.size else zero_point
    if points.size == 1 < scale.size:
        points = np.broadcast_to(points, scale.shape)
    channels = shape[axis] if 0 <= axis < len(shape) else None
    if points.shape != scale.shape or not np.all(np.isfinite(scale)) or (scale.size > 1 and scale.size != channels):
        raise FormatError(f"tensor {name!r} is quantized with {scale.size} scales along axis {axis} of {shape}.")
    return Quantization(scale, points, axis)


def _operator(table: Table, codes: list[tuple[str, bool]], count: int) -> Operator:
    index = table.number(0, "uint32", 0)
    if index >= len(codes):
        raise FormatError(f"a TFLite operator has code {index} of {len(codes)}.")
    name, custom = codes[index]
    inputs = _indices(table, 1, count, f"an operand of {name}", optional=True)
    outputs = _indices(table, 2, count, f"a result of {name}")
    return Operator(name, custom, inputs, outputs, {} if custom else _options(table, name))


def _options(table: Table, name: str) -> dict[str, Any]:
    kind, fields = OPTIONS.get(name, (0, {}))
    given, stored = table.table(4), table.number(3, "uint8", 0)
    if given is not None and fields and stored != kind:
        raise FormatError(f"a {name} operator has the options of another one (number {stored}, not {kind}).")
    options: dict[str, Any] = {}
    for attribute, (place, number, default) in fields.items():
        if number.startswith("["):
            found = None if given is None else given.numbers(place, number.strip("[]"))
            options[attribute] = None if found is None else tuple(int(item) for item in found)
        else:
            options[attribute] = default if given is None else given.number(place, number, default)
    return options


def _signature(table: Table, subgraphs: tuple[SubGraph, ...]) -> Signature:
    index, key = table.number(4, "uint32", 0), table.text(2)
    if index >= len(subgraphs):
        raise FormatError(f"signature {key!r} is of sub-graph {index} of {len(subgraphs)}.")
    count = len(subgraphs[index].tensors)
    maps = [{entry.text(0): entry.number(1, "uint32", 0) for entry in table.tables(place)} for place in (0, 1)]
    if any(tensor >= count for found in maps for tensor in found.values()):
        raise FormatError(f"signature {key!r} names a tensor beyond the {count} of its sub-graph.")
    return Signature(key, maps[0], maps[1], index)
