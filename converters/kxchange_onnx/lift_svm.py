"""Support vector machines of `ai.onnx.ml`: a kernel between every row and every support vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.known import Array
from kxchange.types import DType
from kxchange_onnx.lift import ML, SCOPE, lift, refuse
from kxchange_onnx.lift_ml import transformed
from kxchange_onnx.lift_normalization import as_type

Floats = Sequence[float] | None


def _tensor(values: Array) -> Value:
    return SCOPE.lifter.tensor(values.astype(np.float32))


def kernel(x: Value, vectors: Array, kind: str, params: Floats) -> Value:
    """How near each row [n, features] is to each vector: [n, vectors]."""
    gamma, offset, degree = params or (0.0, 0.0, 0.0)
    if kind == "RBF":
        gap = ops.subtract(ops.expand_dims(x, axis=(1,)), _tensor(vectors))
        return ops.exp(ops.multiply(ops.sum(ops.square(gap), axis=(-1,)), -gamma))
    product = ops.linear(x, _tensor(vectors))
    if kind == "LINEAR":
        return product
    moved = ops.add(ops.multiply(product, gamma), offset)
    if kind == "SIGMOID":
        return ops.tanh(moved)
    if kind == "POLY":
        return ops.pow(moved, ops.full(shape=(), value=degree, dtype=DType.FLOAT32))
    return refuse(f"its kernel_type {kind!r} is unknown")


@lift.rule("SVMRegressor", domain=ML)
def _(
    x: Value,
    *,
    coefficients: Floats,
    kernel_params: Floats,
    kernel_type: str,
    n_supports: int,
    one_class: int,
    post_transform: str,
    rho: Floats,
    support_vectors: Floats,
) -> Value:
    """A weighted sum of kernels; without support vectors, of the features themselves."""
    x = as_type(x, DType.FLOAT32)
    weights = np.asarray(coefficients or (), np.float32)
    vectors = np.asarray(support_vectors or (), np.float32)
    if x.ndim != 2 or not rho or weights.size != (n_supports or x.shape[1]):
        return refuse(f"its {weights.size} coefficients and {len(rho or ())} offsets do not fit {x.type}")
    if n_supports and vectors.size != n_supports * x.shape[1]:
        return refuse(f"its {vectors.size} numbers are not {n_supports} vectors of {x.shape[1]} features")
    near: Any = kernel(x, vectors.reshape(n_supports, -1), kernel_type, kernel_params) if n_supports else x
    scores = ops.linear(near, _tensor(weights.reshape(1, -1)), _tensor(np.asarray(rho[:1])))
    if one_class:
        return ops.where(ops.greater(scores, 0.0), ops.full(shape=(), value=1.0, dtype=DType.FLOAT32), -1.0)
    return transformed(scores, post_transform)
