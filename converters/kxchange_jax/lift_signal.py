"""Lifting of complex numbers, Fourier transforms, factorizations and triangular equations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_jax.lift import lift, refuse, scalar

FFT, IFFT, RFFT, IRFFT = range(4)
"""JAX's numbers of the kinds of transforms."""


@lift.rule("real")
def _(x: Value) -> Value:
    return ops.real(x)


@lift.rule("imag")
def _(x: Value) -> Value:
    return ops.imag(x)


@lift.rule("complex")
def _(real: Value, imag: Value) -> Value:
    return ops.complex(real, imag)


@lift.rule("conj")
def _(x: Value, **_: Any) -> Value:
    return ops.conj(x) if x.dtype.is_complex else ops.complex(x, scalar(0.0, x.dtype))


def _conjugate(x: Value) -> Value:
    return ops.conj(x) if x.dtype.is_complex else x


def _transposed(x: Value) -> Value:
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@lift.rule("fft")
def _(x: Value, *, fft_type: Any, fft_lengths: Sequence[Dim]) -> Value:
    """A transform of the last axes, which have the lengths already, save for the last one of `IRFFT`."""
    axes = list(range(x.ndim - len(fft_lengths), x.ndim))
    kind, last = int(fft_type), axes.pop()
    if kind == RFFT:
        x = ops.rfft(x, axis=last)
    elif kind == FFT:
        x = ops.fft(x, axis=last)
    for axis in axes:
        x = ops.fft(x, axis=axis) if kind in (FFT, RFFT) else ops.ifft(x, axis=axis)
    if kind == IRFFT:
        return ops.irfft(x, axis=last, n=fft_lengths[-1])
    return ops.ifft(x, axis=last) if kind == IFFT else x


@lift.rule("cholesky")
def _(x: Value, **_: Any) -> Value:
    return ops.cholesky(x)


@lift.rule("qr")
def _(x: Value, *, full_matrices: bool, pivoting: bool, **_: Any) -> tuple[Value, ...]:
    if pivoting:
        return refuse("it exchanges columns")
    return ops.qr(x, mode="complete" if full_matrices else "reduced")


@lift.rule("svd")
def _(x: Value, *, full_matrices: bool, compute_uv: bool, subset_by_index: Any = None, **_: Any) -> tuple[Value, ...]:
    if subset_by_index is not None:
        return refuse("it asks for some of the singular values")
    u, s, vh = ops.svd(x, full_matrices=full_matrices and compute_uv)
    return (s, u, vh) if compute_uv else (s,)


@lift.rule("eigh")
def _(
    x: Value, *, lower: bool, sort_eigenvalues: bool = True, subset_by_index: Any = None, **_: Any
) -> tuple[Value, ...]:
    if subset_by_index is not None or not sort_eigenvalues:
        return refuse("it asks for some of the eigenvalues, or for any order of them")
    values, vectors = ops.eigh(x, upper=not lower)
    return vectors, values


@lift.rule("triangular_solve")
def _(
    a: Value, b: Value, *, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit_diagonal: bool
) -> Value:
    """For a matrix on the right both sides are transposed."""
    a = _conjugate(a) if conjugate_a else a
    if transpose_a:
        a, lower = _transposed(a), not lower
    if left_side:
        return ops.solve_triangular(a, b, upper=not lower, unit_diagonal=unit_diagonal)
    turned = _transposed(a), _transposed(b)
    return _transposed(ops.solve_triangular(*turned, upper=lower, unit_diagonal=unit_diagonal))
