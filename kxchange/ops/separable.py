"""Linear maps of one axis, written in graph ops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.constant import Constant
from kxchange.graph import Value
from kxchange.ops.creation import constant
from kxchange.ops.linalg import matmul
from kxchange.ops.manipulation import permute_dims

Array = NDArray[Any]


def dense(places: Array, weights: Array, size: int) -> Array:
    """The matrix [count, size] of the map whose row i sums elements `places[i]` with `weights[i]`."""
    matrix = np.zeros((places.shape[0], size))
    rows: Array = np.indices(places.shape)[0]
    np.add.at(matrix, (rows, places), weights)
    return matrix


def mix(x: Value, matrix: Array | Value, axis: int) -> Value:
    """Replace `axis` of x by ``matrix @`` it; `matrix` is [new size, old size].

    Weights known in advance come in float64 and are rounded to x's dtype.
    """
    if isinstance(matrix, Value):
        return _product(x, axis, matrix, permute_dims(matrix, axes=(1, 0)))
    if np.array_equal(matrix, np.eye(matrix.shape[1])):
        return x
    weights = matrix.astype(x.dtype.numpy)
    rows, columns = (constant(value=Constant(array)) for array in (weights, weights.T))
    return _product(x, axis, rows, columns)


def _product(x: Value, axis: int, rows: Value, columns: Value) -> Value:
    if axis == x.ndim - 2:
        return matmul(rows, x)
    if axis == x.ndim - 1:
        return matmul(x, columns)
    order = (*(i for i in range(x.ndim) if i != axis), axis)
    back = tuple(int(i) for i in np.argsort(order))
    return permute_dims(matmul(permute_dims(x, axes=order), columns), axes=back)
