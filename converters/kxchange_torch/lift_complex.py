"""Complex numbers and Fourier transforms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import lift
from kxchange_torch.lift_manipulation import swap
from kxchange_torch.lift_promotion import to_float

FORWARD = ("backward", "ortho", "forward")
"""The norm of a forward transform by torch's number: not divided, by the root of the length, by the length."""
BACKWARD = ("forward", "ortho", "backward")


@lift.rule("aten.complex.default")
def _(real: Value, imag: Value) -> Value:
    return ops.complex(real, imag)


@lift.rule("aten.polar.default")
def _(length: Value, angle: Value) -> Value:
    return ops.complex(ops.multiply(length, ops.cos(angle)), ops.multiply(length, ops.sin(angle)))


@lift.rule("aten.real.default")
def _(x: Value) -> Value:
    return ops.real(x) if x.dtype.is_complex else x


@lift.rule("aten.imag.default")
def _(x: Value) -> Value:
    return ops.imag(x)


@lift.rule(
    "aten.conj.default", "aten._conj.default", "aten.conj_physical.default", "aten._conj_physical.default",
    "aten._conj_copy.default", "prims.conj.default", "prims.conj_physical.default",
)  # fmt: skip
def conj(x: Value) -> Value:
    """The conjugate; a real tensor as it is."""
    return ops.conj(x) if x.dtype.is_complex else x


@lift.rule("aten.mH.default", "aten.matrix_H.default", "aten.adjoint.default")
def adjoint(x: Value) -> Value:
    """The last two axes exchanged, and conjugated."""
    return conj(swap(x, -1, -2))


@lift.rule("aten._neg_view.default")
def _(x: Value) -> Value:
    return ops.negative(x)


@lift.rule("aten.view_as_real.default", "aten.view_as_real_copy.default")
def view_as_real(x: Value) -> Value:
    """Real and imaginary parts in a last axis of two."""
    return ops.stack(ops.real(x), ops.imag(x), axis=-1)


@lift.rule("aten.view_as_complex.default", "aten.view_as_complex_copy.default")
def _(x: Value) -> Value:
    parts = ops.split(x, axis=-1, sizes=(1, 1))
    return ops.complex(*(ops.squeeze(part, axis=(x.ndim - 1,)) for part in parts))


@lift.rule("aten.angle.default")
def _(x: Value) -> Value:
    if x.dtype.is_complex:
        return ops.angle(x)
    x = to_float(x)
    return ops.where(
        ops.isnan(x), x, ops.where(ops.less(x, 0.0), ops.full(shape=(), value=math.pi, dtype=x.dtype), 0.0)
    )


@lift.rule("aten.isreal.default")
def _(x: Value) -> Value:
    if x.dtype.is_complex:
        return ops.equal(ops.imag(x), 0.0)
    return ops.full(shape=x.shape, value=True, dtype=DType.BOOL)


@lift.rule("aten.vdot.default")
def _(x1: Value, x2: Value) -> Value:
    return ops.matmul(conj(x1), x2)


def _order(axes: Sequence[int], ndim: int) -> list[int]:
    return [axis % ndim for axis in axes]


@lift.rule("aten._fft_c2c.default")
def transform(x: Value, axes: tuple[int, ...], normalization: int, forward: bool) -> Value:
    """A transform over several axes: one after the other."""
    function, norm = (ops.fft, FORWARD[normalization]) if forward else (ops.ifft, BACKWARD[normalization])
    for axis in _order(axes, x.ndim):
        x = function(x, axis=axis, norm=norm)
    return x


@lift.rule("aten._fft_r2c.default")
def _(x: Value, axes: tuple[int, ...], normalization: int, onesided: bool) -> Value:
    if not onesided:
        complex_ = ops.complex(x, ops.full(shape=(), value=0.0, dtype=x.dtype))
        return transform(complex_, axes, normalization, True)
    *rest, last = _order(axes, x.ndim)
    half = ops.rfft(x, axis=last, norm=FORWARD[normalization])
    return transform(half, tuple(rest), normalization, True)


@lift.rule("aten._fft_c2r.default")
def _(x: Value, axes: tuple[int, ...], normalization: int, size: Dim) -> Value:
    *rest, last = _order(axes, x.ndim)
    x = transform(x, tuple(rest), normalization, False)
    return ops.irfft(x, axis=last, n=size, norm=BACKWARD[normalization])
