"""Lifting of TensorFlow's convolutions, pools, resizing and matrix products."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow.lift import LiftTable, refuse, sizes
from kxchange_tensorflow.spatial_in import (
    channel_axis,
    convolve,
    convolve_transposed,
    pool_average,
    pool_max,
    resample,
    spatial,
    static,
)

Ints = tuple[int, ...]
lift = LiftTable("tensorflow")


@lift.rule("Conv2D", "Conv3D")
def _(
    x: Value,
    kernel: Value,
    *,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints = (),
    data_format: str = "",
    dilations: Ints = (),
) -> Value:
    axis = channel_axis(data_format or ("NHWC" if x.ndim == 4 else "NDHWC"))
    rank = x.ndim - 2
    around = tuple(spatial(dilations, axis)) if dilations else (1,) * rank
    canonical = ops.permute_dims(kernel, axes=(rank + 1, rank, *range(rank)))
    steps = static(spatial(strides, axis), "stride")
    return convolve(x, canonical, None, steps, static(around, "dilation"), padding, explicit_paddings, axis)


@lift.rule("DepthwiseConv2dNative")
def _(
    x: Value,
    kernel: Value,
    *,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints = (),
    data_format: str = "NHWC",
    dilations: Ints = (1, 1, 1, 1),
) -> Value:
    axis = channel_axis(data_format)
    height, width, channels, multiplier = static(kernel.shape, "kernel")
    flat = ops.reshape(kernel, shape=(height, width, 1, channels * multiplier))
    canonical = ops.permute_dims(flat, axes=(3, 2, 0, 1))
    steps, around = static(spatial(strides, axis), "stride"), static(spatial(dilations, axis), "dilation")
    return convolve(x, canonical, None, steps, around, padding, explicit_paddings, axis)


@lift.rule("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def _(
    shape: Value,
    kernel: Value,
    x: Value,
    *,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints = (),
    data_format: str = "",
    dilations: Ints = (),
) -> Value:
    axis = channel_axis(data_format or ("NHWC" if x.ndim == 4 else "NDHWC"))
    rank = x.ndim - 2
    wanted = sizes(shape)
    outputs = spatial(wanted, axis) if len(wanted) == x.ndim else wanted
    around = static(spatial(dilations, axis), "dilation") if dilations else (1,) * rank
    canonical = ops.permute_dims(kernel, axes=(rank + 1, rank, *range(rank)))
    steps = static(spatial(strides, axis), "stride")
    return convolve_transposed(x, canonical, None, outputs, steps, around, padding, explicit_paddings, axis)


@lift.rule("MaxPool", "MaxPool3D")
def _(
    x: Value,
    *,
    ksize: Ints,
    strides: Ints,
    padding: str,
    explicit_paddings: Ints = (),
    data_format: str = "",
) -> Value:
    axis, window, steps = _windowed(x, ksize, strides, data_format)
    return pool_max(x, window, steps, padding, explicit_paddings, axis)


@lift.rule("AvgPool", "AvgPool3D")
def _(x: Value, *, ksize: Ints, strides: Ints, padding: str, data_format: str = "") -> Value:
    axis, window, steps = _windowed(x, ksize, strides, data_format)
    return pool_average(x, window, steps, padding, (), axis)


def _windowed(x: Value, ksize: Ints, strides: Ints, data_format: str) -> tuple[int, Ints, Ints]:
    axis = channel_axis(data_format or ("NHWC" if x.ndim == 4 else "NDHWC"))
    outer = (ksize[0], ksize[axis], strides[0], strides[axis])
    if outer != (1, 1, 1, 1):
        refuse("it pools over the batch or the channels")
    return axis, static(spatial(ksize, axis), "window"), static(spatial(strides, axis), "stride")


@lift.rule("ResizeBilinear")
def _(x: Value, size: Value, *, align_corners: bool = False, half_pixel_centers: bool = False) -> Value:
    wide = x if x.dtype.is_floating else ops.astype(x, dtype=DType.FLOAT32)
    return resample(
        wide,
        sizes(size, "size"),
        "linear",
        align_corners=align_corners,
        half_pixel_centers=half_pixel_centers,
    )


@lift.rule("ResizeBicubic")
def _(x: Value, size: Value, *, align_corners: bool = False, half_pixel_centers: bool = False) -> Value:
    wide = x if x.dtype.is_floating else ops.astype(x, dtype=DType.FLOAT32)
    return resample(
        wide, sizes(size, "size"), "cubic", align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


@lift.rule("ResizeNearestNeighbor")
def _(x: Value, size: Value, *, align_corners: bool = False, half_pixel_centers: bool = False) -> Value:
    return resample(
        x, sizes(size, "size"), "nearest", align_corners=align_corners, half_pixel_centers=half_pixel_centers
    )


def turned(x: Value) -> Value:
    """The last two axes exchanged."""
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@lift.rule("MatMul")
def _(
    a: Value,
    b: Value,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    grad_a: bool = False,
    grad_b: bool = False,
) -> Value:
    return ops.matmul(turned(a) if transpose_a else a, turned(b) if transpose_b else b)


@lift.rule("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
def _(
    a: Value,
    b: Value,
    *,
    adj_x: bool = False,
    adj_y: bool = False,
    grad_x: bool = False,
    grad_y: bool = False,
    Tout: Any = None,  # noqa: N803 - the schema's name
) -> Value:
    return ops.matmul(_adjoint(a) if adj_x else a, _adjoint(b) if adj_y else b)


def _adjoint(x: Value) -> Value:
    return ops.conj(turned(x)) if x.dtype.is_complex else turned(x)


@lift.rule("Einsum")
def _(*xs: Value, equation: str) -> Value:
    if "." in equation:
        equation = _without_ellipsis(equation, [x.ndim for x in xs])
    return ops.einsum(*xs, equation=equation.replace(" ", ""))


def _without_ellipsis(equation: str, ranks: list[int]) -> str:
    """The equation with letters of its own in place of ``...``, aligned at the right."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow or len(terms) != len(ranks):
        refuse(f"its equation {equation!r} is not explicit")
    widths = [r - len(t.replace("...", "")) if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    if max(widths) < 0 or max(widths) > len(free):
        refuse(f"its equation {equation!r} does not suit its operands")
    letters = "".join(free[: max(widths)])
    if any(0 < width < max(widths) for width in widths):
        refuse(f"its equation {equation!r} broadcasts")
    spelled = [t.replace("...", letters if w else "") for t, w in zip(terms, widths, strict=True)]
    return f"{','.join(spelled)}->{output.replace('...', letters)}"
