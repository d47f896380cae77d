"""Slices, blocks, padding and picking as TensorFlow and TFLite mean them, in ops of the language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.ops.slicing import python_slice
from kxchange_tensorflow.lift import refuse


@dataclass
class SlicePlan:
    """What the entries of a strided slice do to the axes of a tensor.

    Attributes:
        limits: Start, stop and step per axis of the tensor; None for a whole one.
        shrunk: Axes of the tensor of which one position is left, and which go.
        fresh: Places of new axes, in the result.
    """

    limits: list[tuple[Dim | None, Dim | None, int] | None] = field(
        default_factory=list[tuple[Dim | None, Dim | None, int] | None]
    )
    shrunk: list[int] = field(default_factory=list[int])
    fresh: list[int] = field(default_factory=list[int])

    def skip(self, count: int) -> None:
        """Keep whole axes."""
        self.limits += [None] * count

    def insert(self) -> None:
        """Put a new axis here."""
        self.fresh.append(len(self.limits) - len(self.shrunk) + len(self.fresh))

    def pick(self, position: Dim) -> None:
        """Take one position of the next axis."""
        self.shrunk.append(len(self.limits))
        self.limits.append((position, None if position == -1 else position + 1, 1))

    def apply(self, x: Value) -> Value:
        """The slice of a tensor."""
        if len(self.limits) > x.ndim:
            refuse("it slices more axes than there are")
        part = python_slice(x, *self.limits)
        part = ops.squeeze(part, axis=tuple(self.shrunk)) if self.shrunk else part
        return ops.expand_dims(part, axis=tuple(self.fresh)) if self.fresh else part


def strided_slice(
    x: Value,
    begin: Sequence[Dim],
    end: Sequence[Dim],
    strides: Sequence[int],
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
) -> Value:
    """``x[begin:end:strides]`` with bit masks for open limits, ``...``, new axes, and single positions."""
    places = range(len(begin))
    ellipsis = next((place for place in places if ellipsis_mask >> place & 1), None)
    consumed = sum(1 for place in places if place != ellipsis and not new_axis_mask >> place & 1)
    plan = SlicePlan()
    for place in places:
        if place == ellipsis:
            plan.skip(x.ndim - consumed)
        elif new_axis_mask >> place & 1:
            plan.insert()
        elif shrink_axis_mask >> place & 1:
            plan.pick(begin[place])
        else:
            start = None if begin_mask >> place & 1 else begin[place]
            stop = None if end_mask >> place & 1 else end[place]
            plan.limits.append((start, stop, strides[place]))
    return plan.apply(x)


def reshape(x: Value, shape: Sequence[Dim]) -> Value:
    """A reshape whose symbolic sizes are kept as they are; one -1 is computed."""
    if tuple(shape) == x.shape:
        return x
    return ops.reshape(x, shape=tuple(shape))


def space_to_batch(x: Value, block: Sequence[int], paddings: Sequence[tuple[Dim, Dim]]) -> Value:
    """Blocks of the axes behind the first moved into it: ``batch' = prod(block) * batch``, the block first."""
    count = len(block)
    around = ((0, 0), *paddings, *((0, 0),) * (x.ndim - 1 - count))
    wide = ops.pad(x, padding=around) if any(pair != (0, 0) for pair in paddings) else x
    batch, *rest = wide.shape
    split: list[Dim] = [batch]
    for size, step in zip(rest[:count], block, strict=True):
        split += [size // step, step]
    tail = rest[count:]
    apart = ops.reshape(wide, shape=(*split, *tail))
    order = [2 * place + 2 for place in range(count)] + [0] + [2 * place + 1 for place in range(count)]
    order += list(range(2 * count + 1, apart.ndim))
    moved = ops.permute_dims(apart, axes=tuple(order))
    product = 1
    for step in block:
        product *= step
    inner = tuple(size // step for size, step in zip(rest[:count], block, strict=True))
    return ops.reshape(moved, shape=(batch * product, *inner, *tail))


def batch_to_space(x: Value, block: Sequence[int], crops: Sequence[tuple[Dim, Dim]]) -> Value:
    """The inverse of `space_to_batch`; `crops` is cut off afterwards."""
    count, product = len(block), 1
    for step in block:
        product *= step
    batch, *rest = x.shape
    inner, tail = rest[:count], rest[count:]
    apart = ops.reshape(x, shape=(*block, batch // product, *inner, *tail))
    order = [count]
    for place in range(count):
        order += [count + 1 + place, place]
    order += list(range(2 * count + 1, apart.ndim))
    moved = ops.permute_dims(apart, axes=tuple(order))
    sizes = [size * step for size, step in zip(inner, block, strict=True)]
    joined = ops.reshape(moved, shape=(batch // product, *sizes, *tail))
    limits = [(low, size - high, 1) for size, (low, high) in zip(sizes, crops, strict=True)]
    return python_slice(joined, None, *limits)


def gather(x: Value, indices: Value, axis: int, batch_dims: int) -> Value:
    """``x`` at positions of one axis; the first `batch_dims` axes of both run together."""
    axis = axis % x.ndim
    batch_dims = batch_dims % (indices.ndim + 1) if batch_dims < 0 else batch_dims
    if batch_dims == 0:
        return ops.take(x, indices, axis=axis)
    if axis != batch_dims:
        order = [*range(batch_dims), axis, *(a for a in range(batch_dims, x.ndim) if a != axis)]
        moved = gather(ops.permute_dims(x, axes=tuple(order)), indices, batch_dims, batch_dims)
        extra = indices.ndim - batch_dims
        before = list(range(batch_dims + extra, batch_dims + extra + axis - batch_dims))
        picked = list(range(batch_dims, batch_dims + extra))
        after = list(range(axis + extra, moved.ndim))
        return ops.permute_dims(moved, axes=(*range(batch_dims), *before, *picked, *after))
    return ops.gather_nd(x, ops.expand_dims(indices, axis=(-1,)), batch_dims=batch_dims)


def pad(x: Value, paddings: Sequence[Dim], mode: str, value: float = 0.0) -> Value:
    """Padding given as a flat row of (before, after)."""
    pairs = tuple(zip(paddings[::2], paddings[1::2], strict=True))
    if all(pair == (0, 0) for pair in pairs):
        return x
    return ops.pad(x, padding=pairs, mode=mode, value=value)


def unstack(x: Value, axis: int, count: int) -> tuple[Value, ...]:
    """One tensor per position of an axis."""
    axis = axis % x.ndim
    parts = ops.split(x, sizes=(1,) * count, axis=axis) if count > 1 else (x,)
    return tuple(ops.squeeze(part, axis=(axis,)) for part in parts)


def reverse_sequence(x: Value, lengths: Value, axis: int, batch_axis: int) -> Value:
    """The first ``lengths[b]`` positions of an axis turned around, the rest as it is."""
    size, dtype = x.shape[axis], lengths.dtype
    place = ops.arange(start=0, stop=size, dtype=dtype)
    shape: list[Dim] = [1] * x.ndim
    shape[axis] = size
    places = ops.reshape(place, shape=tuple(shape))
    bounds: list[Dim] = [1] * x.ndim
    bounds[batch_axis] = x.shape[batch_axis]
    ends = ops.reshape(lengths, shape=tuple(bounds))
    turned = ops.subtract(ops.subtract(ends, ops.full(shape=(), value=1, dtype=dtype)), places)
    source = ops.where(ops.less(places, ends), turned, places)
    return ops.take_along_axis(x, source, axis=axis)


def picked_slice(x: Value, begin: Value, strides: Sequence[int], single: int, masks: Mapping[str, int]) -> Value:
    """``x[:, i]`` for an index that is computed: one element of some axes, the whole of the others."""
    count = len(strides)
    parts = ops.split(begin, sizes=(1,) * count, axis=0) if count > 1 else (begin,)
    added = (masks["new"] & ~masks["ellipsis"]).bit_count() + masks["ellipsis"].bit_count()
    axis, steps = 0, list[int]()
    picked: list[tuple[int, Value]] = []
    for place, step in enumerate(strides):
        bit = 1 << place
        if masks["ellipsis"] & bit:
            width = x.ndim - (count - added)
            steps += [1] * width
            axis += width
        elif masks["new"] & bit:
            refuse("its start is computed from the data, and it adds an axis")
        elif single & bit:
            picked.append((axis, ops.reshape(parts[place], shape=())))
            steps.append(1)
            axis += 1
        elif masks["begin"] & masks["end"] & bit:
            steps.append(step)
            axis += 1
        else:
            refuse("its start is computed from the data")
    x = python_slice(x, *((None, None, step) for step in steps))
    for where, index in reversed(picked):
        x = ops.take(x, index, axis=where)
    return x
