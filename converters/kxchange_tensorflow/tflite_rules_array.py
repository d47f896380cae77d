"""Lifting of TFLite's operators that make, move, join and cut tensors."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_tensorflow import lift_array, lift_reduction, shaping_in
from kxchange_tensorflow.lift import SCOPE, LiftTable, integer, integers, number, refuse, sizes, sizes_tensor
from kxchange_tensorflow.quantized import dequantize, quantize
from kxchange_tensorflow.spatial_in import resample
from kxchange_tensorflow.tflite_schema import DTYPES

lift = LiftTable("tflite")


@lift.rule("RESHAPE", moves=True)
def _(x: Value, shape: Value | None = None, *, new_shape: Any) -> Value:
    if shape is None and new_shape is None:
        refuse("it has no shape")
    return shaping_in.reshape(x, new_shape if shape is None else sizes(shape))


@lift.rule("TRANSPOSE", moves=True)
def _(x: Value, order: Value) -> Value:
    return ops.permute_dims(x, axes=integers(order, "order of axes"))


@lift.rule("EXPAND_DIMS", moves=True)
def _(x: Value, axis: Value) -> Value:
    return ops.expand_dims(x, axis=(integer(axis),))


@lift.rule("SQUEEZE", moves=True)
def _(x: Value, *, squeeze_dims: Any) -> Value:
    return lift_array.squeeze(x, squeeze_dims or ())


@lift.rule("CONCATENATION", moves=True)
def _(*xs: Value, axis: int, activation: int) -> Value:
    if activation:
        refuse("it has an activation built in")
    return ops.concat(*xs, axis=axis) if len(xs) > 1 else xs[0]  # pyright: ignore[reportGeneralTypeIssues]


@lift.rule("PACK", moves=True)
def _(*xs: Value, axis: int, values_count: int) -> Value:
    return ops.stack(*xs, axis=axis)


@lift.rule("UNPACK", moves=True)
def _(x: Value, *, axis: int, num: int) -> tuple[Value, ...]:
    return shaping_in.unstack(x, axis, num)


@lift.rule("SPLIT", moves=True)
def _(axis: Value, x: Value, *, num_splits: int) -> tuple[Value, ...]:
    return lift_array.split(x, integer(axis), num_splits)


@lift.rule("SPLIT_V", moves=True)
def _(x: Value, lengths: Value, axis: Value, *, num_splits: int) -> tuple[Value, ...]:
    return lift_array.split_sizes(x, lengths, integer(axis))


@lift.rule("STRIDED_SLICE", moves=True)
def _(
    x: Value,
    begin: Value,
    end: Value,
    strides: Value,
    *,
    begin_mask: int,
    end_mask: int,
    ellipsis_mask: int,
    new_axis_mask: int,
    shrink_axis_mask: int,
    offset: bool,
) -> Value:
    first, last = sizes(begin, "start"), sizes(end, "end")
    if offset:
        last = tuple(start + stop for start, stop in zip(first, last, strict=True))
    return shaping_in.strided_slice(
        x,
        first,
        last,
        integers(strides, "stride"),
        begin_mask=begin_mask,
        end_mask=end_mask,
        ellipsis_mask=ellipsis_mask,
        new_axis_mask=new_axis_mask,
        shrink_axis_mask=shrink_axis_mask,
    )


@lift.rule("SLICE", moves=True)
def _(x: Value, begin: Value, size: Value) -> Value:
    return lift_array.slice_of(x, begin, size)


@lift.rule("TILE", moves=True)
def _(x: Value, multiples: Value) -> Value:
    return ops.tile(x, repetitions=sizes(multiples, "repetitions"))


@lift.rule("BROADCAST_TO", moves=True)
def _(x: Value, shape: Value) -> Value:
    return ops.broadcast_to(x, shape=sizes(shape))


@lift.rule("GATHER", moves=True)
def _(x: Value, indices: Value, *, axis: int, batch_dims: int) -> Value:
    return shaping_in.gather(x, indices, axis, batch_dims)


@lift.rule("GATHER_ND", moves=True)
def _(x: Value, indices: Value) -> Value:
    return ops.gather_nd(x, indices)


@lift.rule("EMBEDDING_LOOKUP")
def _(indices: Value, table: Value) -> Value:
    lifter = SCOPE.lifter
    rows = ops.take(table, indices, axis=0)
    scheme = lifter.operands[1].quantization
    if scheme is None or not lifter.results[0].dtype.is_floating:
        return rows
    if not scheme.per_tensor:
        refuse("its rows have scales of their own")
    return dequantize(rows, scheme)


@lift.rule("REVERSE_V2", moves=True)
def _(x: Value, axis: Value) -> Value:
    return ops.flip(x, axis=integers(axis))


@lift.rule("REVERSE_SEQUENCE", moves=True)
def _(x: Value, lengths: Value, *, seq_dim: int, batch_dim: int) -> Value:
    return shaping_in.reverse_sequence(x, lengths, seq_dim, batch_dim)


@lift.rule("PAD")
def _(x: Value, paddings: Value) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), "constant")


@lift.rule("PADV2")
def _(x: Value, paddings: Value, value: Value) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), "constant", number(value, "padding value"))


@lift.rule("MIRROR_PAD", moves=True)
def _(x: Value, paddings: Value, *, mode: int) -> Value:
    return shaping_in.pad(x, sizes(paddings, "padding"), "symmetric" if mode else "reflect")


@lift.rule("SPACE_TO_DEPTH", moves=True)
def _(x: Value, *, block_size: int) -> Value:
    return ops.space_to_depth(x, block_size=block_size, channel_axis=-1)


@lift.rule("DEPTH_TO_SPACE", moves=True)
def _(x: Value, *, block_size: int) -> Value:
    return ops.depth_to_space(x, block_size=block_size, channel_axis=-1)


@lift.rule("SPACE_TO_BATCH_ND")
def _(x: Value, block: Value, paddings: Value) -> Value:
    return shaping_in.space_to_batch(x, integers(block, "block"), lift_array.pairs(paddings))


@lift.rule("BATCH_TO_SPACE_ND", moves=True)
def _(x: Value, block: Value, crops: Value) -> Value:
    return shaping_in.batch_to_space(x, integers(block, "block"), lift_array.pairs(crops))


@lift.rule("RESIZE_BILINEAR")
def _(x: Value, size: Value, *, align_corners: bool, half_pixel_centers: bool) -> Value:
    return resample(
        x, sizes(size, "size"), "linear", align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


@lift.rule("RESIZE_NEAREST_NEIGHBOR", moves=True)
def _(x: Value, size: Value, *, align_corners: bool, half_pixel_centers: bool) -> Value:
    return resample(
        x, sizes(size, "size"), "nearest", align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


@lift.rule("SHAPE")
def _(x: Value, *, out_type: int) -> Value:
    return sizes_tensor(x.shape, DTYPES[out_type])


@lift.rule("RANK")
def _(x: Value) -> Value:
    return ops.full(shape=(), value=x.ndim, dtype=SCOPE.lifter.results[0].dtype)


@lift.rule("FILL", moves=True)
def _(shape: Value, value: Value) -> Value:
    return ops.broadcast_to(value, shape=sizes(shape))


@lift.rule("RANGE")
def _(start: Value, limit: Value, delta: Value) -> Value:
    first, last, step = number(start, "start"), number(limit, "limit"), number(delta, "step")
    return ops.arange(start=first, stop=last, step=step, dtype=start.dtype)


@lift.rule("ZEROS_LIKE")
def _(x: Value) -> Value:
    return ops.full(shape=x.shape, value=False if x.dtype.is_bool else 0, dtype=x.dtype)


@lift.rule("ONE_HOT")
def _(indices: Value, depth: Value, on: Value, off: Value, *, axis: int) -> Value:
    return lift_reduction.one_hot(indices, depth, on, off, axis)


@lift.rule("SCATTER_ND")
def _(indices: Value, updates: Value, shape: Value) -> Value:
    start = ops.full(shape=sizes(shape), value=0, dtype=updates.dtype)
    return ops.scatter_nd(start, indices, updates, reduction="add")


@lift.rule("WHERE")
def _(x: Value) -> Value:
    return ops.nonzero(x)


@lift.rule("DYNAMIC_UPDATE_SLICE")
def _(x: Value, update: Value, starts: Value) -> Value:
    parts = lift_array.as_parts(ops.split(starts, sizes=(1,) * x.ndim, axis=0)) if x.ndim > 1 else (starts,)
    return ops.dynamic_update_slice(x, update, *(ops.reshape(part, shape=()) for part in parts))


@lift.rule("DEQUANTIZE")
def _(x: Value) -> Value:
    scheme, wanted = SCOPE.lifter.operands[0].quantization, SCOPE.lifter.results[0].dtype
    if scheme is None:
        return ops.astype(x, dtype=wanted)
    return dequantize(x, scheme)


@lift.rule("QUANTIZE")
def _(x: Value) -> Value:
    lifter = SCOPE.lifter
    before, tensor = lifter.operands[0].quantization, lifter.results[0]
    if tensor.quantization is None:
        refuse("its result has no scale")
    real = x if before is None or x.dtype.is_floating else dequantize(x, before)
    return quantize(real, tensor.quantization, tensor.dtype)
