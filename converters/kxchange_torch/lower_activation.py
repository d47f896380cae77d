"""Lowering of activation functions and softmax."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from kxchange.graph import Node
from kxchange_torch.lowering import training
from kxchange_torch.rules import Rules

Tensor = Any

LARGEST_EXPONENT = 80.0
"""Below this exp is finite in float32; torch computes narrower floats in it."""

lower = Rules()
lower.direct(
    relu=torch.relu,
    sigmoid=torch.sigmoid,
    log_sigmoid=F.logsigmoid,
    silu=F.silu,
    gelu=F.gelu,
    leaky_relu=F.leaky_relu,
    elu=F.elu,
    celu=F.celu,
    selu=F.selu,
    softsign=F.softsign,
    hard_swish=F.hardswish,
    mish=F.mish,
    tanh_shrink=F.tanhshrink,
)


def _floating(node: Node) -> bool:
    return node.types[0].dtype.is_floating


@lower.rule("softplus")
def _(x: Tensor, *, beta: float, threshold: float) -> Tensor:
    # Torch computes log1p(exp(x)) up to the threshold, which overflows; from 40 on the two are one number in any float.
    return F.softplus(x, beta, threshold if threshold <= LARGEST_EXPONENT else 40.0)


@lower.rule("relu6", when=_floating)
def _(x: Tensor) -> Tensor:
    return F.relu6(x)


@lower.rule("hard_sigmoid", when=lambda node: (node.attrs["alpha"], node.attrs["beta"]) == (1 / 6, 0.5))
def _(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    return F.hardsigmoid(x)


@lower.rule("hard_tanh", when=lambda node: node.attrs["min"] <= node.attrs["max"])
def _(x: Tensor, *, min: float, max: float) -> Tensor:
    return F.hardtanh(x, min, max)


@lower.rule("soft_shrink", when=lambda node: node.attrs["lambda_"] >= 0)
def _(x: Tensor, *, lambda_: float) -> Tensor:
    return F.softshrink(x, lambda_)


@lower.rule("hard_shrink")
def _(x: Tensor, *, lambda_: float) -> Tensor:
    return F.hardshrink(x, lambda_)


@lower.rule("thresholded_relu")
def _(x: Tensor, *, alpha: float) -> Tensor:
    return F.threshold(x, alpha, 0.0)


@lower.rule("glu")
def _(x: Tensor, *, axis: int) -> Tensor:
    return F.glu(x, axis)


def _per_channel(node: Node) -> bool:
    """Whether the slopes differ along axis 1 only, which is what torch takes."""
    x, slope = node.inputs
    if x is None or slope is None or x.ndim < 2 or slope.ndim < x.ndim - 1:
        return False
    shape = (1,) * (x.ndim - slope.ndim) + slope.shape
    return shape[1] == x.shape[1] and all(length == 1 for axis, length in enumerate(shape) if axis != 1)


@lower.rule("prelu", when=_per_channel)
def _(x: Tensor, slope: Tensor) -> Tensor:
    return F.prelu(x, slope.reshape(-1))


@lower.rule("softmax")
def _(x: Tensor, *, axis: int) -> Tensor:
    return torch.softmax(x, axis)


@lower.rule("log_softmax")
def _(x: Tensor, *, axis: int) -> Tensor:
    return torch.log_softmax(x, axis)


@lower.rule("dropout")
def _(x: Tensor, *, rate: float) -> Tensor:
    return F.dropout(x, rate, training())
