"""Lowering of factorizations and linear equations."""

from __future__ import annotations

from typing import Any

import torch

from kxchange_torch.rules import Rules

Tensor = Any

lower = Rules()
lower.direct(det=torch.linalg.det, inv=torch.linalg.inv)


@lower.rule("slogdet")
def _(x: Tensor) -> Tensor:
    return _parts(torch.linalg.slogdet(x), 2)


@lower.rule("cholesky")
def _(x: Tensor, *, upper: bool) -> Tensor:
    return torch.linalg.cholesky(x, upper=upper)


@lower.rule("qr")
def _(x: Tensor, *, mode: str) -> Tensor:
    return _parts(torch.linalg.qr(x, mode), 2)


@lower.rule("svd")
def _(x: Tensor, *, full_matrices: bool) -> Tensor:
    return _parts(torch.linalg.svd(x, full_matrices), 3)


@lower.rule("eigh")
def _(x: Tensor, *, upper: bool) -> Tensor:
    return _parts(torch.linalg.eigh(x, "U" if upper else "L"), 2)


def _parts(found: Any, count: int) -> tuple[Tensor, ...]:
    return tuple(found[index] for index in range(count))


@lower.rule("solve")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if x2.ndim == 1:  # torch would take it for a batch of vectors where the matrices are one
        return torch.linalg.solve(x1, x2[:, None])[..., 0]
    return torch.linalg.solve(x1, x2)


@lower.rule("solve_triangular")
def _(x1: Tensor, x2: Tensor, *, upper: bool, unit_diagonal: bool) -> Tensor:
    return torch.linalg.solve_triangular(x1, x2, upper=upper, unitriangular=unit_diagonal)
