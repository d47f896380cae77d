"""Complex numbers: made of two reals, and taken apart."""

from __future__ import annotations

import numpy as np

from kxchange.errors import TypeInferenceError
from kxchange.ops.arithmetic import negative
from kxchange.ops.mathematics import atan2
from kxchange.ops.rules import broadcast
from kxchange.spec import Tensor, op
from kxchange.types import DType, TensorType

PAIRED = {DType.FLOAT32: DType.COMPLEX64, DType.FLOAT64: DType.COMPLEX128}
"""The complex type whose parts have a real type."""


def require_complex(type: TensorType) -> None:
    """Demand a complex element type.

    Raises:
        TypeInferenceError: It is another.
    """
    if not type.dtype.is_complex:
        raise TypeInferenceError(f"x must be complex, not {type.dtype.value}.")


def paired(dtype: DType) -> DType:
    """The complex type whose parts have the type `dtype`.

    Raises:
        TypeInferenceError: There is none; only float32 and float64 have one.
    """
    if dtype not in PAIRED:
        raise TypeInferenceError(f"no complex type has parts of {dtype.value}. Cast them to float32 or float64 first.")
    return PAIRED[dtype]


@op
def complex_(real: Tensor, imag: Tensor, /) -> Tensor:
    """``real + 1j * imag``, part by part: an infinite or NaN part leaves the other one alone.

    Args:
        real: float32 or float64.
        imag: The same dtype; shapes broadcast.

    Returns:
        complex64 or complex128.
    """
    shape = np.broadcast_shapes(np.shape(real), np.shape(imag))
    result = np.empty(shape, PAIRED[DType.of(np.asarray(real).dtype)].numpy)
    result.real, result.imag = real, imag
    return result


@complex_.infer
def _(real: TensorType, imag: TensorType, /) -> TensorType:
    return broadcast(real, imag, dtype=paired(real.dtype))


@op
def real(x: Tensor, /) -> Tensor:
    """The real part of a complex tensor."""
    return np.real(x)


@op
def imag(x: Tensor, /) -> Tensor:
    """The imaginary part of a complex tensor."""
    return np.imag(x)


@op
def angle(x: Tensor, /) -> Tensor:
    """The argument of a complex tensor in [-pi, pi]: ``atan2(imag, real)``."""
    return np.angle(x)


@real.infer
@imag.infer
@angle.infer
def _(x: TensorType, /) -> TensorType:
    require_complex(x)
    return x.with_dtype(x.dtype.real)


@op
def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate: the imaginary part negated."""
    return np.conj(x)


@conj.infer
def _(x: TensorType, /) -> TensorType:
    require_complex(x)
    return x


@conj.decompose
def _(x: Tensor, /) -> Tensor:
    return complex_(real(x), negative(imag(x)))


@angle.decompose
def _(x: Tensor, /) -> Tensor:
    return atan2(imag(x), real(x))
