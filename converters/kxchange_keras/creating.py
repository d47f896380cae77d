"""Tensors made of a symbolic size: what Keras's backends would make of a number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.types import DType


def _dtype(dtype: Any, default: str | None = None) -> DType:
    return DType(keras.backend.standardize_dtype(dtype or default or keras.config.floatx()))


def _shape(shape: Any) -> tuple[Dim, ...]:
    return tuple(shape) if isinstance(shape, list | tuple) else (shape,)


def _number(value: Any, dtype: DType) -> Any:
    return float(value) if dtype.is_floating else bool(value) if dtype is DType.BOOL else value


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> Value:
    if not isinstance(fill_value, bool | int | float | DimExpr):
        raise CaptureError("it fills a tensor of a symbolic size with an array")
    default = None if isinstance(fill_value, float) else "bool" if isinstance(fill_value, bool) else "int32"
    found = _dtype(dtype, default if dtype is None else None)
    value = fill_value if isinstance(fill_value, DimExpr) else _number(fill_value, found)
    return ops.full(shape=_shape(shape), value=value, dtype=found)


def _filled(number: int) -> Callable[..., Value]:
    def make(shape: Any, dtype: Any = None) -> Value:
        found = _dtype(dtype)
        return ops.full(shape=_shape(shape), value=_number(number, found), dtype=found)

    return make


def _eye(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Value:  # noqa: N803 - Keras's names
    found = _dtype(dtype)
    return ops.astype(
        _ramp(N, N if M is None else M, lambda row, column: ops.equal(ops.add(row, k), column)), dtype=found
    )


def _tri(N: Any, M: Any = None, k: Any = 0, dtype: Any = None) -> Value:  # noqa: N803 - Keras's names
    found = _dtype(dtype)
    made = _ramp(N, N if M is None else M, lambda row, column: ops.greater_equal(ops.add(row, k), column))
    return ops.astype(made, dtype=found)


def _ramp(rows: Dim, columns: Dim, compare: Callable[[Value, Value], Value]) -> Value:
    """A comparison of row and column numbers."""
    down, across = (ops.arange(start=0, stop=size, step=1, dtype=DType.INT32) for size in (rows, columns))
    return compare(ops.expand_dims(down, axis=(1,)), ops.expand_dims(across, axis=(0,)))


def _arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Value:
    first, last = (0, start) if stop is None else (start, stop)
    numbers = (first, last, 1 if step is None else step)
    if not all(isinstance(number, int | float | DimExpr) for number in numbers):
        raise CaptureError("its limits are tensors")
    default = None if any(isinstance(number, float) for number in numbers) else "int32"
    return ops.arange(start=first, stop=last, step=numbers[2], dtype=_dtype(dtype, default))


CREATORS: dict[str, Callable[..., Value]] = {
    "zeros": _filled(0),
    "ones": _filled(1),
    "empty": _filled(0),
    "full": _full,
    "eye": _eye,
    "identity": lambda n, dtype=None: _eye(n, dtype=dtype),
    "tri": _tri,
    "arange": _arange,
}
"""By name of the function, with its arguments."""
