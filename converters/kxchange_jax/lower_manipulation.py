"""Lowering of ops that move elements without computing."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from kxchange.table import Table
from kxchange_jax.lowering import has_static_shape, output_shape

Array = Any
Sizes = tuple[Any, ...]

lower = Table("jax")
lower.direct(expand_dims=jnp.expand_dims, squeeze=jnp.squeeze, flip=jnp.flip)


@lower.rule("permute_dims")
def _(x: Array, *, axes: tuple[int, ...]) -> Array:
    return lax.transpose(x, [axis % x.ndim for axis in axes])


@lower.rule("reshape")
def _(x: Array, *, shape: Sizes) -> Array:
    return jnp.reshape(x, output_shape())


@lower.rule("broadcast_to")
def _(x: Array, *, shape: Sizes) -> Array:
    return jnp.broadcast_to(x, shape)


@lower.rule("concat")
def _(*xs: Array, axis: int) -> Array:
    return jnp.concatenate(xs, axis)


@lower.rule("stack")
def _(*xs: Array, axis: int) -> Array:
    return jnp.stack(xs, axis)


@lower.rule("split")
def _(x: Array, *, sizes: Sizes, axis: int) -> tuple[Array, ...]:
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    return tuple(cut(x, axis, start, start + size) for start, size in zip(starts, sizes, strict=True))


def cut(x: Array, axis: int, start: Any, stop: Any, step: int = 1) -> Array:
    """Positions from `start` up to `stop` of one axis."""
    axis %= x.ndim
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return lax.slice(x, starts, stops, steps)


@lower.rule("slice")
def _(x: Array, *, starts: Sizes, stops: Sizes, steps: tuple[int, ...], axes: tuple[int, ...]) -> Array:
    first, last, stride = [0] * x.ndim, list(x.shape), [1] * x.ndim
    backwards: list[tuple[int, int]] = []
    for start, stop, step, axis in zip(starts, stops, steps, axes, strict=True):
        axis %= x.ndim
        if step > 0:
            first[axis], last[axis], stride[axis] = start, stop, step
        else:
            first[axis], last[axis] = stop + 1, start + 1
            backwards.append((axis, -step))
    part = lax.slice(x, first, last, stride)
    for axis, step in backwards:
        turned = lax.rev(part, (axis,))
        part = turned if step == 1 else cut(turned, axis, 0, turned.shape[axis], step)
    return part


@lower.rule("dynamic_slice")
def _(x: Array, *starts: Array, sizes: Sizes) -> Array:
    return lax.dynamic_slice(x, [_not_negative(start) for start in starts], sizes)


@lower.rule("dynamic_update_slice")
def _(x: Array, update: Array, *starts: Array) -> Array:
    return lax.dynamic_update_slice(x, update, [_not_negative(start) for start in starts])


def _not_negative(start: Array) -> Array:
    """A start that JAX will not count from the end."""
    return jnp.maximum(start, 0)


@lower.rule("pad")
def _(x: Array, *, padding: tuple[tuple[Any, Any], ...], mode: str, value: float) -> Array:
    if mode == "constant":
        return lax.pad(x, jnp.asarray(value, x.dtype), [(before, after, 0) for before, after in padding])
    for axis, (before, after) in enumerate(padding):
        parts = [_border(x, axis, before, mode, front=True), x, _border(x, axis, after, mode, front=False)]
        present = [part for part in parts if part is not None]
        x = jnp.concatenate(present, axis) if len(present) > 1 else x
    return x


def _border(x: Array, axis: int, extent: Any, mode: str, *, front: bool) -> Array | None:
    """What stands before or behind an axis."""
    if isinstance(extent, int) and extent == 0:
        return None
    size = x.shape[axis]
    if mode == "edge":
        edge = cut(x, axis, 0, 1) if front else cut(x, axis, size - 1, size)
        return jnp.broadcast_to(edge, (*x.shape[:axis], extent, *x.shape[axis + 1 :]))
    if mode == "wrap":
        return cut(x, axis, size - extent, size) if front else cut(x, axis, 0, extent)
    skipped = 1 if mode == "reflect" else 0
    near = cut(x, axis, skipped, skipped + extent) if front else cut(x, axis, size - skipped - extent, size - skipped)
    return lax.rev(near, (axis,))


@lower.rule("roll", when=has_static_shape)
def _(x: Array, *, shifts: tuple[int, ...], axis: tuple[int, ...]) -> Array:
    return jnp.roll(x, shifts, axis)


@lower.rule("tril")
def _(x: Array, *, k: int) -> Array:
    return jnp.tril(x, k)


@lower.rule("triu")
def _(x: Array, *, k: int) -> Array:
    return jnp.triu(x, k)
