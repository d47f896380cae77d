"""Lowering of ops that rearrange, join and cut tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from kxchange.graph import Node
from kxchange_torch.lowering import create, is_number, output_type, size
from kxchange_torch.rules import Rules

Tensor = Any
Ints = tuple[int, ...]

lower = Rules()


@lower.rule("reshape")
def _(x: Tensor, *, shape: tuple[Any, ...]) -> Tensor:
    return x.reshape(shape)


@lower.rule("permute_dims")
def _(x: Tensor, *, axes: Ints) -> Tensor:
    return x.permute(axes)


@lower.rule("expand_dims")
def _(x: Tensor, *, axis: Ints) -> Tensor:
    rank = x.ndim + len(axis)
    for position in sorted(a % rank for a in axis):
        x = x.unsqueeze(position)
    return x


@lower.rule("squeeze")
def _(x: Tensor, *, axis: Ints) -> Tensor:
    return x.squeeze(axis) if axis else x


@lower.rule("broadcast_to")
def _(x: Tensor, *, shape: tuple[Any, ...]) -> Tensor:
    return x.expand(shape)


@lower.rule("concat")
def _(*xs: Tensor, axis: int) -> Tensor:
    return xs[0] if len(xs) == 1 else torch.cat(xs, axis)


@lower.rule("stack")
def _(*xs: Tensor, axis: int) -> Tensor:
    return torch.stack(xs, axis)


@lower.rule("split")
def _(x: Tensor, *, sizes: tuple[Any, ...], axis: int) -> tuple[Tensor, ...]:
    parts = torch.split(x, list(sizes), axis)
    return tuple(parts[index] for index in range(len(sizes)))


@lower.rule("slice")
def _(x: Tensor, *, starts: Any, stops: Any, steps: Ints, axes: Ints) -> Tensor:
    index: list[slice] = [slice(None)] * x.ndim
    backwards: list[int] = []
    for start, stop, step, axis in zip(starts, stops, steps, axes, strict=True):
        if step > 0:
            index[axis] = slice(None if is_nothing((start, start)) else start, stop, None if step == 1 else step)
        else:  # torch has no negative steps: the same positions forwards, then reversed
            length = size(output_type().shape[axis])
            lowest = start + (length - 1) * step
            empty = isinstance(length, int) and length == 0
            index[axis] = slice(0, 0) if empty else slice(lowest, start + 1, -step)
            backwards.append(axis)
    part = x[shortest(index)]
    return torch.flip(part, tuple(backwards)) if backwards else part


def shortest(index: Sequence[slice]) -> tuple[Any, ...]:
    """The same index without the whole axes at its longer end, which torch would go through one by one."""
    cut = [axis for axis, part in enumerate(index) if part.start is not None or part.stop is not None]
    if not cut:
        return (Ellipsis,)
    if cut[0] > len(index) - 1 - cut[-1]:
        return (Ellipsis, *index[cut[0] :])
    return tuple(index[: cut[-1] + 1])


@lower.takes_numbers("dynamic_slice", *range(1, 64))
def _(x: Tensor, *starts: Any, sizes: tuple[Any, ...]) -> Tensor:
    whole, part = x.type.shape, output_type().shape
    for axis, (start, length) in enumerate(zip(starts, sizes, strict=True)):
        if whole[axis] != part[axis]:
            x = x.index_select(axis, _window(x.size(axis), start, length))
    return x


def _window(whole: Any, start: Any, length: Any) -> Tensor:
    """Positions of a window along an axis, moved so that it fits."""
    span = create(torch.arange, length, dtype=torch.int64)
    if is_number(start):
        return span + torch.sym_max(torch.sym_min(start, whole - length), 0)
    return span + torch.clamp(start.to(torch.int64), 0, whole - length)


@lower.takes_numbers("dynamic_update_slice", *range(2, 64))
def _(x: Tensor, update: Tensor, *starts: Any) -> Tensor:
    whole, part = x.type.shape, update.type.shape
    cut = [axis for axis in range(x.ndim) if whole[axis] != part[axis]]
    if not cut:
        return update
    windows = {axis: _window(x.size(axis), starts[axis], size(part[axis])) for axis in cut}
    if len(cut) == 1:
        return torch.index_copy(x, cut[0], windows[cut[0]], update)
    rows = [windows.get(axis) for axis in range(x.ndim)]
    index = [
        (create(torch.arange, size(part[axis]), dtype=torch.int64) if row is None else row).reshape(
            (-1,) + (1,) * (x.ndim - axis - 1)
        )
        for axis, row in enumerate(rows)
    ]
    return torch.index_put(x, index, update)


@lower.rule("flip")
def _(x: Tensor, *, axis: Ints) -> Tensor:
    return torch.flip(x, axis) if axis else x


@lower.rule("roll")
def _(x: Tensor, *, shifts: Ints, axis: Ints) -> Tensor:
    return torch.roll(x, shifts, axis) if axis else x


@lower.rule("tile")
def _(x: Tensor, *, repetitions: tuple[Any, ...]) -> Tensor:
    return x.repeat(repetitions)


@lower.rule("repeat")
def _(x: Tensor, *, repeats: int, axis: int) -> Tensor:
    return torch.repeat_interleave(x, repeats, axis)


@lower.rule("tril")
def _(x: Tensor, *, k: int) -> Tensor:
    return torch.tril(x, k)


@lower.rule("triu")
def _(x: Tensor, *, k: int) -> Tensor:
    return torch.triu(x, k)


def _is_pixel_shuffle(node: Node) -> bool:
    x = node.inputs[0]
    return node.attrs["mode"] == "CRD" and node.attrs["channel_axis"] == 1 and x is not None and x.ndim == 4


@lower.rule("depth_to_space", when=_is_pixel_shuffle)
def _(x: Tensor, *, block_size: int, mode: str, channel_axis: int) -> Tensor:
    return F.pixel_shuffle(x, block_size)


def pad_pairs(pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """(before, after) per axis in torch's order: last axis first, flat; leading axes that stay are left out."""
    kept = list(pairs)
    while kept and is_nothing(kept[0]):
        kept.pop(0)
    return [extent for pair in reversed(kept) for extent in pair]


