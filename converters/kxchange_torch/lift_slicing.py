"""Parts of a tensor: slices, diagonals, windows, padding, and the writes that functionalisation makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr, simplify
from kxchange.graph import Value
from kxchange.shapes import normalize_axis
from kxchange.slicing import slice_length
from kxchange.types import DType
from kxchange_torch.lift import SCOPE, Number, lift, refuse
from kxchange_torch.lift_manipulation import broadcast, permute, reshape
from kxchange_torch.lift_promotion import as_number, cast

LARGEST = 2**63 - 1


def limits(size: Dim, start: Dim | None, stop: Dim | None, step: int) -> tuple[Dim, Dim]:
    """Start and stop of a slice, resolved; `min` and `max` that the trace's ranges decide are gone."""
    if isinstance(start, Number) or isinstance(stop, Number):
        return refuse("a slice's limits depend on data; use torch.narrow with sizes, or index with a tensor")
    first, last, _ = slice_length(size, start, stop, step)
    return simplify(first, SCOPE.ranges), simplify(last, SCOPE.ranges)


def cut(x: Value, axis: int, start: Dim | None, stop: Dim | None, step: int = 1) -> Value:
    """``x[start:stop:step]`` along an axis; `x` itself where that is all of it."""
    position = normalize_axis(axis, x.ndim)
    size = x.shape[position]
    first, last = limits(size, start, stop, step)
    if first == 0 and last == size and step == 1:
        return x
    return ops.slice(x, starts=(first,), stops=(last,), steps=(step,), axes=(position,))


@lift.rule("aten.slice.Tensor", "aten.slice_copy.Tensor")
def _(x: Value, axis: int, start: Dim | None, stop: Dim | None, step: int) -> Value:
    return cut(x, axis, start, stop, step)


@lift.rule("aten.narrow.default", "aten.narrow_copy.default")
def _(x: Value, axis: int, start: Dim, length: Dim) -> Value:
    if isinstance(start, int) and start < 0:
        start = x.shape[axis] + start
    return cut(x, axis, start, start + length)


def pick(x: Value, axis: int, index: Any) -> Value:
    """One element along an axis, which goes."""
    position = normalize_axis(axis, x.ndim)
    if isinstance(index, Number):
        return ops.take(x, index.value, axis=position)
    start = x.shape[position] + index if isinstance(index, int) and index < 0 else index
    return ops.squeeze(cut_at(x, position, start), axis=(position,))


def cut_at(x: Value, axis: int, start: Dim) -> Value:
    """The one element at `start`, its axis kept."""
    if x.shape[axis] == 1 and start == 0:
        return x
    return ops.slice(x, starts=(start,), stops=(start + 1,), steps=(1,), axes=(axis,))


@lift.rule("aten.select.int", "aten.select_copy.int")
def _(x: Value, axis: int, index: Any) -> Value:
    return pick(x, axis, index)


def covered(x: Value, update: Value, axis: int, start: Dim, stop: Dim, step: int) -> Value:
    """`x` with ``x[start:stop:step] = update`` along an axis: joined from its parts, scattered if strided."""
    position = normalize_axis(axis, x.ndim)
    size = x.shape[position]
    if step == 1:
        parts = [cut(x, position, 0, start), update, cut(x, position, stop, size)]
        kept = [part for part in parts if part.shape[position] != 0]
        return kept[0] if len(kept) == 1 else ops.concat(*kept, axis=position)
    index = ops.arange(start=start, stop=stop, step=step, dtype=DType.INT64)
    shape = tuple(index.shape[0] if i == position else 1 for i in range(x.ndim))
    return ops.scatter(x, broadcast(reshape(index, shape), update.shape), update, axis=position, reduction="set")


@lift.rule("aten.slice_scatter.default")
def _(x: Value, update: Value, axis: int, start: Dim | None, stop: Dim | None, step: int) -> Value:
    position = normalize_axis(axis, x.ndim)
    first, last = limits(x.shape[position], start, stop, step)
    shape = cut(x, position, first, last, step).shape
    return covered(x, broadcast(cast(update, x.dtype), shape), position, first, last, step)


