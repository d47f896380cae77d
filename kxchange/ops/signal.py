"""Discrete Fourier transforms along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.ops.complexes import paired, require_complex
from kxchange.ops.operands import axis_of, replace_axis
from kxchange.shapes import require_at_least
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

NORMS = ("backward", "ortho", "forward")
"""Which direction is divided by the length: the inverse, each by its square root, or the forward one."""


def _check(n: Dim | None, norm: str) -> None:
    if norm not in NORMS:
        raise TypeInferenceError(f"norm {norm!r} is none of {', '.join(NORMS)}.")
    if n is not None:
        require_at_least(n, 1, "length of a Fourier transform")


def _kept(result: Any, like: Any) -> Any:
    """In the precision of the operand."""
    single = like.dtype.itemsize // (2 if like.dtype.kind == "c" else 1) == 4
    return result.astype(result.dtype if not single else np.complex64 if result.dtype.kind == "c" else np.float32)


@op
def fft(x: Tensor, /, *, axis: int = -1, n: Dim | None = None, norm: str = "backward") -> Tensor:
    """The discrete Fourier transform: ``y[k] = sum over j of x[j] * exp(-2j*pi*j*k/n)``.

    Args:
        x: Complex.
        axis: Along which.
        n: Length of the transform; x is cut or padded with zeros at the end. By default its size.
        norm: ``backward``: as written; ``forward``: divided by n; ``ortho``: divided by its square root.
    """
    return _kept(np.fft.fft(x, n, axis, norm), x)  # pyright: ignore[reportArgumentType, reportCallIssue]


@op
def ifft(x: Tensor, /, *, axis: int = -1, n: Dim | None = None, norm: str = "backward") -> Tensor:
    """The inverse of `fft`: divided by n in ``backward``, by its square root in ``ortho``, by 1 in ``forward``."""
    return _kept(np.fft.ifft(x, n, axis, norm), x)  # pyright: ignore[reportArgumentType, reportCallIssue]


@fft.infer
@ifft.infer
def _(x: TensorType, /, *, axis: int, n: Dim | None, norm: str) -> TensorType:
    require_complex(x)
    _check(n, norm)
    position, size = axis_of(x, axis)
    require_at_least(size, 1, "transformed axis")
    return x if n is None else replace_axis(x, position, n)


@op
def rfft(x: Tensor, /, *, axis: int = -1, n: Dim | None = None, norm: str = "backward") -> Tensor:
    """The first ``n//2 + 1`` results of `fft` on a real tensor; the others are their conjugates."""
    return _kept(np.fft.rfft(x, n, axis, norm), x)  # pyright: ignore[reportArgumentType, reportCallIssue]


@rfft.infer
def _(x: TensorType, /, *, axis: int, n: Dim | None, norm: str) -> TensorType:
    _check(n, norm)
    position, size = axis_of(x, axis)
    require_at_least(size, 1, "transformed axis")
    return replace_axis(x, position, (size if n is None else n) // 2 + 1).with_dtype(paired(x.dtype))


@op
def irfft(x: Tensor, /, *, axis: int = -1, n: Dim | None = None, norm: str = "backward") -> Tensor:
    """The inverse of `rfft`: n real results from the first ``n//2 + 1`` frequencies.

    The imaginary parts of frequency 0, and of the last one where n is even, count as 0.

    Args:
        x: Complex; cut or padded with zeros to ``n//2 + 1``.
        axis: Along which.
        n: Size of the result; by default ``2 * (size - 1)``.
        norm: As in `ifft`.
    """
    return _kept(np.fft.irfft(x, n, axis, norm), x)  # pyright: ignore[reportArgumentType, reportCallIssue]


@irfft.infer
def _(x: TensorType, /, *, axis: int, n: Dim | None, norm: str) -> TensorType:
    require_complex(x)
    position, size = axis_of(x, axis)
    wanted = 2 * (size - 1) if n is None else n
    _check(wanted, norm)
    return replace_axis(x, position, wanted).with_dtype(x.dtype.real)
