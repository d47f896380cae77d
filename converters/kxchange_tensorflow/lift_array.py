"""Lifting of TensorFlow's operators that make, move, join and cut tensors."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import DimExpr
from kxchange.graph import Value
from kxchange.ops.slicing import python_slice
from kxchange.types import DType
from kxchange_tensorflow import shaping_in
from kxchange_tensorflow.lift import (
    SCOPE,
    LiftTable,
    integer,
    integers,
    known,
    number,
    refuse,
    sizes,
    sizes_tensor,
)

lift = LiftTable("tensorflow")


@lift.rule("Shape")
def _(x: Value, *, out_type: DType = DType.INT32) -> Value:
    return sizes_tensor(x.shape, out_type)


@lift.rule("ShapeN")
def _(*xs: Value, out_type: DType = DType.INT32) -> tuple[Value, ...]:
    return tuple(sizes_tensor(x.shape, out_type) for x in xs)


@lift.rule("Size")
def _(x: Value, *, out_type: DType = DType.INT32) -> Value:
    count: Any = 1
    for size in x.shape:
        count = count * size
    return ops.full(shape=(), value=count, dtype=out_type)


@lift.rule("Rank")
def _(x: Value) -> Value:
    return ops.full(shape=(), value=x.ndim, dtype=DType.INT32)


@lift.rule("Fill")
def _(dims: Value, value: Value, *, index_type: DType = DType.INT32) -> Value:
    return ops.broadcast_to(value, shape=sizes(dims))


@lift.rule("ZerosLike")
def _(x: Value) -> Value:
    return ops.full(shape=x.shape, value=False if x.dtype.is_bool else 0, dtype=x.dtype)


@lift.rule("OnesLike")
def _(x: Value) -> Value:
    return ops.full(shape=x.shape, value=True if x.dtype.is_bool else 1, dtype=x.dtype)


@lift.rule("Range")
def _(start: Value, limit: Value, delta: Value) -> Value:
    first, last, step = number(start, "start"), number(limit, "limit"), number(delta, "step")
    return ops.arange(start=first, stop=last, step=step, dtype=start.dtype)


@lift.rule("Reshape")
def _(x: Value, shape: Value) -> Value:
    return shaping_in.reshape(x, sizes(shape))


@lift.rule("Transpose")
def _(x: Value, perm: Value) -> Value:
    return ops.permute_dims(x, axes=integers(perm, "order of axes"))


@lift.rule("ExpandDims")
def _(x: Value, axis: Value) -> Value:
    return ops.expand_dims(x, axis=(integer(axis),))


@lift.rule("Squeeze")
def _(x: Value, *, squeeze_dims: tuple[int, ...] = ()) -> Value:
    return squeeze(x, squeeze_dims)


def squeeze(x: Value, axes: tuple[int, ...]) -> Value:
    """Axes of size 1 removed: all of them where none is named."""
    if not axes:
        if any(isinstance(size, DimExpr) for size in x.shape):
            refuse("it removes all axes of size 1, and some sizes are symbolic")
        axes = tuple(axis for axis, size in enumerate(x.shape) if size == 1)
    return ops.squeeze(x, axis=axes) if axes else x


@lift.rule("ConcatV2")
def _(*xs: Value) -> Value:
    *parts, axis = xs
    return ops.concat(*parts, axis=integer(axis)) if len(parts) > 1 else parts[0]


@lift.rule("Concat")
def _(axis: Value, *xs: Value) -> Value:
    return ops.concat(*xs, axis=integer(axis)) if len(xs) > 1 else xs[0]  # pyright: ignore[reportGeneralTypeIssues]


@lift.rule("Pack")
def _(*xs: Value, axis: int = 0) -> Value:
    return ops.stack(*xs, axis=axis)


@lift.rule("ParallelConcat")
def _(*xs: Value, shape: Any = None) -> Value:
    return ops.concat(*xs, axis=0)


@lift.rule("Unpack")
def _(x: Value, *, num: int, axis: int = 0) -> tuple[Value, ...]:
    return shaping_in.unstack(x, axis, num)


@lift.rule("Split")
def _(axis: Value, x: Value, *, num_split: int) -> tuple[Value, ...]:
    return split(x, integer(axis), num_split)


def split(x: Value, axis: int, count: int) -> tuple[Value, ...]:
    """Equal parts of an axis."""
    size = x.shape[axis]
    if count < 1 or (isinstance(size, int) and size % count):
        refuse(f"it splits an axis of {size} into {count} equal parts")
    return as_parts(ops.split(x, sizes=(size // count,) * count, axis=axis))


@lift.rule("SplitV")
def _(x: Value, lengths: Value, axis: Value, *, num_split: int) -> tuple[Value, ...]:
    return split_sizes(x, lengths, integer(axis))


def split_sizes(x: Value, lengths: Value, axis: int) -> tuple[Value, ...]:
    """Parts of the given sizes; one may be -1, the rest."""
    given = sizes(lengths, "sizes")
    rest: Any = x.shape[axis]
    for size in given:
        rest = rest - (0 if size == -1 else size)
    return as_parts(ops.split(x, sizes=tuple(rest if size == -1 else size for size in given), axis=axis))


def as_parts(found: Any) -> tuple[Value, ...]:
    """The results of a split, also of one part."""
    return found if isinstance(found, tuple) else (found,)


@lift.rule("StridedSlice")
def _(
    x: Value,
    begin: Value,
    end: Value,
    strides: Value,
    *,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
) -> Value:
    masks = {"begin": begin_mask, "end": end_mask, "ellipsis": ellipsis_mask, "new": new_axis_mask}
    if SCOPE.knowledge.content(begin) is None:
        return shaping_in.picked_slice(x, begin, integers(strides, "stride"), shrink_axis_mask, masks)
    return shaping_in.strided_slice(
        x,
        sizes(begin, "start"),
        sizes(end, "end"),
        integers(strides, "stride"),
        begin_mask=begin_mask,
        end_mask=end_mask,
        ellipsis_mask=ellipsis_mask,
        new_axis_mask=new_axis_mask,
        shrink_axis_mask=shrink_axis_mask,
    )


@lift.rule("Slice")
def slice_of(x: Value, begin: Value, size: Value) -> Value:
    """Parts by start and length; a length of -1 reaches to the end. Starts may be computed from the data."""
    lengths = sizes(size, "size")
    if SCOPE.knowledge.content(begin) is None:
        if any(length == -1 for length in lengths):
            refuse("its start is computed from the data and its size is open")
        count = len(lengths)
        parts = as_parts(ops.split(begin, sizes=(1,) * count, axis=0)) if count > 1 else (begin,)
        return ops.dynamic_slice(x, *(ops.reshape(part, shape=()) for part in parts), sizes=lengths)
    starts = sizes(begin, "start")
    limits = [(s, None if n == -1 else s + n, 1) for s, n in zip(starts, lengths, strict=True)]
    return python_slice(x, *limits)


@lift.rule("Tile")
def _(x: Value, multiples: Value) -> Value:
    return ops.tile(x, repetitions=sizes(multiples, "repetitions"))


@lift.rule("BroadcastTo")
def _(x: Value, shape: Value) -> Value:
    return ops.broadcast_to(x, shape=sizes(shape))


@lift.rule("BroadcastArgs")
def _(first: Value, second: Value) -> Value:
    from kxchange.shapes import broadcast_shapes

    return sizes_tensor(broadcast_shapes(sizes(first), sizes(second)), first.dtype)


@lift.rule("Pad")
def _(x: Value, paddings: Value) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), "constant")


@lift.rule("PadV2")
def _(x: Value, paddings: Value, value: Value) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), "constant", number(value, "padding value"))


@lift.rule("MirrorPad")
def _(x: Value, paddings: Value, *, mode: str) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), mode.lower())


@lift.rule("ReverseV2")
def _(x: Value, axis: Value) -> Value:
    axes = integers(axis)
    return ops.flip(x, axis=axes) if axes else x


@lift.rule("ReverseSequence")
def _(x: Value, lengths: Value, *, seq_dim: int, batch_dim: int = 0) -> Value:
    return shaping_in.reverse_sequence(x, lengths, seq_dim, batch_dim)


@lift.rule("Roll")
def _(x: Value, shift: Value, axis: Value) -> Value:
    return ops.roll(x, shifts=integers(shift, "shift"), axis=integers(axis))


@lift.rule("DepthToSpace")
def _(x: Value, *, block_size: int, data_format: str = "NHWC") -> Value:
    from kxchange_tensorflow.spatial_in import channel_axis

    return ops.depth_to_space(x, block_size=block_size, channel_axis=channel_axis(data_format))


@lift.rule("SpaceToDepth")
def _(x: Value, *, block_size: int, data_format: str = "NHWC") -> Value:
    from kxchange_tensorflow.spatial_in import channel_axis

    return ops.space_to_depth(x, block_size=block_size, channel_axis=channel_axis(data_format))


@lift.rule("SpaceToBatchND")
def _(x: Value, block: Value, paddings: Value) -> Value:
    return shaping_in.space_to_batch(x, integers(block, "block"), pairs(paddings))


@lift.rule("BatchToSpaceND")
def _(x: Value, block: Value, crops: Value) -> Value:
    return shaping_in.batch_to_space(x, integers(block, "block"), pairs(crops))


def pairs(value: Value) -> list[tuple[Any, Any]]:
    """Rows of (before, after)."""
    flat = sizes(value, "padding")
    return list(zip(flat[::2], flat[1::2], strict=True))


@lift.rule("MatrixBandPart")
def _(x: Value, lower: Value, upper: Value) -> Value:
    low, high = integer(lower, "band"), integer(upper, "band")
    kept = x if high < 0 else ops.tril(x, k=high)
    return kept if low < 0 else ops.triu(kept, k=-low)


@lift.rule("InvertPermutation")
def _(x: Value) -> Value:
    import numpy as np

    return sizes_tensor([int(place) for place in np.argsort(known(x, "order of axes"))], x.dtype)
