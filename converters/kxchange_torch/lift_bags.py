"""Embedding bags: rows of a table summed, averaged or compared over stretches of a list of indices."""

from __future__ import annotations

import math
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import Absent, lift
from kxchange_torch.lift_manipulation import broadcast
from kxchange_torch.lift_promotion import cast
from kxchange_torch.lift_slicing import cut

_UNREAD = Absent("only the first result of embedding_bag is lifted")


def bag_of_each(offsets: Value, count: Dim) -> Value:
    """The bag of every index: the last offset that is not after it."""
    places = ops.arange(start=0, stop=count, step=1, dtype=DType.INT64)
    found = ops.searchsorted(cast(offsets, DType.INT64), places, side="right")
    return ops.subtract(found, 1)


@lift.rule("aten._embedding_bag.default", "aten._embedding_bag_forward_only.default", "aten.embedding_bag.padding_idx")
def _(
    weight: Value,
    indices: Value,
    offsets: Value,
    _by_frequency: bool,
    mode: int,
    _sparse: bool,
    scales: Value | None,
    ends_with_length: bool,
    padding_index: int | None,
) -> tuple[Any, ...]:
    """Modes: 0 sum, 1 mean, 2 max. Empty bags are 0; the padding index counts for nothing."""
    if ends_with_length:
        offsets = cut(offsets, 0, 0, offsets.shape[0] - 1)
    bags, count = offsets.shape[0], indices.shape[0]
    rows = ops.embedding(weight, indices, padding_index=None)
    if scales is not None:
        rows = ops.multiply(rows, ops.expand_dims(cast(scales, rows.dtype), axis=(1,)))
    counted = ops.full(shape=(count, 1), value=True, dtype=DType.BOOL)
    if padding_index is not None and padding_index >= 0:
        counted = ops.expand_dims(ops.not_equal(indices, padding_index), axis=(1,))
    bag = ops.expand_dims(bag_of_each(offsets, count), axis=(1,))
    sizes = ops.scatter(
        _filled((bags, 1), 0, rows), bag, ops.astype(counted, dtype=rows.dtype), axis=0, reduction="add"
    )
    target = broadcast(bag, rows.shape)
    shape = (bags, weight.shape[1])
    if mode == 2:
        shown = ops.where(counted, rows, _filled((), -math.inf, rows))
        largest = ops.scatter(_filled(shape, -math.inf, rows), target, shown, axis=0, reduction="max")
        return ops.where(ops.greater(sizes, 0), largest, _filled((), 0, rows)), _UNREAD, _UNREAD, _UNREAD
    shown = ops.where(counted, rows, _filled((), 0, rows))
    total = ops.scatter(_filled(shape, 0, rows), target, shown, axis=0, reduction="add")
    result = total if mode == 0 else ops.divide(total, ops.maximum(sizes, 1))
    return result, _UNREAD, _UNREAD, _UNREAD


def _filled(shape: tuple[Dim, ...], value: float, like: Value) -> Value:
    return ops.full(shape=shape, value=value, dtype=like.dtype)