def is_nothing(pair: tuple[Any, Any]) -> bool:
    """Whether neither end is padded; a traced extent may be anything."""
    return all(isinstance(extent, int) and extent == 0 for extent in pair)


def pad_constant(x: Tensor, pairs: Sequence[tuple[Any, Any]], value: float = 0) -> Tensor:
    """Grow (or, where negative, cut) trailing axes; nothing is done where nothing is asked."""
    flat = pad_pairs(pairs)
    return F.pad(x, flat, "constant", value) if flat else x


@lower.rule("pad")
def _(x: Tensor, *, padding: tuple[tuple[Any, Any], ...], mode: str, value: float) -> Tensor:
    if mode == "constant":
        return pad_constant(x, padding, value if x.dtype.is_floating_point or x.dtype.is_complex else int(value))
    flat = pad_pairs(padding)
    if mode in NATIVE and x.dtype.is_floating_point and 0 <= x.ndim - len(flat) // 2 - 1 <= 1 and len(flat) <= 6:
        return F.pad(x, flat, NATIVE[mode]) if flat else x
    for axis, (before, after) in enumerate(padding):
        if not is_nothing((before, after)):
            x = x.index_select(axis, _mirrored(x.size(axis), before, after, mode))
    return x


NATIVE = {"reflect": "reflect", "edge": "replicate"}
"""Modes that torch has for floats, for one to three trailing axes below one or two others."""


def _mirrored(length: Any, before: Any, after: Any, mode: str) -> Tensor:
    """Where each element of the padded axis comes from."""
    p = create(torch.arange, -before, length + after, dtype=torch.int64)
    if mode == "edge":
        return torch.clamp(p, 0, length - 1)
    if mode == "wrap":
        return p % length
    if mode == "reflect":
        return (length - 1) - ((length - 1) - p.abs()).abs()
    p = torch.where(p < 0, -1 - p, p)
    return torch.where(p >= length, 2 * length - 1 - p, p)
