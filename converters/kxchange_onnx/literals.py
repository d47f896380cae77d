"""Known contents as constants of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.known import Array, is_symbolic, python_number


def literal(content: Array, dtype: DType) -> Value:
    """A tensor of numbers and sizes: `full` where all are one, `constant` for numbers, a `stack` of sizes."""
    first = content.reshape(-1)[0] if content.size else None
    if is_symbolic(content):
        if all(item == first for item in content.flat):
            return ops.full(shape=content.shape, value=first, dtype=dtype)  # pyright: ignore[reportArgumentType]
        parts = [ops.full(shape=(), value=_exact(item, dtype), dtype=dtype) for item in content.flat]
        row = ops.stack(*parts, axis=0)
        return row if content.ndim == 1 else ops.reshape(row, shape=content.shape)
    if not content.size:
        return ops.full(shape=content.shape, value=python_number(np.zeros((), dtype.numpy), dtype), dtype=dtype)
    if content.size == 1:
        return ops.full(shape=content.shape, value=python_number(content.reshape(()), dtype), dtype=dtype)
    return ops.constant(value=Constant(content))


def _exact(item: Any, dtype: DType) -> Any:
    return int(item) if dtype.is_integer and isinstance(item, bool | float) else item
