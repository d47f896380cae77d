"""GridSample, RoiAlign, DeformConv."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.lift_convolution import kernel_sizes
from kxchange_onnx.lift_indexing import picked
from kxchange_onnx.lift_normalization import as_type
from kxchange_onnx.sampling_in import Taps, number, reflected, sample, taps, terms
from kxchange_onnx.windows_in import Window, window

MODES = {"bilinear": "linear", "bicubic": "cubic"}


@lift.rule("GridSample")
def _(x: Value, grid: Value, *, align_corners: int, mode: str, padding_mode: str) -> Value:
    """The grid holds, last axis first, positions between -1 and 1."""
    if padding_mode not in ("zeros", "border", "reflection"):
        return refuse(f"its padding_mode {padding_mode!r} is unknown")
    kind, aligned, rank = MODES.get(mode, mode), bool(align_corners), x.ndim - 2
    grid = as_type(grid, x.dtype) if x.dtype.bits > grid.dtype.bits else grid
    axes: list[Taps] = []
    for axis in range(rank):
        size = x.shape[2 + axis]
        at = _denormalized(picked(grid, rank - 1 - axis, grid.ndim - 1), size, aligned)
        if kind == "nearest":
            at = ops.round(at)
        if padding_mode == "border":
            at = ops.clip(at, 0.0, _scalar(size, at.dtype, -1.0))
        elif padding_mode == "reflection":
            at = reflected(at, size, aligned)
        axes.append(taps(at, size, kind))
    values = x if x.dtype is grid.dtype else ops.astype(x, dtype=grid.dtype)
    return as_type(sample(values, axes, padding_mode, aligned), x.dtype)


def _denormalized(at: Value, size: Dim, aligned: bool) -> Value:
    """Positions between -1 and 1 in elements: at the outer elements, or at their outer edges."""
    if aligned:
        return ops.multiply(ops.multiply(ops.add(at, 1.0), 0.5), number(size, at.dtype, -1.0))
    scaled = ops.multiply(ops.add(at, 1.0), number(size, at.dtype))
    return ops.multiply(ops.subtract(scaled, 1.0), 0.5)


def _scalar(size: Dim, dtype: DType, offset: float) -> Value:
    given = number(size, dtype, offset)
    return given if isinstance(given, Value) else ops.full(shape=(), value=given, dtype=dtype)


@lift.rule("RoiAlign")
def _(
    x: Value,
    rois: Value,
    batches: Value,
    *,
    mode: str,
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    spatial_scale: float,
) -> Value:
    options = mode, (output_height, output_width), sampling_ratio, spatial_scale
    return _aligned(x, rois, batches, options, half_pixel=False)


@lift.rule("RoiAlign", since=16)
def _(
    x: Value,
    rois: Value,
    batches: Value,
    *,
    coordinate_transformation_mode: str,
    mode: str,
    output_height: int,
    output_width: int,
    sampling_ratio: int,
    spatial_scale: float,
) -> Value:
    options = mode, (output_height, output_width), sampling_ratio, spatial_scale
    return _aligned(x, rois, batches, options, half_pixel=coordinate_transformation_mode == "half_pixel")


def _aligned(
    x: Value, rois: Value, batches: Value, options: tuple[str, tuple[int, int], int, float], *, half_pixel: bool
) -> Value:
    """Each bin is read at a grid of points, whose mean (or greatest weighted element) it gives."""
    mode, sizes, ratio, scale = options
    if ratio <= 0 or mode not in ("avg", "max"):
        return refuse("how many points it reads per bin (sampling_ratio 0) follows from the data")
    points, inside = [], []
    for axis, (count, size) in enumerate(zip(sizes, x.shape[2:], strict=True)):
        at, valid = _points(rois, axis, count, ratio, scale, half_pixel, size)
        shape = (rois.shape[0], count * ratio, 1) if axis == 0 else (rois.shape[0], 1, count * ratio)
        points.append(taps(ops.reshape(at, shape=shape), size, "linear"))
        inside.append(ops.reshape(valid, shape=shape))
    grid = (rois.shape[0], sizes[0] * ratio, sizes[1] * ratio)
    spread = [_spread(axis, grid) for axis in points]
    rows = ops.take(x, batches, axis=0)
    parts = list(terms(rows, spread, "border", False))
    combined = reduce(ops.add if mode == "avg" else ops.maximum, parts)
    seen = ops.expand_dims(ops.logical_and(*inside), axis=(3,))
    values = ops.permute_dims(ops.where(seen, combined, 0.0), axes=(0, 3, 1, 2))
    bins = ops.reshape(values, shape=(rois.shape[0], x.shape[1], sizes[0], ratio, sizes[1], ratio))
    return (ops.mean if mode == "avg" else ops.max)(bins, axis=(3, 5))


def _points(
    rois: Value, axis: int, count: int, ratio: int, scale: float, half_pixel: bool, size: Dim
) -> tuple[Value, Value]:
    """Positions of the points along one axis of each region, [regions, points], and which of them are inside."""
    first, last = (picked(rois, 1 - axis + 2 * end, 1) for end in (0, 1))
    start, end = (ops.subtract(ops.multiply(edge, scale), 0.5 if half_pixel else 0.0) for edge in (first, last))
    length = ops.subtract(end, start)
    length = length if half_pixel else ops.maximum(length, 1.0)
    steps = ops.add(ops.arange(start=0, stop=count * ratio, dtype=rois.dtype), 0.5)
    step = ops.divide(ops.expand_dims(length, axis=(1,)), float(count * ratio))
    at = ops.add(ops.expand_dims(start, axis=(1,)), ops.multiply(step, steps))
    far = _scalar(size, at.dtype, 0.0)
    inside = ops.logical_and(ops.greater_equal(at, -1.0), ops.less_equal(at, far))
    return ops.clip(at, 0.0, _scalar(size, at.dtype, -1.0)), inside


def _spread(axis: Taps, shape: tuple[Dim, ...]) -> Taps:
    """Taps of one axis at every point of the grid."""
    positions = tuple(ops.broadcast_to(position, shape=shape) for position in axis.positions)
    return Taps(axis.size, positions, axis.weights)


@lift.rule("DeformConv")
def _(
    x: Value,
    weight: Value,
    offset: Value,
    bias: Value | None,
    mask: Value | None,
    *,
    dilations: Sequence[int] | None,
    group: int,
    kernel_shape: Sequence[int] | None,
    offset_group: int,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> Value:
    """The taps of each window are read at moved positions, then multiplied with the kernel."""
    place = window(x, kernel_sizes(weight, kernel_shape), strides, dilations, pads, "NOTSET")
    batch, channels, count = x.shape[0], x.shape[1], product(place.sizes)
    outer = offset.shape[2:]
    groups = (batch * offset_group, channels // offset_group)
    moves = ops.reshape(offset, shape=(groups[0], count, len(outer), *outer))
    axes = [_moved_taps(moves, place, axis, x.shape[2 + axis], outer) for axis in range(len(outer))]
    read = sample(ops.reshape(x, shape=(*groups, *x.shape[2:])), axes, "zeros")
    if mask is not None:
        read = ops.multiply(read, ops.reshape(mask, shape=(groups[0], 1, count, *outer)))
    depth = channels // group * count
    columns = ops.reshape(read, shape=(batch, group, depth, product(outer)))
    kernel = ops.reshape(weight, shape=(group, weight.shape[0] // group, depth))
    y = ops.reshape(ops.matmul(kernel, columns), shape=(batch, weight.shape[0], *outer))
    return y if bias is None else ops.add(y, ops.reshape(bias, shape=(bias.shape[0], *(1,) * len(outer))))


def _moved_taps(moves: Value, place: Window, axis: int, size: Dim, outer: Sequence[Dim]) -> Taps:
    """Where each tap of each window reads along one axis: [batch and group, taps, *outer]."""
    rank = len(outer)
    starts = ops.arange(start=0, stop=outer[axis], dtype=DType.INT64)
    starts = ops.subtract(ops.multiply(starts, place.strides[axis]), place.padding[axis][0])
    steps = ops.multiply(ops.arange(start=0, stop=place.sizes[axis], dtype=DType.INT64), place.dilations[axis])
    steps = ops.reshape(steps, shape=tuple(place.sizes[axis] if a == axis else 1 for a in range(rank)))
    flat = ops.reshape(ops.broadcast_to(steps, shape=place.sizes), shape=(product(place.sizes), *(1,) * rank))
    laid = ops.reshape(starts, shape=tuple(outer[axis] if a == axis else 1 for a in range(rank)))
    fixed = ops.astype(ops.add(flat, laid), dtype=moves.dtype)
    return taps(ops.add(picked(moves, axis, 2), fixed), size, "linear")
