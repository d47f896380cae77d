"""Other shapes for the same elements: reshape, transpose, axes of size 1, broadcasting, depth and space."""

from __future__ import annotations

from typing import cast

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.shapes import normalize_axes, require_divides, require_equal, reshape_shape
from kxchange.spec import Tensor, op
from kxchange.types import TensorType


@op(widen=False)
def reshape(x: Tensor, /, *, shape: tuple[Dim, ...]) -> Tensor:
    """The same elements in row-major order under another shape.

    Args:
        x: Any tensor.
        shape: New sizes. One may be -1: what is left of the count. 0 means 0, it copies nothing (trap R13).

    Returns:
        A tensor of `shape`, dtype of x.
    """
    return np.reshape(x, shape)


@reshape.infer
def _(x: TensorType, /, *, shape: tuple[Dim, ...]) -> TensorType:
    return x.with_shape(reshape_shape(x.shape, shape))


@op(widen=False)
def permute_dims(x: Tensor, /, *, axes: tuple[int, ...]) -> Tensor:
    """Reorder the axes: axis i of the result is axis ``axes[i]`` of x.

    Args:
        x: Any tensor.
        axes: A permutation of the axes of x.

    Returns:
        A tensor with the sizes of x reordered, dtype of x.
    """
    return np.transpose(x, axes)


@permute_dims.infer
def _(x: TensorType, /, *, axes: tuple[int, ...]) -> TensorType:
    order = normalize_axes(axes, x.rank)
    if len(order) != x.rank:
        raise TypeInferenceError(f"axes {axes} are no permutation of {x.rank} axes.")
    return x.with_shape(tuple(x.shape[axis] for axis in order))


@op(widen=False)
def expand_dims(x: Tensor, /, *, axis: tuple[int, ...]) -> Tensor:
    """Insert axes of size 1.

    Args:
        x: Any tensor.
        axis: Positions of the new axes, counted in the result.

    Returns:
        A tensor of ``x.ndim + len(axis)`` axes, dtype of x.
    """
    return np.expand_dims(x, axis)


@expand_dims.infer
def _(x: TensorType, /, *, axis: tuple[int, ...]) -> TensorType:
    rank = x.rank + len(axis)
    added = set(normalize_axes(axis, rank))
    sizes = iter(x.shape)
    return x.with_shape(tuple(1 if position in added else next(sizes) for position in range(rank)))


@op(widen=False)
def squeeze(x: Tensor, /, *, axis: tuple[int, ...]) -> Tensor:
    """Remove axes of size 1; an axis of another size is an error (trap R14).

    Args:
        x: Any tensor.
        axis: The axes to remove.

    Returns:
        A tensor of ``x.ndim - len(axis)`` axes, dtype of x.
    """
    return np.squeeze(x, axis)


@squeeze.infer
def _(x: TensorType, /, *, axis: tuple[int, ...]) -> TensorType:
    removed = set(normalize_axes(axis, x.rank))
    for position in sorted(removed):
        require_equal(x.shape[position], 1, f"axis {position} cannot be squeezed")
    return x.with_shape(tuple(size for position, size in enumerate(x.shape) if position not in removed))


@op(widen=False)
def broadcast_to(x: Tensor, /, *, shape: tuple[Dim, ...]) -> Tensor:
    """Repeat axes of size 1, and new axes on the left, up to `shape`.

    Args:
        x: A tensor with at most ``len(shape)`` axes; aligned at the right each is 1 or the size asked for.
        shape: Sizes of the result.

    Returns:
        A tensor of `shape`, dtype of x.
    """
    return np.broadcast_to(x, cast("tuple[int, ...]", shape))


@broadcast_to.infer
def _(x: TensorType, /, *, shape: tuple[Dim, ...]) -> TensorType:
    if x.rank > len(shape):
        raise TypeInferenceError(f"{x.rank} axes cannot be broadcast to {len(shape)}.")
    for axis in range(-x.rank, 0):
        if x.shape[axis] != 1:
            require_equal(x.shape[axis], shape[axis], f"axis {axis} cannot be broadcast")
    return x.with_shape(tuple(shape))


