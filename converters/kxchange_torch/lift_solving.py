"""Factorizations of matrices, determinants and linear equations."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_torch.lift import Absent, lift
from kxchange_torch.lift_complex import adjoint
from kxchange_torch.lift_manipulation import swap

INFO = Absent("it reads the error codes of a factorization, which only LAPACK gives; read the result instead")
FACTORS = Absent("it reads the packed factors of another operator; factorize with torch.linalg.qr, cholesky or svd")


@lift.rule("aten.linalg_cholesky.default", "aten.cholesky.default")
def _(x: Value, upper: bool) -> Value:
    return ops.cholesky(x, upper=upper)


@lift.rule("aten.linalg_cholesky_ex.default")
def _(x: Value, upper: bool) -> Any:
    return ops.cholesky(x, upper=upper), INFO


@lift.rule("aten.cholesky_solve.default")
def _(x: Value, factor: Value, upper: bool) -> Value:
    """Solutions for ``L @ conj(L).T``."""
    lower = adjoint(factor) if upper else factor
    return ops.solve_triangular(adjoint(lower), ops.solve_triangular(lower, x), upper=True)


@lift.rule("aten.cholesky_inverse.default")
def _(factor: Value, upper: bool) -> Value:
    lower = adjoint(factor) if upper else factor
    unit = ops.eye(rows=factor.shape[-1], dtype=factor.dtype)
    half = ops.solve_triangular(lower, unit)
    return ops.matmul(adjoint(half), half)


@lift.rule("aten._linalg_det.default")
def _(x: Value) -> Any:
    return ops.det(x), FACTORS, FACTORS


@lift.rule("aten.linalg_det.default", "aten.det.default")
def _(x: Value) -> Value:
    return ops.det(x)


@lift.rule("aten._linalg_slogdet.default")
def _(x: Value) -> Any:
    return *ops.slogdet(x), FACTORS, FACTORS


@lift.rule("aten.linalg_slogdet.default", "aten.slogdet.default")
def _(x: Value) -> Any:
    return ops.slogdet(x)


@lift.rule("aten.linalg_inv_ex.default")
def _(x: Value) -> Any:
    return ops.inv(x), INFO


@lift.rule("aten.linalg_inv.default", "aten.inverse.default")
def _(x: Value) -> Value:
    return ops.inv(x)


def is_vector(x1: Value, x2: Value) -> bool:
    """Whether torch takes the right side as one vector per matrix."""
    return x2.ndim == 1 or (x1.ndim - 1 == x2.ndim and x2.shape == x1.shape[:-1])


def solved(x1: Value, x2: Value, left: bool) -> Value:
    """The y of ``x1 @ y = x2``, or of ``y @ x1 = x2``."""
    vector = is_vector(x1, x2)
    sides = ops.expand_dims(x2, axis=(x2.ndim,)) if vector else x2
    found = ops.solve(x1, sides) if left else swap(ops.solve(swap(x1, -1, -2), swap(sides, -1, -2)), -1, -2)
    return ops.squeeze(found, axis=(found.ndim - 1,)) if vector else found


@lift.rule("aten._linalg_solve_ex.default")
def _(x1: Value, x2: Value, left: bool) -> Any:
    return solved(x1, x2, left), FACTORS, FACTORS, INFO


@lift.rule("aten.linalg_solve_ex.default")
def _(x1: Value, x2: Value, left: bool) -> Any:
    return solved(x1, x2, left), INFO


@lift.rule("aten.linalg_solve.default")
def _(x1: Value, x2: Value, left: bool) -> Value:
    return solved(x1, x2, left)


@lift.rule("aten.linalg_solve_triangular.default")
def _(x1: Value, x2: Value, upper: bool, left: bool, unitriangular: bool) -> Value:
    if left:
        return ops.solve_triangular(x1, x2, upper=upper, unit_diagonal=unitriangular)
    turned = swap(x1, -1, -2), swap(x2, -1, -2)
    return swap(ops.solve_triangular(*turned, upper=not upper, unit_diagonal=unitriangular), -1, -2)


@lift.rule("aten.triangular_solve.default")
def _(x2: Value, x1: Value, upper: bool, transpose: bool, unitriangular: bool) -> Any:
    matrix = adjoint(x1) if transpose else x1
    found = ops.solve_triangular(matrix, x2, upper=upper != transpose, unit_diagonal=unitriangular)
    return found, ops.broadcast_to(x1, shape=(*found.shape[:-2], *x1.shape[-2:]))


@lift.rule("aten.linalg_qr.default", "aten.qr.default")
def _(x: Value, mode: str | bool) -> Any:
    if isinstance(mode, bool):
        mode = "reduced" if mode else "complete"
    q, r = ops.qr(x, mode="reduced" if mode == "r" else mode)
    return (ops.full(shape=(0,), value=0, dtype=x.dtype), r) if mode == "r" else (q, r)


@lift.rule("aten._linalg_svd.default")
def _(x: Value, full_matrices: bool, compute_uv: bool) -> Any:
    u, s, vh = ops.svd(x, full_matrices=full_matrices and compute_uv)
    return (u, s, vh) if compute_uv else (FACTORS, s, FACTORS)


@lift.rule("aten.linalg_svdvals.default")
def _(x: Value) -> Value:
    return ops.svd(x, full_matrices=False)[1]


@lift.rule("aten._linalg_eigh.default")
def _(x: Value, uplo: str, compute_v: bool) -> Any:
    values, vectors = ops.eigh(x, upper=uplo.upper() == "U")
    return values, vectors if compute_v else FACTORS
