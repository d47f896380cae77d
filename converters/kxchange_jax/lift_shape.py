"""Lifting of primitives that make tensors or move elements."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, along, broadcast, lift, number_of, permuted, scalar, with_shape

Shape = tuple[Dim, ...]


@lift.rule("broadcast_in_dim")
def _(x: Value, *_dims: Value, shape: Shape, broadcast_dimensions: tuple[int, ...], **_: Any) -> Value:
    return broadcast(x, shape, broadcast_dimensions)


@lift.rule("broadcast_to")
def _(x: Value, *, shape: Shape, **_: Any) -> Value:
    return broadcast(x, shape, tuple(range(len(shape) - x.ndim, len(shape))))


@lift.rule("reshape")
def _(x: Value, *_dims: Value, new_sizes: Shape, dimensions: tuple[int, ...] | None = None, **_: Any) -> Value:
    if x.node.op == "full":
        return ops.full(shape=new_sizes, value=x.node.attrs["value"], dtype=x.dtype)
    return with_shape(x if dimensions is None else permuted(x, dimensions), new_sizes)


@lift.rule("transpose")
def _(x: Value, *, permutation: tuple[int, ...], **_: Any) -> Value:
    left, right = x.node.inputs if x.node.op == "matmul" and x.ndim == 2 else (None, None)
    if left is None or right is None or permutation != (1, 0) or left.ndim != 2 or right.ndim != 2:
        return permuted(x, permutation)
    return ops.matmul(permuted(right, (1, 0)), permuted(left, (1, 0)))  # a mapped product of a matrix and a vector


@lift.rule("squeeze")
def _(x: Value, *, dimensions: tuple[int, ...], **_: Any) -> Value:
    return ops.squeeze(x, axis=dimensions) if dimensions else x


@lift.rule("expand_dims")
def _(x: Value, *, dimensions: tuple[int, ...], **_: Any) -> Value:
    return ops.expand_dims(x, axis=dimensions) if dimensions else x


@lift.rule("concatenate")
def _(*xs: Value, dimension: int, **_: Any) -> Value:
    return xs[0] if len(xs) == 1 else ops.concat(*xs, axis=dimension)


@lift.rule("stack")
def _(*xs: Value, axis: int = 0, **_: Any) -> Value:
    return ops.stack(*xs, axis=axis)


@lift.rule("unstack")
def _(x: Value, *, axis: int = 0, **_: Any) -> tuple[Value, ...]:
    parts = ops.split(x, sizes=(1,) * len(SCOPE.types), axis=axis)
    return tuple(ops.squeeze(part, axis=(axis,)) for part in (parts if isinstance(parts, tuple) else (parts,)))


@lift.rule("split")
def _(x: Value, *, sizes: Shape, axis: int, **_: Any) -> tuple[Value, ...]:
    parts = ops.split(x, sizes=sizes, axis=axis)
    return parts if isinstance(parts, tuple) else (parts,)


@lift.rule("slice")
def _(x: Value, *, start_indices: Shape, limit_indices: Shape, strides: tuple[int, ...] | None, **_: Any) -> Value:
    steps = strides or (1,) * x.ndim
    parts = [
        (axis, start, stop, step)
        for axis, (start, stop, step) in enumerate(zip(start_indices, limit_indices, steps, strict=True))
        if (start, stop, step) != (0, x.shape[axis], 1)
    ]
    if not parts:
        return x
    axes, starts, stops, kept = zip(*parts, strict=True)
    return ops.slice(x, starts=starts, stops=stops, steps=kept, axes=axes)


@lift.rule("dynamic_slice")
def _(x: Value, *starts: Value, slice_sizes: Shape, **_: Any) -> Value:
    known = [number_of(start) for start in starts[: x.ndim]]
    if all(isinstance(start, int) and start == 0 for start in known) and tuple(slice_sizes) == tuple(x.shape):
        return x
    return ops.dynamic_slice(x, *starts[: x.ndim], sizes=slice_sizes)


@lift.rule("dynamic_update_slice")
def _(x: Value, update: Value, *starts: Value, **_: Any) -> Value:
    return ops.dynamic_update_slice(x, update, *starts)


@lift.rule("rev")
def _(x: Value, *, dimensions: tuple[int, ...], **_: Any) -> Value:
    return ops.flip(x, axis=dimensions) if dimensions else x


@lift.rule("tile")
def _(x: Value, *, reps: Shape, **_: Any) -> Value:
    return ops.tile(x, repetitions=reps)


@lift.rule("iota")
def _(*_dims: Value, dtype: Any, shape: Shape, dimension: int, **_: Any) -> Value:
    kind = DType.of(dtype)
    count = ops.arange(start=0, stop=shape[dimension], dtype=kind)
    placed = along(count, len(shape), dimension)
    return placed if tuple(placed.shape) == tuple(shape) else ops.broadcast_to(placed, shape=shape)


@lift.rule("dim_as_value")
def _(*, dim: Dim, **_: Any) -> Value:
    return scalar(dim, SCOPE.types[0].dtype)


@lift.rule("shape_assertion")
def _(*_operands: Value, **_: Any) -> tuple[Value, ...]:
    return ()


@lift.rule("empty", "empty2", "zeros_like")
def _(*_operands: Value, **_: Any) -> Value:
    (type,) = SCOPE.types
    return ops.full(shape=type.shape, value=0, dtype=type.dtype)


Config = tuple[tuple[Dim, Dim, int], ...]


@lift.rule("pad")
def _(x: Value, filler: Value, *, padding_config: Config, **_: Any) -> Value:
    return padded_with(x, filler, padding_config)


def padded_with(x: Value, filler: Value, config: Config) -> Value:
    """A tensor padded before, behind and between its elements; negative padding cuts."""
    value = number_of(filler)
    if isinstance(value, complex):
        value = None if value.imag else value.real
    if value is None or isinstance(value, DimExpr):
        return _pad_with(x, filler, config)
    return _padded(x, value, config)


def _pad_with(x: Value, filler: Value, config: Config) -> Value:
    """Padding with a number that only the data decides."""
    inside = _padded(ops.full(shape=x.shape, value=True, dtype=DType.BOOL), False, config)
    return ops.where(inside, _padded(x, 0, config), filler)


def _padded(x: Value, value: Any, config: Config) -> Value:
    for axis, (_, _, interior) in enumerate(config):
        if interior:
            x = interleaved(x, axis, interior, value)
    outside = tuple((_at_least_0(low), _at_least_0(high)) for low, high, _ in config)
    cut = [(axis, low, high) for axis, (low, high, _) in enumerate(config) if _is_cut(low) or _is_cut(high)]
    if any(pair != (0, 0) for pair in outside):
        x = ops.pad(x, padding=outside, value=value)
    if not cut:
        return x
    starts = tuple(-low if _is_cut(low) else 0 for _, low, _ in cut)
    stops = tuple(x.shape[axis] + (high if _is_cut(high) else 0) for axis, _, high in cut)
    return ops.slice(x, starts=starts, stops=stops, steps=(1,) * len(cut), axes=tuple(axis for axis, _, _ in cut))


def _is_cut(extent: Dim) -> bool:
    return isinstance(extent, int) and extent < 0


def _at_least_0(extent: Dim) -> Dim:
    return max(extent, 0) if isinstance(extent, int) else extent


def interleaved(x: Value, axis: int, interior: int, value: Any) -> Value:
    """The elements of an axis with `interior` times `value` between neighbours."""
    size = x.shape[axis]
    left, right = tuple(x.shape[:axis]), tuple(x.shape[axis + 1 :])
    split = ops.reshape(x, shape=(*left, size, 1, *right))
    behind = tuple((0, interior if a == axis + 1 else 0) for a in range(x.ndim + 1))
    wide = ops.reshape(ops.pad(split, padding=behind, value=value), shape=(*left, size * (interior + 1), *right))
    if isinstance(size, int) and size == 0:
        return wide
    stop = (size - 1) * (interior + 1) + 1
    return ops.slice(wide, starts=(0,), stops=(stop,), steps=(1,), axes=(axis,))


@lift.rule("iota_2x32_shape")
def _(*, shape: Shape, **_: Any) -> tuple[Value, Value]:
    """The position in a tensor, in two words of 32 bits."""
    count: Dim = 1
    for size in shape:
        count = count * size
    flat = ops.arange(start=0, stop=count, dtype=DType.UINT64)
    high = ops.astype(ops.bitwise_right_shift(flat, 32), dtype=DType.UINT32)
    low = ops.astype(ops.bitwise_and(flat, 2**32 - 1), dtype=DType.UINT32)
    return with_shape(high, shape), with_shape(low, shape)
