"""Lifting of the scatter primitives: as `scatter_nd` over whole rows, or over the flat tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import elements_of, index_range, lift, refuse
from kxchange_jax.positions_in import Window, index_columns, spread

REDUCTIONS = {
    "scatter": "set",
    "scatter-add": "add",
    "scatter-mul": "multiply",
    "scatter-min": "min",
    "scatter-max": "max",
}


def _scatter(reduction: str) -> Callable[..., Value]:
    def rule(
        x: Value, indices: Value, updates: Value, *, dimension_numbers: Any, mode: Any, update_jaxpr: Any, **_: Any
    ) -> Value:
        if reduction == "set" and update_jaxpr is not None and len(getattr(update_jaxpr, "eqns", ())) > 0:
            refuse("a scatter that combines with a function of its own has no op. Use add, multiply, min or max")
        call = Scatter(x, indices, updates, dimension_numbers, mode.name, reduction)
        rows = call.by_rows()
        return call.flat() if rows is None else rows

    return rule


for _primitive, _reduction in REDUCTIONS.items():
    lift.rule(_primitive)(_scatter(_reduction))


@lift.rule("scatter-sub")
def _(x: Value, indices: Value, updates: Value, **params: Any) -> Value:
    return _scatter("add")(x, indices, ops.negative(updates), **params)


class Scatter:
    """One call of a scatter, in plain terms.

    Attributes:
        x: What is written to.
        indices: [*batch, entries of a tuple].
        updates: What is written.
        mode: Whether a window beyond the tensor is dropped (`FILL_OR_DROP`), moved inside (`CLIP`) or known not to be.
        reduction: How it is combined with what is there.
    """

    def __init__(self, x: Value, indices: Value, updates: Value, numbers: Any, mode: str, reduction: str) -> None:
        self.x = x
        self.indices = indices
        self.updates = updates
        self.mode = mode if mode == "CLIP" else "FILL_OR_DROP"  # so does XLA where what was promised does not hold
        self.reduction = reduction
        self.window_axes = tuple(map(int, numbers.update_window_dims))
        self.indexed = tuple(map(int, numbers.scatter_dims_to_operand_dims))
        batching = (numbers.operand_batching_dims, numbers.scatter_indices_batching_dims)
        self.batched = tuple(zip(*batching, strict=True))
        self.inserted = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
        self.batch_axes = [axis for axis in range(updates.ndim) if axis not in self.window_axes]
        if self._is_inside():
            self.mode = "PROMISE_IN_BOUNDS"

    def _is_inside(self) -> bool:
        """Whether the indices are known numbers, and every window lies inside the tensor."""
        places = elements_of(self.indices)
        if not places or self.batched or not all(isinstance(place, int) for place in places):
            return False
        width = len(self.indexed)
        kept = [axis for axis in range(self.x.ndim) if axis not in self.inserted]
        sizes = {axis: self.updates.shape[place] for axis, place in zip(kept, self.window_axes, strict=True)}
        rooms = [self.x.shape[axis] - sizes.get(axis, 1) for axis in self.indexed]
        return all(
            isinstance(room, int) and 0 <= place <= room
            for column, room in enumerate(rooms)
            for place in places[column::width]
        )

    def by_rows(self) -> Value | None:
        """Whole rows written at index tuples for the leading axes; None where it is not that."""
        width = len(self.indexed)
        leading = self.indexed == tuple(range(width)) and self.inserted == set(range(width)) and width
        rest = tuple(self.x.shape[width:])
        if not leading or self.batched or self.batch_axes != list(range(self.indices.ndim - 1)):
            return None
        if tuple(self.updates.shape[self.updates.ndim - len(rest) :]) != rest:
            return None
        if self.mode == "PROMISE_IN_BOUNDS":
            return ops.scatter_nd(self.x, self.indices, self.updates, reduction=self.reduction)
        columns = index_columns(self.indices)
        if self.mode == "CLIP":
            columns = [ops.clip(c, 0, size - 1) for c, size in zip(columns, self.x.shape, strict=False)]
            return ops.scatter_nd(self.x, ops.stack(*columns, axis=-1), self.updates, reduction=self.reduction)
        return self._with_spare_row(columns)

    def _with_spare_row(self, columns: list[Value]) -> Value:
        """One row more, which takes what is out of range and is cut off again."""
        inside = Window(
            tuple(self.x.shape[: len(columns)]),
            (1,) * len(columns),
            tuple(columns[0].shape),
            tuple(columns),
            (None,) * len(columns),
        ).inside()
        if inside is None:
            refuse("a scatter without indices has nothing to write")
        size = self.x.shape[0]
        first, *others = columns
        row = ops.full(shape=(), value=size, dtype=DType.INT64)
        kept = [ops.where(inside, first, row), *(ops.where(inside, column, 0) for column in others)]
        return self._cut(self.x, size, ops.stack(*kept, axis=-1), self.updates)

    def _cut(self, x: Value, size: Dim, indices: Value, updates: Value) -> Value:
        padding = ((0, 1), *((0, 0) for _ in range(x.ndim - 1)))
        written = ops.scatter_nd(ops.pad(x, padding=padding, value=0), indices, updates, reduction=self.reduction)
        return ops.slice(written, starts=(0,), stops=(size,), steps=(1,), axes=(0,))

    def flat(self) -> Value:
        """Any scatter: positions in the flat tensor are computed, and those written."""
        window = self._window()
        inside = window.inside() if self.mode == "FILL_OR_DROP" else None
        placed = window if self.mode == "PROMISE_IN_BOUNDS" else window.clamped()
        positions = placed.positions()
        count: Dim = 1
        for size in self.x.shape:
            count = count * size
        if inside is not None:
            positions = ops.where(inside, positions, ops.full(shape=(), value=count, dtype=DType.INT64))
        if tuple(positions.shape) != tuple(self.updates.shape):
            positions = ops.broadcast_to(positions, shape=tuple(self.updates.shape))
        rows = ops.reshape(positions, shape=(-1, 1))
        x, updates = ops.reshape(self.x, shape=(-1,)), ops.reshape(self.updates, shape=(-1,))
        if inside is None:
            written = ops.scatter_nd(x, rows, updates, reduction=self.reduction)
        else:
            written = self._cut(x, count, rows, updates)
        return ops.reshape(written, shape=tuple(self.x.shape))

    def _window(self) -> Window:
        rank = self.updates.ndim
        starts: list[Value | None] = [None] * self.x.ndim
        for axis, column in zip(self.indexed, index_columns(self.indices), strict=True):
            starts[axis] = spread(column, rank, self.batch_axes)
        for axis, row in self.batched:
            place = self.batch_axes[row]
            starts[axis] = spread(index_range(self.indices.shape[row]), rank, (place,))
        kept = [axis for axis in range(self.x.ndim) if axis not in self.inserted]
        axes: list[int | None] = [None] * self.x.ndim
        sizes: list[Dim] = [1] * self.x.ndim
        for axis, place in zip(kept, self.window_axes, strict=True):
            axes[axis], sizes[axis] = place, self.updates.shape[place]
        return Window(tuple(self.x.shape), tuple(sizes), tuple(self.updates.shape), tuple(starts), tuple(axes))
