"""Lowering of factorizations and linear equations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kxchange.table import Table

Tensor = Any

lower = Table("tensorflow")
lower.direct(det=tf.linalg.det, inv=tf.linalg.inv)


@lower.rule("slogdet")
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    found = tf.linalg.slogdet(x)
    return found[0], tf.math.real(found[1])


@lower.rule("cholesky")
def _(x: Tensor, *, upper: bool) -> Tensor:
    found = tf.linalg.cholesky(tf.linalg.adjoint(x) if upper else x)
    return tf.linalg.adjoint(found) if upper else found


@lower.rule("qr")
def _(x: Tensor, *, mode: str) -> tuple[Tensor, Tensor]:
    found = tf.linalg.qr(x, full_matrices=mode == "complete")
    return found[0], found[1]


@lower.rule("svd")
def _(x: Tensor, *, full_matrices: bool) -> tuple[Tensor, Tensor, Tensor]:
    s, u, v = tf.linalg.svd(x, full_matrices=full_matrices)
    return u, s, tf.linalg.adjoint(v)


@lower.rule("eigh")
def _(x: Tensor, *, upper: bool) -> tuple[Tensor, Tensor]:
    values, vectors = tf.linalg.eigh(tf.linalg.adjoint(x) if upper else x)
    return tf.math.real(values), vectors


def _stacked(x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices with leading axes in common, which TensorFlow does not broadcast itself."""
    lead = tf.broadcast_dynamic_shape(tf.shape(x1)[:-2], tf.shape(x2)[:-2])
    shapes = [tf.concat([lead, tf.shape(x)[-2:]], 0) for x in (x1, x2)]
    return tf.broadcast_to(x1, shapes[0]), tf.broadcast_to(x2, shapes[1])


@lower.rule("solve")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    vector = x2.shape.rank == 1
    found = tf.linalg.solve(*_stacked(x1, x2[:, None] if vector else x2))
    return found[..., 0] if vector else found


@lower.rule("solve_triangular")
def _(x1: Tensor, x2: Tensor, *, upper: bool, unit_diagonal: bool) -> Tensor:
    left, right = _stacked(x1, x2)
    if unit_diagonal:
        left = tf.linalg.set_diag(left, tf.ones_like(left[..., 0]))
    return tf.linalg.triangular_solve(left, right, lower=not upper)
