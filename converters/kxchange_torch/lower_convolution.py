"""Lowering of convolutions, pools and resampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from kxchange.dims import Dim
from kxchange.errors import BuildError
from kxchange.graph import Node
from kxchange_torch.lower_manipulation import pad_constant
from kxchange_torch.lowering import current_node, output_type, size
from kxchange_torch.private import BICUBIC_ANTIALIASED, BILINEAR_ANTIALIASED, NEAREST_EXACT
from kxchange_torch.rules import Rules

Tensor = Any
Ints = tuple[int, ...]
Pairs = tuple[tuple[Any, Any], ...]

lower = Rules()

CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
MAX_POOL = {1: torch.max_pool1d, 2: torch.max_pool2d, 3: torch.max_pool3d}
AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
ADAPTIVE_AVG = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}
ADAPTIVE_MAX = {
    1: torch.adaptive_max_pool1d,
    2: torch.ops.aten.adaptive_max_pool2d.default,
    3: torch.ops.aten.adaptive_max_pool3d.default,
}
"""With the positions of the maxima, which nothing reads."""


def first(x: Tensor, channel_axis: int) -> Tensor:
    """The tensor with channels on axis 1, which is what torch takes."""
    return x if channel_axis == 1 else x.movedim(-1, 1)


def back(x: Tensor, channel_axis: int) -> Tensor:
    """The way back from `first`."""
    return x if channel_axis == 1 else x.movedim(1, -1)


def even(padding: Pairs) -> list[Any] | None:
    """One extent per axis, where both ends are padded alike and nothing is cut."""
    alike = all(
        before is after or (type(before) is type(after) is int and before == after) for before, after in padding
    )
    kept = [before for before, _ in padding]
    return kept if alike and not any(isinstance(extent, int) and extent < 0 for extent in kept) else None


@lower.rule("conv")
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Ints,
    padding: Pairs,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Tensor:
    conv, x = CONV[x.ndim - 2], first(x, channel_axis)
    extents = even(padding)
    if extents is None:
        x, extents = pad_constant(x, padding), [0] * len(padding)
    return back(conv(x, weight, bias, strides, extents, dilations, groups), channel_axis)


@lower.rule("conv_transpose")
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    strides: Ints,
    padding: Pairs,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> Tensor:
    rank = x.ndim - 2
    conv, x, extents = CONV_TRANSPOSE[rank], first(x, channel_axis), even(padding)
    fits = all(extra < max(s, d) for extra, s, d in zip(output_padding, strides, dilations, strict=True))
    if extents is not None and fits:
        result = conv(x, weight, bias, strides, extents, output_padding, groups, dilations)
    else:  # torch crops both ends alike: crop (or grow) the whole result, and add the bias last
        result = conv(x, weight, None, strides, 0, 0, groups, dilations)
        cuts = [(-before, extra - after) for (before, after), extra in zip(padding, output_padding, strict=True)]
        result = pad_constant(result, cuts)
        result = result if bias is None else result + bias.reshape((-1,) + (1,) * rank)
    return back(result, channel_axis)


def _half(node: Node) -> bool:
    """Whether padding is what torch's pools take: alike at both ends, at most half of the window."""
    pairs = zip(node.attrs["padding"], node.attrs["window"], strict=True)
    return all(isinstance(a, int) and a == b and 0 <= 2 * a <= w for (a, b), w in pairs)


@lower.rule("max_pool")
def _(
    x: Tensor,
    *,
    window: Ints,
    strides: Ints,
    padding: Pairs,
    dilations: Ints,
    ceil_mode: bool,
    channel_axis: int,
) -> Tensor:
    rank, dtype = x.ndim - 2, x.dtype
    pool = MAX_POOL[rank] if dtype.is_floating_point or rank > 1 else _integer_pool
    sizes, counts = _spatial(x.type.shape, channel_axis), _spatial(output_type().shape, channel_axis)
    x, extents = first(x, channel_axis), even(padding)
    fits = extents is not None and all(isinstance(e, int) and 2 * e <= w for e, w in zip(extents, window, strict=True))
    if extents is not None and fits:
        return back(pool(x, window, strides, extents, dilations, ceil_mode), channel_axis)
    pairs: list[tuple[Any, Any]] = []
    for (before, _), length, count, w, s, d in zip(padding, sizes, counts, window, strides, dilations, strict=True):
        reach = (size(count) - 1) * s + d * (w - 1) + 1
        pairs.append((before, reach - size(length) - before))
    return back(pool(pad_constant(x, pairs, _lowest(dtype)), window, strides, 0, dilations), channel_axis)


