"""Lifting of `gather`: as `take`, `take_along_axis`, `slice`, `dynamic_slice` or `gather_nd` where it is one."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, elements_of, index_range, lift, permuted, with_shape
from kxchange_jax.positions_in import Window, counted_from_end, index_columns, spread

Sizes = tuple[Dim, ...]


@lift.rule("gather")
def _(
    x: Value, indices: Value, *, dimension_numbers: Any, slice_sizes: Sizes, mode: Any, fill_value: Any, **_: Any
) -> Value:
    forms = (_as_slice, _as_take, _as_take_along, _as_gather_nd, _as_flat_take)
    call = Gather(x, indices, dimension_numbers, slice_sizes, mode.name, fill_value)
    return next(result for form in forms if (result := form(call)) is not None)


class Gather:
    """One call of `gather`, in plain terms.

    Attributes:
        x: The tensor that windows are read from.
        indices: [*batch, entries of a tuple].
        sizes: Size of the window along each axis of x.
        fills: Whether a window beyond the tensor gives the filler. Otherwise it is moved inside: so says `CLIP`, and so
            does XLA where JAX promises that there is none.
        fill_value: What `FILL_OR_DROP` gives; None for JAX's own.
        offset: Axes of the result that run over the window.
        dropped: Axes of x whose window of 1 the result does not have.
        indexed: Axis of x that each entry of an index tuple addresses.
        batched: Pairs of an axis of x and the axis of `indices` that it goes along with.
    """

    def __init__(self, x: Value, indices: Value, numbers: Any, sizes: Sizes, mode: str, fill_value: Any) -> None:
        self.x = x
        self.indices = indices
        self.sizes = tuple(sizes)
        self.fills = mode == "FILL_OR_DROP"
        self.promised = mode == "PROMISE_IN_BOUNDS"
        self.fill_value = fill_value
        self.offset = tuple(map(int, numbers.offset_dims))
        self.indexed = tuple(map(int, numbers.start_index_map))
        self.batched = tuple(zip(numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True))
        self.dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}

    @property
    def batch_axes(self) -> list[int]:
        """Axes of the result that run over the indices."""
        return [axis for axis in range(SCOPE.types[0].rank) if axis not in self.offset]

    @property
    def kept(self) -> list[int]:
        """Axes of x that the result has, in order."""
        return [axis for axis in range(self.x.ndim) if axis not in self.dropped]

    def takes_whole(self, axes: list[int]) -> bool:
        """Whether the window covers these axes of x."""
        return all(self.sizes[axis] == self.x.shape[axis] for axis in axes)

    def filled(self, result: Value, inside: Value | None) -> Value:
        """The filler where an index was out of range."""
        if inside is None:
            return result
        return ops.where(inside, result, filler(result.dtype) if self.fill_value is None else self._number())

    def _number(self) -> Any:
        return bool(self.fill_value) if self.x.dtype.is_bool else SCOPE.lifter.numbers.exact(self.fill_value)


def filler(dtype: DType) -> Any:
    """What JAX gives for a position that is not there."""
    if not dtype.is_integer:
        return True if dtype.is_bool else float("nan")
    return -(1 << (dtype.bits - 1)) if dtype.is_signed else (1 << dtype.bits) - 1


def _as_slice(call: Gather) -> Value | None:
    """A single window at a known place, or at one that is clamped."""
    if call.indices.ndim != 1 or call.batched:
        return None
    places = elements_of(call.indices)
    if places is not None and all(isinstance(place, int) for place in places):
        starts = dict(zip(call.indexed, places, strict=True))
        cut = [axis for axis in range(call.x.ndim) if call.sizes[axis] != call.x.shape[axis] or starts.get(axis)]
        known = all(start >= 0 for start in starts.values()) and call.promised
        if not known and not _fits(call, starts):
            return None
        first = tuple(starts.get(axis, 0) for axis in cut)
        stops = tuple(start + call.sizes[axis] for axis, start in zip(cut, first, strict=True))
        part = ops.slice(call.x, starts=first, stops=stops, steps=(1,) * len(cut), axes=tuple(cut)) if cut else call.x
        return _without_dropped(call, part)
    if call.fills:
        return None
    columns = dict(zip(call.indexed, index_columns(call.indices), strict=True))
    zero = ops.full(shape=(), value=0, dtype=DType.INT64)
    starts_now = [columns.get(axis, zero) for axis in range(call.x.ndim)]
    return _without_dropped(call, ops.dynamic_slice(call.x, *starts_now, sizes=call.sizes))


def _fits(call: Gather, starts: dict[int, int]) -> bool:
    """Whether a window at a known place is known to lie inside the tensor."""
    for axis, start in starts.items():
        room = call.x.shape[axis] - call.sizes[axis]
        if start < 0 or not isinstance(room, int) or start > room:
            return False
    return True


def _without_dropped(call: Gather, part: Value) -> Value:
    return ops.squeeze(part, axis=tuple(sorted(call.dropped))) if call.dropped else part


def _as_take(call: Gather) -> Value | None:
    """Whole slices at positions of one axis."""
    if call.batched or len(call.indexed) != 1:
        return None
    (axis,) = call.indexed
    others = [a for a in range(call.x.ndim) if a != axis]
    if call.sizes[axis] != 1 or not call.takes_whole(others) or call.dropped - {axis}:
        return None
    wanted, mode = _take_positions(call, axis)
    taken = ops.take(call.x, wanted, axis=axis, mode=mode)
    batch = wanted.ndim
    result = _ordered(call, taken, axis, batch)
    return result if axis in call.dropped else with_shape(result, SCOPE.types[0].shape)


def _take_positions(call: Gather, axis: int) -> tuple[Value, str]:
    """Positions, and what one out of range gives; negative ones count from the end only where JAX said so."""
    plain = call.indices
    plain = with_shape(plain, tuple(plain.shape[:-1]))
    counted = counted_from_end(_before_reshape(call.indices), call.x.shape[axis])
    mode = "fill" if call.fills else "clip"
    if counted is not None and tuple(counted.shape) == tuple(plain.shape):
        return counted, mode
    if not plain.dtype.is_signed or _are_positions(plain):
        return plain, mode
    if not call.fills:
        return ops.maximum(plain, 0), mode
    beyond = ops.full(shape=(), value=call.x.shape[axis], dtype=plain.dtype)
    return ops.where(ops.less(plain, 0), beyond, plain), mode


def _are_positions(indices: Value) -> bool:
    """Whether indices are known not to be negative: they count something, or come from a search."""
    indices = _behind(indices, ("astype", "expand_dims", "broadcast_to", "reshape"))
    if indices.node.op == "arange":
        return isinstance(indices.node.attrs["start"], int) and indices.node.attrs["start"] >= 0
    return indices.node.op in ("argmax", "argmin", "argsort")


def _before_reshape(indices: Value) -> Value:
    """Index tuples of one entry, before the axis of that entry was added."""
    inner = indices.node.inputs[0] if indices.node.op in ("reshape", "expand_dims") else None
    return indices if inner is None or tuple(inner.shape) != tuple(indices.shape[:-1]) else inner


def _behind(x: Value, ops_seen_through: tuple[str, ...]) -> Value:
    """The value that a chain of these ops starts from."""
    while x.node.op in ops_seen_through and x.node.inputs[0] is not None:
        x = x.node.inputs[0]
    return x


def _ordered(call: Gather, taken: Value, axis: int, batch: int) -> Value:
    """Axes as `take` gives them (those of x before the axis, of the indices, of x behind), in the order of `gather`."""
    if axis not in call.dropped:  # the axis of 1 that the result keeps stands where the indices are: add it behind them
        taken = ops.expand_dims(taken, axis=(axis + batch,))
    natural: list[tuple[str, int]] = [("x", a) for a in range(axis)] + [("i", i) for i in range(batch)]
    natural += [("x", a) for a in range(axis + (axis in call.dropped), call.x.ndim)]
    kept = iter(call.kept)
    rows = iter(range(batch))
    wanted = [("x", next(kept)) if a in call.offset else ("i", next(rows)) for a in range(SCOPE.types[0].rank)]
    return permuted(taken, [natural.index(place) for place in wanted])


def _as_take_along(call: Gather) -> Value | None:
    """One element per index, at the index's own place on the other axes."""
    if len(call.indexed) != 1 or call.offset or len(call.batched) != call.x.ndim - 1:
        return None
    (axis,) = call.indexed
    others = [a for a in range(call.x.ndim) if a != axis]
    if sorted(call.batched) != [(a, a) for a in others] or call.indices.ndim != call.x.ndim + 1:
        return None
    plain = with_shape(call.indices, tuple(call.indices.shape[:-1]))
    counted = counted_from_end(_before_reshape(call.indices), call.x.shape[axis])
    base = counted if counted is not None and tuple(counted.shape) == tuple(plain.shape) else None
    bare = plain if base is None else base
    if _are_places(bare, call.x.shape[axis]):
        return ops.take_along_axis(call.x, bare, axis=axis)
    wide = ops.astype(plain, dtype=DType.INT64) if plain.dtype is not DType.INT64 else plain
    last = call.x.shape[axis] - 1
    taken = ops.take_along_axis(call.x, ops.clip(wide, 0, last), axis=axis)
    if not call.fills:
        return taken
    return call.filled(taken, ops.logical_and(ops.greater_equal(wide, 0), ops.less_equal(wide, last)))


