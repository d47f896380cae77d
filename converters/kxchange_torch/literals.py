"""Rank-0 constants on their way into torch: Python numbers where it takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import fx

from kxchange.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class Literal:
    """A rank-0 `full`: a Python number (or a traced size) where torch takes one, a tensor elsewhere."""

    value: Any
    dtype: DType

    @property
    def type(self) -> TensorType:
        """Element type, rank 0."""
        return TensorType(self.dtype, ())

    @property
    def static(self) -> bool:
        """Whether the number is known now."""
        return not isinstance(self.value, fx.Proxy)


def literal(value: Any, dtype: DType) -> Literal:
    """A number as a literal; one beyond the dtype's range becomes infinite, as a cast would make it."""
    if isinstance(value, float) and dtype.is_floating and np.isfinite(value):
        with np.errstate(over="ignore"):
            rounded = float(np.asarray(value).astype(dtype.numpy))
        return Literal(value if np.isfinite(rounded) else rounded, dtype)
    if dtype.is_floating and isinstance(value, int) and not isinstance(value, bool):
        return Literal(float(value), dtype)
    return Literal(bool(value) if dtype.is_bool and not isinstance(value, fx.Proxy) else value, dtype)


def cast_literal(number: Literal, dtype: DType) -> Any:
    """The literal in another dtype, its value passed through the dtype it had."""
    if not number.static:
        return Literal(number.value, dtype)
    with np.errstate(all="ignore"):
        return literal(np.asarray(number.value).astype(number.dtype.numpy).astype(dtype.numpy).item(), dtype)
