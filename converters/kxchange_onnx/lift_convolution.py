"""Convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.operands_in import ints
from kxchange_onnx.windows_in import Pairs, Window, explicit, window

Ints = Sequence[int] | None


def kernel_sizes(weight: Value, stated: Ints) -> tuple[int, ...]:
    """Taps per spatial axis, which the attribute repeats."""
    sizes = weight.shape[2:]
    if any(not isinstance(size, int) for size in sizes):
        return refuse(f"its kernel {weight.type} has a symbolic size")
    if stated is not None and tuple(stated) != sizes:
        return refuse(f"its kernel_shape {tuple(stated)} is not that of the weight, {sizes}")
    return sizes


@lift.rule("Conv")
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    *,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Value:
    place = window(x, kernel_sizes(weight, kernel_shape), strides, dilations, pads, auto_pad)
    return convolved(x, weight, bias, place, group)


def convolved(x: Value, weight: Value, bias: Value | None, place: Window, groups: int) -> Value:
    """The convolution over a window."""
    return ops.conv(
        x, weight, bias, strides=place.strides, padding=place.padding, dilations=place.dilations, groups=groups
    )


@lift.rule("ConvTranspose")
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    *,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    output_padding: Ints,
    output_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Value:
    sizes = kernel_sizes(weight, kernel_shape)
    place = window(x, sizes, strides, dilations, None, "NOTSET")
    extra = tuple(output_padding or (0,) * len(sizes))
    wanted: Sequence[Dim] | None = output_shape
    if wanted is not None and len(wanted) == x.ndim:
        wanted = wanted[2:]
    if wanted is None and auto_pad.startswith("SAME"):
        wanted = [size * stride for size, stride in zip(x.shape[2:], place.strides, strict=True)]
    padding = explicit(None if auto_pad == "VALID" else pads, len(sizes))
    if wanted is not None:
        padding = _fitting(x.shape[2:], place, extra, wanted, upper=auto_pad == "SAME_UPPER")
    return transposed(x, weight, bias, place, padding, extra, group)


def _fitting(sizes: Sequence[Dim], place: Window, extra: Sequence[int], wanted: Sequence[Dim], *, upper: bool) -> Pairs:
    """The paddings that give the wanted sizes (trap C05)."""
    pairs: list[tuple[Dim, Dim]] = []
    for size, stride, span, more, goal in zip(sizes, place.strides, place.spans, extra, wanted, strict=True):
        total = stride * (size - 1) + more + span - goal
        half = total // 2
        pairs.append((half, total - half) if upper else (total - half, half))
    return tuple(pairs)


def transposed(
    x: Value,
    weight: Value,
    bias: Value | None,
    place: Window,
    padding: Pairs,
    extra: Sequence[int],
    groups: int,
) -> Value:
    """The transposed convolution; zeros are put where a padding is negative."""
    kept: list[tuple[Dim, Dim]] = []
    grown = [(0, 0), (0, 0)]
    for before, after in padding:
        missing = [-p if isinstance(p, int) and p < 0 else 0 for p in (before, after)]
        grown.append((missing[0], missing[1]))
        kept.append((0 if missing[0] else before, 0 if missing[1] else after))
    late = any(pair != (0, 0) for pair in grown)
    y = ops.conv_transpose(
        x,
        weight,
        None if late else bias,
        strides=place.strides,
        padding=tuple(kept),
        output_padding=tuple(extra),
        dilations=place.dilations,
        groups=groups,
    )
    if not late:
        return y
    y = ops.pad(y, padding=tuple(grown))
    return y if bias is None else ops.add(y, ops.expand_dims(bias, axis=tuple(range(1, y.ndim - 1))))


@lift.rule("Col2Im")
def _(x: Value, image: Value, block: Value, *, dilations: Ints, pads: Ints, strides: Ints) -> Value:
    """Columns added up where they came from: a transposed convolution with a kernel that is the identity."""
    sizes, taps = ints(image, "image_shape"), ints(block, "block_shape")
    rank, count = len(sizes), 1
    for tap in taps:
        count *= tap
    ones = (1,) * rank
    padding, gaps, steps = explicit(pads, rank), tuple(dilations or ones), tuple(strides or ones)
    spans = [(tap - 1) * gap + 1 for tap, gap in zip(taps, gaps, strict=True)]
    counts = [
        (size + before + after - span) // step + 1
        for size, (before, after), span, step in zip(sizes, padding, spans, steps, strict=True)
    ]
    batch, channels = x.shape[0], x.shape[1] // count
    maps = ops.reshape(x, shape=(batch * channels, count, *counts))
    kernel = ops.reshape(ops.eye(rows=count, dtype=x.dtype), shape=(count, 1, *taps))
    reached = [(c - 1) * s + span - b - a for c, s, span, (b, a) in zip(counts, steps, spans, padding, strict=True)]
    extra = tuple(size - have for size, have in zip(sizes, reached, strict=True))
    place = Window(taps, steps, gaps, padding)
    behind = tuple((before, after) for before, after in padding)
    y = transposed(maps, kernel, None, place, behind, extra, 1)  # pyright: ignore[reportArgumentType]
    return ops.reshape(y, shape=(batch, channels, *sizes))
