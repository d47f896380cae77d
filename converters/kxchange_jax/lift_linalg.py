"""Lifting of products of matrices and of convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, cast, lift, permuted, refuse, with_shape

Axes = Sequence[int]
Pads = tuple[tuple[Dim, Dim], ...]


@lift.rule("dot_general")
def _(x1: Value, x2: Value, *, dimension_numbers: Any, preferred_element_type: Any = None, **_: Any) -> Value:
    (inner1, inner2), (batch1, batch2) = dimension_numbers
    dtype = SCOPE.types[0].dtype
    if dtype.is_bool:  # whether any pair is true
        x1, x2, dtype = cast(x1, DType.INT32), cast(x2, DType.INT32), DType.INT32
    x1, x2 = cast(x1, dtype), cast(x2, dtype)  # sums of products of narrow numbers are taken in the wider type
    x1, (inner1, batch1) = _without_ones(x1, inner1, batch1)
    x2, (inner2, batch2) = _without_ones(x2, inner2, batch2)
    product = _matmul(x1, x2, inner1, inner2, batch1, batch2)
    if product is None:
        product = _einsum(x1, x2, inner1, inner2, batch1, batch2)
    return with_shape(cast(product, SCOPE.types[0].dtype), SCOPE.types[0].shape)


def _without_ones(x: Value, *groups: Axes) -> tuple[Value, list[tuple[int, ...]]]:
    """The operand without its free axes of size 1, which only the shape of the result shows; and the axes left."""
    named = {axis for group in groups for axis in group}
    kept = [axis for axis in range(x.ndim) if axis in named or x.shape[axis] != 1]
    left = [tuple(kept.index(axis) for axis in group) for group in groups]
    return with_shape(x, [x.shape[axis] for axis in kept]), left


def _matmul(x1: Value, x2: Value, inner1: Axes, inner2: Axes, batch1: Axes, batch2: Axes) -> Value | None:
    """The product as one `matmul`, where one axis is summed over and few axes have to move."""
    if len(inner1) != 1 or len(inner2) != 1:
        return None
    (k1,), (k2,) = inner1, inner2
    free1 = [axis for axis in range(x1.ndim) if axis != k1 and axis not in batch1]
    free2 = [axis for axis in range(x2.ndim) if axis != k2 and axis not in batch2]
    if not batch1 and x2.ndim <= 2:  # rows of any shape by a matrix or a vector
        if x1.ndim == 1 and x2.ndim == 2:
            return ops.matmul(x1, permuted(x2, (k2, *free2)))
        return ops.matmul(permuted(x1, (*free1, k1)), permuted(x2, (k2, *free2)))
    if not batch1 and x1.ndim <= 2:  # a matrix or a vector by rows of any shape, whose axes come last
        product = ops.matmul(permuted(x2, (*free2, k2)), permuted(x1, (k1, *free1)))
        return permuted(product, (product.ndim - 1, *range(product.ndim - 1))) if free1 else product
    if len(free1) > 1 or len(free2) > 1 or not batch1:
        return None
    left, right = permuted(x1, (*batch1, *free1, k1)), permuted(x2, (*batch2, k2, *free2))
    if not free1:
        left = ops.expand_dims(left, axis=(-2,))
    if not free2:
        right = ops.expand_dims(right, axis=(-1,))
    product = ops.matmul(left, right)
    gone = (() if free1 else (-2,)) + (() if free2 else (-1,))
    return ops.squeeze(product, axis=gone) if gone else product


def _einsum(x1: Value, x2: Value, inner1: Axes, inner2: Axes, batch1: Axes, batch2: Axes) -> Value:
    """Any product: axes are named."""
    letters = iter(ascii_letters)
    names1, names2 = [next(letters) for _ in range(x1.ndim)], [""] * x2.ndim
    for first, second in zip((*inner1, *batch1), (*inner2, *batch2), strict=True):
        names2[second] = names1[first]
    names2 = [name or next(letters) for name in names2]
    batch = [names1[axis] for axis in batch1]
    free1 = [name for axis, name in enumerate(names1) if axis not in (*inner1, *batch1)]
    free2 = [name for axis, name in enumerate(names2) if axis not in (*inner2, *batch2)]
    output = "".join((*batch, *free1, *free2))
    return ops.einsum(x1, x2, equation=f"{''.join(names1)},{''.join(names2)}->{output}")


@lift.rule("conv_general_dilated")
def _(
    x: Value,
    kernel: Value,
    *,
    window_strides: tuple[int, ...],
    padding: Pads,
    lhs_dilation: tuple[int, ...],
    rhs_dilation: tuple[int, ...],
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    **_: Any,
) -> Value:
    if not window_strides:
        refuse("a convolution without spatial axes is a product of matrices. Write it as one")
    if len(window_strides) > 3:
        refuse(f"a convolution over {len(window_strides)} axes has no op; one to three are known")
    dtype = SCOPE.types[0].dtype
    if 0 in SCOPE.types[0].shape:  # a window that never fits, too
        return ops.full(shape=SCOPE.types[0].shape, value=0, dtype=dtype)
    spec = dimension_numbers
    x, weight = cast(x, dtype), permuted(cast(kernel, dtype), spec.rhs_spec)
    last = _is_channels_last(spec.lhs_spec)
    channel_axis = -1 if last and _is_channels_last(spec.out_spec) else 1
    layout = (spec.lhs_spec[0], *spec.lhs_spec[2:], spec.lhs_spec[1]) if channel_axis == -1 else spec.lhs_spec
    x, groups = permuted(x, layout), feature_group_count
    if batch_group_count > 1:
        x, groups = _groups_as_channels(x, batch_group_count, channel_axis), batch_group_count
    y = _convolved(x, weight, window_strides, padding, lhs_dilation, rhs_dilation, groups, channel_axis)
    order = (0, *range(2, y.ndim), 1) if channel_axis == -1 else tuple(range(y.ndim))
    places = [order.index(axis) for axis in range(y.ndim)]  # of (batch, channels, spatial...) in y
    result = [0] * y.ndim
    for role, axis in enumerate(spec.out_spec):
        result[axis] = places[role]
    return permuted(y, result)


def _is_channels_last(spec: Sequence[int]) -> bool:
    """Whether a layout is (batch, spatial..., channels)."""
    return tuple(spec) == (0, len(spec) - 1, *range(1, len(spec) - 1))


def _groups_as_channels(x: Value, groups: int, channel_axis: int) -> Value:
    """Groups of the batch as groups of channels: the group is the outer part of both."""
    batch, rest = x.shape[0], tuple(x.shape[1:])
    size = batch // groups
    split = ops.reshape(x, shape=(groups, size, *rest))
    if channel_axis == 1:
        moved = permuted(split, (1, 0, *range(2, split.ndim)))
        return ops.reshape(moved, shape=(size, groups * rest[0], *rest[1:]))
    moved = permuted(split, (1, *range(2, split.ndim - 1), 0, split.ndim - 1))
    return ops.reshape(moved, shape=(size, *rest[:-1], groups * rest[-1]))


def _convolved(
    x: Value,
    weight: Value,
    strides: tuple[int, ...],
    padding: Pads,
    spreads: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
    channel_axis: int,
) -> Value:
    """A convolution of an input whose elements may lie apart: that is the transposed convolution."""
    shared: dict[str, Any] = {"dilations": dilations, "groups": groups, "channel_axis": channel_axis}
    if all(spread == 1 for spread in spreads):
        return ops.conv(x, weight, strides=strides, padding=padding, **shared)
    reach = [dilation * (_known(size) - 1) for dilation, size in zip(dilations, weight.shape[2:], strict=True)]
    around = tuple((span - low, span - high) for span, (low, high) in zip(reach, padding, strict=True))
    extra = (0,) * len(strides)
    y = ops.conv_transpose(x, _turned(weight, groups), strides=spreads, padding=around, output_padding=extra, **shared)
    if all(stride == 1 for stride in strides):
        return y
    axes = tuple(range(2, y.ndim)) if channel_axis == 1 else tuple(range(1, y.ndim - 1))
    stops = tuple(y.shape[axis] for axis in axes)
    return ops.slice(y, starts=(0,) * len(axes), stops=stops, steps=strides, axes=axes)


def _known(size: Dim) -> int:
    if isinstance(size, DimExpr):
        refuse(f"the window of a kernel cannot be symbolic ({size})")
    return size


def _turned(weight: Value, groups: int) -> Value:
    """The kernel of the transposed convolution: in and out exchanged within each group, every spatial axis reversed."""
    produced, inputs, *window = weight.shape
    spatial = tuple(range(2, weight.ndim))
    if groups == 1:
        return ops.flip(permuted(weight, (1, 0, *spatial)), axis=spatial)
    split = ops.reshape(weight, shape=(groups, produced // groups, inputs, *window))
    exchanged = permuted(split, (0, 2, 1, *(axis + 1 for axis in spatial)))
    return ops.flip(ops.reshape(exchanged, shape=(groups * inputs, produced // groups, *window)), axis=spatial)
