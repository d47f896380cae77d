"""Lowering of complex numbers and Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from kxchange_torch.rules import Rules

Tensor = Any

lower = Rules()
lower.direct(complex=torch.complex, real=torch.real, imag=torch.imag, angle=torch.angle)


@lower.rule("conj")
def _(x: Tensor) -> Tensor:
    return torch.conj_physical(x)


def _transform(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def rule(x: Tensor, *, axis: int, n: Any, norm: str) -> Tensor:
        return function(x, n, axis, norm)

    return rule


for _name in ("fft", "ifft", "rfft", "irfft"):
    lower.rule(_name)(_transform(getattr(torch.fft, _name)))
