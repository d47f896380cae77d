"""Dtype promotion of `keras.ops`, written out as `astype` nodes: the language itself promotes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import DimExpr
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, cast

NUMBERS = (bool, int, float, complex)
SIGNED = {DType.UINT8: DType.INT16, DType.UINT16: DType.INT32, DType.UINT32: DType.INT64}
"""What holds the values of an unsigned type beside a signed one."""


def common(first: DType, second: DType) -> DType:
    """The type of an operation on two tensors."""
    if first is second:
        return first
    if first is DType.BOOL or second is DType.BOOL:
        return second if first is DType.BOOL else first
    if first.is_floating != second.is_floating:
        return first if first.is_floating else second
    if first.is_floating:
        return first if first.bits > second.bits else second if second.bits > first.bits else DType.FLOAT32
    if first.is_signed == second.is_signed:
        return first if first.bits > second.bits else second
    signed, unsigned = (first, second) if first.is_signed else (second, first)
    wide = SIGNED.get(unsigned, DType.FLOAT32)
    return wide if not wide.is_integer or wide.bits > signed.bits else signed


def with_number(dtype: DType, number: Any, floats: DType) -> DType:
    """The type of an operation on a tensor and a Python number: the tensor's, unless the number's kind is above it."""
    if isinstance(number, float) and not dtype.is_floating and not dtype.is_complex:
        return floats
    if isinstance(number, int | DimExpr) and not isinstance(number, bool) and dtype is DType.BOOL:
        return DType.INT32
    return dtype


def tensor(item: Any) -> Any:
    """An array of a config as a constant; anything else as it is."""
    return ops.constant(value=Constant(item)) if isinstance(item, np.ndarray) else item


def floats_of(call: Call) -> DType:
    """The floating type that whole numbers become: that of the model's floating parameters, as a rule float32."""
    return call.dtype if call.dtype.is_floating else DType.FLOAT32


def promoted(call: Call, *items: Any, floating: bool = False) -> list[Any]:
    """Tensors in one type and Python numbers as they are; at least one must be a tensor.

    Args:
        call: Who needs them.
        items: Tensors, arrays, numbers.
        floating: Whether whole numbers become floats.

    Raises:
        CaptureError: There is no tensor among them, or something else is.
    """
    given = [tensor(item) for item in items]
    values = [item for item in given if isinstance(item, Value)]
    if not values:
        raise CaptureError("it computes on Python numbers only")
    dtype = values[0].dtype
    for value in values[1:]:
        dtype = common(dtype, value.dtype)
    for item in given:
        if isinstance(item, Value):
            continue
        if not isinstance(item, (*NUMBERS, DimExpr)):
            raise CaptureError(f"it is called with {str(item)[:40]!r} where a tensor should be")
        dtype = with_number(dtype, item, floats_of(call))
    if floating and not dtype.is_floating and not dtype.is_complex:
        dtype = floats_of(call)
    return [_fitted(item, dtype) for item in given]


def _fitted(item: Any, dtype: DType) -> Any:
    if isinstance(item, Value):
        return cast(item, dtype)
    if isinstance(item, bool) or (isinstance(item, int) and dtype.is_floating):
        return float(item) if dtype.is_floating else item if dtype is DType.BOOL else int(item)
    return item


def value_of(call: Call, item: Any) -> Value:
    """One tensor, whatever it came as.

    Raises:
        CaptureError: It is none and no number.
    """
    item = tensor(item)
    if isinstance(item, Value):
        return item
    if isinstance(item, bool):
        return ops.full(shape=(), value=item, dtype=DType.BOOL)
    if isinstance(item, int | DimExpr):
        return ops.full(shape=(), value=item, dtype=DType.INT32)
    if isinstance(item, float):
        return ops.full(shape=(), value=item, dtype=floats_of(call))
    raise CaptureError(f"it is called with {str(item)[:40]!r} where a tensor should be")


def float_of(call: Call, x: Any) -> Value:
    """One tensor as floats."""
    value = value_of(call, x)
    return value if value.dtype.is_floating or value.dtype.is_complex else cast(value, floats_of(call))


def dtype_named(call: Call, name: Any) -> DType:
    """The type of a name in a config."""
    text = {"float": floats_of(call).value, "int": "int32"}.get(str(name), str(name))
    if text not in DType.__members__.values():
        call.refuse(f"it makes {text[:40]!r}")
    return DType(text)


def axes_of(axis: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from the front; all of them for None."""
    if axis is None:
        return tuple(range(rank))
    listed: Sequence[Any] = axis if isinstance(axis, list | tuple) else [axis]
    return tuple(int(item) % rank if rank else 0 for item in listed)
