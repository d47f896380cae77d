"""Convolutions, pools and resampling: canonical op -> ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from kxchange.dims import Dim, divide_exact
from kxchange.graph import Node
from kxchange.table import Condition, Table
from kxchange.types import DType
from kxchange_onnx.dims_out import vector
from kxchange_onnx.kernels import takes
from kxchange_onnx.opsets import target
from kxchange_onnx.scaling import scaled_size
from kxchange_onnx.writing import constant, emit, type_of

TABLE = Table("onnx")
Ints = tuple[int, ...]
Pads = tuple[tuple[Dim, Dim], ...]


def channels_first(condition: Condition) -> Condition:
    """The condition, for inputs whose channels are axis 1 and whose paddings are numbers, none negative."""

    def holds(node: Node) -> bool:
        pads = [end for pair in node.attrs.get("padding", ()) for end in pair]
        return node.attrs["channel_axis"] == 1 and all(isinstance(p, int) and p >= 0 for p in pads) and condition(node)

    return holds


def _pads(padding: Pads) -> Ints:
    pairs: Any = padding
    return (*(before for before, _ in pairs), *(after for _, after in pairs))


@TABLE.rule("conv", when=channels_first(takes("Conv")))
def _(
    x: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None,
    *,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> ir.Value:
    window = type_of(weight).shape[2:]
    return emit(
        "Conv",
        x,
        weight,
        bias,
        kernel_shape=window,
        strides=strides,
        pads=_pads(padding),
        dilations=dilations,
        group=groups,
    )


@TABLE.rule("conv_transpose", when=channels_first(takes("ConvTranspose")))
def _(
    x: ir.Value,
    weight: ir.Value,
    bias: ir.Value | None,
    *,
    strides: Ints,
    padding: Pads,
    output_padding: Ints,
    dilations: Ints,
    groups: int,
    channel_axis: int,
) -> ir.Value:
    return emit(
        "ConvTranspose",
        x,
        weight,
        bias,
        kernel_shape=type_of(weight).shape[2:],
        strides=strides,
        pads=_pads(padding),
        output_padding=output_padding,
        dilations=dilations,
        group=groups,
    )


def _covering(node: Node) -> bool:
    """Whether every window reaches the input: ONNX Runtime refuses paddings as large as the window."""
    window, padding = node.attrs["window"], node.attrs["padding"]
    dilations = node.attrs.get("dilations", (1,) * len(window))
    axes = zip(window, padding, dilations, strict=True)
    return all(max(pair) < (size - 1) * dilation + 1 and max(pair) < size for size, pair, dilation in axes)


def pooling(op_type: str, *exact: str) -> Condition:
    """The condition that a native pool may be written."""
    native = takes(op_type, *exact)
    return channels_first(lambda node: _covering(node) and native(node))


@TABLE.rule("max_pool", when=pooling("MaxPool"))
def _(
    x: ir.Value,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    dilations: Ints,
    ceil_mode: bool,
    channel_axis: int,
) -> ir.Value:
    sizes = {"kernel_shape": window, "strides": strides, "pads": _pads(padding), "dilations": dilations}
    return emit("MaxPool", x, **sizes, ceil_mode=int(ceil_mode))


def _plain_mean(node: Node) -> bool:
    return node.attrs["divisor"] is None and pooling("AveragePool")(node)


@TABLE.rule("avg_pool", when=_plain_mean)
def _(
    x: ir.Value,
    *,
    window: Ints,
    strides: Ints,
    padding: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    channel_axis: int,
) -> ir.Value:
    sizes = {"kernel_shape": window, "strides": strides, "pads": _pads(padding)}
    return emit("AveragePool", x, **sizes, ceil_mode=int(ceil_mode), count_include_pad=int(count_include_pad))


NEWER = {"antialias": 18, "half_pixel_symmetric": 19}


def _resizes(node: Node) -> bool:
    """What ONNX Runtime's kernel takes: float32 images with their channels in front, at least one size unknown.

    Where all sizes are known, nearest is a `take` and exact: the kernel computes its coordinates in float32.
    """
    attrs, shape = node.attrs, node.types[0].shape
    x = node.inputs[0]
    if x is None or attrs["channel_axis"] != 1 or not takes("Resize")(node) or not _scales_say_all(node):
        return False
    if attrs["antialias"] and (target() < NEWER["antialias"] or attrs["mode"] == "nearest"):
        return False
    if target() < NEWER["half_pixel_symmetric"] and attrs["coordinate_mode"] == "half_pixel_symmetric":
        return False
    static = all(isinstance(dim, int) for dim in (*x.shape[2:], *shape[2:]))
    if attrs["mode"] == "nearest":
        return not static
    return len(shape) == 4 or (len(shape) == 3 and attrs["mode"] == "linear" and not attrs["antialias"])


def _scales_say_all(node: Node) -> bool:
    """Whether stated scales give the sizes as ONNX computes these; near a tie nearest needs the very scale."""
    attrs, (x, *_) = node.attrs, node.inputs
    if attrs["scales"] is None or x is None:
        return x is not None
    if attrs["mode"] == "nearest" and any(float(np.float32(scale)) != scale for scale in attrs["scales"]):
        return False
    axes = zip(x.shape[2:], attrs["sizes"], attrs["scales"], strict=True)
    return all(scaled_size(old, scale) == new for old, new, scale in axes)


@TABLE.rule("resize", when=_resizes)
def _(
    x: ir.Value,
    *,
    sizes: tuple[Dim, ...],
    mode: str,
    coordinate_mode: str,
    nearest_mode: str,
    cubic_coefficient: float,
    antialias: bool,
    exclude_outside: bool,
    scales: tuple[float, ...] | None,
    channel_axis: int,
) -> ir.Value:
    shape = type_of(x).shape
    modes = {"mode": mode, "coordinate_transformation_mode": coordinate_mode}
    if mode == "nearest":
        modes["nearest_mode"] = nearest_mode
    # All axes are named: where it moves a Transpose past a Resize with `axes`, ONNX Runtime 1.32 loses the sizes.
    factors = [divide_exact(new, old) for new, old in zip(sizes, shape[2:], strict=True)]
    stated = factors if scales is None else scales
    known = scales is not None or all(isinstance(factor, int) for factor in factors)
    scale = constant([1, 1, *stated], DType.FLOAT32) if known else None
    return emit(
        "Resize",
        x,
        None,
        scale,
        None if known else vector((*shape[:2], *sizes)),
        **modes,
        antialias=1 if antialias else None,
        exclude_outside=1 if exclude_outside else None,
        cubic_coeff_a=float(cubic_coefficient) if mode == "cubic" else None,
    )
