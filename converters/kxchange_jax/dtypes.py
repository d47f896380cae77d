"""Element types that JAX computes with."""

from __future__ import annotations

from typing import Any

from kxchange.types import DType

JAX = frozenset(DType) - {DType.FLOAT4_E2M1FN, DType.FLOAT8_E8M0FNU}
"""Every type of the language but the two that XLA's CPU and GPU compilers do not take everywhere."""


def is_narrow(dtype: Any) -> bool:
    """Whether an array's dtype is a float of at most 16 bits."""
    known = DType.of(dtype)
    return known.is_floating and known.bits <= 16
