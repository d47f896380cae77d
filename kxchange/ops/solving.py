"""Determinants, inverses and solutions of linear equations, over the last two axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.ops.arithmetic import multiply
from kxchange.ops.conversion import astype
from kxchange.ops.factorization import by_matrix, require_square
from kxchange.ops.mathematics import exp
from kxchange.ops.operands import same_dtype
from kxchange.shapes import broadcast_shapes, require_equal
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

silent: Any = np.errstate(all="ignore")


def _inverse(x: Any) -> Any:
    return (np.linalg.inv(x),)


def _quotient(x1: Any, x2: Any) -> Any:
    return (np.linalg.solve(x1, x2),)


@op
@silent
def slogdet(x: Tensor, /) -> tuple[Tensor, Tensor]:
    """Sign (or phase) of the determinant, and the logarithm of its magnitude: 0 and -inf for a singular matrix.

    Args:
        x: [..., n, n].

    Returns:
        [...] in the dtype of x, [...] in its real dtype.
    """
    found = np.linalg.slogdet(x)
    return found[0], found[1]


@slogdet.infer
def _(x: TensorType, /) -> tuple[TensorType, TensorType]:
    require_square(x)
    sign = x.with_shape(x.shape[:-2])
    return sign, sign.with_dtype(x.dtype.real)


@op
@silent
def det(x: Tensor, /) -> Tensor:
    """The determinant of square matrices; 1 where they are empty."""
    return np.linalg.det(x)


@det.infer
def _(x: TensorType, /) -> TensorType:
    require_square(x)
    return x.with_shape(x.shape[:-2])


@det.decompose
def _(x: Tensor, /) -> Tensor:
    sign, logarithm = slogdet(x)
    magnitude = exp(logarithm)
    if x.dtype.is_complex:
        magnitude = astype(magnitude, dtype=x.dtype)
    return multiply(sign, magnitude)


@op
@silent
def inv(x: Tensor, /) -> Tensor:
    """The inverse of square matrices; NaN where one is singular, though backends may raise or give large numbers."""
    return by_matrix(_inverse, (np.empty_like(x),), x)[0]


@inv.infer
def _(x: TensorType, /) -> TensorType:
    require_square(x)
    return x


@op
@silent
def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The y of ``x1 @ y = x2``.

    Args:
        x1: [..., n, n].
        x2: [..., n, k], leading axes broadcast; or one vector [n].
    """
    if x2.ndim == 1:
        return solve.reference(x1, x2[:, None])[..., 0]
    lead = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    x1, x2 = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (x1, x2))
    return by_matrix(_quotient, (np.empty_like(x2),), x1, x2)[0]


@solve.infer
def _(x1: TensorType, x2: TensorType, /) -> TensorType:
    return _solution(x1, x2, vectors=True)


def _solution(x1: TensorType, x2: TensorType, vectors: bool) -> TensorType:
    same_dtype(x1, x2)
    size = require_square(x1)
    if x2.rank < 2 and not (vectors and x2.rank == 1):
        raise TypeInferenceError(f"the right side must have two axes or more, not {x2.rank}.")
    if x2.rank == 1:
        require_equal(size, x2.shape[0], "the right side does not fit the matrix")
        return x2.with_shape((*x1.shape[:-2], x2.shape[0]))
    require_equal(size, x2.shape[-2], "the right side does not fit the matrix")
    return x2.with_shape((*broadcast_shapes(x1.shape[:-2], x2.shape[:-2]), *x2.shape[-2:]))


@op
@silent
def solve_triangular(x1: Tensor, x2: Tensor, /, *, upper: bool = False, unit_diagonal: bool = False) -> Tensor:
    """The y of ``x1 @ y = x2`` for triangular matrices, by substitution.

    A 0 on the diagonal gives infinities and NaN. For ``y @ x1 = x2`` transpose all three.

    Args:
        x1: [..., n, n]; only one triangle is read: the lower one, the upper one with `upper`.
        x2: [..., n, k], leading axes broadcast.
        upper: Which triangle is read.
        unit_diagonal: Take the diagonal as 1 without reading it.
    """
    lead = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    size = x1.shape[-1]
    y = np.array(np.broadcast_to(x2, (*lead, *x2.shape[-2:])))
    for row in range(size - 1, -1, -1) if upper else range(size):
        known = slice(row + 1, size) if upper else slice(0, row)
        y[..., row, :] -= (x1[..., row, None, known] @ y[..., known, :])[..., 0, :]
        if not unit_diagonal:
            y[..., row, :] /= x1[..., row, row, None]
    return y


@solve_triangular.infer
def _(x1: TensorType, x2: TensorType, /, *, upper: bool, unit_diagonal: bool) -> TensorType:
    return _solution(x1, x2, vectors=False)
