"""Lowering of factorizations and linear equations."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from kxchange.table import Table

Array = Any

lower = Table("jax")
lower.direct(det=jnp.linalg.det, inv=jnp.linalg.inv)


@lower.rule("slogdet")
def _(x: Array) -> tuple[Array, Array]:
    found = jnp.linalg.slogdet(x)
    return found[0], found[1]


@lower.rule("cholesky")
def _(x: Array, *, upper: bool) -> Array:
    found = lax.linalg.cholesky(jnp.conj(jnp.swapaxes(x, -1, -2)) if upper else x, symmetrize_input=False)
    return jnp.conj(jnp.swapaxes(found, -1, -2)) if upper else found


@lower.rule("qr")
def _(x: Array, *, mode: str) -> tuple[Array, Array]:
    found = jnp.linalg.qr(x, mode)
    return found[0], found[1]


@lower.rule("svd")
def _(x: Array, *, full_matrices: bool) -> tuple[Array, Array, Array]:
    found = jnp.linalg.svd(x, full_matrices=full_matrices)
    return found[0], found[1], found[2]


@lower.rule("eigh")
def _(x: Array, *, upper: bool) -> tuple[Array, Array]:
    found = jnp.linalg.eigh(x, "U" if upper else "L", symmetrize_input=False)
    return found[0], found[1]


@lower.rule("solve")
def _(x1: Array, x2: Array) -> Array:
    if x2.ndim == 1:
        return jnp.linalg.solve(x1, x2[:, None])[..., 0]
    return jnp.linalg.solve(x1, x2)


@lower.rule("solve_triangular")
def _(x1: Array, x2: Array, *, upper: bool, unit_diagonal: bool) -> Array:
    lead = jnp.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    left, right = (jnp.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (x1, x2))
    return lax.linalg.triangular_solve(left, right, left_side=True, lower=not upper, unit_diagonal=unit_diagonal)
