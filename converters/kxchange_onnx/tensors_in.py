"""`TensorProto` as arrays: raw bytes in place, typed fields decoded, every size checked before anything is read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kxchange.errors import FormatError, LimitError
from kxchange.types import DType, TensorType
from kxchange_onnx.external_in import ExternalFolder
from kxchange_onnx.packing import unpacked
from kxchange_onnx.types_in import dtype_of

Array = NDArray[Any]

MAX_RANK = 64
MAX_BYTES = 2**40
DENSE_LIMIT = 2**28
"""Elements that a sparse tensor may have when written out."""


class TensorReader:
    """Reads tensors of one model.

    Attributes:
        folder: Where external data may lie.
        spans: Bytes of large tensors that were left out of the parsed message, by the tensor's identity in it.
    """

    def __init__(self, folder: ExternalFolder, spans: dict[str, memoryview] | None = None) -> None:
        self.folder = folder
        self.spans = spans or {}

    def type_of(self, tensor: onnx.TensorProto) -> TensorType:
        """Element type and shape.

        Raises:
            FormatError: The type is unknown, or a size negative or beyond the limits.
        """
        try:
            dtype = dtype_of(tensor.data_type)
        except FormatError as error:
            raise FormatError(f"tensor {tensor.name!r}: {error}") from None
        shape = tuple(tensor.dims)
        count = math.prod(max(size, 1) for size in shape)
        if len(shape) > MAX_RANK or any(size < 0 for size in shape):
            raise FormatError(f"tensor {tensor.name!r} has the shape {shape[:MAX_RANK]}, which is none.")
        if count * dtype.bits > 8 * MAX_BYTES:
            raise LimitError(f"tensor {tensor.name!r} would take {count * dtype.bits // 8:,} bytes: {shape}.")
        return TensorType(dtype, shape)

    def array(self, tensor: onnx.TensorProto) -> Array:
        """The values; of raw and external data without a copy, read-only."""
        type = self.type_of(tensor)
        count = math.prod(int(size) for size in type.shape)
        size = -(-count * type.dtype.bits // 8)
        if tensor.HasField("segment"):
            raise FormatError(f"tensor {tensor.name!r} is stored in segments, which no tool writes.")
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return _from_bytes(self.folder.read(tensor.name, tensor.external_data, size), type, tensor.name)
        if tensor.name in self.spans and not _has_values(tensor):
            return _from_bytes(self.spans[tensor.name], type, tensor.name)
        if tensor.HasField("raw_data"):
            return _from_bytes(memoryview(tensor.raw_data), type, tensor.name)
        return _from_fields(tensor, type)

    def check(self, tensor: onnx.TensorProto) -> TensorType:
        """The type, after the same checks of sizes and places as `array` makes; nothing is decoded."""
        type = self.type_of(tensor)
        if _has_values(tensor) and not tensor.HasField("raw_data"):
            return type
        self.array(tensor)
        return type

    def dense(self, sparse: onnx.SparseTensorProto) -> Array:
        """A sparse tensor written out.

        Raises:
            FormatError: Its indices do not fit.
            LimitError: The dense form is too large.
        """
        name, shape = sparse.values.name, tuple(sparse.dims)
        values, indices = self.array(sparse.values).reshape(-1), self.array(sparse.indices)
        if any(size < 0 for size in shape) or math.prod(max(size, 1) for size in shape) > DENSE_LIMIT:
            raise LimitError(f"sparse tensor {name!r} has the shape {shape}, too large to write out.")
        if indices.dtype != np.int64 or indices.ndim not in (1, 2) or len(indices) != len(values):
            raise FormatError(f"sparse tensor {name!r} has no int64 index for each of its {len(values)} values.")
        if indices.ndim == 2 and indices.shape[1] != len(shape):
            raise FormatError(f"sparse tensor {name!r} has index tuples of {indices.shape[1]}, and {len(shape)} axes.")
        limits = np.asarray(shape if indices.ndim == 2 else math.prod(shape))
        if ((indices < 0) | (indices >= limits)).any():
            raise FormatError(f"sparse tensor {name!r} has an index outside of {shape}.")
        dense = np.zeros(math.prod(shape), dtype=values.dtype)
        flat = np.ravel_multi_index(tuple(indices.T), shape) if indices.ndim == 2 and indices.size else indices
        dense[flat.reshape(-1)] = values
        return dense.reshape(shape)


_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def _has_values(tensor: onnx.TensorProto) -> bool:
    return tensor.HasField("raw_data") or any(len(getattr(tensor, field)) for field in _FIELDS)


def _from_bytes(data: memoryview, type: TensorType, name: str) -> Array:
    count, bits = math.prod(int(size) for size in type.shape), type.dtype.bits
    wanted = -(-count * bits // 8)
    if len(data) != wanted:
        raise FormatError(f"tensor {name!r}, {type}, takes {wanted} bytes and has {len(data)}.")
    if bits < 8:
        return unpacked(np.frombuffer(data, dtype=np.uint8), count, type.dtype).reshape(type.shape)
    stored = type.dtype.numpy.newbyteorder("<") if bits > 8 and type.dtype.numpy.kind in "iufc" else type.dtype.numpy
    if type.dtype.is_bool:
        raw = np.frombuffer(data, dtype=np.uint8)
        return (raw if raw.size and raw.max(initial=0) > 1 else raw.view(np.bool_)).astype(np.bool_).reshape(type.shape)
    return np.frombuffer(data, dtype=stored).reshape(type.shape)


def _from_fields(tensor: onnx.TensorProto, type: TensorType) -> Array:
    """The values of the typed fields, whose count must fit the shape."""
    count = math.prod(int(size) for size in type.shape)
    field, stored = _field(type.dtype)
    given: Any = getattr(tensor, field)
    per_item = {4: 2, 2: 4}.get(type.dtype.bits, 1)
    wanted = count * 2 if type.dtype.is_complex else -(-count // per_item)
    if len(given) != wanted:
        raise FormatError(f"tensor {tensor.name!r}, {type}, takes {wanted} numbers in {field} and has {len(given)}.")
    numbers = np.asarray(given, dtype=stored)
    if type.dtype.bits < 8:
        return unpacked(numbers.astype(np.uint8), count, type.dtype).reshape(type.shape)
    if type.dtype.is_complex:
        return numbers.view(type.dtype.numpy).reshape(type.shape)
    if field == "int32_data" and type.dtype.is_floating:
        return numbers.astype(f"uint{type.dtype.bits}").view(type.dtype.numpy).reshape(type.shape)
    return numbers.astype(type.dtype.numpy).reshape(type.shape)


def _field(dtype: DType) -> tuple[str, str]:
    """Where a type's values stand when they are not raw, and the NumPy type that they have there."""
    if dtype in (DType.FLOAT32, DType.COMPLEX64):
        return "float_data", "float32"
    if dtype in (DType.FLOAT64, DType.COMPLEX128):
        return "double_data", "float64"
    if dtype is DType.INT64:
        return "int64_data", "int64"
    return ("uint64_data", "uint64") if dtype in (DType.UINT32, DType.UINT64) else ("int32_data", "int32")
