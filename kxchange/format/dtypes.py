"""Element types in files: safetensors codes, and how types it lacks are stored.

| kxchange | stored as | shape in the file |
|---|---|---|
| a type with a code | itself, little-endian, C order | the shape |
| `complex128` | `F64` pairs: real, imaginary | the shape and 2 |
| 4-bit and 2-bit types | `U8`, two or four to a byte, the first in the lowest bits, unused bits 0 | number of bytes |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

import numpy as np

from kxchange.errors import FormatError
from kxchange.types import DType

CODE_BITS: Final[dict[str, int]] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of one element for every code that safetensors 0.8 defines."""

_CODES: Final[dict[DType, str]] = {
    DType.BOOL: "BOOL",
    DType.INT8: "I8",
    DType.INT16: "I16",
    DType.INT32: "I32",
    DType.INT64: "I64",
    DType.UINT8: "U8",
    DType.UINT16: "U16",
    DType.UINT32: "U32",
    DType.UINT64: "U64",
    DType.FLOAT8_E4M3FN: "F8_E4M3",
    DType.FLOAT8_E4M3FNUZ: "F8_E4M3FNUZ",
    DType.FLOAT8_E5M2: "F8_E5M2",
    DType.FLOAT8_E5M2FNUZ: "F8_E5M2FNUZ",
    DType.FLOAT8_E8M0FNU: "F8_E8M0",
    DType.FLOAT16: "F16",
    DType.BFLOAT16: "BF16",
    DType.FLOAT32: "F32",
    DType.FLOAT64: "F64",
    DType.COMPLEX64: "C64",
}
_DTYPES: Final = {code: dtype for dtype, code in _CODES.items()} | {"F4": DType.FLOAT4_E2M1FN}


@dataclass(frozen=True, slots=True)
class Storage:
    """What a tensor is in the file: safetensors code and shape."""

    code: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * CODE_BITS[self.code] // 8


def storage_of(dtype: DType, shape: Sequence[int]) -> Storage:
    """The file's code and shape for a tensor.

    Args:
        dtype: Element type.
        shape: Shape of the tensor.

    Returns:
        The same shape where safetensors has the type, else that of the pairs or packed bytes.
    """
    if dtype in _CODES:
        return Storage(_CODES[dtype], tuple(shape))
    if dtype is DType.COMPLEX128:
        return Storage("F64", (*shape, 2))
    return Storage("U8", (-(-prod(shape) * dtype.bits // 8),))


def dtype_of_code(code: str) -> DType:
    """The element type of a safetensors code.

    Raises:
        FormatError: kxchange has no such element type (the 6-bit floats).
    """
    try:
        return _DTYPES[code]
    except KeyError:
        raise FormatError(f"kxchange has no element type for the safetensors code {code!a}.") from None


def to_bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of an array as they stand in a file.

    Args:
        array: Any shape, strides and byte order.

    Returns:
        uint8[n], a view of `array` where its bytes already stand so.
    """
    dtype = DType.of(array.dtype)
    native = np.ascontiguousarray(array, dtype.numpy).reshape(-1)
    data = native.view(np.uint8)
    if dtype is DType.BOOL:
        # A bool array made from other memory can hold any byte; only 0 and 1 are legal in a file.
        return data if not data.size or data.max() <= 1 else (data != 0).view(np.uint8)
    return data if dtype.bits >= 8 else _pack(data, dtype.bits)


def _pack(elements: np.ndarray, bits: int) -> np.ndarray:
    per_byte = 8 // bits
    padded = np.zeros(-(-elements.size // per_byte) * per_byte, np.uint8)
    padded[: elements.size] = elements & (2**bits - 1)
    shifts = np.arange(per_byte, dtype=np.uint8) * np.uint8(bits)
    return np.bitwise_or.reduce(padded.reshape(-1, per_byte) << shifts, axis=1)


def from_bytes(data: np.ndarray, dtype: DType, shape: Sequence[int]) -> np.ndarray:
    """The array whose file bytes are given.

    Args:
        data: uint8[n], as many as `storage_of` says.
        dtype: Element type.
        shape: Shape of the result.

    Returns:
        A view of `data` for types of whole bytes, a new array for packed types and for memory that is not aligned to
        an element.
    """
    if dtype.bits < 8:
        return _unpack(data, dtype, prod(shape)).reshape(tuple(shape))
    if data.ctypes.data % dtype.numpy.alignment:
        data = data.copy()
    return data.view(dtype.numpy).reshape(tuple(shape))


def _unpack(data: np.ndarray, dtype: DType, count: int) -> np.ndarray:
    shifts = np.arange(8 // dtype.bits, dtype=np.uint8) * np.uint8(dtype.bits)
    elements = ((data[:, None] >> shifts) & np.uint8(2**dtype.bits - 1)).reshape(-1)
    if elements[count:].any():
        raise FormatError(f"A packed {dtype} tensor has unused bits that are not 0; the file is damaged.")
    elements = elements[:count]
    if dtype.is_integer and dtype.is_signed:
        sign = np.uint8(1 << (dtype.bits - 1))
        elements = ((elements ^ sign) - sign).view(np.int8)
    return elements.view(dtype.numpy) if dtype.is_floating else elements.astype(dtype.numpy)
