"""Shapes, slices, joins and paddings: canonical op -> ONNX."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from kxchange.dims import Call, Dim
from kxchange.graph import Node
from kxchange.shapes import normalize_axis
from kxchange.table import Condition, Table
from kxchange.types import DType, TensorType
from kxchange_onnx.dims_out import INT64_MAX, INT64_MIN, vector
from kxchange_onnx.kernels import takes
from kxchange_onnx.opsets import target
from kxchange_onnx.writing import constant, emit, emit_many, result_type, type_of

TABLE = Table("onnx")
Dims = tuple[Dim, ...]


@TABLE.rule("reshape")
def _(x: ir.Value, *, shape: Dims) -> ir.Value:
    return reshaped(x, type_of(x), result_type().shape)


def reshaped(x: ir.Value, before: TensorType, after: Dims) -> ir.Value:
    """A reshape whose target is a constant wherever one can say it: a number, 0 for "as before", one -1."""
    if before.shape == after:
        return x
    if 0 in after:  # to Reshape, a 0 means "as before"
        return empty(after, before.dtype)
    texts = [_reshape_entry(before.shape, axis, dim) for axis, dim in enumerate(after)]
    unknown = [axis for axis, entry in enumerate(texts) if entry is None]
    if len(unknown) <= 1:
        return emit("Reshape", x, constant([-1 if entry is None else entry for entry in texts]))
    return emit("Reshape", x, vector(after))


def empty(shape: Dims, dtype: DType) -> ir.Value:
    """A tensor without elements, of a shape with a 0 in it."""
    return emit("ConstantOfShape", vector(shape), value=ir.tensor(np.zeros(1, dtype.numpy)))


def _reshape_entry(before: Dims, axis: int, dim: Dim) -> int | None:
    if isinstance(dim, int):
        return dim
    return 0 if axis < len(before) and before[axis] == dim else None


@TABLE.rule("permute_dims")
def _(x: ir.Value, *, axes: tuple[int, ...]) -> ir.Value:
    order = [normalize_axis(axis, len(axes)) for axis in axes]
    return x if order == [*range(len(order))] else emit("Transpose", x, perm=tuple(order))


@TABLE.rule("expand_dims")
def _(x: ir.Value, *, axis: tuple[int, ...]) -> ir.Value:
    return emit("Unsqueeze", x, constant(list(axis))) if axis else x


@TABLE.rule("squeeze")
def _(x: ir.Value, *, axis: tuple[int, ...]) -> ir.Value:
    return emit("Squeeze", x, constant(list(axis))) if axis else x


@TABLE.rule("broadcast_to")
def _(x: ir.Value, *, shape: Dims) -> ir.Value:
    return expanded(x, type_of(x).shape, shape)


def expanded(x: ir.Value, before: Dims, after: Dims) -> ir.Value:
    """An `Expand` whose target says 1 where a size stays."""
    if before == after:
        return x
    if 0 in after:  # ONNX Runtime's Expand takes a 0 for a 1
        return empty(after, type_of(x).dtype)
    aligned = (1,) * (len(after) - len(before)) + before
    return emit("Expand", x, vector([1 if old == new else new for old, new in zip(aligned, after, strict=True)]))


@TABLE.rule("concat")
def _(*xs: ir.Value, axis: int) -> ir.Value:
    return xs[0] if len(xs) == 1 else emit("Concat", *xs, axis=axis)


@TABLE.rule("split")
def _(x: ir.Value, *, sizes: Dims, axis: int) -> tuple[ir.Value, ...]:
    return (x,) if len(sizes) == 1 else tuple(emit_many("Split", len(sizes), x, vector(sizes), axis=axis))


@TABLE.rule("slice")
def _(x: ir.Value, *, starts: Dims, stops: Dims, steps: tuple[int, ...], axes: tuple[int, ...]) -> ir.Value:
    shape = type_of(x).shape
    cuts = [
        (_limit(start, shape[axis], step), _limit(stop, shape[axis], step), axis, step)
        for start, stop, axis, step in zip(starts, stops, axes, steps, strict=True)
        if (start, stop, step) != (0, shape[axis], 1)
    ]
    if not cuts:
        return x
    first, last, along, step = zip(*cuts, strict=True)
    strides = constant(step) if set(step) != {1} else None
    return emit("Slice", x, vector(first), vector(last), constant(along), strides)


def _limit(limit: Dim, size: Dim, step: int) -> Dim:
    """A slice limit in ONNX's terms, where negative numbers count from the end and all are clamped: a number if any is.

    ``seq - 1`` of an axis of ``seq`` is -1, ``min(seq, 20)`` is 20, ``max(seq - 4, 0)`` is -4, ``seq`` itself the end.
    """
    if step < 0:
        if limit == -1:
            return INT64_MIN
        return -1 if limit == size - 1 and not isinstance(size, int) else limit
    if isinstance(limit, int):
        return limit
    if limit == size:
        return INT64_MAX
    atom = limit.lone_atom()
    if isinstance(atom, Call) and atom.kind in ("min", "max") and len(atom.operands) == 2:
        neutral = size if atom.kind == "min" else 0
        others = [operand for operand in atom.operands if operand != neutral]
        if len(others) == 1 and (atom.kind == "max" or isinstance(others[0], int)):
            inner = _limit(others[0], size, step)
            return inner if isinstance(inner, int) else limit
    behind = limit - size
    return behind if isinstance(behind, int) and behind < 0 else limit


def _padded(node: Node) -> bool:
    modes = ("constant", "reflect", "edge", *(("wrap",) if target() >= 19 else ()))
    return node.attrs["mode"] in modes and takes("Pad")(node)


@TABLE.rule("pad", when=_padded)
def _(x: ir.Value, *, padding: tuple[tuple[Dim, Dim], ...], mode: str, value: float) -> ir.Value:
    if all(pair == (0, 0) for pair in padding):
        return x
    fill = constant(value, type_of(x).dtype) if mode == "constant" and value != 0 else None
    # All axes are named: ONNX Runtime 1.32 pads the wrong ones where it moves a Transpose past a Pad with `axes`.
    extents = vector([before for before, _ in padding] + [after for _, after in padding])
    return emit("Pad", x, extents, fill, mode=mode)


@TABLE.rule("tile")
def _(x: ir.Value, *, repetitions: Dims) -> ir.Value:
    return x if all(count == 1 for count in repetitions) else emit("Tile", x, vector(repetitions))


@TABLE.rule("flip")
def _(x: ir.Value, *, axis: tuple[int, ...]) -> ir.Value:
    if not axis:
        return x
    count = len(axis)
    ends = constant([-1] * count), constant([INT64_MIN] * count)
    return emit("Slice", x, *ends, constant(list(axis)), constant([-1] * count))


@TABLE.rule("tril", when=takes("Trilu", version=14))
def _(x: ir.Value, *, k: int) -> ir.Value:
    return emit("Trilu", x, constant(k) if k else None, upper=0)


@TABLE.rule("triu", when=takes("Trilu", version=14))
def _(x: ir.Value, *, k: int) -> ir.Value:
    return emit("Trilu", x, constant(k) if k else None, upper=1)


def _images(condition: Condition) -> Condition:
    """The condition, for batches of two-dimensional images with their channels in front."""
    return lambda node: node.attrs["channel_axis"] == 1 and len(node.types[0].shape) == 4 and condition(node)


@TABLE.rule("depth_to_space", when=_images(takes("DepthToSpace")))
def _(x: ir.Value, *, block_size: int, mode: str, channel_axis: int) -> ir.Value:
    return emit("DepthToSpace", x, blocksize=block_size, mode=mode)


@TABLE.rule("space_to_depth", when=_images(takes("SpaceToDepth")))
def _(x: ir.Value, *, block_size: int, channel_axis: int) -> ir.Value:
    return emit("SpaceToDepth", x, blocksize=block_size)