@op(widen=False)
def depth_to_space(x: Tensor, /, *, block_size: int, mode: str = "DCR", channel_axis: int = 1) -> Tensor:
    """Move blocks of channels into space: pixel shuffle.

    Channels are read as [block..., channels] (mode "DCR", TensorFlow, ONNX default) or [channels, block...]
    (mode "CRD", PyTorch's pixel_shuffle).

    Args:
        x: [batch, channels, *spatial] (or channels last).
        block_size: Factor by which every spatial axis grows.
        mode: "DCR" or "CRD".
        channel_axis: 1 or -1.

    Returns:
        ``channels / block_size ** len(spatial)`` channels, spatial sizes times `block_size`, dtype of x.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    batch, channels, *spatial = moved.shape
    blocks = (block_size,) * len(spatial)
    left = channels // block_size ** len(spatial)
    inner = (*blocks, left) if mode == "DCR" else (left, *blocks)
    split = moved.reshape(batch, *inner, *spatial)
    grown = split.transpose(_space_order(len(spatial), first_block=1 if mode == "DCR" else 2))
    joined = grown.reshape(batch, left, *(size * block_size for size in spatial))
    return np.moveaxis(joined, 1, channel_axis)


def _space_order(rank: int, first_block: int) -> tuple[int, ...]:
    """Axes (batch, channels, size, block, size, block ...) of a split tensor (batch, channels and blocks, *spatial)."""
    channels = 1 + rank if first_block == 1 else 1
    pairs = [(2 + rank + axis, first_block + axis) for axis in range(rank)]
    return 0, channels, *(axis for pair in pairs for axis in pair)


@depth_to_space.infer
def _(x: TensorType, /, *, block_size: int, mode: str, channel_axis: int) -> TensorType:
    if mode not in ("DCR", "CRD"):
        raise TypeInferenceError(f"mode {mode!r} is unknown; use 'DCR' or 'CRD'.")
    batch, channels, spatial = _spatial_parts(x, block_size, channel_axis)
    left = require_divides(block_size ** len(spatial), channels, "channels cannot be split into blocks")
    return _join_parts(x, batch, left, tuple(size * block_size for size in spatial), channel_axis)


def _spatial_parts(x: TensorType, block_size: int, channel_axis: int) -> tuple[Dim, Dim, tuple[Dim, ...]]:
    if block_size < 1 or channel_axis not in (1, -1) or x.rank < 3:
        wanted = "block_size of at least 1, a channel_axis of 1 or -1 and at least 3 axes"
        raise TypeInferenceError(f"needs a {wanted}; it has {block_size}, {channel_axis} and {x.rank}.")
    batch, *rest = x.shape
    return (batch, rest[0], tuple(rest[1:])) if channel_axis == 1 else (batch, rest[-1], tuple(rest[:-1]))


def _join_parts(x: TensorType, batch: Dim, channels: Dim, spatial: tuple[Dim, ...], channel_axis: int) -> TensorType:
    return x.with_shape((batch, channels, *spatial) if channel_axis == 1 else (batch, *spatial, channels))


@depth_to_space.decompose
def _(x: Tensor, /, *, block_size: int, mode: str, channel_axis: int) -> Tensor:
    batch, channels, spatial = _spatial_parts(x.type, block_size, channel_axis)
    rank = len(spatial)
    left = require_divides(block_size**rank, channels, "channels cannot be split into blocks")
    blocks = (block_size,) * rank
    inner = (*blocks, left) if mode == "DCR" else (left, *blocks)
    sizes = tuple(size * block_size for size in spatial)
    if channel_axis == 1:
        order = _space_order(rank, 1 if mode == "DCR" else 2)
        split = permute_dims(reshape(x, shape=(batch, *inner, *spatial)), axes=order)
        return reshape(split, shape=(batch, left, *sizes))
    first_block = rank + (1 if mode == "DCR" else 2)
    pairs = tuple(axis for i in range(rank) for axis in (1 + i, first_block + i))
    order = (0, *pairs, rank * 2 + 1 if mode == "DCR" else rank + 1)
    split = permute_dims(reshape(x, shape=(batch, *spatial, *inner)), axes=order)
    return reshape(split, shape=(batch, *sizes, left))


@op(widen=False)
def space_to_depth(x: Tensor, /, *, block_size: int, channel_axis: int = 1) -> Tensor:
    """Move blocks of space into channels, block position first: the inverse of `depth_to_space` in mode "DCR".

    Args:
        x: [batch, channels, *spatial] (or channels last), spatial sizes divisible by `block_size`.
        block_size: Factor by which every spatial axis shrinks.
        channel_axis: 1 or -1.

    Returns:
        ``channels * block_size ** len(spatial)`` channels, spatial sizes over `block_size`, dtype of x.
    """
    moved = np.moveaxis(x, channel_axis, 1)
    batch, channels, *spatial = moved.shape
    sizes = [size // block_size for size in spatial]
    pairs = [part for size in sizes for part in (size, block_size)]
    rank = len(spatial)
    order = (0, *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2))
    split = moved.reshape(batch, channels, *pairs).transpose(order)
    return np.moveaxis(split.reshape(batch, channels * block_size**rank, *sizes), 1, channel_axis)


@space_to_depth.infer
def _(x: TensorType, /, *, block_size: int, channel_axis: int) -> TensorType:
    batch, channels, spatial = _spatial_parts(x, block_size, channel_axis)
    sizes = tuple(require_divides(block_size, size, "space cannot be split into blocks") for size in spatial)
    return _join_parts(x, batch, channels * block_size ** len(spatial), sizes, channel_axis)


@space_to_depth.decompose
def _(x: Tensor, /, *, block_size: int, channel_axis: int) -> Tensor:
    batch, channels, spatial = _spatial_parts(x.type, block_size, channel_axis)
    rank = len(spatial)
    sizes = tuple(require_divides(block_size, size, "space cannot be split into blocks") for size in spatial)
    pairs = tuple(part for size in sizes for part in (size, block_size))
    depth = channels * block_size**rank
    if channel_axis == 1:
        order = (0, *range(3, 3 + 2 * rank, 2), 1, *range(2, 2 + 2 * rank, 2))
        split = permute_dims(reshape(x, shape=(batch, channels, *pairs)), axes=order)
        return reshape(split, shape=(batch, depth, *sizes))
    order = (0, *range(1, 1 + 2 * rank, 2), *range(2, 2 + 2 * rank, 2), 1 + 2 * rank)
    split = permute_dims(reshape(x, shape=(batch, *pairs, channels)), axes=order)
    return reshape(split, shape=(batch, *sizes, depth))
