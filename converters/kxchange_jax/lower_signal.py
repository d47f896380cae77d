"""Lowering of complex numbers and Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from kxchange.table import Table

Array = Any

lower = Table("jax")
lower.direct(real=jnp.real, imag=jnp.imag, conj=jnp.conj, angle=jnp.angle)


@lower.rule("complex")
def _(real: Array, imag: Array) -> Array:
    return lax.complex(*jnp.broadcast_arrays(real, imag))


def _transform(function: Callable[..., Array], by_matrix: Callable[..., Array]) -> Callable[..., Array]:
    def rule(x: Array, *, axis: int, n: Any, norm: str) -> Array:
        if isinstance(x.shape[axis], int) and (n is None or isinstance(n, int)):
            return function(x, n, axis, norm)
        # XLA's transform has one length: an exported function for any length multiplies with a matrix.
        return jnp.moveaxis(by_matrix(jnp.moveaxis(x, axis, -1), n, norm), -1, axis)

    return rule


def _forward(x: Array, n: Any, norm: str) -> Array:
    n = x.shape[-1] if n is None else n
    return _fitted(x, n).astype(_complex(x)) @ _turns(n, n, n, -1.0, _complex(x)) * _scale(n, norm, False, x.dtype)


def _inverse(x: Array, n: Any, norm: str) -> Array:
    n = x.shape[-1] if n is None else n
    return _fitted(x, n) @ _turns(n, n, n, 1.0, x.dtype) * _scale(n, norm, True, x.dtype)


def _half(x: Array, n: Any, norm: str) -> Array:
    n = x.shape[-1] if n is None else n
    return (
        _fitted(x, n).astype(_complex(x))
        @ _turns(n, n // 2 + 1, n, -1.0, _complex(x))
        * _scale(n, norm, False, x.dtype)
    )


def _from_half(x: Array, n: Any, norm: str) -> Array:
    n = 2 * (x.shape[-1] - 1) if n is None else n
    k = jnp.arange(n // 2 + 1)
    weights = jnp.where((k == 0) | (2 * k == n), 1, 2)  # every other frequency stands for its conjugate as well
    found = (_fitted(x, n // 2 + 1) * weights) @ _turns(n // 2 + 1, n, n, 1.0, x.dtype)
    return jnp.real(found) * _scale(n, norm, True, x.dtype)


def _complex(x: Array) -> Any:
    return jnp.result_type(x.dtype, jnp.complex64)


def _turns(rows: Any, columns: Any, n: Any, sign: float, dtype: Any) -> Array:
    turns = jnp.outer(jnp.arange(rows), jnp.arange(columns)) % n
    angle = turns.astype(jnp.finfo(dtype).dtype) * (2 * jnp.pi) / n
    return lax.complex(jnp.cos(angle), sign * jnp.sin(angle))


def _scale(n: Any, norm: str, inverse: bool, dtype: Any) -> Any:
    size = jnp.asarray(n).astype(jnp.finfo(dtype).dtype)
    if norm == "ortho":
        return lax.rsqrt(size)
    return 1 / size if (norm == "backward") == inverse else jnp.ones_like(size)


def _fitted(x: Array, n: Any) -> Array:
    """The last axis cut, or padded with zeros at the end."""
    size = x.shape[-1]
    if size is n:
        return x
    kept = x[..., :n]
    return jnp.pad(kept, [(0, 0)] * (x.ndim - 1) + [(0, n - kept.shape[-1])])


lower.rule("fft")(_transform(jnp.fft.fft, _forward))
lower.rule("ifft")(_transform(jnp.fft.ifft, _inverse))
lower.rule("rfft")(_transform(jnp.fft.rfft, _half))
lower.rule("irfft")(_transform(jnp.fft.irfft, _from_half))
