"""Lowering of reductions, running reductions, order and positions of extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kxchange.table import Table
from kxchange.types import DType
from kxchange_keras.lower_elementwise import widened
from kxchange_keras.lowering import count, dtype_of, operand_dims, size

Tensor = Any
Axes = tuple[int, ...] | None
ops: Any = keras.ops
lower = Table("keras")


def in_float32(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A function that computes 16-bit floats in float32 and rounds once, as the references do."""

    def run(x: Tensor, **attrs: Any) -> Tensor:
        dtype = dtype_of(x)
        if dtype not in (DType.FLOAT16, DType.BFLOAT16):
            return compute(x, **attrs)
        return ops.cast(compute(ops.cast(x, "float32"), **attrs), dtype.value)

    return run


def _over(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A reduction over no axes leaves the tensor."""

    def rule(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        if axis == () or not operand_dims():
            return _unreduced(compute, x)
        return compute(x, axis=axis, keepdims=keepdims)

    return rule


def _unreduced(compute: Callable[..., Tensor], x: Tensor) -> Tensor:
    return compute(ops.expand_dims(x, -1), axis=(-1,), keepdims=False)


def _wide_sum(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, **attrs: Any) -> Tensor:
        if dtype_of(x).is_bool:
            x = ops.cast(x, "int32")
        return compute(x, **attrs)

    return in_float32(widened(run))


lower.direct(all=_over(ops.all), any=_over(ops.any), mean=_over(in_float32(ops.mean)))
lower.direct(sum=_over(_wide_sum(ops.sum)), prod=_over(_wide_sum(ops.prod)))
lower.direct(logsumexp=_over(in_float32(ops.logsumexp)))


@lower.rule("var", when=lambda node: node.attrs["correction"] == 0)
def _(x: Tensor, *, axis: Axes, keepdims: bool, correction: float) -> Tensor:
    return _over(in_float32(ops.var))(x, axis=axis, keepdims=keepdims)


def _extreme(reduce: Callable[..., Tensor], logical: Callable[..., Tensor]) -> Callable[..., Tensor]:
    wide = widened(reduce)

    def compute(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        dtype = dtype_of(x)
        if dtype.is_bool:
            return logical(x, axis=axis, keepdims=keepdims)
        found = wide(x, axis=axis, keepdims=keepdims)
        if not dtype.is_floating:
            return found
        lost = ops.any(ops.isnan(x), axis=axis, keepdims=keepdims)
        return ops.where(lost, ops.full_like(found, np.nan), found)

    return _over(compute)


lower.direct(max=_extreme(ops.max, ops.any), min=_extreme(ops.min, ops.all))


def _cumulative(compute: Callable[..., Tensor], neutral: int) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: int, exclusive: bool, reverse: bool) -> Tensor:
        x = ops.flip(x, axis=axis) if reverse else x
        found = in_float32(widened(compute))(x, axis=axis)
        if exclusive:
            found = _shifted(found, axis % len(operand_dims()), neutral)
        return ops.flip(found, axis=axis) if reverse else found

    return rule


def _shifted(x: Tensor, axis: int, neutral: int) -> Tensor:
    """One place on, the neutral element in front."""
    before = (*(slice(None),) * axis, slice(0, -1))
    first = ops.full_like(ops.get_item(x, (*(slice(None),) * axis, slice(0, 1))), neutral)
    return ops.concatenate([first, ops.get_item(x, before)], axis=axis)


lower.direct(cumulative_sum=_cumulative(ops.cumsum, 0), cumulative_prod=_cumulative(ops.cumprod, 1))


WORDS = {16: "int16", 32: "int32", 64: "int64"}


def order_keys(x: Tensor) -> Tensor:
    """Integers in the order of the elements, NaN last, both zeros alike: what every backend can sort (X04-X06)."""
    dtype = dtype_of(x)
    if not dtype.is_floating:
        return ops.cast(x, "int32") if dtype.is_bool or dtype.bits < 32 else x
    words = WORDS[dtype.bits]
    greatest = np.full((1,) * max(len(x.shape), 1), np.iinfo(words).max, words)
    plain = ops.where(ops.equal(x, 0), ops.zeros_like(x), x)
    bits = ops.view(plain, dtype=words)
    keys = ops.where(ops.less(bits, 0), ops.bitwise_xor(bits, greatest), bits)
    keys = ops.where(ops.isnan(x), greatest, keys)
    return ops.cast(keys, "int32") if words == "int16" else keys


@lower.rule("argmax")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    return ops.argmax(order_keys(x), axis=axis, keepdims=keepdims)


@lower.rule("argmin")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    keys = order_keys(x)
    if dtype_of(x).is_floating:  # NaN wins here too
        least = np.full((1,) * len(x.shape), np.iinfo(dtype_of(keys).numpy).min, dtype_of(keys).numpy)
        keys = ops.where(ops.isnan(x), least, keys)
    return ops.argmin(keys, axis=axis, keepdims=keepdims)


def _is_sortable(node: Any) -> bool:
    x = node.inputs[0]
    return x is not None and x.ndim > 0


@lower.rule("argsort", when=_is_sortable)
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return ordered(x, axis, descending=descending)


def ordered(x: Tensor, axis: int, *, descending: bool) -> Tensor:
    """Positions along an axis in stable order; NaN is the largest."""
    keys = order_keys(x)
    if not descending:
        return ops.argsort(keys, axis=axis)
    # Turned twice, so that equal elements stay in their order.
    turned = ops.flip(ops.argsort(ops.flip(keys, axis=axis), axis=axis), axis=axis)
    last = ops.subtract(size(operand_dims()[axis]), 1)
    return ops.subtract(last, ops.cast(turned, "int32"))


@lower.rule("sort", when=_is_sortable)
def _(x: Tensor, *, axis: int, descending: bool) -> Tensor:
    return ops.take_along_axis(x, ordered(x, axis, descending=descending), axis=axis)


@lower.rule("top_k", when=_is_sortable)
def _(x: Tensor, *, k: Any, axis: int, largest: bool, sorted: bool) -> tuple[Tensor, Tensor]:
    rank = len(operand_dims())
    places = ordered(x, axis, descending=largest)
    places = ops.take(places, count(k), axis=axis % rank)
    return ops.take_along_axis(x, places, axis=axis), places


@lower.rule("searchsorted")
def _(sorted_sequence: Tensor, values: Tensor, *, side: str) -> Tensor:
    """How many elements stand before each value, counted: Keras's own takes neither rows nor NaN."""
    rank = len(operand_dims(1))
    keys, wanted = order_keys(sorted_sequence), ops.expand_dims(order_keys(values), -1)
    if len(operand_dims(0)) > 1:
        keys = ops.expand_dims(keys, -2)
    before = ops.less(keys, wanted) if side == "left" else ops.less_equal(keys, wanted)
    return ops.sum(ops.cast(before, "int64"), axis=rank)


def _running_extreme(wanted: str) -> Any:
    extreme = _extreme(ops.max, ops.any) if wanted == "max" else _extreme(ops.min, ops.all)

    def rule(x: Tensor, *, axis: int) -> Tensor:
        """The extreme of the elements up to each, by a table of all pairs."""
        shape, dtype = operand_dims(), dtype_of(x)
        axis %= len(shape)
        places = count(shape[axis])
        seen = ops.less_equal(ops.expand_dims(places, 0), ops.expand_dims(places, 1))
        for _ in range(len(shape) - axis - 1):
            seen = ops.expand_dims(seen, -1)
        whole = ops.cast(x, "int32") if dtype.is_bool else x
        edge = _edge(dtype_of(whole), wanted)
        pairs = ops.where(seen, ops.expand_dims(whole, axis), edge)
        found = extreme(pairs, axis=(axis + 1,), keepdims=False)
        return ops.cast(found, dtype.value)

    return rule


def _edge(dtype: DType, wanted: str) -> np.ndarray:
    """What loses against everything."""
    if dtype.is_floating:
        return np.asarray([-np.inf if wanted == "max" else np.inf]).astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    return np.asarray([limits.min if wanted == "max" else limits.max], dtype.numpy)


lower.direct(cumulative_max=_running_extreme("max"), cumulative_min=_running_extreme("min"))
