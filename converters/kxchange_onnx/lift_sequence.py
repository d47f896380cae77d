"""Sequences and optionals: resolved while the model is read, so that only tensors are left."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import normalize_axis
from kxchange.types import DType
from kxchange_onnx.lift import EMPTY, Empty, Growing, Items, Rows, lift, refuse
from kxchange_onnx.lift_shape import joined
from kxchange_onnx.operands_in import content, dims, size_value


@lift.rule("SequenceConstruct")
def _(*xs: Value) -> Items:
    return Items(tuple(xs))


@lift.rule("SequenceEmpty")
def _(*, dtype: int | None) -> Items:
    return Items(())


@lift.rule("SequenceLength")
def _(items: Any) -> Value:
    if isinstance(items, Rows):
        return size_value(items.value.shape[0])
    return size_value(len(_items(items).values))


def _items(items: Any) -> Items:
    if isinstance(items, Growing | Rows):
        return refuse("it takes a sequence apart whose length is that of a loop, and only a run can tell it")
    return items if isinstance(items, Items) else refuse("it takes a sequence, and its input is none")


def _position(place: Value | None, default: int, size: int) -> int:
    """A position counted from the front."""
    if place is None:
        return default
    known = content(place)
    if known is None or known.dtype == object:
        return refuse("its position in the sequence is computed from data")
    index = int(known.reshape(()))
    index = index + size if index < 0 else index
    return index if 0 <= index < max(size, default + 1) else refuse(f"its position {index} is outside of {size} items")


@lift.rule("SequenceAt")
def _(items: Items, place: Value) -> Any:
    values = _items(items).values
    return values[_position(place, len(values) - 1, len(values))]


@lift.rule("SequenceErase")
def _(items: Items, place: Value | None) -> Items:
    values = _items(items).values
    index = _position(place, len(values) - 1, len(values))
    return Items(values[:index] + values[index + 1 :])


@lift.rule("SequenceInsert")
def _(items: Any, x: Value, place: Value | None) -> Any:
    if isinstance(items, Growing) and items.added is None and place is None:
        return Growing(x)
    values = _items(items).values
    index = _position(place, len(values), len(values))
    return Items((*values[:index], x, *values[index:]))


@lift.rule("ConcatFromSequence")
def _(items: Any, *, axis: int, new_axis: int) -> Value:
    if isinstance(items, Rows):
        return _rows_joined(items.value, axis, bool(new_axis))
    values = _items(items).values
    if not values:
        return refuse("the sequence is empty, so the result has no type")
    return ops.stack(*values, axis=axis) if new_axis else joined(values, axis)


def _rows_joined(rows: Value, axis: int, new_axis: bool) -> Value:
    """The items of a loop one after the other along `axis`, or along a new one."""
    position = normalize_axis(axis, rows.ndim if new_axis else rows.ndim - 1)
    order = [*range(1, position + 1), 0, *range(position + 1, rows.ndim)]
    moved = ops.permute_dims(rows, axes=tuple(order)) if position else rows
    if new_axis:
        return moved
    shape = moved.shape
    return ops.reshape(moved, shape=(*shape[:position], shape[position] * shape[position + 1], *shape[position + 2 :]))


@lift.rule("SplitToSequence")
def _(x: Value, split: Value | None, *, axis: int, keepdims: int) -> Items:
    position = normalize_axis(axis, x.ndim)
    size = x.shape[position]
    if not isinstance(size, int):
        return refuse(f"how many items there are follows from the size {size}, which must be known")
    if split is None:
        sizes: tuple[Any, ...] = (1,) * size
    else:
        sizes = dims(split, "split")
        if split.ndim == 0:
            step = sizes[0]
            sizes = tuple(min(step, size - start) for start in range(0, size, step))
    items = ops.split(x, sizes=sizes, axis=position) if len(sizes) > 1 else (x,)
    if split is None and not keepdims:
        items = tuple(ops.squeeze(item, axis=(position,)) for item in items)
    return Items(tuple(items))


@lift.rule("Optional")
def _(x: Any, *, type: Any) -> Any:  # noqa: A002
    return EMPTY if x is None else x


@lift.rule("OptionalHasElement")
def _(x: Any) -> Value:
    return ops.full(shape=(), value=not (x is None or isinstance(x, Empty)), dtype=DType.BOOL)


@lift.rule("OptionalGetElement")
def _(x: Any) -> Any:
    return refuse("the optional is empty") if isinstance(x, Empty) else x
