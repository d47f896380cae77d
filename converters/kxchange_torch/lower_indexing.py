"""Lowering of ops that pick, write and order elements by position."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from kxchange.graph import Node
from kxchange_torch.dtypes import torch_dtype
from kxchange_torch.lowering import create, current_node, output_type, size
from kxchange_torch.rules import Rules

Tensor = Any

lower = Rules()

REDUCE = {"add": "sum", "multiply": "prod", "min": "amin", "max": "amax"}
"""torch's names for reductions of scattered updates."""


def wide(indices: Tensor) -> Tensor:
    """Indices as int64, which every torch function takes; uint8 would be a mask."""
    if indices.dtype == torch.uint64:  # beyond int64 is beyond every axis
        signed = indices.to(torch.int64)
        return torch.where(signed < 0, torch.iinfo(torch.int64).max, signed)
    return indices if indices.dtype == torch.int64 else indices.to(torch.int64)


def from_front(indices: Tensor, length: Any) -> Tensor:
    """Indices (int64 already) counted from the front."""
    return torch.where(indices < 0, indices + length, indices)


@lower.rule("take")
def _(x: Tensor, indices: Tensor, *, axis: int, mode: str) -> Tensor:
    axis %= x.ndim
    if not indices.ndim:  # torch reads the number out of an index of rank 0, which no compiled graph can
        return _taken(x, wide(indices).reshape((1,)), axis, mode).squeeze(axis)
    return _taken(x, wide(indices), axis, mode)


def _taken(x: Tensor, indices: Tensor, axis: int, mode: str) -> Tensor:
    whole = (slice(None),) * axis
    if mode == "error":
        return x[(*whole, indices)]
    length = x.size(axis)
    front = from_front(indices, length)
    if mode == "wrap":
        return x[(*whole, front % length)]
    if mode == "clip":
        return x[(*whole, torch.clamp(front, 0, length - 1))]
    inside = (front >= 0) & (front < length)
    # One row more, so that an axis of no elements has something to read.
    row = x.new_full(
        tuple(1 if a == axis else x.size(a) for a in range(x.ndim)), _filler(torch_dtype(output_type().dtype))
    )
    return torch.cat([x, row], axis)[(*whole, torch.where(inside, front, length))]


def _sizes(x: Tensor) -> tuple[Any, ...]:
    return tuple(x.size(axis) for axis in range(x.ndim))


def _filler(dtype: torch.dtype) -> Any:
    if dtype == torch.bool or dtype.is_floating_point or dtype.is_complex:
        return True if dtype == torch.bool else float("nan")
    if dtype == torch.uint64:  # computed in int64, where all bits set is -1
        return -1
    limits = torch.iinfo(dtype)
    return limits.min if dtype.is_signed else limits.max


@lower.rule("take_along_axis")
def _(x: Tensor, indices: Tensor, *, axis: int) -> Tensor:
    """`torch.take_along_dim` would do, but its broadcasting fixes symbolic sizes in a trace."""
    axis %= x.ndim
    shape = output_type().shape
    wanted, where = (operand.type.shape if operand else () for operand in current_node().inputs)
    whole = [size(dim) for dim in shape]
    front = from_front(wide(indices), x.size(axis))
    if any(a != axis and dim != shape[a] for a, dim in enumerate(wanted)):
        x = x.expand([x.size(axis) if a == axis else length for a, length in enumerate(whole)])
    return torch.gather(x, axis, front if tuple(where) == shape else front.expand(whole))


@lower.rule("gather_nd")
def _(x: Tensor, indices: Tensor, *, batch_dims: int) -> Tensor:
    outer = indices.ndim - 1
    batch = [
        create(torch.arange, x.size(axis), dtype=torch.int64).reshape((-1,) + (1,) * (outer - axis - 1))
        for axis in range(batch_dims)
    ]
    if outer:
        return x[(*batch, *_parts(indices))]
    parts = [part.reshape((1,)) for part in _parts(indices)]  # rank 0: see `take`
    return x[tuple(parts)].squeeze(0)


