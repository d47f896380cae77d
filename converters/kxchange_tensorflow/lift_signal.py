"""Lifting of complex numbers, Fourier transforms, factorizations and linear equations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_tensorflow.lift import LiftTable, refuse, sizes

lift = LiftTable("tensorflow")
lift.direct(Conj=ops.conj)


@lift.rule("Real")
def _(x: Value, *, Tout: Any = None) -> Value:  # noqa: N803 - the schema's names
    return ops.real(x) if x.dtype.is_complex else x


@lift.rule("Imag")
def _(x: Value, *, Tout: Any = None) -> Value:  # noqa: N803
    return ops.imag(x)


@lift.rule("Angle")
def _(x: Value, *, Tout: Any = None) -> Value:  # noqa: N803
    return ops.angle(x)


@lift.rule("ComplexAbs")
def _(x: Value, *, Tout: Any = None) -> Value:  # noqa: N803
    return ops.abs(x)


@lift.rule("Complex")
def _(real: Value, imag: Value, *, Tout: Any = None) -> Value:  # noqa: N803
    return ops.complex(real, imag)


def _complex(function: Callable[..., Any], rank: int) -> Callable[..., Value]:
    def rule(x: Value, *, Tcomplex: Any = None) -> Value:  # noqa: N803
        for axis in range(x.ndim - rank, x.ndim):
            x = function(x, axis=axis)
        return x

    return rule


def _forward(rank: int) -> Callable[..., Value]:
    def rule(x: Value, length: Value, *, Treal: Any = None, Tcomplex: Any = None) -> Value:  # noqa: N803
        first = x.ndim - rank
        *rest, last = sizes(length, "lengths of the transform")
        x = ops.rfft(x, axis=x.ndim - 1, n=last)
        for index, size in enumerate(rest):
            x = ops.fft(x, axis=first + index, n=size)
        return x

    return rule


def _backward(rank: int) -> Callable[..., Value]:
    def rule(x: Value, length: Value, *, Treal: Any = None, Tcomplex: Any = None) -> Value:  # noqa: N803
        first = x.ndim - rank
        *rest, last = sizes(length, "lengths of the transform")
        for index, size in enumerate(rest):
            x = ops.ifft(x, axis=first + index, n=size)
        return ops.irfft(x, axis=x.ndim - 1, n=last)

    return rule


for _rank, _suffix in ((1, ""), (2, "2D"), (3, "3D")):
    lift.rule(f"FFT{_suffix}")(_complex(ops.fft, _rank))
    lift.rule(f"IFFT{_suffix}")(_complex(ops.ifft, _rank))
    lift.rule(f"RFFT{_suffix}")(_forward(_rank))
    lift.rule(f"IRFFT{_suffix}")(_backward(_rank))


def adjoint(x: Value) -> Value:
    """The last two axes exchanged, and conjugated."""
    turned = ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))
    return ops.conj(turned) if x.dtype.is_complex else turned


@lift.rule("Cholesky")
def _(x: Value) -> Value:
    return ops.cholesky(x)


@lift.rule("MatrixDeterminant")
def _(x: Value) -> Value:
    return ops.det(x)


@lift.rule("LogMatrixDeterminant")
def _(x: Value) -> tuple[Value, Value]:
    if x.dtype.is_complex:
        return refuse("the logarithm of a complex determinant")
    return ops.slogdet(x)


@lift.rule("MatrixInverse")
def _(x: Value, *, adjoint: bool = False) -> Value:
    return ops.inv(_turned(x) if adjoint else x)


@lift.rule("MatrixSolve")
def _(a: Value, b: Value, *, adjoint: bool = False) -> Value:
    return ops.solve(_turned(a) if adjoint else a, b)


@lift.rule("MatrixTriangularSolve")
def _(a: Value, b: Value, *, lower: bool = True, adjoint: bool = False) -> Value:
    return ops.solve_triangular(_turned(a) if adjoint else a, b, upper=lower == adjoint)


_turned = adjoint


@lift.rule("Qr")
def _(x: Value, *, full_matrices: bool = False) -> tuple[Value, Value]:
    return ops.qr(x, mode="complete" if full_matrices else "reduced")


@lift.rule("Svd")
def _(x: Value, *, compute_uv: bool = True, full_matrices: bool = False) -> tuple[Value, Value, Value]:
    u, s, vh = ops.svd(x, full_matrices=full_matrices)
    return s, u, adjoint(vh)


@lift.rule("SelfAdjointEigV2")
def _(x: Value, *, compute_v: bool = True) -> tuple[Value, Value]:
    return ops.eigh(x)
