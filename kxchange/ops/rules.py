"""Type rules that several families share."""

from __future__ import annotations

from collections.abc import Callable

from kxchange.errors import TypeInferenceError
from kxchange.ops.operands import same_dtype
from kxchange.shapes import broadcast_shapes
from kxchange.types import DType, TensorType

Accepts = Callable[[DType], bool]


def require(type: TensorType, accepts: Accepts, kind: str) -> None:
    """Refuse a dtype: `kind` says what is wanted, for the message.

    Raises:
        TypeInferenceError: `accepts` is false for the dtype.
    """
    if not accepts(type.dtype):
        raise TypeInferenceError(f"{kind} dtypes are taken, not {type.dtype.value}. Insert an astype.")


def broadcast(*types: TensorType | None, dtype: DType | None = None) -> TensorType:
    """The type of an elementwise result: one dtype, shapes broadcast; `dtype` replaces the operands'."""
    common = same_dtype(*types)
    return TensorType(dtype or common, broadcast_shapes(*(type.shape for type in types if type is not None)))


def is_numeric(dtype: DType) -> bool:
    """Integer, floating or complex."""
    return dtype.is_numeric


def is_real(dtype: DType) -> bool:
    """Integer or floating."""
    return dtype.is_integer or dtype.is_floating


def is_floating(dtype: DType) -> bool:
    """Real floating."""
    return dtype.is_floating


def is_inexact(dtype: DType) -> bool:
    """Floating or complex."""
    return dtype.is_floating or dtype.is_complex


def is_integer(dtype: DType) -> bool:
    """Integer, not bool."""
    return dtype.is_integer


def is_bool(dtype: DType) -> bool:
    """Bool."""
    return dtype.is_bool


def is_any(dtype: DType) -> bool:
    """Everything."""
    return True


def unary(accepts: Accepts, kind: str, dtype: DType | None = None) -> Callable[[TensorType], TensorType]:
    """The rule of ``f(x)``: the type of x, or its shape with another dtype."""

    def infer(x: TensorType) -> TensorType:
        require(x, accepts, kind)
        return x if dtype is None else x.with_dtype(dtype)

    return infer


def binary(accepts: Accepts, kind: str, dtype: DType | None = None) -> Callable[[TensorType, TensorType], TensorType]:
    """The rule of ``f(x1, x2)``: one dtype, shapes broadcast, the result in that dtype or in another."""

    def infer(x1: TensorType, x2: TensorType) -> TensorType:
        require(x1, accepts, kind)
        return broadcast(x1, x2, dtype=dtype)

    return infer
