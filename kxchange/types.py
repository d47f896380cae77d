"""Tensor types: what an edge of the graph carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import ml_dtypes
import numpy as np

from kxchange.dims import Dim, parse_dim
from kxchange.errors import TypeInferenceError


class DType(StrEnum):
    """Element type, named as in the Python array API standard."""

    BOOL = "bool"
    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    UINT8 = "uint8"
    UINT16 = "uint16"
    UINT32 = "uint32"
    UINT64 = "uint64"
    INT4 = "int4"
    UINT4 = "uint4"
    INT2 = "int2"
    UINT2 = "uint2"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E4M3FNUZ = "float8_e4m3fnuz"
    FLOAT8_E5M2 = "float8_e5m2"
    FLOAT8_E5M2FNUZ = "float8_e5m2fnuz"
    FLOAT8_E8M0FNU = "float8_e8m0fnu"
    FLOAT4_E2M1FN = "float4_e2m1fn"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"

    @property
    def numpy(self) -> np.dtype:
        """The NumPy (or ml_dtypes) dtype that holds one element."""
        return _numpy_dtype(self)

    @property
    def bits(self) -> int:
        """Size of one element in bits, as stored in a file."""
        return _bits(self)

    @property
    def is_bool(self) -> bool:
        """Whether this is `bool`."""
        return self is DType.BOOL

    @property
    def is_floating(self) -> bool:
        """Whether this is a real floating type."""
        return "float" in self.value

    @property
    def is_complex(self) -> bool:
        """Whether this is a complex type."""
        return self.value.startswith("complex")

    @property
    def is_integer(self) -> bool:
        """Whether this is a signed or unsigned integer type (not bool)."""
        return "int" in self.value

    @property
    def is_signed(self) -> bool:
        """Whether negative values exist."""
        return not self.value.startswith("uint") and self is not DType.BOOL

    @property
    def is_numeric(self) -> bool:
        """Whether arithmetic is defined: anything but `bool`."""
        return self is not DType.BOOL

    @property
    def real(self) -> DType:
        """The real type of the components: `float32` for `complex64`; itself for real types."""
        return _REAL.get(self, self)

    @classmethod
    def of(cls, dtype: object) -> DType:
        """The canonical name of a NumPy dtype (or anything `np.dtype` accepts).

        Raises:
            TypeInferenceError: kxchange has no such element type.
        """
        return _dtype_of(np.dtype(dtype))  # pyright: ignore[reportArgumentType, reportCallIssue]


_REAL = {DType.COMPLEX64: DType.FLOAT32, DType.COMPLEX128: DType.FLOAT64}


@cache
def _numpy_dtype(dtype: DType) -> np.dtype:
    return np.dtype(getattr(ml_dtypes, dtype.value, None) or dtype.value)


@cache
def _bits(dtype: DType) -> int:
    if dtype.value.endswith("int4") or dtype is DType.FLOAT4_E2M1FN:
        return 4
    return 2 if dtype.value.endswith("int2") else _numpy_dtype(dtype).itemsize * 8


@cache
def _dtype_of(dtype: np.dtype) -> DType:
    try:
        return DType(dtype.name)
    except ValueError:
        raise TypeInferenceError(f"kxchange has no element type {dtype.name!r}; it knows {', '.join(DType)}.") from None


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape; a dim is an int or a symbolic expression."""

    dtype: DType
    shape: tuple[Dim, ...]

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.value}[{', '.join(map(str, self.shape))}]"

    def with_shape(self, shape: tuple[Dim, ...]) -> TensorType:
        """The same element type with another shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> TensorType:
        """The same shape with another element type."""
        return TensorType(dtype, self.shape)

    @classmethod
    def parse(cls, text: str) -> TensorType:
        """Read what `str` prints, for example ``float32[batch, 3, 2*h]``."""
        name, bracket, rest = text.strip().partition("[")
        if not bracket or not rest.endswith("]") or name not in DType.__members__.values():
            raise TypeInferenceError(f"{text!r} is not a tensor type; write one as 'float32[batch, 3]'.")
        return cls(DType(name), tuple(parse_dim(part) for part in _split_dims(rest[:-1])))


def _split_dims(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    parts: list[str] = []
    depth, start = 0, 0
    for position, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    tail = text[start:]
    return [*parts, tail] if tail.strip() or parts else []
