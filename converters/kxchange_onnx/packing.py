"""Elements of less than a byte, as ONNX stores them: the first in the lowest bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.types import DType


def packed_size(count: int, dtype: DType) -> int:
    """Bytes that `count` elements take."""
    return -(-count * dtype.bits // 8)


def packed(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The elements of an array, several in a byte; the last byte is filled up with zeros."""
    bits = DType.of(array.dtype).bits
    per_byte = 8 // bits
    fields = np.ascontiguousarray(array).view(np.uint8).reshape(-1) & ((1 << bits) - 1)
    fields = np.pad(fields, (0, -len(fields) % per_byte)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(fields << (np.arange(per_byte, dtype=np.uint8) * bits), axis=1)


def unpacked(data: NDArray[np.uint8], count: int, dtype: DType) -> NDArray[Any]:
    """The first `count` elements in packed bytes."""
    bits = dtype.bits
    shifts = np.arange(8 // bits, dtype=np.uint8) * bits
    fields = ((data[:, None] >> shifts) & ((1 << bits) - 1)).reshape(-1)[:count]
    if dtype.is_integer and dtype.is_signed:
        signed = fields.astype(np.int8)
        return np.where(signed >= 1 << (bits - 1), signed - (1 << bits), signed).astype(dtype.numpy)
    return fields.view(dtype.numpy) if dtype.is_floating else fields.astype(dtype.numpy)
