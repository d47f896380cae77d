"""Lowering of reductions and running reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kxchange_torch.rules import Rules

Tensor = Any
Axes = tuple[int, ...] | None

lower = Rules()


def _reduces(node: Any) -> bool:
    """Whether there is an axis at all: torch takes an empty list of axes for all of them."""
    return bool(_axes(node.inputs[0], node.attrs["axis"]))


def _axes(x: Tensor, axis: Axes) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axis


def _over_axes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
        axes = _axes(x, axis)
        return function(x, axes, keepdims) if axes else x

    return rule


for _name, _function in {
    "max": torch.amax,
    "min": torch.amin,
    "any": torch.any,
    "all": torch.all,
    "mean": torch.mean,
    "logsumexp": torch.logsumexp,
}.items():
    lower.rule(_name)(_over_axes(_function))


@lower.rule("sum")
def _(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
    axes = _axes(x, axis)
    if not axes:
        return x
    # Integers would become int64 (traps I11, I12).
    return torch.sum(x, axes, keepdims, **_same_integer(x))


def _same_integer(x: Tensor) -> dict[str, Any]:
    return {} if x.dtype.is_floating_point or x.dtype.is_complex else {"dtype": x.dtype}


@lower.rule("prod")
def _(x: Tensor, *, axis: Axes, keepdims: bool) -> Tensor:
    kept = _same_integer(x)
    for position in sorted((axis % x.ndim for axis in _axes(x, axis)), reverse=True):
        x = torch.prod(x, position, keepdims, **kept)
    return x


@lower.rule("var", when=_reduces)
def _(x: Tensor, *, axis: Axes, keepdims: bool, correction: float) -> Tensor:
    return torch.var(x, _axes(x, axis), correction=correction, keepdim=keepdims)


@lower.rule("argmax")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    return torch.argmax(x, axis, keepdims)


@lower.rule("argmin")
def _(x: Tensor, *, axis: int, keepdims: bool) -> Tensor:
    return torch.argmin(x, axis, keepdims)


def _running(function: Callable[..., Tensor], neutral: int) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: int, exclusive: bool, reverse: bool) -> Tensor:
        kept, rank = _same_integer(x), x.ndim
        x = torch.flip(x, (axis,)) if reverse else x
        if exclusive:
            before: list[Any] = [slice(None)] * rank
            first = list(before)
            before[axis], first[axis] = slice(None, -1), slice(None, 1)
            x = torch.cat([torch.full_like(x[tuple(first)], neutral), x[tuple(before)]], axis)
        result = function(x, axis, **kept)
        return torch.flip(result, (axis,)) if reverse else result

    return rule


lower.rule("cumulative_sum")(_running(torch.cumsum, 0))
lower.rule("cumulative_prod")(_running(torch.cumprod, 1))


@lower.rule("cumulative_max")
def _(x: Tensor, *, axis: int) -> Tensor:
    return torch.cummax(x, axis)[0]


@lower.rule("cumulative_min")
def _(x: Tensor, *, axis: int) -> Tensor:
    return torch.cummin(x, axis)[0]
