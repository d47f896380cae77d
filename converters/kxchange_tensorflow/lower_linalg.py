"""Lowering of matrix products."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kxchange.table import Table
from kxchange_tensorflow.lower_elementwise import widened

Tensor = Any

lower = Table("tensorflow")


@lower.rule("matmul")
@widened
def matmul(x1: Tensor, x2: Tensor) -> Tensor:
    """The product, of vectors too (trap R16)."""
    left, right = x1.shape.rank == 1, x2.shape.rank == 1
    found = tf.matmul(x1[None, :] if left else x1, x2[:, None] if right else x2)
    axes = [-1] * right + ([-1 if right else -2] if left else [])
    for axis in axes:
        found = tf.squeeze(found, [axis])
    return found


@lower.rule("linear")
@widened
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    product = matmul(x, tf.transpose(weight))
    return product if bias is None else product + bias


@lower.rule("einsum", when=lambda node: node.types[0].dtype.is_floating)
def _(*xs: Tensor, equation: str) -> Tensor:
    return tf.einsum(equation, *xs)