@lift.rule("aten.select_scatter.default")
def _(x: Value, update: Value, axis: int, index: Dim) -> Value:
    position = normalize_axis(axis, x.ndim)
    start = x.shape[position] + index if isinstance(index, int) and index < 0 else index
    raised = ops.expand_dims(cast(update, x.dtype), axis=(position,))
    return covered(x, raised, position, start, start + 1, 1)


@lift.rule("aten.diagonal.default", "aten.diagonal_copy.default")
def _(x: Value, offset: int, axis1: int, axis2: int) -> Value:
    """Flattened rows are one longer than the diagonal's steps: every (columns+1)-th element is on it."""
    first, second = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    rows, columns = x.shape[first], x.shape[second]
    if isinstance(rows, DimExpr) or isinstance(columns, DimExpr):
        return refuse(f"the diagonal of a matrix of symbolic size {rows} x {columns}")
    others = [axis for axis in range(x.ndim) if axis not in (first, second)]
    flat = reshape(permute(x, [*others, first, second]), (*(x.shape[a] for a in others), rows * columns))
    count = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = offset if offset >= 0 else -offset * columns
    indices = Constant([start + i * (columns + 1) for i in range(count)]) if count else None
    if indices is None:
        return cut(flat, -1, 0, 0)
    return ops.take(flat, ops.constant(value=indices), axis=-1)


@lift.rule("aten.diagonal_scatter.default")
def _(x: Value, update: Value, offset: int, axis1: int, axis2: int) -> Value:
    """The diagonal laid over a matrix of the same size, and chosen where the diagonal is."""
    first, second = normalize_axis(axis1, x.ndim), normalize_axis(axis2, x.ndim)
    rows, columns = x.shape[first], x.shape[second]
    eye = ops.eye(rows=rows, columns=columns, offset=offset, dtype=DType.BOOL)
    start = (0, offset) if offset >= 0 else (-offset, 0)
    length = update.shape[-1]
    by_row = ops.pad(
        cast(update, x.dtype), padding=((0, 0),) * (update.ndim - 1) + ((start[0], rows - start[0] - length),)
    )
    others = [axis for axis in range(x.ndim) if axis not in (first, second)]
    order = [*others, first, second]
    chosen = ops.where(eye, ops.expand_dims(by_row, axis=(update.ndim,)), permute(x, order))
    return permute(chosen, [order.index(axis) for axis in range(x.ndim)])


@lift.rule("aten.as_strided.default", "aten.as_strided_copy.default")
def _(x: Value, sizes: tuple[Dim, ...], strides: tuple[Dim, ...], offset: Dim | None) -> Value:
    """Elements at explicit places of the memory, which must be the tensor's own and in order."""
    if not SCOPE.lifter.owns_its_memory(0) or not all(isinstance(n, int) for n in (*sizes, *strides, offset or 0)):
        return refuse("as_strided of a view, or with symbolic strides; use unfold, narrow or indexing")
    places = np.full((), offset or 0, np.int64)
    for size, stride in zip(sizes, strides, strict=True):
        places = places[..., None] + np.arange(int(size)) * stride  # pyright: ignore[reportArgumentType, reportOperatorIssue]
    return ops.take(reshape(x, (-1,)), ops.constant(value=Constant(places)), axis=0)


@lift.rule("aten.diag_embed.default")
def _(x: Value, offset: int, axis1: int, axis2: int) -> Value:
    size = x.shape[-1] + abs(offset)
    rank = x.ndim + 1
    first, second = normalize_axis(axis1, rank), normalize_axis(axis2, rank)
    eye = ops.eye(rows=size, columns=size, offset=offset, dtype=DType.BOOL)
    before, after = (offset, 0) if offset > 0 else (0, -offset)
    # Element (i, i+offset) is x[i]: along rows for offset >= 0, along columns below.
    if offset >= 0:
        padded = ops.pad(x, padding=((0, 0),) * (x.ndim - 1) + ((0, before),))
        rows = ops.expand_dims(padded, axis=(x.ndim,))
    else:
        padded = ops.pad(x, padding=((0, 0),) * (x.ndim - 1) + ((0, after),))
        rows = ops.expand_dims(padded, axis=(x.ndim - 1,))
    full = ops.where(eye, rows, ops.full(shape=(), value=0, dtype=x.dtype))
    order = list(range(rank - 2))
    for position, axis in sorted([(first, rank - 2), (second, rank - 1)]):
        order.insert(position, axis)
    return permute(full, order)


