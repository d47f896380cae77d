"""Elements picked, written and ordered by position: canonical op -> ONNX."""

from __future__ import annotations

import onnx_ir as ir

from kxchange.dims import Dim
from kxchange.graph import Node
from kxchange.shapes import normalize_axis
from kxchange.table import Table
from kxchange.types import DType, TensorType
from kxchange_onnx.dims_out import INT64_MAX, size, vector
from kxchange_onnx.kernels import takes
from kxchange_onnx.lower_manipulation import expanded, reshaped
from kxchange_onnx.opsets import target
from kxchange_onnx.types_out import data_type
from kxchange_onnx.writing import constant, emit, emit_many, result_type, type_of

TABLE = Table("onnx")
Dims = tuple[Dim, ...]


@TABLE.rule("dynamic_slice")
def _(x: ir.Value, *starts: ir.Value, sizes: Dims) -> ir.Value:
    shape = type_of(x).shape
    axes = [axis for axis, (whole, part) in enumerate(zip(shape, sizes, strict=True)) if whole != part]
    if not axes:
        return x
    firsts = [clamped(starts[axis], shape[axis], sizes[axis]) for axis in axes]
    first = firsts[0] if len(firsts) == 1 else emit("Concat", *firsts, axis=0)
    last = emit("Add", first, vector([sizes[axis] for axis in axes]))
    return emit("Slice", x, first, last, constant(axes))


def clamped(start: ir.Value, whole: Dim, part: Dim) -> ir.Value:
    """A scalar position as int64 [1], moved so that `part` elements from it on lie within `whole`."""
    wide = start if type_of(start).dtype is DType.INT64 else emit("Cast", start, to=data_type(DType.INT64))
    row = emit("Unsqueeze", wide, constant([0]))
    return emit("Min", emit("Max", row, constant([0])), size(whole - part))


@TABLE.rule("dynamic_update_slice")
def _(x: ir.Value, update: ir.Value, *starts: ir.Value) -> ir.Value:
    whole, part = type_of(x).shape, type_of(update).shape
    axes = [axis for axis, (a, b) in enumerate(zip(whole, part, strict=True)) if a != b]
    firsts = {axis: clamped(starts[axis], whole[axis], part[axis]) for axis in axes}
    return _updated(x, update, axes, firsts, part)


def _updated(x: ir.Value, update: ir.Value, axes: list[int], firsts: dict[int, ir.Value], part: Dims) -> ir.Value:
    """What is before, what is new, what is behind, joined axis by axis."""
    if not axes:
        return update
    axis, rest = axes[0], axes[1:]
    first, last = firsts[axis], emit("Add", firsts[axis], size(part[axis]))
    along = constant([axis])
    middle = update if not rest else _updated(emit("Slice", x, first, last, along), update, rest, firsts, part)
    before = emit("Slice", x, constant([0]), first, along)
    behind = emit("Slice", x, last, constant([INT64_MAX]), along)
    return emit("Concat", before, middle, behind, axis=axis)


def indices64(indices: ir.Value, narrow: bool = True) -> ir.Value:
    """Indices in a type that ONNX takes; int32 stays where the op allows it."""
    dtype = type_of(indices).dtype
    if dtype is DType.INT64 or (narrow and dtype is DType.INT32):
        return indices
    return emit("Cast", indices, to=data_type(DType.INT64))


@TABLE.rule("take", when=lambda node: node.attrs["mode"] == "error")
def _(x: ir.Value, indices: ir.Value, *, axis: int, mode: str) -> ir.Value:
    return emit("Gather", x, indices64(indices), axis=axis)


@TABLE.rule("take_along_axis")
def _(x: ir.Value, indices: ir.Value, *, axis: int) -> ir.Value:
    shape = result_type().shape
    position = normalize_axis(axis, len(shape))
    whole = (*shape[:position], type_of(x).shape[position], *shape[position + 1 :])
    wide = expanded(indices64(indices), type_of(indices).shape, shape)
    return emit("GatherElements", expanded(x, type_of(x).shape, whole), wide, axis=axis)


@TABLE.rule("gather_nd")
def _(x: ir.Value, indices: ir.Value, *, batch_dims: int) -> ir.Value:
    return emit("GatherND", x, indices64(indices, narrow=False), batch_dims=batch_dims or None)


REDUCTIONS = {"set": ("none", 13), "add": ("add", 16), "multiply": ("mul", 16), "min": ("min", 18), "max": ("max", 18)}
"""ONNX's name for a way to combine updates, and the opset it came with."""


def _combines(node: Node) -> bool:
    reduction = node.attrs["reduction"]
    narrow = node.types[0].dtype in (DType.FLOAT16, DType.BFLOAT16)  # the kernels only replace those
    return target() >= REDUCTIONS[reduction][1] and (reduction == "set" or not narrow)


@TABLE.rule("scatter", when=_combines)
def _(x: ir.Value, indices: ir.Value, updates: ir.Value, *, axis: int, reduction: str) -> ir.Value:
    combine = None if reduction == "set" else REDUCTIONS[reduction][0]
    return emit("ScatterElements", x, indices64(indices), updates, axis=axis, reduction=combine)


@TABLE.rule("scatter_nd", when=_combines)
def _(x: ir.Value, indices: ir.Value, updates: ir.Value, *, reduction: str) -> ir.Value:
    combine = None if reduction == "set" else REDUCTIONS[reduction][0]
    return emit("ScatterND", x, indices64(indices, narrow=False), updates, reduction=combine)


@TABLE.rule("top_k", when=takes("TopK"))
def _(x: ir.Value, *, k: Dim, axis: int, largest: bool, sorted: bool) -> tuple[ir.Value, ...]:
    return tuple(emit_many("TopK", 2, x, vector([k]), axis=axis, largest=int(largest), sorted=int(sorted)))


def has_elements(node: Node) -> bool:
    """Whether the operand has elements, as far as is known."""
    return node.inputs[0] is not None and 0 not in node.inputs[0].shape


def _positions(node: Node) -> bool:
    return node.inputs[0] is not None and node.inputs[0].ndim > 0 and takes("NonZero")(node)


@TABLE.rule("nonzero", when=_positions)
def _(x: ir.Value, *, count: str) -> ir.Value:
    return emit("Transpose", emit("NonZero", x), perm=(1, 0))


def _sorted_natively(node: Node) -> bool:
    dtype = node.types[0].dtype
    return dtype in (DType.INT64, DType.INT8) or (dtype.is_floating and not has_elements(node))


@TABLE.rule("unique", when=_sorted_natively)
def _(x: ir.Value, *, count: str) -> tuple[ir.Value, ...]:
    values, _, inverse, counts = emit_many("Unique", 4, x, sorted=1)
    flat = TensorType(DType.INT64, (-1,))
    return values, reshaped(inverse, flat, type_of(x).shape), counts
