"""Convolutions, pools and resizes, channels first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_torch.lift import MISSING, lift, refuse, result_is_read
from kxchange_torch.lift_manipulation import reshape
from kxchange_torch.lift_windows import (
    bin_taps,
    covered_counts,
    integer_average,
    place_of_greatest,
    sliding_taps,
)

Ints = Sequence[int] | int


def spread(values: Ints, count: int) -> tuple[int, ...]:
    """One number per spatial axis; torch lets one stand for all."""
    listed = (values,) if isinstance(values, int) else tuple(values)
    return listed * count if len(listed) == 1 else listed


def pairs(padding: Ints, count: int) -> tuple[tuple[int, int], ...]:
    """The same padding before and after each spatial axis."""
    return tuple((n, n) for n in spread(padding, count))


def batched(x: Value, rank: int, apply: Callable[[Value], Value]) -> Value:
    """An operation on ``[batch, channels, spatial...]``, with the batch axis made where it is missing."""
    if x.ndim == rank + 2:
        return apply(x)
    if x.ndim > rank + 2:
        lead = x.shape[: -rank - 1]
        result = apply(ops.reshape(x, shape=(-1, *x.shape[-rank - 1 :])))
        return reshape(result, (*lead, *result.shape[1:]))
    return ops.squeeze(apply(ops.expand_dims(x, axis=(0,))), axis=(0,))


def conv(
    x: Value, weight: Value, bias: Value | None, strides: Ints, padding: Any, dilations: Ints, groups: int
) -> Value:
    """A convolution over as many axes as the kernel has."""
    rank = weight.ndim - 2
    steps, spacing = spread(strides, rank), spread(dilations, rank)
    if padding == "valid":
        amounts: tuple[tuple[int, int], ...] = ((0, 0),) * rank
    elif padding == "same":
        totals = [d * (k - 1) for d, k in zip(spacing, weight.shape[2:], strict=True)]
        amounts = tuple((total // 2, total - total // 2) for total in totals)
    else:
        amounts = pairs(padding, rank)
    return batched(
        x,
        rank,
        lambda y: ops.conv(y, weight, bias, strides=steps, padding=amounts, dilations=spacing, groups=groups),
    )


_KINDS = [f"aten.conv{n}d.{overload}" for n in (1, 2, 3) for overload in ("default", "padding")]
lift.rule(*_KINDS)(conv)


def conv_transpose(
    x: Value,
    weight: Value,
    bias: Value | None,
    strides: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilations: Ints,
) -> Value:
    """A transposed convolution; torch gives its groups before its dilations."""
    rank = weight.ndim - 2
    return batched(
        x,
        rank,
        lambda y: ops.conv_transpose(
            y,
            weight,
            bias,
            strides=spread(strides, rank),
            padding=pairs(padding, rank),
            output_padding=spread(output_padding, rank),
            dilations=spread(dilations, rank),
            groups=groups,
        ),
    )


lift.rule("aten.conv_transpose1d.default", "aten.conv_transpose2d.input", "aten.conv_transpose3d.input")(conv_transpose)


@lift.rule("aten.convolution.default", "aten._convolution.default", "aten.convolution_overrideable.default")
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    strides: Ints,
    padding: Ints,
    dilations: Ints,
    transposed: bool,
    output_padding: Ints,
    groups: int,
) -> Value:
    if transposed:
        return conv_transpose(x, weight, bias, strides, padding, output_padding, groups, dilations)
    return conv(x, weight, bias, strides, padding, dilations, groups)


def max_pool(x: Value, rank: int, window: Ints, strides: Ints, padding: Ints, dilations: Ints, ceil: bool) -> Value:
    """Strides default to the window."""
    size = spread(window, rank)
    return batched(
        x,
        rank,
        lambda y: ops.max_pool(
            y,
            window=size,
            strides=spread(strides, rank) if strides else size,
            padding=pairs(padding, rank),
            dilations=spread(dilations, rank),
            ceil_mode=ceil,
        ),
    )


def avg_pool(
    x: Value, rank: int, window: Ints, strides: Ints, padding: Ints, ceil: bool, include: bool, divisor: int | None
) -> Value:
    """Strides default to the window; a divisor of one's own replaces the count."""
    size = spread(window, rank)
    steps = spread(strides, rank) if strides else size

    def floating(y: Value) -> Value:
        return ops.avg_pool(
            y,
            window=size,
            strides=steps,
            padding=pairs(padding, rank),
            ceil_mode=ceil,
            count_include_pad=include,
            divisor=divisor,
        )

    def whole(y: Value) -> Value:
        ones = (1,) * rank
        counts = ops.max_pool(
            y, window=size, strides=steps, padding=pairs(padding, rank), dilations=ones, ceil_mode=ceil
        ).shape[2:]
        axes = list(zip(y.shape[2:], counts, size, steps, spread(padding, rank), strict=True))
        taps = [sliding_taps(*axis, 1) for axis in axes]
        return integer_average(y, taps, [covered_counts(*axis, include) for axis in axes], divisor)

    return batched(x, rank, whole if x.dtype.is_integer else floating)


