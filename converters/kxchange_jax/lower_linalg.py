"""Lowering of matrix products."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from kxchange.table import Table

Array = Any

lower = Table("jax")
lower.direct(matmul=jnp.matmul)


@lower.rule("linear")
def _(x: Array, weight: Array, bias: Array | None) -> Array:
    product = lax.dot_general(x, weight, (((x.ndim - 1,), (1,)), ((), ())))
    return product if bias is None else product + bias


@lower.rule("einsum")
def _(*xs: Array, equation: str) -> Array:
    return jnp.einsum(equation, *xs)
