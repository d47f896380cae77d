"""Lowering of ops that pick, write and order elements by position."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from kxchange.errors import BuildError
from kxchange.table import Table
from kxchange.types import DType
from kxchange_jax.private import is_traced

Array = Any

lower = Table("jax")

WRITERS = {"set": "set", "add": "add", "multiply": "multiply", "min": "min", "max": "max"}
"""JAX's methods for reductions of scattered updates."""


def wide(indices: Array) -> Array:
    """Indices in a type that holds every position of an axis, and the size of the axis."""
    if indices.dtype == np.uint64:
        indices = jnp.minimum(indices, np.uint64(np.iinfo(np.int64).max))
    small = indices.dtype.itemsize < 4 or indices.dtype == np.int32
    return indices.astype(np.int32 if small else np.int64)


def from_front(indices: Array, size: Any) -> Array:
    """Indices counted from the front."""
    indices = wide(indices)
    if isinstance(size, int) and indices.dtype == np.int32 and size > np.iinfo(np.int32).max:
        indices = indices.astype(np.int64)
    return jnp.where(indices < 0, indices + _like(size, indices), indices)


def _like(size: Any, indices: Array) -> Array:
    return jnp.asarray(size).astype(indices.dtype)


@lower.rule("take")
def _(x: Array, indices: Array, *, axis: int, mode: str) -> Array:
    axis %= x.ndim
    size = x.shape[axis]
    front = from_front(indices, size)
    if mode == "clip":
        front = jnp.clip(front, 0, _like(size, front) - 1)
    elif mode == "wrap":
        front = jnp.remainder(front, _like(size, front))
    if isinstance(size, int) and size == 0:
        return jnp.full((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), _filler(x.dtype), x.dtype)
    # JAX cannot raise: an index out of range in mode "error" gives the filler, NaN for floats.
    return jnp.take(x, _past_the_end(front, size), axis=axis, mode="fill")


def _filler(dtype: Any) -> Any:
    """What JAX gives for a position that is not there."""
    known = DType.of(dtype)
    if not known.is_integer:
        return True if known.is_bool else np.nan
    return jnp.iinfo(dtype).min if known.is_signed else jnp.iinfo(dtype).max


def _past_the_end(front: Array, size: Any) -> Array:
    """Indices that are still negative moved behind the axis, because JAX would count those from its end."""
    return jnp.where(front < 0, _like(size, front), front)


@lower.rule("take_along_axis")
def _(x: Array, indices: Array, *, axis: int) -> Array:
    front = _past_the_end(from_front(indices, x.shape[axis]), x.shape[axis])
    return jnp.take_along_axis(x, front, axis=axis, mode="fill")


@lower.rule("embedding")
def _(weight: Array, indices: Array, *, padding_index: int | None) -> Array:
    front = _past_the_end(from_front(indices, weight.shape[0]), weight.shape[0])
    if padding_index is not None:
        row = lax.broadcasted_iota(np.int32, (weight.shape[0], 1), 0)
        weight = jnp.where(row == padding_index % weight.shape[0], lax.stop_gradient(weight), weight)
    return jnp.take(weight, front, axis=0, mode="fill")


@lower.rule("gather_nd")
def _(x: Array, indices: Array, *, batch_dims: int) -> Array:
    outer = indices.ndim - 1
    batch = [_along(indices.shape[axis], axis, outer) for axis in range(batch_dims)]
    parts = [_part(indices, part, x.shape[batch_dims + part]) for part in range(indices.shape[-1])]
    return x.at[(*batch, *parts)].get(mode="fill")


def _part(indices: Array, place: int, size: Any) -> Array:
    """One entry of the index tuples that the last axis holds, counted from the front."""
    entry = lax.index_in_dim(indices, place, axis=-1, keepdims=False)
    return _past_the_end(from_front(entry, size), size)


