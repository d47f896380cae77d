"""Lifting of factorizations, triangular systems, Fourier transforms and complex numbers."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, cast, lift, refuse, spread_to

Values = tuple[Value, ...]


@lift.rule("cholesky")
def _(x: Value, **_: Any) -> Value:
    narrow = x.dtype
    wide = _computed(x)
    # The primitive leaves what is above the diagonal as it was.
    return cast(ops.add(ops.cholesky(wide), ops.triu(wide, k=1)), narrow)


def _computed(x: Value) -> Value:
    """The tensor in the type that JAX computes in: 16-bit floats widened."""
    return cast(x, DType.FLOAT32) if x.dtype in (DType.FLOAT16, DType.BFLOAT16) else x


@lift.rule("qr")
def _(x: Value, *, full_matrices: bool, pivoting: bool = False, **_: Any) -> Values:
    if pivoting:
        refuse("a QR factorization with pivoting has no op")
    return ops.qr(x, mode="complete" if full_matrices else "reduced")


@lift.rule("svd")
def _(x: Value, *, full_matrices: bool, compute_uv: bool, subset_by_index: Any = None, **_: Any) -> Value | Values:
    rows, columns = x.shape[-2:]
    whole = isinstance(rows, int) and isinstance(columns, int) and subset_by_index == (0, min(rows, columns))
    if subset_by_index is not None and not whole:
        refuse("some of the singular values alone have no op")
    u, s, vh = ops.svd(x, full_matrices=full_matrices if compute_uv else False)
    return (s, u, vh) if compute_uv else s


@lift.rule("eigh")
def _(x: Value, *, lower: bool, subset_by_index: Any = None, **_: Any) -> Values:
    if subset_by_index is not None and tuple(subset_by_index) != (0, x.shape[-1]):
        refuse("some of the eigenvalues alone have no op")
    values, vectors = ops.eigh(x, upper=not lower)
    return vectors, values


@lift.rule("triangular_solve")
def _(
    a: Value,
    b: Value,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: bool,
    conjugate_a: bool,
    unit_diagonal: bool,
    **_: Any,
) -> Value:
    a = ops.conj(a) if conjugate_a and a.dtype.is_complex else a
    if transpose_a:
        a = _turned(a)
    upper, narrow, a, b = lower is transpose_a, b.dtype, _computed(a), _computed(b)
    if left_side:
        return cast(ops.solve_triangular(a, b, upper=upper, unit_diagonal=unit_diagonal), narrow)
    solved = ops.solve_triangular(_turned(a), _turned(b), upper=not upper, unit_diagonal=unit_diagonal)
    return cast(_turned(solved), narrow)


def _turned(x: Value) -> Value:
    """The matrices transposed."""
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@lift.rule("custom_linear_solve")
def _(*operands: Value, const_lengths: Any, jaxprs: Any, **_: Any) -> Value | Values:
    lengths = [int(length) for length in const_lengths]
    first = sum(lengths[:2])
    consts, given = operands[first : first + lengths[2]], operands[sum(lengths) :]
    results = tuple(SCOPE.lifter.inline(jaxprs.solve, [*consts, *given]))
    return results[0] if len(results) == 1 else results  # pyright: ignore[reportReturnType]


@lift.rule("fft")
def _(x: Value, *, fft_type: Any, fft_lengths: tuple[Dim, ...], **_: Any) -> Value:
    kind = getattr(fft_type, "name", str(fft_type)).upper()
    axes = tuple(range(x.ndim - len(fft_lengths), x.ndim))
    if kind not in ("FFT", "IFFT", "RFFT", "IRFFT"):
        refuse(f"a Fourier transform of the kind {kind} is unknown")
    if not axes:
        return x
    if kind == "RFFT":
        x = ops.rfft(x, axis=-1, n=fft_lengths[-1])
    inner = ops.fft if kind in ("FFT", "RFFT") else ops.ifft
    for axis in axes if kind in ("FFT", "IFFT") else axes[:-1]:
        x = inner(x, axis=axis)
    return ops.irfft(x, axis=-1, n=fft_lengths[-1]) if kind == "IRFFT" else x


@lift.rule("complex")
def _(real: Value, imag: Value, **_: Any) -> Value:
    shape = SCOPE.types[0].shape
    return ops.complex(spread_to(real, shape), spread_to(imag, shape))


@lift.rule("real")
def _(x: Value, **_: Any) -> Value:
    return ops.real(x)


@lift.rule("imag")
def _(x: Value, **_: Any) -> Value:
    return ops.imag(x)


@lift.rule("conj")
def _(x: Value, **_: Any) -> Value:
    return ops.conj(x) if x.dtype.is_complex else cast(x, SCOPE.types[0].dtype)