@lift.rule("aten.unfold.default", "aten.unfold_copy.default")
def _(x: Value, axis: int, size: int, step: int) -> Value:
    """Windows along an axis, their elements on a new last axis."""
    if x.ndim == 0:
        return reshape(x, (1,))
    position = normalize_axis(axis, x.ndim)
    count = (x.shape[position] - size) // step + 1
    starts = ops.arange(start=0, stop=count * step, step=step, dtype=DType.INT64)
    window = ops.arange(start=0, stop=size, step=1, dtype=DType.INT64)
    index = ops.add(ops.expand_dims(starts, axis=(1,)), window)
    taken = ops.take(x, index, axis=position)
    return permute(taken, [*range(position + 1), *range(position + 2, x.ndim + 1), position + 1])


@lift.rule("aten.diff.default")
def _(x: Value, times: int, axis: int, before: Value | None, after: Value | None) -> Value:
    """Differences of neighbours; of bools, whether they differ. None at all leave out what would be joined on."""
    if times == 0:
        return x
    parts = [part for part in (before, x, after) if part is not None]
    x = parts[0] if len(parts) == 1 else ops.concat(*parts, axis=axis)
    for _step in range(times):
        later, earlier = cut(x, axis, 1, None), cut(x, axis, None, -1)
        x = ops.logical_xor(later, earlier) if x.dtype.is_bool else ops.subtract(later, earlier)
    return x


PAD_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x: Value, amounts: Sequence[Dim], mode: str, value: Any) -> Value:
    """Torch's order of padding: the last axis first; negative amounts cut."""
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]
    padding: list[tuple[Dim, Dim]] = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    kept = tuple((_not_cut(before), _not_cut(after)) for before, after in padding)
    if isinstance(value, Number):
        return refuse("the padding value depends on data")
    if mode == "circular":  # what is cut off does not come back on the other side
        x, padding = _cut_off(x, padding), list(kept)
    if any(pair != (0, 0) for pair in kept):
        x = ops.pad(x, padding=kept, mode=PAD_MODES[mode], value=as_number(value or 0.0, x.dtype))
    return _cut_off(x, padding)


def _cut_off(x: Value, padding: Sequence[tuple[Dim, Dim]]) -> Value:
    """What the negative amounts leave."""
    for axis, (before, after) in enumerate(padding):
        low = -before if isinstance(before, int) and before < 0 else 0
        high = -after if isinstance(after, int) and after < 0 else 0
        x = cut(x, axis, low, x.shape[axis] - high)
    return x


def _not_cut(amount: Dim) -> Dim:
    """What is left to pad where a negative amount was cut."""
    return 0 if isinstance(amount, int) and amount < 0 else amount


@lift.rule("aten.pad.default")
def _(x: Value, amounts: Sequence[Dim], mode: str, value: Any) -> Value:
    return pad(x, amounts, mode, value)


@lift.rule("aten.constant_pad_nd.default")
def _(x: Value, amounts: Sequence[Dim], value: Any) -> Value:
    return pad(x, amounts, "constant", value)


@lift.rule("aten.reflection_pad1d.default", "aten.reflection_pad2d.default", "aten.reflection_pad3d.default")
def _(x: Value, amounts: Sequence[Dim]) -> Value:
    return pad(x, amounts, "reflect", None)


@lift.rule("aten.replication_pad1d.default", "aten.replication_pad2d.default", "aten.replication_pad3d.default")
def _(x: Value, amounts: Sequence[Dim]) -> Value:
    return pad(x, amounts, "replicate", None)


@lift.rule("aten._pad_circular.default")
def _(x: Value, amounts: Sequence[Dim]) -> Value:
    return pad(x, amounts, "circular", None)


@lift.rule("aten._pad_enum.default")
def _(x: Value, amounts: Sequence[Dim], mode: int, value: Any) -> Value:
    return pad(x, amounts, ("constant", "reflect", "replicate", "circular")[mode], value)
