"""Layers that take several tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, leaf_masks
from kxchange_keras.registry import layer

Combine = Callable[[Value, Value], Value]


def aligned(xs: list[Value]) -> list[Value]:
    """Tensors of one rank: Keras adds axes behind the batch."""
    rank = max(x.ndim for x in xs)
    return [ops.expand_dims(x, axis=tuple(range(1, 1 + rank - x.ndim))) if x.ndim < rank else x for x in xs]


def _joined_mask(call: Call) -> Value | None:
    """Steps that count in any input (Keras 3), in every one (before)."""
    found = leaf_masks(call)
    if call.dialect >= 3:
        return None if not found or any(m is None for m in found) else reduce(ops.logical_or, found)
    present = [m for m in found if m is not None]
    return reduce(ops.logical_and, present) if present else None


def merge(*names: str, masked: bool = False) -> Callable[[Combine], Combine]:
    """Register a merging layer that combines tensors two by two."""

    def register(combine: Combine) -> Combine:
        def rule(call: Call, xs: list[Value]) -> Value:
            if masked and call.dialect >= 3 and any(m is not None for m in leaf_masks(call)):
                return _combined_with_masks(combine, aligned(xs), leaf_masks(call))
            return reduce(combine, aligned(xs))

        layer(*names, mask=_joined_mask)(rule)
        return combine

    return register


def _combined_with_masks(combine: Combine, xs: list[Value], masks: list[Value | None]) -> Value:
    """A step that does not count in one tensor takes the other's."""
    output, covers = xs[0], _spread(masks[0], xs[0])
    for x, mask in zip(xs[1:], masks[1:], strict=True):
        wide = _spread(mask, x)
        x = x if wide is None else ops.where(wide, x, output)
        output = output if covers is None else ops.where(covers, output, x)
        covers = ops.logical_or(covers, wide) if covers is not None and wide is not None else None
        output = combine(output, x)
    return output


def _spread(mask: Value | None, x: Value) -> Value | None:
    return None if mask is None else ops.broadcast_to(ops.expand_dims(mask, axis=(mask.ndim,)), shape=x.shape)


merge("Add")(ops.add)
merge("Multiply")(ops.multiply)
merge("Subtract")(ops.subtract)
merge("Maximum", masked=True)(ops.maximum)
merge("Minimum", masked=True)(ops.minimum)


@layer("Average", mask=_joined_mask)
def _(call: Call, xs: list[Value]) -> Value:
    return ops.divide(reduce(ops.add, aligned(xs)), float(len(xs)))


def _concatenated_mask(call: Call) -> Value | None:
    found = leaf_masks(call)
    if not found or all(m is None for m in found):
        return None
    xs = [traced.value for traced in call.args[0]]
    parts = [_full_mask(m, x) for m, x in zip(found, xs, strict=True)]
    joined = ops.concat(*parts, axis=int(call.option("axis", call.option("concat_axis", -1))))
    return (ops.any if call.dialect >= 3 else ops.all)(joined, axis=(-1,))


def _full_mask(mask: Value | None, x: Value) -> Value:
    if mask is None:
        return ops.full(shape=x.shape, value=True, dtype=DType.BOOL)
    while mask.ndim < x.ndim:  # pyright: ignore[reportOptionalMemberAccess]
        mask = ops.expand_dims(mask, axis=(mask.ndim,))
    return ops.broadcast_to(mask, shape=x.shape)


@layer("Concatenate", mask=_concatenated_mask)
def _(call: Call, xs: list[Value]) -> Value:
    return ops.concat(*xs, axis=int(call.option("axis", -1)))


@layer("Dot")
def _(call: Call, xs: list[Value]) -> Value:
    x, y = xs
    stated = call.option("axes", call.option("dot_axes", -1))
    first, second = (stated, stated) if isinstance(stated, int) else (int(a) for a in stated)
    first, second = first % x.ndim, second % y.ndim
    if call.option("normalize", False):
        x, y = _normalized(call, x, first), _normalized(call, y, second)
    return batch_dot(x, y, first, second)


def _normalized(call: Call, x: Value, axis: int) -> Value:
    if call.dialect >= 3:
        return ops.l2_normalize(x, axis=(axis,), epsilon=1e-12)
    power = ops.maximum(ops.sum(ops.square(x), axis=(axis,), keepdims=True), 1e-12)
    return ops.multiply(x, ops.rsqrt(power))


def batch_dot(x: Value, y: Value, first: int, second: int) -> Value:
    """Sum of products over one axis of each, for each element of the batch; [batch, 1] where nothing else is left."""
    left = ["b", *"cdefghijk"[: x.ndim - 1]]
    right = ["b", *"mnopqrstu"[: y.ndim - 1]]
    left[first] = right[second] = "z"
    output = [a for a in left if a != "z"] + [a for a in right[1:] if a != "z"]
    found = ops.einsum(x, y, equation=f"{''.join(left)},{''.join(right)}->{''.join(output)}")
    return ops.expand_dims(found, axis=(1,)) if found.ndim == 1 else found


KERAS1_MERGES: dict[str, Combine] = {
    "sum": ops.add,
    "mul": ops.multiply,
    "max": ops.maximum,
    "ave": ops.add,
}


@layer("Merge", mask=_joined_mask)
def _(call: Call, xs: list[Value]) -> Any:
    """Keras 1's one layer for all of them."""
    mode = call.option("mode", "sum")
    if mode == "concat":
        return ops.concat(*xs, axis=int(call.option("concat_axis", -1)))
    if mode not in KERAS1_MERGES:
        call.refuse(f"its mode {str(mode)[:40]!r} has no rule")
    merged = reduce(KERAS1_MERGES[mode], aligned(xs))
    return ops.divide(merged, float(len(xs))) if mode == "ave" else merged
