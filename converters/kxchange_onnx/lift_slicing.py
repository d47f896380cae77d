"""Parts of tensors, and borders around them: Slice, Pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.ops.slicing import python_slice
from kxchange.shapes import normalize_axes
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.operands_in import content, dims, known, optional_ints, scalar


@lift.rule("Slice")
def _(x: Value, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None) -> Value:
    return sliced(x, tuple(starts), tuple(ends), axes, None)


@lift.rule("Slice", since=10)
def _(x: Value, starts: Value, ends: Value, axes: Value | None, steps: Value | None) -> Value:
    chosen, strides = optional_ints(axes, "axes"), optional_ints(steps, "steps")
    if content(starts) is None or content(ends) is None:
        return _moving_slice(x, starts, ends, chosen, strides)
    return sliced(x, dims(starts, "starts"), dims(ends, "ends"), chosen, strides)


def sliced(
    x: Value,
    starts: tuple[Dim, ...],
    ends: tuple[Dim, ...],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> Value:
    """X cut by Python's rules on the given axes, the leading ones where none are given."""
    positions = normalize_axes(range(len(starts)) if axes is None else axes, x.ndim)
    strides = steps or (1,) * len(starts)
    cuts = zip(positions, starts, ends, strides, strict=True)
    if all(_is_reversal(x.shape[axis], start, end, step) for axis, start, end, step in cuts):
        return ops.flip(x, axis=tuple(sorted(positions))) if positions else x
    limits: list[Any] = [None] * x.ndim
    for axis, start, end, step in zip(positions, starts, ends, strides, strict=True):
        limits[axis] = (_start(start, x.shape[axis], step), _end(end, x.shape[axis], step), step)
    return python_slice(x, *limits)


def _is_reversal(size: Dim, start: Dim, end: Dim, step: int) -> bool:
    """Whether a cut takes a whole axis from its end on."""
    return step == -1 and start in (-1, size - 1) and _end(end, size, step) is None


def _start(start: Dim, size: Dim, step: int) -> Dim | None:
    return None if start == (0 if step > 0 else size - 1) else start


def _end(end: Dim, size: Dim, step: int) -> Dim | None:
    """Open where the limit is the end of the axis or beyond it; the least integers mean the beginning."""
    if step > 0:
        return None if end == size or (isinstance(end, int) and end >= 2**31 - 1) else end
    return None if isinstance(end, int) and (end <= -(2**31) or (isinstance(size, int) and end < -size)) else end


def _moving_slice(
    x: Value, starts: Value, ends: Value, axes: Sequence[int] | None, steps: Sequence[int] | None
) -> Value:
    """A window of known length that starts where the data say: ``x[:, i : i + 5]``."""
    count = starts.shape[0]
    lengths = _gap(starts, ends)
    if lengths is None or not isinstance(count, int) or any(step != 1 for step in steps or ()):
        known(starts, "starts")
        known(ends, "ends")
        return refuse("its length is computed from data")
    positions = normalize_axes(range(count) if axes is None else axes, x.ndim)
    sizes, zero = list(x.shape), ops.full(shape=(), value=0, dtype=starts.dtype)
    places = [zero] * x.ndim
    for index, axis in enumerate(positions):
        start = ops.reshape(ops.slice(starts, starts=(index,), stops=(index + 1,), steps=(1,), axes=(0,)), shape=())
        places[axis] = ops.where(ops.less(start, 0), ops.add(start, x.shape[axis]), start)
        length = lengths.reshape(-1)[index]
        sizes[axis] = length if isinstance(length, DimExpr) else int(length)
    return ops.dynamic_slice(x, *places, sizes=tuple(sizes))


ARRANGING = frozenset({"reshape", "expand_dims", "squeeze"})


def _gap(starts: Value, ends: Value) -> Any:
    """``ends - starts`` where it is known although they are not: ``i`` and ``i + 5``, whatever their shapes."""
    found = content(ops.subtract(ends, starts))
    if found is not None or starts.shape != (1,):
        return found
    first, last = _bare(starts), _bare(ends)
    if last.node.op != "add":
        return None
    for one, other in (last.node.inputs, reversed(last.node.inputs)):
        if one is not None and other is not None and _bare(one) == first:
            return content(other)
    return None


def _bare(value: Value) -> Value:
    """The value behind changes of shape only."""
    while value.node.op in ARRANGING and value.node.inputs[0] is not None:
        value = value.node.inputs[0]
    return value


MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@lift.rule("Pad")
def _(x: Value, *, paddings: Sequence[int], mode: str, value: float) -> Value:
    return padded(x, tuple(paddings), mode, value)


@lift.rule("Pad", since=2)
def _(x: Value, *, pads: Sequence[int], mode: str, value: float) -> Value:
    return padded(x, tuple(pads), mode, value)


@lift.rule("Pad", since=11)
def _(x: Value, pads: Value, value: Value | None, *, mode: str) -> Value:
    return padded(x, dims(pads, "pads"), mode, _filler(value, x))


@lift.rule("Pad", since=18)
def _(x: Value, pads: Value, value: Value | None, axes: Value | None, *, mode: str) -> Value:
    amounts = dims(pads, "pads")
    chosen = optional_ints(axes, "axes")
    if chosen is not None:
        whole: list[Dim] = [0] * (2 * x.ndim)
        for index, axis in enumerate(normalize_axes(chosen, x.ndim)):
            whole[axis], whole[x.ndim + axis] = amounts[index], amounts[len(chosen) + index]
        amounts = tuple(whole)
    return padded(x, amounts, mode, _filler(value, x))


def _filler(value: Value | None, x: Value) -> Any:
    if value is None:
        return False if x.dtype.is_bool else 0
    if content(value) is None:
        return value
    return scalar(value, "constant value")


def padded(x: Value, amounts: tuple[Dim, ...], mode: str, value: Any) -> Value:
    """X with borders; negative amounts cut."""
    if mode not in MODES or len(amounts) != 2 * x.ndim:
        return refuse(f"its mode is {mode!r} and it has {len(amounts)} amounts for {x.ndim} axes")
    pairs = list(zip(amounts[: x.ndim], amounts[x.ndim :], strict=True))
    if any(isinstance(amount, int) and amount < 0 for amount in amounts):
        x = _cut(x, pairs)
        pairs = [(_grown(before), _grown(after)) for before, after in pairs]
    if all(pair == (0, 0) for pair in pairs):
        return x
    if isinstance(value, Value):
        return _padded_with(x, tuple(pairs), value)
    return ops.pad(x, padding=tuple(pairs), mode=MODES[mode], value=value)


def _grown(amount: Dim) -> Dim:
    return max(amount, 0) if isinstance(amount, int) else amount


def _cut(x: Value, pairs: Sequence[tuple[Dim, Dim]]) -> Value:
    limits: list[Any] = []
    for before, after in pairs:
        start = -before if isinstance(before, int) and before < 0 else None
        stop = after if isinstance(after, int) and after < 0 else None
        limits.append((start, stop, 1))
    return python_slice(x, *limits)


def _padded_with(x: Value, pairs: tuple[tuple[Dim, Dim], ...], value: Value) -> Value:
    """Borders of a number that is computed: where the padded mask of x is false."""
    inside = ops.pad(ops.full(shape=x.shape, value=True, dtype=DType.BOOL), padding=pairs, value=False)
    filler = ops.reshape(value, shape=()) if value.ndim else value
    return ops.where(inside, ops.pad(x, padding=pairs, value=False if x.dtype.is_bool else 0), filler)