def _are_places(indices: Value, size: Dim) -> bool:
    """Whether indices come from sorting or searching an axis of this size: they are inside it."""
    found = _behind(indices, ("astype",))
    searched = found.node.inputs[0] if found.node.inputs else None
    if searched is None or not (found.node.op == "argsort" or (found.node.op == "top_k" and found.index == 1)):
        return False
    return searched.shape[found.node.attrs["axis"]] == size


def _as_gather_nd(call: Gather) -> Value | None:
    """Whole slices at index tuples for the leading axes."""
    width = len(call.indexed)
    if call.batched or call.indexed != tuple(range(width)) or call.dropped != set(range(width)) or not width:
        return None
    rest = list(range(width, call.x.ndim))
    if not call.takes_whole(rest) or call.batch_axes != list(range(call.indices.ndim - 1)):
        return None
    columns = index_columns(call.indices)
    limited = [ops.clip(column, 0, size - 1) for column, size in zip(columns, call.x.shape, strict=False)]
    result = ops.gather_nd(call.x, ops.stack(*limited, axis=-1))
    return call.filled(result, _window(call).inside()) if call.fills else result


def _window(call: Gather) -> Window:
    """Where the windows lie, in the index space of the result."""
    rank = SCOPE.types[0].rank
    starts: list[Value | None] = [None] * call.x.ndim
    for axis, column in zip(call.indexed, index_columns(call.indices), strict=True):
        starts[axis] = spread(column, rank, call.batch_axes)
    for axis, row in call.batched:
        place = call.batch_axes[row]
        starts[axis] = spread(index_range(call.indices.shape[row]), rank, (place,))
    window_axes: list[int | None] = [None] * call.x.ndim
    for axis, place in zip(call.kept, call.offset, strict=True):
        window_axes[axis] = place
    return Window(tuple(call.x.shape), call.sizes, SCOPE.types[0].shape, tuple(starts), tuple(window_axes))


def _as_flat_take(call: Gather) -> Value:
    """Any gather: positions in the flat tensor are computed, and those taken."""
    window = _window(call)
    inside = window.inside() if call.fills else None
    positions = window.clamped().positions()
    if tuple(positions.shape) != SCOPE.types[0].shape:
        positions = ops.broadcast_to(positions, shape=SCOPE.types[0].shape)
    return call.filled(ops.take(ops.reshape(call.x, shape=(-1,)), positions, axis=0), inside)
