"""Lowering of normalisations, attention and linear algebra."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from kxchange.graph import Node
from kxchange_torch.lower_convolution import back, first
from kxchange_torch.lowering import create, is_buffer, size, training
from kxchange_torch.rules import Rules

Tensor = Any
MOMENTUM = 0.1
"""Weight of a batch's statistics in the running ones; torch's default, and no part of a model's function."""

lower = Rules()


@lower.rule("batch_norm")
def _(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    *,
    epsilon: float,
    channel_axis: int,
) -> Tensor:
    axis, rank = channel_axis % x.ndim, x.ndim
    if rank > 1 and is_buffer(mean) and is_buffer(variance):
        x = x if axis == 1 else x.movedim(axis, 1)
        y = F.batch_norm(x, mean, variance, scale, bias, training(), MOMENTUM, epsilon)
        return y if axis == 1 else y.movedim(1, axis)
    # Statistics that are computed, or learned: torch's function would refuse their gradients and overwrite them.
    shape = (-1,) + (1,) * (rank - axis - 1)
    factor = torch.rsqrt(variance + epsilon) if scale is None else scale * torch.rsqrt(variance + epsilon)
    y = (x - mean.reshape(shape)) * factor.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


@lower.rule("layer_norm")
def _(x: Tensor, scale: Tensor | None, bias: Tensor | None, *, axes: int, epsilon: float) -> Tensor:
    return F.layer_norm(x, _trailing(x, axes), scale, bias, epsilon)


@lower.rule("rms_norm")
def _(x: Tensor, scale: Tensor | None, *, axes: int, epsilon: float) -> Tensor:
    return F.rms_norm(x, _trailing(x, axes), scale, epsilon)


def _trailing(x: Tensor, axes: int) -> tuple[Any, ...]:
    return tuple(size(dim) for dim in x.type.shape[x.ndim - axes :])


@lower.rule("group_norm")
def _(
    x: Tensor, scale: Tensor | None, bias: Tensor | None, *, groups: int, epsilon: float, channel_axis: int
) -> Tensor:
    # Not F.group_norm, which refuses groups of one value.
    return back(torch.group_norm(first(x, channel_axis), groups, scale, bias, epsilon), channel_axis)


def _static_channels(node: Node) -> bool:
    return isinstance(node.types[0].shape[node.attrs["channel_axis"]], int)


@lower.rule("instance_norm", when=_static_channels)
def _(x: Tensor, scale: Tensor | None, bias: Tensor | None, *, epsilon: float, channel_axis: int) -> Tensor:
    channels = x.type.shape[channel_axis]
    return back(torch.group_norm(first(x, channel_axis), channels, scale, bias, epsilon), channel_axis)


@lower.rule("local_response_norm", when=lambda node: node.attrs["channel_axis"] == 1 and node.types[0].rank > 2)
def _(x: Tensor, *, size: int, alpha: float, beta: float, k: float, channel_axis: int) -> Tensor:
    return F.local_response_norm(x, size, alpha, beta, k)


@lower.rule("l2_normalize")
def _(x: Tensor, *, axis: tuple[int, ...], epsilon: float) -> Tensor:
    axes: Any = axis  # torch documents one axis and takes several
    return F.normalize(x, 2.0, axes, epsilon)


@lower.rule("matmul")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.matmul(x1, x2)


@lower.rule("einsum")
def _(*xs: Tensor, equation: str) -> Tensor:
    result = torch.einsum(equation, *xs)
    # A sum over one operand's own axes makes integers int64.
    return result if xs[0].dtype.is_floating_point or xs[0].dtype.is_complex else result.to(xs[0].dtype)


@lower.rule("linear")
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, weight, bias)


@lower.rule("scaled_dot_product_attention")
def _(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, scale: float | None, is_causal: bool
) -> Tensor:
    grouped = query.ndim > 2 and query.type.shape[-3] != key.type.shape[-3]
    options: dict[str, Any] = {} if scale is None else {"scale": scale}
    if grouped:
        options["enable_gqa"] = True
    if mask is not None and len(mask.type.shape) < 2:  # torch reads the mask's last two axes
        mask = mask.reshape((1, -1))
    if mask is not None and is_causal:  # torch takes one or the other
        mask, is_causal = _causal(mask, query, key), False
    if is_causal:
        options["is_causal"] = True
    return F.scaled_dot_product_attention(query, key, value, mask, **options)


def _causal(mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """The mask with the upper triangle of the scores closed."""
    rows, columns = query.size(-2), key.size(-2)
    seen = create(torch.ones, (rows, columns), dtype=torch.bool).tril()
    return mask & seen if mask.dtype == torch.bool else torch.where(seen, mask, float("-inf"))
