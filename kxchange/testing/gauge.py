"""Results that are defined only up to signs, brought to one form, so that two correct ones are equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def same_gauge(op: str, results: Sequence[Array]) -> list[Array]:
    """The results of an op, with those that are not unique made so; of most ops, as they are."""
    return GAUGES[op](*results) if op in GAUGES else list(results)


def _phases(vectors: Array) -> Array:
    """Per column, the conjugate of its largest element's sign or phase: what makes that element positive."""
    place = np.argmax(np.round(np.abs(vectors), 4), axis=-2)[..., None, :]
    largest = np.take_along_axis(vectors, place, axis=-2)
    return np.conj(largest / np.abs(largest)).astype(vectors.dtype)


def _eigenvectors(values: Array, vectors: Array) -> list[Array]:
    return [values, vectors * _phases(vectors)]


def _singular_vectors(u: Array, s: Array, vh: Array) -> list[Array]:
    """Columns beyond the singular values span a space and nothing more: the projection onto it stands for them."""
    count = s.shape[-1]
    phases = _phases(u[..., :count])
    right = np.conj(np.swapaxes(phases, -1, -2)) * vh[..., :count, :]
    return [u[..., :count] * phases, s, right, _projection(u[..., count:]), _projection(_adjoint(vh[..., count:, :]))]


def _adjoint(x: Array) -> Array:
    return np.conj(np.swapaxes(x, -1, -2))


def _projection(vectors: Array) -> Array:
    return vectors @ _adjoint(vectors)


def _triangular(q: Array, r: Array) -> list[Array]:
    """The diagonal of r made positive; columns of q that meet no row of r stand as their projection."""
    count = min(r.shape[-2:])
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    signs = (diagonal / np.abs(diagonal)).astype(q.dtype)
    rows = np.conj(signs)[..., :, None] * r[..., :count, :]
    return [q[..., :count] * signs[..., None, :], rows, _projection(q[..., count:]), r[..., count:, :]]


GAUGES: dict[str, Callable[..., list[Array]]] = {"eigh": _eigenvectors, "svd": _singular_vectors, "qr": _triangular}
