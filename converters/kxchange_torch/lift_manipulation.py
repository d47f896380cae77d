"""Shapes, views, joins and copies. What changes nothing emits nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange.shapes import normalize_axis, product
from kxchange_torch.lift import SCOPE, lift, refuse
from kxchange_torch.lift_promotion import promote

Shape = tuple[Dim, ...]


def unless_same(result: Value, x: Value) -> Value:
    """`x` itself where an operation left its type as it was and moved nothing."""
    return x if result.type == x.type else result


def reshape(x: Value, shape: Sequence[Dim]) -> Value:
    """A reshape, or `x` where it has that shape."""
    return x if tuple(shape) == x.shape else unless_same(ops.reshape(x, shape=tuple(shape)), x)


@lift.rule(
    "aten.view.default", "aten.reshape.default", "aten._unsafe_view.default", "aten._reshape_alias.default",
    "aten.reshape_copy.default", "aten.view_copy.default",
)  # fmt: skip
def _(x: Value, shape: Shape) -> Value:
    return reshape(x, shape)


@lift.rule("aten.view_as.default", "aten.reshape_as.default")
def _(x: Value, other: Value) -> Value:
    return reshape(x, other.shape)


@lift.rule("aten.flatten.using_ints")
def _(x: Value, start: int, end: int) -> Value:
    if x.ndim == 0:
        return reshape(x, (1,))
    first, last = normalize_axis(start, x.ndim), normalize_axis(end, x.ndim)
    return reshape(x, (*x.shape[:first], product(x.shape[first : last + 1]), *x.shape[last + 1 :]))


@lift.rule("aten.ravel.default")
def _(x: Value) -> Value:
    return reshape(x, (product(x.shape),))


@lift.rule("aten.unflatten.int")
def _(x: Value, axis: int, sizes: Shape) -> Value:
    position = normalize_axis(axis, x.ndim)
    known = product(size for size in sizes if size != -1)
    filled = tuple(x.shape[position] // known if size == -1 else size for size in sizes)
    return reshape(x, (*x.shape[:position], *filled, *x.shape[position + 1 :]))


def squeeze(x: Value, axes: Sequence[int]) -> Value:
    """Drop those of the axes that have size 1; torch leaves the others."""
    chosen = tuple(axis for axis in {normalize_axis(axis, x.ndim) for axis in axes} if x.shape[axis] == 1)
    return ops.squeeze(x, axis=tuple(sorted(chosen))) if chosen else x


@lift.rule("aten.squeeze.default", "aten.squeeze_copy.default")
def _(x: Value) -> Value:
    return squeeze(x, range(x.ndim))


@lift.rule("aten.squeeze.dim", "aten.squeeze_copy.dim")
def _(x: Value, axis: int) -> Value:
    return squeeze(x, (axis,) if x.ndim else ())


@lift.rule("aten.squeeze.dims", "aten.squeeze_copy.dims")
def _(x: Value, axes: tuple[int, ...]) -> Value:
    return squeeze(x, axes if x.ndim else ())


@lift.rule("aten.unsqueeze.default", "aten.unsqueeze_copy.default")
def _(x: Value, axis: int) -> Value:
    return ops.expand_dims(x, axis=(normalize_axis(axis, x.ndim + 1),))


def permute(x: Value, axes: Sequence[int]) -> Value:
    """A transposition, or `x` where the order stays."""
    order = tuple(normalize_axis(axis, x.ndim) for axis in axes)
    return x if order == tuple(range(x.ndim)) else ops.permute_dims(x, axes=order)


@lift.rule("aten.permute.default", "aten.permute_copy.default")
def _(x: Value, axes: tuple[int, ...]) -> Value:
    return permute(x, axes)


def swap(x: Value, first: int, second: int) -> Value:
    """Two axes exchanged."""
    if x.ndim == 0:
        return x
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return permute(x, order)


@lift.rule("aten.transpose.int", "aten.swapaxes.default", "aten.swapdims.default", "aten.transpose_copy.int")
def _(x: Value, first: int, second: int) -> Value:
    return swap(x, first, second)


@lift.rule("aten.t.default", "aten.mT.default", "aten.t_copy.default")
def _(x: Value) -> Value:
    return swap(x, -1, -2) if x.ndim > 1 else x


@lift.rule("aten.numpy_T.default")
def _(x: Value) -> Value:
    return permute(x, range(x.ndim)[::-1])


def move_axes(x: Value, source: Sequence[int], target: Sequence[int]) -> Value:
    """The axes at `source` put to `target`, the others in order."""
    places = {normalize_axis(t, x.ndim): normalize_axis(s, x.ndim) for s, t in zip(source, target, strict=True)}
    rest = iter(axis for axis in range(x.ndim) if axis not in places.values())
    return permute(x, [places[axis] if axis in places else next(rest) for axis in range(x.ndim)])


@lift.rule("aten.movedim.intlist", "aten.moveaxis.intlist")
def _(x: Value, source: tuple[int, ...], target: tuple[int, ...]) -> Value:
    return move_axes(x, source, target)


@lift.rule("aten.movedim.int", "aten.moveaxis.int")
def _(x: Value, source: int, target: int) -> Value:
    return move_axes(x, (source,), (target,))


def broadcast(x: Value, shape: Shape) -> Value:
    """`x` stretched to a shape in which -1 keeps a size."""
    lead = len(shape) - x.ndim
    full_shape = tuple(
        x.shape[i - lead] if isinstance(size, int) and size == -1 else size for i, size in enumerate(shape)
    )
    return x if full_shape == x.shape else ops.broadcast_to(x, shape=full_shape)


@lift.rule("aten.expand.default", "aten.broadcast_to.default", "aten.expand_copy.default")
def _(x: Value, shape: Shape) -> Value:
    return broadcast(x, shape)


@lift.rule("aten.expand_as.default")
def _(x: Value, other: Value) -> Value:
    return broadcast(x, other.shape)


@lift.rule("aten.broadcast_tensors.default")
def _(tensors: tuple[Value, ...]) -> tuple[Value, ...]:
    from kxchange.shapes import broadcast_shapes

    shape = broadcast_shapes(*(x.shape for x in tensors))
    return tuple(broadcast(x, shape) for x in tensors)


@lift.rule("aten.cat.default", "aten.concat.default", "aten.concatenate.default")
def _(tensors: tuple[Value, ...], axis: int) -> Value:
    """Old torch code starts a cache with an empty tensor of rank 1; `cat` ignores it."""
    kept = [x for x in promote(*tensors) if x.shape != (0,)] if any(x.ndim > 1 for x in tensors) else promote(*tensors)
    return kept[0] if len(kept) == 1 else ops.concat(*kept, axis=axis)


@lift.rule("aten.stack.default")
def _(tensors: tuple[Value, ...], axis: int) -> Value:
    return ops.stack(*promote(*tensors), axis=axis)


@lift.rule("aten.hstack.default")
def _(tensors: tuple[Value, ...]) -> Value:
    raised = [reshape(x, (1,)) if x.ndim == 0 else x for x in promote(*tensors)]
    return ops.concat(*raised, axis=0 if raised[0].ndim == 1 else 1)


@lift.rule("aten.vstack.default", "aten.row_stack.default")
def _(tensors: tuple[Value, ...]) -> Value:
    return ops.concat(*(ops.expand_dims(x, axis=(0,)) if x.ndim == 1 else x for x in promote(*tensors)), axis=0)


def split(x: Value, sizes: Sequence[Dim], axis: int) -> tuple[Value, ...]:
    """Pieces of the given sizes along an axis."""
    if len(sizes) == 1:
        return (x,)
    found = ops.split(x, sizes=tuple(sizes), axis=axis)
    return found if isinstance(found, tuple) else (found,)


def equal_pieces(size: Dim, piece: Dim) -> Sequence[Dim]:
    """Pieces of one size, the last one smaller where it does not fit."""
    if isinstance(size, int) and isinstance(piece, int):
        if piece == 0:
            return [0]
        whole, rest = divmod(size, piece)
        return [piece] * whole + ([rest] if rest or not whole else [])
    count = _piece_count()
    last = size - piece * (count - 1)
    return [piece] * (count - 1) + [last]


def _piece_count() -> int:
    """How many pieces torch made of a symbolic axis in the trace."""
    if not isinstance(SCOPE.fake, list | tuple):
        raise CaptureError("the number of pieces depends on a symbolic size.")
    return len(SCOPE.fake)


@lift.rule("aten.split.Tensor", "aten.split_copy.Tensor", "aten.unsafe_split.Tensor")
def _(x: Value, piece: Dim, axis: int) -> tuple[Value, ...]:
    return split(x, equal_pieces(x.shape[axis], piece), axis)


@lift.rule("aten.split_with_sizes.default", "aten.split.sizes", "aten.split_with_sizes_copy.default")
def _(x: Value, sizes: Shape, axis: int) -> tuple[Value, ...]:
    return split(x, sizes, axis)


@lift.rule("aten.chunk.default", "aten.unsafe_chunk.default")
def _(x: Value, chunks: int, axis: int) -> tuple[Value, ...]:
    size = x.shape[axis]
    return split(x, equal_pieces(size, -(-size // chunks)), axis)


@lift.rule("aten.tensor_split.sections")
def _(x: Value, sections: int, axis: int) -> tuple[Value, ...]:
    size = x.shape[axis]
    if isinstance(size, DimExpr):
        return refuse(f"tensor_split of a symbolic axis into {sections} parts of unequal size")
    base, more = divmod(size, sections)
    return split(x, [base + 1] * more + [base] * (sections - more), axis)


@lift.rule("aten.tensor_split.indices")
def _(x: Value, indices: Shape, axis: int) -> tuple[Value, ...]:
    size = x.shape[axis]
    edges = [0, *(i + size if isinstance(i, int) and i < 0 else i for i in indices), size]
    if isinstance(size, int):
        edges = [min(int(edge), size) for edge in edges]  # pyright: ignore[reportArgumentType]
    return split(x, [after - before for before, after in zip(edges, edges[1:], strict=False)], axis)


@lift.rule("aten.unbind.int", "aten.unbind_copy.int")
def _(x: Value, axis: int) -> tuple[Value, ...]:
    size = x.shape[axis]
    if not isinstance(size, int):
        return refuse(f"unbind along the symbolic dim {size}; loop with torch.scan or keep the axis")
    position = normalize_axis(axis, x.ndim)
    return tuple(ops.squeeze(piece, axis=(position,)) for piece in split(x, [1] * size, position))


@lift.rule("aten.meshgrid.default")
def _(tensors: tuple[Value, ...]) -> tuple[Value, ...]:
    return meshgrid(tensors, "ij")


@lift.rule("aten.meshgrid.indexing")
def _(tensors: tuple[Value, ...], indexing: str) -> tuple[Value, ...]:
    return meshgrid(tensors, indexing)


def meshgrid(tensors: Sequence[Value], indexing: str) -> tuple[Value, ...]:
    """Coordinate grids; with ``xy`` the first two tensors exchange their axes."""
    order = list(tensors)
    flip = indexing == "xy" and len(order) > 1
    if flip:
        order[0], order[1] = order[1], order[0]
    flat = [reshape(x, (product(x.shape),)) for x in order]
    shape = tuple(x.shape[0] for x in flat)
    grids = [
        broadcast(reshape(x, (1,) * i + (x.shape[0],) + (1,) * (len(flat) - i - 1)), shape) for i, x in enumerate(flat)
    ]
    if flip:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


@lift.rule("aten.flip.default")
def _(x: Value, axes: tuple[int, ...]) -> Value:
    return ops.flip(x, axis=tuple(axes)) if axes and x.ndim else x


@lift.rule("aten.roll.default")
def _(x: Value, shifts: tuple[Any, ...], axes: tuple[int, ...]) -> Value:
    if not all(isinstance(shift, int) for shift in shifts):
        return refuse("a shift by a symbolic size; concatenate two slices")
    if not axes:
        return reshape(ops.roll(reshape(x, (-1,)), shifts=tuple(shifts), axis=(0,)), x.shape)
    return ops.roll(x, shifts=tuple(shifts), axis=tuple(axes))


@lift.rule("aten.rot90.default")
def _(x: Value, times: int, axes: tuple[int, int]) -> Value:
    first, second = axes
    if times % 4 == 0:
        return x
    if times % 4 == 2:
        return ops.flip(x, axis=(first, second))
    turned = swap(x, first, second)
    return ops.flip(turned, axis=(first if times % 4 == 1 else second,))


@lift.rule("aten.repeat.default", "aten.tile.default")
def _(x: Value, repeats: Shape) -> Value:
    counts = (1,) * (x.ndim - len(repeats)) + tuple(repeats)
    raised = reshape(x, (1,) * (len(counts) - x.ndim) + x.shape)
    return raised if all(count == 1 for count in counts) else ops.tile(raised, repetitions=counts)


@lift.rule("aten.repeat_interleave.self_int")
def _(x: Value, repeats: Dim, axis: int | None) -> Value:
    if axis is None:
        x, axis = reshape(x, (product(x.shape),)), 0
    position = normalize_axis(axis, x.ndim)
    if isinstance(repeats, int):
        return x if repeats == 1 else ops.repeat(x, repeats=repeats, axis=position)
    before, size, after = x.shape[:position], x.shape[position], x.shape[position + 1 :]
    wide = broadcast(ops.expand_dims(x, axis=(position + 1,)), (*before, size, repeats, *after))
    return reshape(wide, (*before, size * repeats, *after))


@lift.rule("aten.tril.default")
def _(x: Value, k: int) -> Value:
    return ops.tril(x, k=k)


@lift.rule("aten.triu.default")
def _(x: Value, k: int) -> Value:
    return ops.triu(x, k=k)


@lift.rule("aten.atleast_1d.default")
def _(x: Value) -> Value:
    return x if x.ndim else reshape(x, (1,))


@lift.rule("aten.pixel_shuffle.default")
def _(x: Value, factor: int) -> Value:
    return _batched(x, lambda y: ops.depth_to_space(y, block_size=factor, mode="CRD", channel_axis=1))


@lift.rule("aten.pixel_unshuffle.default")
def _(x: Value, factor: int) -> Value:
    """Channels outermost in the result, blocks inside: the inverse of `pixel_shuffle`, not of `depth_to_space`."""

    def apply(y: Value) -> Value:
        batch, channels, height, width = y.shape
        blocks = reshape(y, (batch, channels, height // factor, factor, width // factor, factor))
        moved = permute(blocks, (0, 1, 3, 5, 2, 4))
        return reshape(moved, (batch, channels * factor * factor, height // factor, width // factor))

    return _batched(x, apply)


def _batched(x: Value, apply: Any) -> Value:
    """An operation on ``[batch, channels, height, width]`` with any number of leading axes."""
    if x.ndim == 4:
        return apply(x)
    lead = x.shape[:-3]
    result = apply(reshape(x, (product(lead), *x.shape[-3:])))
    return reshape(result, (*lead, *result.shape[1:]))


@lift.rule("aten.channel_shuffle.default", "aten.native_channel_shuffle.default")
def _(x: Value, groups: int) -> Value:
    batch, channels, *rest = x.shape
    return reshape(swap(reshape(x, (batch, groups, channels // groups, *rest)), 1, 2), x.shape)
