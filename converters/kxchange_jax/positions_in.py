"""Index arithmetic that gathers and scatters share: what JAX's dimension numbers say, in plain terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import cast, index_range, is_static, number_of, scalar, with_shape


@dataclass(frozen=True, slots=True)
class Window:
    """Where windows of a tensor lie in the index space of a result (of a gather) or of updates (of a scatter).

    Attributes:
        shape: Shape of the tensor.
        sizes: Size of the window along each of its axes.
        result: Shape of the result or the updates.
        starts: For each axis of the tensor the first position, shaped to broadcast against the result; None for 0.
        window_axes: For each axis of the tensor its axis in the result; None where the window is 1 and was dropped.
    """

    shape: tuple[Dim, ...]
    sizes: tuple[Dim, ...]
    result: tuple[Dim, ...]
    starts: tuple[Value | None, ...]
    window_axes: tuple[int | None, ...]

    def clamped(self) -> Window:
        """The same windows, moved inside the tensor where they reach beyond it."""
        moved = [
            None if start is None else ops.clip(start, 0, size - window)
            for start, size, window in zip(self.starts, self.shape, self.sizes, strict=True)
        ]
        return Window(self.shape, self.sizes, self.result, tuple(moved), self.window_axes)

    def inside(self) -> Value | None:
        """Whether each window lies inside the tensor; None where all are known to."""
        checks: list[Value] = []
        for start, size, window in zip(self.starts, self.shape, self.sizes, strict=True):
            if start is not None:
                checks += [ops.greater_equal(start, 0), ops.less_equal(start, size - window)]
        return reduce(ops.logical_and, checks) if checks else None

    def positions(self) -> Value:
        """The place of every element in the flat tensor, as int64 that broadcasts against the result."""
        total: Value | None = None
        stride: Dim = 1
        for axis in range(len(self.shape) - 1, -1, -1):
            place = self._along(axis)
            if place is not None:
                step = place if stride == 1 else ops.multiply(place, scalar(stride, DType.INT64))
                total = step if total is None else ops.add(total, step)
            stride = stride * self.shape[axis]
        return scalar(0, DType.INT64) if total is None else total

    def _along(self, axis: int) -> Value | None:
        """Positions along one axis of the tensor."""
        start, where = self.starts[axis], self.window_axes[axis]
        if where is None or self.sizes[axis] == 1:
            return start
        rank = len(self.result)
        others = tuple(a for a in range(rank) if a != where)
        steps = ops.expand_dims(index_range(self.sizes[axis]), axis=others) if others else index_range(self.sizes[axis])
        return steps if start is None else ops.add(start, steps)


def index_columns(indices: Value) -> list[Value]:
    """The entries of the index tuples that the last axis holds, as int64."""
    wide = cast(indices, DType.INT64)
    count = indices.shape[-1]
    if count == 0:
        return []  # there is one window, and it begins at 0
    if count == 1:
        return [with_shape(wide, tuple(wide.shape[:-1]))]
    parts = ops.split(wide, sizes=(1,) * int(count), axis=-1)
    return [ops.squeeze(part, axis=(-1,)) for part in parts]


def spread(x: Value, rank: int, axes: Sequence[int]) -> Value:
    """A value whose axes become `axes` of `rank`, with size 1 elsewhere."""
    others = tuple(axis for axis in range(rank) if axis not in axes)
    return ops.expand_dims(x, axis=others) if others else x


def counted_from_end(indices: Value, size: Dim) -> Value | None:
    """The indices before ``where(i < 0, i + size, i)``, which is how JAX counts negative ones from the end."""
    while (
        indices.node.op == "astype" and indices.node.inputs[0] is not None and indices.node.inputs[0].dtype.is_integer
    ):
        indices = indices.node.inputs[0]
    node = indices.node
    if node.op != "where":
        return None
    condition, moved, plain = node.inputs
    if condition is None or moved is None or plain is None or condition.node.op != "less" or moved.node.op != "add":
        return None
    tested, limit = condition.node.inputs
    base, added = moved.node.inputs
    if limit is None or added is None or tested != plain or base != plain:
        return None
    return plain if number_of(limit) == 0 and number_of(added) == size else None


def known_size(shape: Sequence[Dim]) -> bool:
    """Whether every size is a number."""
    return is_static(shape)
