"""Spatial windows as Keras states them, made explicit: layout, padding, kernels."""

from __future__ import annotations

from kxchange import ops
from kxchange.dims import Dim, dim_max
from kxchange.graph import Value
from kxchange_keras.call import Call

Pairs = tuple[tuple[Dim, Dim], ...]


def channel_axis(call: Call) -> int:
    """Where the channels stand: 1 or -1."""
    stated = call.option("data_format", None) or call.option("dim_ordering", None) or "channels_last"
    return 1 if stated in ("channels_first", "th") else -1


def spatial(x: Value, axis: int) -> tuple[Dim, ...]:
    """The sizes of the spatial axes."""
    return tuple(x.shape[2:]) if axis == 1 else tuple(x.shape[1:-1])


def spatial_axes(x: Value, axis: int) -> tuple[int, ...]:
    """The spatial axes."""
    return tuple(range(2, x.ndim)) if axis == 1 else tuple(range(1, x.ndim - 1))


def padding_of(
    call: Call, sizes: tuple[Dim, ...], window: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]
) -> Pairs:
    """Explicit padding (traps C01 to C03): "same" follows the size, also where that is a symbol."""
    stated = str(call.option("padding" if "padding" in call.config.options else "border_mode", "valid")).lower()
    return explicit_padding(call, stated, sizes, window, strides, dilations)


def explicit_padding(
    call: Call,
    stated: str,
    sizes: tuple[Dim, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Pairs:
    """Elements before and after each axis for a padding by name."""
    reach = [dilation * (tap - 1) + 1 for tap, dilation in zip(window, dilations, strict=True)]
    if stated == "valid":
        return ((0, 0),) * len(sizes)
    if stated == "causal":
        return tuple((span - 1, 0) for span in reach)
    if stated != "same":
        call.refuse(f"its padding {stated!r} is unknown")
    return tuple(same_padding(size, span, stride) for size, span, stride in zip(sizes, reach, strides, strict=True))


def same_padding(size: Dim, span: int, stride: int) -> tuple[Dim, Dim]:
    """So much that there are ``ceil(size / stride)`` windows; the odd element stands behind."""
    count = -(-size // stride)
    total = dim_max((count - 1) * stride + span - size, 0)
    before = total // 2
    return before, total - before


def moved_kernel(kernel: Value) -> Value:
    """``window..., in, out`` as ``out, in, window...`` (trap C06); transposed kernels are stored out before in."""
    rank = kernel.ndim - 2
    return ops.permute_dims(kernel, axes=(rank + 1, rank, *range(rank)))


def stored_kernel(call: Call, kernel: Value) -> Value:
    """A convolution's kernel as ``out, in, window...`` from whatever layout and direction its version stored it in.

    Keras 1 stored ``out, in, window...`` under Theano's ordering, and one-dimensional windows with an axis more;
    Theano turned the window around where the others do not.
    """
    if call.dialect == 1 and len(call.option("kernel_size", ())) == 1 and kernel.ndim == 4:
        first = kernel.shape[1] == 1 and kernel.shape[-1] == call.option("filters")
        moved = moved_kernel(ops.squeeze(kernel, axis=(1,))) if first else ops.squeeze(kernel, axis=(3,))
    elif call.dialect == 1 and channel_axis(call) == 1:
        moved = kernel
    else:
        moved = moved_kernel(kernel)
    return ops.flip(moved, axis=tuple(range(2, moved.ndim))) if call.lifter.flipped_kernels else moved


def depthwise_kernel(kernel: Value) -> Value:
    """``window..., channels, multiplier`` as ``channels * multiplier, 1, window...`` (trap C07)."""
    rank = kernel.ndim - 2
    *window, channels, multiplier = kernel.shape
    turned = ops.permute_dims(kernel, axes=(rank, rank + 1, *range(rank)))
    return ops.reshape(turned, shape=(channels * multiplier, 1, *window))


def cut(x: Value, limits: dict[int, tuple[Dim, Dim]]) -> Value:
    """X without so many elements before and after each axis."""
    kept = {axis: pair for axis, pair in limits.items() if pair != (0, 0)}
    if not kept:
        return x
    starts = tuple(before for before, _ in kept.values())
    stops = tuple(x.shape[axis] - after for axis, (_, after) in kept.items())
    return ops.slice(x, starts=starts, stops=stops, steps=(1,) * len(kept), axes=tuple(kept))
