"""Lowering of ops that make tensors from attributes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from kxchange.constant import Constant
from kxchange.table import Table
from kxchange.types import DType
from kxchange_jax.lowering import number, output_shape

Array = Any

lower = Table("jax")


@lower.rule("full")
def _(*, shape: tuple[Any, ...], value: Any, dtype: DType) -> Array:
    with np.errstate(over="ignore"):
        scalar = np.asarray(value).astype(dtype.numpy) if isinstance(value, int | float | complex) else None
    fill = number(value, dtype.numpy) if scalar is None else scalar
    return jnp.broadcast_to(fill, shape) if shape else jnp.asarray(fill)


@lower.rule("arange")
def _(*, start: Any, stop: Any, step: Any, dtype: DType) -> Array:
    (count,) = output_shape()
    exact = np.float64 if isinstance(start, float) or isinstance(step, float) else np.int64
    if exact is np.int64 and step == 1 and isinstance(start, int) and start == 0 and not dtype.is_floating:
        return lax.iota(dtype.numpy, count)
    return (lax.iota(exact, count) * number(step, exact) + number(start, exact)).astype(dtype.numpy)


@lower.rule("eye")
def _(*, rows: Any, columns: Any, offset: int, dtype: DType) -> Array:
    shape = (rows, rows if columns is None else columns)
    row, column = (lax.broadcasted_iota(np.int64, shape, axis) for axis in (0, 1))
    return (row + offset == column).astype(dtype.numpy)


@lower.rule("constant")
def _(*, value: Constant) -> Array:
    return jnp.asarray(value.array)
