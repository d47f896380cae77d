"""Normalisations: canonical op -> ONNX."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir

from kxchange.dims import Dim
from kxchange.graph import Node
from kxchange.table import Condition, Table
from kxchange_onnx.kernels import takes
from kxchange_onnx.writing import constant, emit, type_of

TABLE = Table("onnx")


def _unit(like: ir.Value, size: Dim, number: float) -> ir.Value:
    """A vector of one number per channel; the conditions of the rules demand that the channels are counted."""
    return constant(np.full(cast("int", size), number), type_of(like).dtype)


def all_of(*conditions: Condition) -> Condition:
    """The condition that all of them hold."""
    return lambda node: all(condition(node) for condition in conditions)


def _channels_at_one(node: Node) -> bool:
    rank = len(node.types[0].shape)
    return rank > 1 and node.attrs["channel_axis"] % rank == 1 and isinstance(node.types[0].shape[1], int)


@TABLE.rule("batch_norm", when=all_of(_channels_at_one, takes("BatchNormalization", "epsilon")))
def _(
    x: ir.Value,
    mean: ir.Value,
    variance: ir.Value,
    scale: ir.Value | None,
    bias: ir.Value | None,
    *,
    epsilon: float,
    channel_axis: int,
) -> ir.Value:
    channels = type_of(x).shape[1]
    scale = _unit(x, channels, 1) if scale is None else scale
    bias = _unit(x, channels, 0) if bias is None else bias
    return emit("BatchNormalization", x, scale, bias, mean, variance, epsilon=float(epsilon))


def _known_sizes(node: Node) -> bool:
    shape, axes = node.types[0].shape, node.attrs["axes"]
    return all(isinstance(dim, int) for dim in shape[len(shape) - axes :])


def _ones(x: ir.Value, axes: int) -> ir.Value:
    return constant(np.ones([dim for dim in type_of(x).shape[-axes:] if isinstance(dim, int)]), type_of(x).dtype)


@TABLE.rule("layer_norm", when=all_of(_known_sizes, takes("LayerNormalization", "epsilon", version=17)))
def _(x: ir.Value, scale: ir.Value | None, bias: ir.Value | None, *, axes: int, epsilon: float) -> ir.Value:
    scale = _ones(x, axes) if scale is None else scale
    return emit("LayerNormalization", x, scale, bias, axis=-axes, epsilon=float(epsilon))


@TABLE.rule("rms_norm", when=all_of(_known_sizes, takes("RMSNormalization", "epsilon", version=23)))
def _(x: ir.Value, scale: ir.Value | None, *, axes: int, epsilon: float) -> ir.Value:
    scale = _ones(x, axes) if scale is None else scale
    return emit("RMSNormalization", x, scale, axis=-axes, epsilon=float(epsilon))


@TABLE.rule("instance_norm", when=all_of(_channels_at_one, takes("InstanceNormalization", "epsilon")))
def _(x: ir.Value, scale: ir.Value | None, bias: ir.Value | None, *, epsilon: float, channel_axis: int) -> ir.Value:
    channels = type_of(x).shape[1]
    scale = _unit(x, channels, 1) if scale is None else scale
    bias = _unit(x, channels, 0) if bias is None else bias
    return emit("InstanceNormalization", x, scale, bias, epsilon=float(epsilon))


def _odd_images(node: Node) -> bool:
    shape = node.types[0].shape
    return node.attrs["size"] % 2 == 1 and len(shape) == 4 and node.attrs["channel_axis"] in (1, -3)


@TABLE.rule("local_response_norm", when=all_of(_odd_images, takes("LRN", "alpha", "beta", "k")))
def _(x: ir.Value, *, size: int, alpha: float, beta: float, k: float, channel_axis: int) -> ir.Value:
    return emit("LRN", x, size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
