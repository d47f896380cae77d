"""Lowering of reductions and running reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy import special

from kxchange.table import Table
from kxchange_jax.dtypes import is_narrow
from kxchange_jax.lowering import has_static_shape

Array = Any
Axes = tuple[int, ...] | None

lower = Table("jax")
lower.direct(all=jnp.all, any=jnp.any, max=jnp.max, min=jnp.min, mean=jnp.mean, logsumexp=special.logsumexp)


def in_float32(compute: Callable[..., Array]) -> Callable[..., Array]:
    """A function that computes 8- and 16-bit floats in float32 and rounds once, as the references do."""

    def run(x: Array, **attrs: Any) -> Array:
        return compute(x.astype(jnp.float32), **attrs).astype(x.dtype) if is_narrow(x.dtype) else compute(x, **attrs)

    return run


@lower.rule("sum")
def _(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    return jnp.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


@lower.rule("prod")
@in_float32
def _(x: Array, *, axis: Axes, keepdims: bool) -> Array:
    return jnp.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


@lower.rule("var", when=has_static_shape)
def _(x: Array, *, axis: Axes, keepdims: bool, correction: float) -> Array:
    return jnp.var(x, axis=axis, keepdims=keepdims, correction=correction)


def _position(find: Callable[..., Array]) -> Callable[..., Array]:
    def rule(x: Array, *, axis: int, keepdims: bool) -> Array:
        # 32 bits, then widened: no axis is longer, and JAX cannot lower a 64-bit search where x64 is off around it.
        found = find(x, axis % x.ndim, jnp.int32).astype(jnp.int64)
        return jnp.expand_dims(found, axis) if keepdims else found

    return rule


lower.direct(argmax=_position(lax.argmax), argmin=_position(lax.argmin))


def _running(accumulate: Callable[..., Array], neutral: int) -> Callable[..., Array]:
    def rule(x: Array, *, axis: int, exclusive: bool, reverse: bool) -> Array:
        axis %= x.ndim
        if exclusive and not (isinstance(x.shape[axis], int) and x.shape[axis] == 0):
            first = jnp.full_like(lax.slice_in_dim(x, 0, 1, axis=axis), neutral)
            kept = lax.slice_in_dim(x, 1, None, axis=axis) if reverse else lax.slice_in_dim(x, 0, -1, axis=axis)
            x = jnp.concatenate([kept, first] if reverse else [first, kept], axis)
        return accumulate(x, axis=axis, reverse=reverse)

    return in_float32(rule)


def _extreme(accumulate: Callable[..., Array]) -> Callable[..., Array]:
    return lambda x, *, axis: accumulate(x, axis=axis % x.ndim)


lower.direct(
    cumulative_sum=_running(lax.cumsum, 0),
    cumulative_prod=_running(lax.cumprod, 1),
    cumulative_max=_extreme(lax.cummax),
    cumulative_min=_extreme(lax.cummin),
)
