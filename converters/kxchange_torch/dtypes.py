"""Element types and arrays of torch and NumPy."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from kxchange.errors import WeightError
from kxchange.model import Array
from kxchange.types import DType

TORCH: dict[DType, torch.dtype] = {
    DType.BOOL: torch.bool,
    DType.INT8: torch.int8,
    DType.INT16: torch.int16,
    DType.INT32: torch.int32,
    DType.INT64: torch.int64,
    DType.UINT8: torch.uint8,
    DType.UINT16: torch.uint16,
    DType.UINT32: torch.uint32,
    DType.UINT64: torch.uint64,
    DType.FLOAT16: torch.float16,
    DType.BFLOAT16: torch.bfloat16,
    DType.FLOAT32: torch.float32,
    DType.FLOAT64: torch.float64,
    DType.FLOAT8_E4M3FN: torch.float8_e4m3fn,
    DType.FLOAT8_E4M3FNUZ: torch.float8_e4m3fnuz,
    DType.FLOAT8_E5M2: torch.float8_e5m2,
    DType.FLOAT8_E5M2FNUZ: torch.float8_e5m2fnuz,
    DType.FLOAT8_E8M0FNU: torch.float8_e8m0fnu,
    DType.COMPLEX64: torch.complex64,
    DType.COMPLEX128: torch.complex128,
}
"""What torch has; 4- and 2-bit types are not among them."""
CANONICAL: dict[torch.dtype, DType] = {dtype: name for name, dtype in TORCH.items()}
BITS = {1: torch.uint8, 2: torch.int16}
"""The integer type by whose bytes a type that NumPy lacks crosses over, by its size."""


def torch_dtype(dtype: DType) -> torch.dtype:
    """The torch dtype.

    Raises:
        WeightError: torch has none.
    """
    if dtype not in TORCH:
        raise WeightError(f"torch has no element type {dtype}. Dequantize or widen it before converting.")
    return TORCH[dtype]


def is_foreign(dtype: DType) -> bool:
    """Whether NumPy knows the type only through ml_dtypes."""
    return dtype.numpy.isbuiltin != 1


def to_tensor(array: Array, *, copy: bool) -> torch.Tensor:
    """A tensor with an array's elements.

    Args:
        array: Values, of any dtype that torch has.
        copy: Own memory; without it the tensor shares the array's, and must not be written to.
    """
    dtype = torch_dtype(DType.of(array.dtype))
    plain = np.array(array, order="C", copy=True if copy else None)
    if is_foreign(CANONICAL[dtype]):
        plain = plain.view(np.uint8 if plain.dtype.itemsize == 1 else np.int16)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(plain)
    return tensor.view(dtype).reshape(array.shape)


def to_array(tensor: torch.Tensor) -> Array:
    """A tensor's elements, sharing memory where it lies on the CPU."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    dtype = CANONICAL[plain.dtype]
    if not is_foreign(dtype):
        return plain.numpy()
    bits = plain.contiguous().view(BITS[plain.element_size()])
    return bits.numpy().view(dtype.numpy)