def _integer_pool(
    x: Tensor, window: Any, strides: Any, padding: Any, dilations: Any, ceil_mode: bool = False
) -> Tensor:
    """One spatial axis as two: torch's pool over one has no kernel for integers."""
    extents = (0, *padding) if padding else 0
    pooled = torch.max_pool2d(x.unsqueeze(2), (1, *window), (1, *strides), extents, (1, *dilations), ceil_mode)
    return pooled.squeeze(2)


def _spatial(shape: Sequence[Dim], channel_axis: int) -> Sequence[Dim]:
    return shape[2:] if channel_axis == 1 else shape[1:-1]


def _lowest(dtype: torch.dtype) -> Any:
    return float("-inf") if dtype.is_floating_point else torch.iinfo(dtype).min


def _native_average(node: Node) -> bool:
    return _half(node) and (node.attrs["divisor"] is None or len(node.attrs["window"]) > 1)


@lower.rule("avg_pool", when=_native_average)
def _(
    x: Tensor,
    *,
    window: Ints,
    strides: Ints,
    padding: Pairs,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> Tensor:
    pool, extents = AVG_POOL[x.ndim - 2], [before for before, _ in padding]
    options: dict[str, Any] = {} if divisor is None else {"divisor_override": divisor}
    x = first(x, channel_axis)
    return back(pool(x, window, strides, extents, ceil_mode, count_include_pad, **options), channel_axis)


@lower.rule("adaptive_avg_pool")
def _(x: Tensor, *, output_size: tuple[Any, ...], channel_axis: int) -> Tensor:
    return back(ADAPTIVE_AVG[x.ndim - 2](first(x, channel_axis), output_size), channel_axis)


@lower.rule("adaptive_max_pool", when=lambda node: node.types[0].dtype.is_floating)
def _(x: Tensor, *, output_size: tuple[Any, ...], channel_axis: int) -> Tensor:
    return back(ADAPTIVE_MAX[x.ndim - 2](first(x, channel_axis), output_size)[0], channel_axis)


ATEN = torch.ops.aten
LINEAR = {1: ATEN.upsample_linear1d.default, 2: ATEN.upsample_bilinear2d.default, 3: ATEN.upsample_trilinear3d.default}
NEAREST = {1: ATEN.upsample_nearest1d.default, 2: ATEN.upsample_nearest2d.default, 3: ATEN.upsample_nearest3d.default}


def _resampler(node: Node) -> tuple[Callable[..., Tensor], tuple[Any, ...]] | None:
    """Torch's own function for this form of `resize`, with its arguments between the sizes and the scales."""
    a = node.attrs
    rank = len(a["sizes"])
    if rank not in LINEAR or not node.types[0].dtype.is_floating:
        return None
    corners = a["coordinate_mode"] == "align_corners"
    if a["mode"] == "nearest":
        if (a["coordinate_mode"], a["nearest_mode"]) == ("asymmetric", "floor"):
            return NEAREST[rank], ()
        exact = (a["coordinate_mode"], a["nearest_mode"]) == ("half_pixel", "round_prefer_ceil")
        return (NEAREST_EXACT[rank], ()) if exact else None
    if a["coordinate_mode"] not in ("half_pixel", "align_corners"):
        return None
    if a["antialias"]:
        if rank != 2 or corners or not a["exclude_outside"]:
            return None
        if a["mode"] == "linear":
            return BILINEAR_ANTIALIASED, (False,)
        return (BICUBIC_ANTIALIASED, (False,)) if a["cubic_coefficient"] == -0.5 else None
    if a["exclude_outside"]:
        return None
    if a["mode"] == "linear":
        return LINEAR[rank], (corners,)
    cubic = rank == 2 and a["cubic_coefficient"] == -0.75
    return (ATEN.upsample_bicubic2d.default, (corners,)) if cubic else None


def _has_resampler(node: Node) -> bool:
    return _resampler(node) is not None


@lower.rule("resize", when=_has_resampler)
def _(x: Tensor, *, sizes: tuple[Any, ...], scales: tuple[float, ...] | None, channel_axis: int, **_: Any) -> Tensor:
    function, options = _resampler(current_node()) or (None, ())
    if function is None:
        raise BuildError("resize was lowered without a resampler of torch's that does it.")
    given = scales if scales is not None else (None,) * len(sizes)
    return back(function(first(x, channel_axis), sizes, *options, *given), channel_axis)