def max_pool_at(x: Value, rank: int, window: Ints, strides: Ints, padding: Ints, dilations: Ints, ceil: bool) -> Value:
    """Where the greatest elements of a `max_pool` stand, counted over the spatial axes."""
    size = spread(window, rank)
    steps = spread(strides, rank) if strides else size

    def places(y: Value) -> Value:
        counts = max_pool(y, rank, window, strides, padding, dilations, ceil).shape[2:]
        axes = zip(y.shape[2:], counts, size, steps, spread(padding, rank), spread(dilations, rank), strict=True)
        return place_of_greatest(y, [sliding_taps(*axis) for axis in axes])

    return batched(x, rank, places)


def adaptive_max_pool_at(x: Value, rank: int, size: Any) -> Value:
    """Where the greatest elements of an `adaptive_max_pool` stand, counted over the spatial axes."""
    return batched(
        x,
        rank,
        lambda y: place_of_greatest(
            y, [bin_taps(n, count) for n, count in zip(y.shape[2:], _output(size, y, rank), strict=True)]
        ),
    )


def _register_pools(n: int) -> None:
    def maximum(x: Value, window: Ints, strides: Ints, padding: Ints, dilations: Ints, ceil: bool) -> Value:
        return max_pool(x, n, window, strides, padding, dilations, ceil)

    def maximum_at(
        x: Value, window: Ints, strides: Ints, padding: Ints, dilations: Ints, ceil: bool
    ) -> tuple[Any, ...]:
        values = max_pool(x, n, window, strides, padding, dilations, ceil)
        return values, max_pool_at(x, n, window, strides, padding, dilations, ceil) if result_is_read(1) else MISSING

    def average(
        x: Value, window: Ints, strides: Ints, padding: Ints, ceil: bool, include: bool, divisor: int | None
    ) -> Value:
        return avg_pool(x, n, window, strides, padding, ceil, include, divisor)

    def average_plain(x: Value, window: Ints, strides: Ints, padding: Ints, ceil: bool, include: bool) -> Value:
        return avg_pool(x, n, window, strides, padding, ceil, include, None)

    lift.rule(f"aten.max_pool{n}d.default")(maximum)
    lift.rule(f"aten.max_pool{n}d_with_indices.default")(maximum_at)
    lift.rule(f"aten.avg_pool{n}d.default")(average_plain if n == 1 else average)
    lift.rule(f"aten.adaptive_avg_pool{n}d.default", f"aten._adaptive_avg_pool{n}d.default")(
        lambda x, size: batched(x, n, lambda y: ops.adaptive_avg_pool(y, output_size=_output(size, y, n)))
    )
    lift.rule(f"aten.adaptive_max_pool{n}d.default")(
        lambda x, size: (
            batched(x, n, lambda y: ops.adaptive_max_pool(y, output_size=_output(size, y, n))),
            adaptive_max_pool_at(x, n, size) if result_is_read(1) else MISSING,
        )
    )


