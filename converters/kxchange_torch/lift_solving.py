"""Factorizations of matrices, determinants and linear equations."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange_torch.lift import MISSING, Absent, lift, refuse, result_is_read
from kxchange_torch.lift_complex import adjoint
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_elimination import eliminate, indefinite_code, singular_code
from kxchange_torch.lift_manipulation import swap
from kxchange_torch.lift_promotion import cast

FACTORS = Absent("it reads the packed factors of another operator; factorize with torch.linalg.qr, cholesky or svd")

UNROLLED = 64
"""Reflections up to which a product is written out."""


@lift.rule("aten.linalg_cholesky.default", "aten.cholesky.default")
def _(x: Value, upper: bool) -> Value:
    return ops.cholesky(x, upper=upper)


@lift.rule("aten.linalg_cholesky_ex.default")
def _(x: Value, upper: bool) -> Any:
    return ops.cholesky(x, upper=upper), indefinite_code(x, upper) if result_is_read(1) else MISSING


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
    return ops.inv(x), singular_code(eliminate(x)[0]) if result_is_read(1) else MISSING


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
    if not any(map(result_is_read, (1, 2, 3))):
        return solved(x1, x2, left), FACTORS, FACTORS, MISSING
    factors, _, pivots = eliminate(x1)
    return solved(x1, x2, left), factors, pivots, singular_code(factors)


@lift.rule("aten.linalg_solve_ex.default")
def _(x1: Value, x2: Value, left: bool) -> Any:
    return solved(x1, x2, left), singular_code(eliminate(x1)[0]) if result_is_read(1) else MISSING


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


@lift.rule("aten.linalg_pinv.atol_rtol_tensor", "aten.linalg_pinv.atol_rtol_float")
def _(x: Value, atol: Any, rtol: Any, hermitian: bool) -> Value:
    """From singular values, those below the tolerance taken as 0; of a Hermitian matrix the lower triangle is read."""
    if hermitian:
        lower = ops.tril(x, k=0)
        x = ops.add(lower, adjoint(ops.tril(x, k=-1)))
    if 0 in x.shape:
        return full((*x.shape[:-2], x.shape[-1], x.shape[-2]), 0, x.dtype)
    u, s, vh = ops.svd(x, full_matrices=False)
    largest = ops.max(s, axis=(-1,), keepdims=True)
    limit = _tolerance(x, largest, atol, rtol)
    inverted = ops.where(ops.greater(s, limit), ops.reciprocal(s), 0.0)
    scaled = ops.multiply(adjoint(vh), cast(ops.expand_dims(inverted, axis=(s.ndim - 1,)), x.dtype))
    return ops.matmul(scaled, adjoint(u))


def _tolerance(x: Value, largest: Value, atol: Any, rtol: Any) -> Any:
    """``max(atol, rtol * largest)``; `rtol` is by default the machine's times the larger size where atol is 0."""
    if rtol is None:
        rows, columns = x.shape[-2:]
        if atol is not None and not (isinstance(atol, float) and atol == 0):
            relative: Any = 0.0 if isinstance(atol, float) else refuse("a tolerance that is a tensor, without another")
        elif isinstance(rows, int) and isinstance(columns, int):
            relative = max(rows, columns) * float(np.finfo(x.dtype.real.numpy).eps)
        else:
            refuse("a default tolerance of symbolic sizes; pass rtol")
    else:
        relative = _beside(rtol, largest)
    limit = ops.multiply(largest, relative)
    return limit if atol is None else ops.maximum(limit, _beside(atol, largest))


def _beside(tolerance: Any, largest: Value) -> Any:
    """A tolerance per matrix, with the axis of the singular values."""
    if not isinstance(tolerance, Value):
        return tolerance
    return ops.expand_dims(cast(tolerance, largest.dtype), axis=(tolerance.ndim,))


@lift.rule("aten.linalg_householder_product.default", "aten.orgqr.default")
def _(x: Value, tau: Value) -> Value:
    """The first columns of the product of the reflections ``1 - tau * v @ conj(v).T``, from the last to the first."""
    rows, columns, count = x.shape[-2], x.shape[-1], tau.shape[-1]
    if not isinstance(count, int) or count > UNROLLED:
        return refuse(f"a product of {count} reflections; at most {UNROLLED} are written out")
    unit = ops.eye(rows=rows, columns=columns, dtype=x.dtype)
    product = ops.broadcast_to(unit, shape=x.shape)
    below = ops.add(ops.tril(x, k=-1), ops.eye(rows=rows, columns=columns, dtype=x.dtype))
    for index in range(count - 1, -1, -1):
        vector = ops.slice(below, starts=(index,), stops=(index + 1,), steps=(1,), axes=(x.ndim - 1,))
        factor = ops.slice(tau, starts=(index,), stops=(index + 1,), steps=(1,), axes=(tau.ndim - 1,))
        change = ops.matmul(vector, ops.matmul(adjoint(vector), product))
        product = ops.subtract(product, ops.multiply(ops.expand_dims(factor, axis=(tau.ndim,)), change))
    return product