def _parts(indices: Tensor) -> list[Tensor]:
    """One index tensor per entry of the tuples that the last axis holds."""
    parts = torch.unbind(wide(indices), -1)
    return [parts[index] for index in range(indices.type.shape[-1])]


def _is_ordered(node: Node) -> bool:
    """Whether torch combines elements of this type so: it has no order of complex numbers."""
    return node.attrs["reduction"] not in ("min", "max") or not node.types[0].dtype.is_complex


@lower.rule("scatter", when=_is_ordered)
def _(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int, reduction: str) -> Tensor:
    front = from_front(wide(indices), x.size(axis))
    if reduction == "set":
        return torch.scatter(x, axis, front, updates)
    if reduction == "add":
        return torch.scatter_add(x, axis, front, updates)
    if x.dtype == torch.bool:
        return torch.scatter_reduce(x.to(torch.uint8), axis, front, updates.to(torch.uint8), REDUCE[reduction]).to(
            x.dtype
        )
    return torch.scatter_reduce(x, axis, front, updates, REDUCE[reduction])


@lower.rule("scatter_nd", when=_is_ordered)
def _(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str) -> Tensor:
    parts = _parts(indices)
    if reduction in ("set", "add"):
        return torch.index_put(x, parts, updates, accumulate=reduction == "add")
    rows: Tensor = 0
    for axis, part in enumerate(parts):
        rows = rows * x.size(axis) + from_front(part, x.size(axis))
    rest = x.ndim - len(parts)
    sizes = [x.size(axis) for axis in range(len(parts), x.ndim)]
    flat = x.reshape((-1, *sizes)) if parts else x
    spread = rows.reshape((-1,) + (1,) * rest).expand((-1, *sizes)) if rest else rows.reshape(-1)
    values = updates.reshape((-1, *sizes))
    if x.dtype == torch.bool:
        flat, values = flat.to(torch.uint8), values.to(torch.uint8)
    result = torch.scatter_reduce(flat, 0, spread, values, REDUCE[reduction])
    return result.reshape(_sizes(x)).to(x.dtype)


@lower.rule("embedding")
def _(weight: Tensor, indices: Tensor, *, padding_index: int | None) -> Tensor:
    plain = indices if indices.dtype == torch.int32 else wide(indices)
    return F.embedding(plain, weight, padding_index)


@lower.rule("sort")
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return torch.sort(x, dim=axis, descending=descending, stable=True)[0]


@lower.rule("argsort")
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return torch.sort(x, dim=axis, descending=descending, stable=True)[1]


@lower.rule("top_k")
def _(x: Tensor, *, k: Any, axis: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
    # Not torch.topk, which gives equal elements in any order: the op gives the lower position first.
    found = torch.sort(x, dim=axis, descending=largest, stable=True)
    return found[0].narrow(axis, 0, k), found[1].narrow(axis, 0, k)


@lower.rule("searchsorted")
def _(sorted_sequence: Tensor, values: Tensor, *, side: str) -> Tensor:
    if sorted_sequence.dtype.is_floating_point:
        sorted_sequence, values = _ranks(sorted_sequence), _ranks(values)
    return torch.searchsorted(sorted_sequence.contiguous(), values.contiguous(), side=side)


INTEGERS = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}
"""The integer type that has the bits of a float."""


def _ranks(x: Tensor) -> Tensor:
    """Integers in the order of the floats, with NaN above every number, where torch's own search is lost."""
    kind = INTEGERS[x.dtype]
    bits = torch.where(torch.isnan(x), float("nan"), x + 0.0).view(kind)  # one NaN, and no negative zero
    return torch.where(bits < 0, bits ^ torch.iinfo(kind).max, bits)


@lower.rule("nonzero")
def _(x: Tensor, *, count: str) -> Tensor:
    return torch.nonzero(x)


@lower.rule("unique")
def _(x: Tensor, *, count: str) -> tuple[Tensor, Tensor, Tensor]:
    found = x.unique(sorted=True, return_inverse=True, return_counts=True)
    return found[0], found[1], found[2]