def _output(size: Any, x: Value, rank: int) -> tuple[Dim, ...]:
    """Output sizes of an adaptive pool; None keeps a size."""
    listed = size if isinstance(size, tuple) else (size,) * rank
    return tuple(x.shape[2 + i] if n is None else n for i, n in enumerate(listed))


for _n in (1, 2, 3):
    _register_pools(_n)

LINEAR = {"mode": "linear"}
CUBIC = {"mode": "cubic", "cubic_coefficient": -0.75}
NEAREST = {"mode": "nearest", "coordinate_mode": "asymmetric", "nearest_mode": "floor"}
EXACT = {"mode": "nearest", "coordinate_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"}
SMOOTH = {"antialias": True, "exclude_outside": True}


def resize(x: Value, sizes: Sequence[Dim], scales: Sequence[float | None] | None, **attrs: Any) -> Value:
    """A resize to sizes; where the user gave factors, coordinates are computed from them, not from the sizes."""
    known = None if scales is None or any(scale is None for scale in scales) else tuple(map(float, scales))  # pyright: ignore[reportArgumentType]
    return ops.resize(x, sizes=tuple(sizes), scales=known, channel_axis=1, **attrs)


def scaled_sizes(x: Value, factors: Sequence[float]) -> tuple[Dim, ...]:
    """``floor(size * factor)`` per spatial axis; of a symbolic size the factor must be a simple fraction."""
    return tuple(_scaled_size(size, factor) for size, factor in zip(x.shape[2:], factors, strict=True))


def _scaled_size(size: Dim, factor: float) -> Dim:
    if isinstance(size, int):
        return math.floor(size * factor)
    simple = Fraction(factor).limit_denominator(1024)
    if float(simple) != float(factor):
        return refuse(f"a resize of the symbolic size {size} by {factor}, which is no simple fraction")
    return (size * simple.numerator) // simple.denominator


def _aligned(corners: bool, attrs: dict[str, Any]) -> dict[str, str]:
    """Torch's antialiasing kernels take the step of aligned corners, but not their positions."""
    if corners and attrs.get("antialias"):
        return refuse("antialiasing with aligned corners")
    return {"coordinate_mode": "align_corners" if corners else "half_pixel"}


def _register_resizes(name: str, attrs: dict[str, Any], corners: bool) -> None:
    def vector(x: Value, sizes: Any, align: Any = None, factors: Any = None) -> Value:
        if not corners:
            align, factors = False, align
        more = _aligned(align, attrs) if corners else {}
        return resize(x, scaled_sizes(x, factors) if sizes is None else sizes, factors, **attrs, **more)

    def plain(x: Value, sizes: Any, *rest: Any) -> Value:
        scales = rest[1:] if corners else rest
        more = _aligned(rest[0], attrs) if corners else {}
        return resize(x, sizes, scales, **attrs, **more)

    lift.rule(f"aten.{name}.vec")(vector)
    lift.rule(f"aten.{name}.default")(plain)


for _n, _linear in ((1, "linear1d"), (2, "bilinear2d"), (3, "trilinear3d")):
    _register_resizes(f"upsample_{_linear}", LINEAR, True)
    _register_resizes(f"upsample_nearest{_n}d", NEAREST, False)
    _register_resizes(f"_upsample_nearest_exact{_n}d", EXACT, False)
_register_resizes("upsample_bicubic2d", CUBIC, True)
_register_resizes("_upsample_bilinear2d_aa", LINEAR | SMOOTH, True)
_register_resizes("_upsample_bicubic2d_aa", CUBIC | SMOOTH | {"cubic_coefficient": -0.5}, True)