def _along(size: Any, axis: int, rank: int) -> Array:
    """0, 1, 2 ... along one axis of `rank`."""
    return lax.broadcasted_iota(np.int32, tuple(size if a == axis else 1 for a in range(rank)), axis)


@lower.rule("scatter")
def _(x: Array, indices: Array, updates: Array, *, axis: int, reduction: str) -> Array:
    axis %= x.ndim
    places = [_along(size, a, x.ndim) for a, size in enumerate(indices.shape)]
    places[axis] = _past_the_end(from_front(indices, x.shape[axis]), x.shape[axis])
    return _written(x, tuple(places), updates, reduction)


@lower.rule("scatter_nd")
def _(x: Array, indices: Array, updates: Array, *, reduction: str) -> Array:
    return _written(x, tuple(_part(indices, p, x.shape[p]) for p in range(indices.shape[-1])), updates, reduction)


def _written(x: Array, places: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    if x.dtype == np.bool_ and reduction != "set":
        return _written(x.astype(np.uint8), places, updates.astype(np.uint8), reduction).astype(np.bool_)
    return getattr(jnp.asarray(x).at[places], WRITERS[reduction])(updates, mode="drop")


@lower.rule("sort")
def _(x: Array, *, axis: int, descending: bool) -> Array:
    if descending and x.dtype.kind in "fcV":
        return jnp.take_along_axis(x, _order(x, axis, descending), axis=axis)
    return jnp.sort(x, axis=axis, stable=True, descending=descending)


@lower.rule("argsort")
def _(x: Array, *, axis: int, descending: bool) -> Array:
    return _order(x, axis, descending).astype(np.int64)


def _order(x: Array, axis: int, descending: bool) -> Array:
    """Positions along an axis in stable order; equal elements keep theirs, in either direction."""
    axis %= x.ndim
    places = lax.broadcasted_iota(np.int32, x.shape, axis)
    if not descending:
        return lax.sort((x, places), dimension=axis, is_stable=True, num_keys=1)[1]
    turned = lax.sort((lax.rev(x, (axis,)), places), dimension=axis, is_stable=True, num_keys=1)[1]
    return _like(x.shape[axis] - 1, turned) - lax.rev(turned, (axis,))


@lower.rule("top_k")
def _(x: Array, *, k: Any, axis: int, largest: bool, sorted: bool) -> tuple[Array, Array]:
    axis %= x.ndim
    if largest and axis == x.ndim - 1:
        found, places = lax.top_k(x, k)
        return found, places.astype(np.int64)
    places = _order(x, axis, largest)
    places = lax.slice_in_dim(places, 0, k, axis=axis)
    return jnp.take_along_axis(x, places, axis=axis), places.astype(np.int64)


@lower.rule("searchsorted")
def _(sorted_sequence: Array, values: Array, *, side: str) -> Array:
    def search(sequence: Array, wanted: Array) -> Array:
        return jnp.searchsorted(sequence, wanted, side=side).astype(np.int64)

    for _ in range(sorted_sequence.ndim - 1):
        search = jax.vmap(search)
    return search(sorted_sequence, values)


@lower.rule("nonzero")
def _(x: Array, *, count: str) -> Array:
    rows = jnp.argwhere(jnp.atleast_1d(_known(x, "nonzero")))
    return rows[:, : x.ndim].astype(np.int64)


@lower.rule("unique")
def _(x: Array, *, count: str) -> tuple[Array, Array, Array]:
    found = jnp.unique(_known(x, "unique"), return_inverse=True, return_counts=True, equal_nan=False)
    return found[0], found[1].astype(np.int64).reshape(x.shape), found[2].astype(np.int64)


def _known(x: Array, op: str) -> Array:
    """The operand of an op whose result's size only the data decides.

    Raises:
        BuildError: It is being traced, so that its values are not known.
    """
    if is_traced(x):
        raise BuildError(
            f"jax cannot trace {op}: the size of its result depends on the data. Call `apply` without jit or grad."
        )
    return x
