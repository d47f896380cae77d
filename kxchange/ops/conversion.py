"""Conversions between element types: by value and by bits."""

from __future__ import annotations

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.spec import Tensor, is_narrow, op
from kxchange.types import DType, TensorType


@op(alike=(), widen=False)
@np.errstate(all="ignore")
def astype(x: Tensor, /, *, dtype: DType) -> Tensor:
    """X in another element type.

    Floats become integers by truncation toward 0; what NaN, infinities and values out of range become is
    implementation-defined (traps I07, I08). Integers wrap. A bool is ``x != 0``, so NaN is True (trap I10). Floats
    round to nearest, halves to even (trap D11), and overflow to infinity (trap D10).
    """
    if dtype.is_bool:
        return x != 0
    # Between two floats ml_dtypes rounds once; everything else goes through float32, which NumPy itself converts.
    wide = x.astype(np.float32) if is_narrow(x.dtype) and not dtype.is_floating else x
    return wide.astype(dtype.numpy)


@astype.infer
def _(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.is_complex and not dtype.is_complex and not dtype.is_bool:
        raise TypeInferenceError(f"a complex tensor has no one value in {dtype.value}. Take its abs or a part of it.")
    return x.with_dtype(dtype)


@op(alike=(), widen=False, differentiable=False)
def bitcast(x: Tensor, /, *, dtype: DType) -> Tensor:
    """The same bits read as another element type of the same size."""
    return np.ascontiguousarray(x).view(dtype.numpy).reshape(np.shape(x))


@bitcast.infer
def _(x: TensorType, *, dtype: DType) -> TensorType:
    if x.dtype.bits != dtype.bits or dtype.is_bool or x.dtype.is_bool:
        raise TypeInferenceError(f"{x.dtype.value} and {dtype.value} do not have elements of one size in bits.")
    return x.with_dtype(dtype)


def widened(x: Value) -> Value:
    """X in float32 where it is an 8- or 16-bit float: what decompositions that sum or square compute in."""
    return astype(x, dtype=DType.FLOAT32) if x.dtype.is_floating and x.dtype.bits <= 16 else x


def narrowed(x: Value, dtype: DType) -> Value:
    """The way back from `widened`."""
    return x if x.dtype is dtype else astype(x, dtype=dtype)
