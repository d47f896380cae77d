"""Factorizations of matrices, over the last two axes: cholesky, qr, svd, eigh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kxchange.dims import Dim, dim_min
from kxchange.errors import TypeInferenceError
from kxchange.shapes import require_equal
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

COMPUTED = frozenset({DType.FLOAT32, DType.FLOAT64, DType.COMPLEX64, DType.COMPLEX128})
"""Element types for which there are solvers."""


def require_matrices(x: TensorType) -> tuple[Dim, Dim]:
    """Rows and columns.

    Raises:
        TypeInferenceError: There are fewer than two axes, or no solver takes the element type.
    """
    if x.dtype not in COMPUTED:
        raise TypeInferenceError(f"x must be float32, float64 or complex, not {x.dtype.value}. Cast it first.")
    if x.rank < 2:
        raise TypeInferenceError(f"x must have two axes or more, not {x.rank}.")
    return x.shape[-2], x.shape[-1]


def require_square(x: TensorType) -> Dim:
    """The number of rows, which is the number of columns."""
    rows, columns = require_matrices(x)
    return require_equal(rows, columns, "the matrices are not square")


def by_matrix(function: Callable[..., Any], results: tuple[Any, ...], *stacks: Any) -> tuple[Any, ...]:
    """A function of stacks of matrices; where it fails as a whole, one by one, and NaN for those it fails on.

    Args:
        function: Arrays in, a tuple of arrays out.
        results: Arrays of the results' shapes and dtypes, to be filled where the function fails.
        stacks: Its operands, with leading axes in common.
    """
    try:
        return tuple(function(*stacks))
    except np.linalg.LinAlgError:
        for result in results:
            result.fill(np.nan)
    for place in np.ndindex(*stacks[0].shape[:-2]):
        try:
            found = function(*(stack[place] for stack in stacks))
        except np.linalg.LinAlgError:
            continue
        for result, part in zip(results, found, strict=True):
            result[place] = part
    return results


def _lower_factor(x: Any) -> Any:
    return (np.linalg.cholesky(x),)


@op
def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor L of ``x = L @ conj(L).T`` with a positive diagonal; NaN where x has none.

    Args:
        x: [..., n, n], Hermitian and positive definite. Only the lower triangle is read, the upper one with `upper`.
        upper: Give ``conj(L).T``.
    """
    stored = np.conj(np.swapaxes(x, -1, -2)) if upper else x
    (found,) = by_matrix(_lower_factor, (np.empty_like(stored),), stored)
    found = np.tril(found)
    return np.conj(np.swapaxes(found, -1, -2)) if upper else found


@cholesky.infer
def _(x: TensorType, /, *, upper: bool) -> TensorType:
    require_square(x)
    return x


@op
def qr(x: Tensor, /, *, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """``x = q @ r`` with orthonormal columns of q and a triangular r, by Householder reflections (LAPACK's signs).

    Args:
        x: [..., m, n].
        mode: ``reduced``: q is [..., m, k], r [..., k, n] with k = min(m, n); ``complete``: k = m.
    """
    found = np.linalg.qr(x, "complete" if mode == "complete" else "reduced")
    return found[0], found[1]


@qr.infer
def _(x: TensorType, /, *, mode: str) -> tuple[TensorType, TensorType]:
    rows, columns = require_matrices(x)
    if mode not in ("reduced", "complete"):
        raise TypeInferenceError(f"mode {mode!r} is neither 'reduced' nor 'complete'.")
    inner = rows if mode == "complete" else dim_min(rows, columns)
    lead = x.shape[:-2]
    return x.with_shape((*lead, rows, inner)), x.with_shape((*lead, inner, columns))


@op
def svd(x: Tensor, /, *, full_matrices: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """``x = u @ diag(s) @ vh``: singular vectors, and values in descending order.

    The sign (or phase) of each pair of vectors is whatever the backend gives: nothing else defines it.

    Args:
        x: [..., m, n].
        full_matrices: u is [..., m, m] and vh [..., n, n]; else [..., m, k] and [..., k, n] with k = min(m, n).
    """
    found = np.linalg.svd(x, full_matrices)
    return found[0], found[1], found[2]


@svd.infer
def _(x: TensorType, /, *, full_matrices: bool) -> tuple[TensorType, TensorType, TensorType]:
    rows, columns = require_matrices(x)
    inner = dim_min(rows, columns)
    lead = x.shape[:-2]
    left = x.with_shape((*lead, rows, rows if full_matrices else inner))
    right = x.with_shape((*lead, columns if full_matrices else inner, columns))
    return left, TensorType(x.dtype.real, (*lead, inner)), right


@op
def eigh(x: Tensor, /, *, upper: bool = False) -> tuple[Tensor, Tensor]:
    """Eigenvalues in ascending order and eigenvectors, in columns, of Hermitian matrices.

    The sign (or phase) of each vector is whatever the backend gives: nothing else defines it.

    Args:
        x: [..., n, n]; only the lower triangle is read, the upper one with `upper`.
        upper: Which triangle is read.
    """
    found = np.linalg.eigh(x, "U" if upper else "L")
    return found[0], found[1]


@eigh.infer
def _(x: TensorType, /, *, upper: bool) -> tuple[TensorType, TensorType]:
    size = require_square(x)
    return TensorType(x.dtype.real, (*x.shape[:-2], size)), x
