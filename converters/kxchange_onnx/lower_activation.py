"""Activations, softmax and attention: canonical op -> ONNX."""

from __future__ import annotations

import math
from typing import Any

import onnx_ir as ir

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_onnx.kernels import takes
from kxchange_onnx.lower_normalization import all_of
from kxchange_onnx.opsets import target
from kxchange_onnx.writing import emit, type_of

TABLE = Table("onnx")


def _has_axis(node: Node) -> bool:
    return len(node.types[0].shape) > 0


@TABLE.rule("softmax", when=all_of(_has_axis, takes("Softmax")))
def _(x: ir.Value, *, axis: int) -> ir.Value:
    return emit("Softmax", x, axis=axis)


@TABLE.rule("log_softmax", when=all_of(_has_axis, takes("LogSoftmax")))
def _(x: ir.Value, *, axis: int) -> ir.Value:
    return emit("LogSoftmax", x, axis=axis)


@TABLE.rule("gelu", when=takes("Gelu", version=20))
def _(x: ir.Value, *, approximate: str) -> ir.Value:
    return emit("Gelu", x, approximate=approximate)


def activation(name: str, op_type: str, version: int = 0, **attributes: str) -> None:
    """An activation of ONNX: its attribute names, with ours."""

    def rule(x: ir.Value, **attrs: Any) -> ir.Value:
        return emit(op_type, x, **{theirs: float(attrs[ours]) for theirs, ours in attributes.items()})

    TABLE.rule(name, when=takes(op_type, *attributes.values(), version=version))(rule)


activation("relu", "Relu")
activation("elu", "Elu", alpha="alpha")
activation("celu", "Celu", alpha="alpha")
activation("selu", "Selu")
activation("softsign", "Softsign")
activation("hard_sigmoid", "HardSigmoid", alpha="alpha", beta="beta")
activation("hard_swish", "HardSwish", version=14)
activation("leaky_relu", "LeakyRelu", alpha="negative_slope")


def _plain_softplus(node: Node) -> bool:
    # From 17 on, x and log(1 + exp(x)) are the same float32.
    return node.attrs["beta"] == 1 and node.attrs["threshold"] >= 17 and takes("Softplus")(node)


@TABLE.rule("softplus", when=_plain_softplus)
def _(x: ir.Value, *, beta: float, threshold: float) -> ir.Value:
    return emit("Softplus", x)


@TABLE.rule("prelu", when=takes("PRelu"))
def _(x: ir.Value, slope: ir.Value) -> ir.Value:
    return emit("PRelu", x, slope)


def _attends(node: Node) -> bool:
    """Batches of heads; a mask of as many keys as there are: ONNX reads a shorter one as cut off, not as broadcast.

    An additive mask is decomposed: ONNX Runtime takes the lowest finite float for -inf, so that a row which has only
    that (padding, as many sources write it) gives 0 where the softmax gives an average (measured on T5).
    """
    query, key, _, mask = node.inputs
    if query is None or key is None or query.ndim != 4:
        return False
    if mask is not None and mask.dtype.is_floating:
        return False
    if mask is not None and (not 2 <= mask.ndim <= 4 or mask.shape[-1] != key.shape[-2]):
        return False
    if mask is not None and target() < 25 and mask.shape[-2] != query.shape[-2]:
        return False  # ONNX Runtime's kernel wants a row of the mask for every query
    return takes("Attention", version=23)(node)


def _usual_scale(query: ir.Value) -> float | None:
    size = type_of(query).shape[-1]
    return 1 / math.sqrt(size) if isinstance(size, int) and size else None


@TABLE.rule("scaled_dot_product_attention", when=_attends)
def _(
    query: ir.Value,
    key: ir.Value,
    value: ir.Value,
    mask: ir.Value | None,
    *,
    scale: float | None,
    is_causal: bool,
) -> ir.Value:
    factor = None if scale is None or scale == _usual_scale(query) else float(scale)
    return emit("Attention", query, key, value, mask, scale=factor, is_causal=int(is_causal) or None)
