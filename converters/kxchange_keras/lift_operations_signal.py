"""`keras.ops` by class of operation: complex numbers and Fourier transforms, real and imaginary parts apart."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange_keras.call import Call
from kxchange_keras.promotion import float_of, promoted, value_of
from kxchange_keras.registry import operation

Pair = tuple[Value, Value]


def _apart(z: Value) -> Pair:
    return ops.real(z), ops.imag(z)


def _joined(call: Call, x: Any) -> Value:
    real, imaginary = promoted(call, value_of(call, x[0]), value_of(call, x[1]), floating=True)
    return ops.complex(real, imaginary)


@operation("Conjugate", "Conj")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return ops.conj(value) if value.dtype.is_complex else value


@operation("Real")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return ops.real(value) if value.dtype.is_complex else value


@operation("Imag")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    if value.dtype.is_complex:
        return ops.imag(value)
    return ops.full(shape=value.shape, value=0.0 if value.dtype.is_floating else 0, dtype=value.dtype)


@operation("Angle")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    if value.dtype.is_complex:
        return ops.angle(value)
    value = float_of(call, value)
    return ops.atan2(ops.multiply(value, 0.0), value)


@operation("Polar")
def _(call: Call, abs_: Any, angle: Any) -> Value:
    size, turn = promoted(call, value_of(call, abs_), value_of(call, angle), floating=True)
    return ops.complex(ops.multiply(size, ops.cos(turn)), ops.multiply(size, ops.sin(turn)))


@operation("ViewAsComplex")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    real, imaginary = ops.split(value, sizes=(1, 1), axis=value.ndim - 1)
    return ops.complex(*(ops.squeeze(part, axis=(value.ndim - 1,)) for part in (real, imaginary)))


@operation("ViewAsReal")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return ops.stack(*_apart(value), axis=value.ndim)


@operation("FFT")
def _(call: Call, x: Any) -> Pair:
    return _apart(ops.fft(_joined(call, x), axis=-1))


@operation("FFT2", "IFFT2")
def _(call: Call, x: Any) -> Pair:
    turn = ops.fft if call.config.class_name == "FFT2" else ops.ifft
    return _apart(turn(turn(_joined(call, x), axis=-1), axis=-2))


@operation("RFFT")
def _(call: Call, x: Any) -> Pair:
    return _apart(ops.rfft(float_of(call, x), axis=-1, n=call.option("fft_length", None)))


@operation("IRFFT")
def _(call: Call, x: Any) -> Value:
    return ops.irfft(_joined(call, x), axis=-1, n=call.option("fft_length", None))
