"""`keras.ops` by class of operation: moving, joining, indexing."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.shapes import product
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.lift_core import spelled_out
from kxchange_keras.promotion import axes_of, dtype_named, floats_of, promoted, value_of
from kxchange_keras.registry import operation


def sizes_of(call: Call, shape: Any) -> tuple[Dim, ...]:
    """A stated shape; a size that Keras could not know is a blocker."""
    listed = [shape] if isinstance(shape, int | DimExpr) else list(shape)
    if not all(isinstance(size, int | DimExpr) for size in listed):
        call.refuse(f"its shape {listed} has an unknown size")
    return tuple(listed)


@operation("Reshape")
def _(call: Call, x: Any) -> Value:
    return ops.reshape(value_of(call, x), shape=sizes_of(call, call.option("newshape")))


@operation("Ravel")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return ops.reshape(value, shape=(product(value.shape),))


@operation("Transpose")
def _(call: Call, x: Any) -> Value:
    value, axes = value_of(call, x), call.option("axes", None)
    return ops.permute_dims(
        value, axes=axes_of(axes, value.ndim) if axes is not None else tuple(range(value.ndim))[::-1]
    )


@operation("Swapaxes")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    first, second = (int(call.option(name)) % value.ndim for name in ("axis1", "axis2"))
    order = list(range(value.ndim))
    order[first], order[second] = second, first
    return ops.permute_dims(value, axes=tuple(order))


@operation("Moveaxis")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    sources, targets = (axes_of(call.option(name), value.ndim) for name in ("source", "destination"))
    order = [axis for axis in range(value.ndim) if axis not in sources]
    for target, source in sorted(zip(targets, sources, strict=True)):
        order.insert(target, source)
    return ops.permute_dims(value, axes=tuple(order))


@operation("ExpandDims")
def _(call: Call, x: Any) -> Value:
    axis = call.option("axis")
    return ops.expand_dims(value_of(call, x), axis=tuple(axis) if isinstance(axis, list | tuple) else (int(axis),))


@operation("Squeeze")
def _(call: Call, x: Any) -> Value:
    value, axis = value_of(call, x), call.option("axis", None)
    ones = tuple(i for i, size in enumerate(value.shape) if size == 1)
    return ops.squeeze(value, axis=ones if axis is None else axes_of(axis, value.ndim))


@operation("BroadcastTo")
def _(call: Call, x: Any) -> Value:
    return ops.broadcast_to(value_of(call, x), shape=sizes_of(call, call.option("shape")))


def _list(call: Call, xs: Any) -> list[Value]:
    items = [value_of(call, x) for x in (xs if isinstance(xs, list | tuple) else [xs])]
    return promoted(call, *items)


@operation("Concatenate")
def _(call: Call, xs: Any) -> Value:
    return ops.concat(*_list(call, xs), axis=int(call.option("axis", 0)))


@operation("Stack")
def _(call: Call, x: Any) -> Value:
    return ops.stack(*_list(call, x), axis=int(call.option("axis", 0)))


@operation("Append")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    axis = call.option("axis", None)
    if axis is None:
        first, second = (ops.reshape(x, shape=(product(x.shape),)) for x in (first, second))
    return ops.concat(first, second, axis=0 if axis is None else int(axis))


@operation("Hstack", "Vstack", "Dstack")
def _(call: Call, xs: Any) -> Value:
    rank = {"Hstack": 1, "Vstack": 2, "Dstack": 3}[call.config.class_name]
    items = _list(call, xs)
    if rank == 1:
        return ops.concat(*items, axis=1 if items[0].ndim > 1 else 0)
    items = [ops.expand_dims(x, axis=(0,)) if x.ndim < 2 else x for x in items]
    if rank == 3:
        items = [ops.expand_dims(x, axis=(2,)) if x.ndim < 3 else x for x in items]
    return ops.concat(*items, axis=rank - 2 if rank == 2 else 2)


@operation("Split", "ArraySplit", "Hsplit", "Vsplit", "Dsplit")
def _(call: Call, x: Any) -> tuple[Value, ...]:
    value, parts = value_of(call, x), call.option("indices_or_sections")
    fixed = {"Hsplit": 1 if value.ndim > 1 else 0, "Vsplit": 0, "Dsplit": 2}.get(call.config.class_name)
    axis = (int(call.option("axis", 0)) if fixed is None else fixed) % value.ndim
    size = value.shape[axis]
    if isinstance(parts, int):
        if call.config.class_name == "ArraySplit" and isinstance(size, int):
            sizes: list[Dim] = [size // parts + (i < size % parts) for i in range(parts)]
        else:
            sizes = [size // parts] * parts
    else:
        edges = [0, *(int(i) for i in parts), size]
        sizes = [stop - start for start, stop in zip(edges, edges[1:], strict=False)]
    found = ops.split(value, sizes=tuple(sizes), axis=axis)
    return found if isinstance(found, tuple) else (found,)


@operation("Unstack")
def _(call: Call, x: Any) -> tuple[Value, ...]:
    value = value_of(call, x)
    axis = int(call.option("axis", 0)) % value.ndim
    count = call.option("num", None) or value.shape[axis]
    if not isinstance(count, int):
        call.refuse("it unstacks an axis of unknown size")
    found = ops.split(value, sizes=(1,) * count, axis=axis)
    return tuple(ops.squeeze(part, axis=(axis,)) for part in (found if isinstance(found, tuple) else (found,)))


@operation("Flip", "Fliplr", "Flipud")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    axis = {"Fliplr": 1, "Flipud": 0}.get(call.config.class_name, call.option("axis", None))
    return ops.flip(value, axis=axes_of(axis, value.ndim))


@operation("Roll")
def _(call: Call, x: Any) -> Value:
    value, axis, shift = value_of(call, x), call.option("axis", None), call.option("shift")
    if axis is None:
        flat = ops.reshape(value, shape=(product(value.shape),))
        return ops.reshape(ops.roll(flat, shifts=(int(shift),), axis=(0,)), shape=value.shape)
    axes = axes_of(axis, value.ndim)
    shifts = tuple(shift) if isinstance(shift, list | tuple) else (int(shift),) * len(axes)
    return ops.roll(value, shifts=shifts, axis=axes)


@operation("Tile")
def _(call: Call, x: Any) -> Value:
    value, counts = value_of(call, x), call.option("repeats")
    counts = [counts] if isinstance(counts, int) else list(counts)
    counts = [1] * (value.ndim - len(counts)) + counts
    if len(counts) > value.ndim:
        value = ops.expand_dims(value, axis=tuple(range(len(counts) - value.ndim)))
    return ops.tile(value, repetitions=tuple(counts))


@operation("Repeat")
def _(call: Call, x: Any) -> Value:
    value, axis, count = value_of(call, x), call.option("axis", None), call.option("repeats")
    if isinstance(count, list | tuple) and len(count) == 1:
        count = count[0]
    if not isinstance(count, int):
        call.refuse("it repeats elements a different number of times")
    if axis is None:
        value, axis = ops.reshape(value, shape=(product(value.shape),)), 0
    return ops.repeat(value, repeats=count, axis=int(axis))


@operation("Pad")
def _(call: Call, x: Any, constant_values: Any = None) -> Value:
    value, width, mode = value_of(call, x), call.option("pad_width"), str(call.option("mode", "constant"))
    if isinstance(width, int):
        pairs = ((width, width),) * value.ndim
    else:
        listed = [tuple(pair) if isinstance(pair, list | tuple) else (pair, pair) for pair in width]
        pairs = tuple(listed * value.ndim if len(listed) == 1 else listed)
    return ops.pad(value, padding=pairs, mode=mode, value=float(constant_values or 0))


@operation("Tril", "Triu")
def _(call: Call, x: Any) -> Value:
    return (ops.tril if call.config.class_name == "Tril" else ops.triu)(value_of(call, x), k=int(call.option("k", 0)))


@operation("OnesLike", "ZerosLike", "EmptyLike")
def _(call: Call, x: Any, dtype: Any = None) -> Value:
    value, stated = value_of(call, x), dtype or call.option("dtype", None)
    wanted = value.dtype if stated is None else dtype_named(call, stated)
    number = 1 if call.config.class_name == "OnesLike" else 0
    return ops.full(shape=value.shape, value=_plain(number, wanted), dtype=wanted)


def _plain(number: Any, dtype: DType) -> Any:
    return float(number) if dtype.is_floating else bool(number) if dtype is DType.BOOL else int(number)


@operation("FullLike")
def _(call: Call, x: Any, fill_value: Any) -> Value:
    value, stated = value_of(call, x), call.option("dtype", None)
    wanted = value.dtype if stated is None else dtype_named(call, stated)
    return ops.broadcast_to(cast(value_of(call, fill_value), wanted), shape=value.shape)


@operation("Full")
def _(call: Call, fill_value: Any) -> Value:
    stated, value = call.option("dtype", None), value_of(call, fill_value)
    value = value if stated is None else cast(value, dtype_named(call, stated))
    return ops.broadcast_to(value, shape=sizes_of(call, call.option("shape")))


@operation("Arange")
def _(call: Call, start: Any, stop: Any = None, step: Any = None) -> Value:
    first, last = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    if not all(isinstance(number, int | float | DimExpr) for number in (first, last, step)):
        call.refuse("its limits are tensors")
    stated = call.option("dtype", None)
    kind = floats_of(call) if any(isinstance(number, float) for number in (first, last, step)) else DType.INT32
    return ops.arange(start=first, stop=last, step=step, dtype=kind if stated is None else dtype_named(call, stated))


@operation("Matmul", "Dot")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    if first.ndim == 0 or second.ndim == 0:
        return ops.multiply(first, second)
    if call.config.class_name == "Dot" and second.ndim > 2:
        letters, others = "abcdefg"[: first.ndim - 1], "hijklmn"[: second.ndim - 2]
        return ops.einsum(first, second, equation=f"{letters}z,{others}zy->{letters}{others}y")
    return ops.matmul(first, second)


@operation("Einsum")
def _(call: Call, *operands: Any, **ignored: Any) -> Value:
    values = promoted(call, *(value_of(call, operand) for operand in operands))
    return ops.einsum(*values, equation=spelled_out(str(call.option("subscripts")), [value.ndim for value in values]))


@operation("Tensordot")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    axes = call.option("axes", 2)
    if isinstance(axes, int):
        left, right = tuple(range(first.ndim - axes, first.ndim)), tuple(range(axes))
    else:
        left, right = axes_of(axes[0], first.ndim), axes_of(axes[1], second.ndim)
    names = list("abcdefghijklm"[: first.ndim])
    others = list("nopqrstuvwxyz"[: second.ndim])
    for one, other in zip(left, right, strict=True):
        others[other] = names[one]
    output = [n for i, n in enumerate(names) if i not in left] + [n for i, n in enumerate(others) if i not in right]
    return ops.einsum(first, second, equation=f"{''.join(names)},{''.join(others)}->{''.join(output)}")


@operation("Outer")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    flat = [ops.reshape(x, shape=(product(x.shape),)) for x in (first, second)]
    return ops.multiply(ops.expand_dims(flat[0], axis=(1,)), flat[1])


@operation("Sort")
def _(call: Call, x: Any) -> Value:
    return ops.sort(value_of(call, x), axis=int(call.option("axis", -1)))


@operation("Argsort")
def _(call: Call, x: Any) -> Value:
    return cast(ops.argsort(value_of(call, x), axis=int(call.option("axis", -1))), DType.INT32)


@operation("TopK")
def _(call: Call, x: Any) -> tuple[Value, Value]:
    values, places = ops.top_k(value_of(call, x), k=int(call.option("k")), axis=-1)
    return values, cast(places, DType.INT32)


@operation("SearchSorted")
def _(call: Call, sorted_sequence: Any, values: Any) -> Value:
    first, second = promoted(call, value_of(call, sorted_sequence), value_of(call, values))
    return cast(ops.searchsorted(first, second, side=str(call.option("side", "left"))), DType.INT32)


@operation("Digitize")
def _(call: Call, x: Any, bins: Any) -> Value:
    edges = value_of(call, np.asarray(bins, dtype=np.float32) if isinstance(bins, list) else bins)
    first, second = promoted(call, edges, value_of(call, x))
    return cast(ops.searchsorted(first, second, side="right"), DType.INT32)


@operation("OneHot")
def _(call: Call, x: Any) -> Value:
    stated = call.option("dtype", None)
    dtype = floats_of(call) if stated is None else dtype_named(call, stated)
    value = value_of(call, x)
    value = value if value.dtype.is_integer else ops.astype(value, dtype=DType.INT32)
    return ops.one_hot(value, depth=int(call.option("num_classes")), axis=int(call.option("axis", -1)), dtype=dtype)


def diagonal_of(call: Call, x: Value, first: int, second: int, offset: int) -> Value:
    """The diagonal between two axes, last."""
    rows, columns = x.shape[first], x.shape[second]
    if offset == 0 and rows == columns:
        letters = list("abcdefghijklmnop"[: x.ndim])
        letters[second] = letters[first]
        rest = [letter for i, letter in enumerate(letters) if i not in (first, second)]
        return ops.einsum(x, equation=f"{''.join(letters)}->{''.join(rest)}{letters[first]}")
    if not (isinstance(rows, int) and isinstance(columns, int)):
        call.refuse("it takes a diagonal beside the main one of a matrix of unknown size")
    others = [axis for axis in range(x.ndim) if axis not in (first, second)]
    moved = ops.permute_dims(x, axes=(*others, first, second))
    flat = ops.reshape(moved, shape=(*moved.shape[:-2], rows * columns))
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    start = offset if offset >= 0 else -offset * columns
    stop = start + (length - 1) * (columns + 1) + 1 if length else start
    return ops.slice(flat, starts=(start,), stops=(stop,), steps=(columns + 1,), axes=(flat.ndim - 1,))
