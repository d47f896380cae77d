"""Complex numbers, Fourier transforms and factorizations of JAX; every expected value is JAX's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange as kx

jax = pytest.importorskip("jax")
pytestmark = pytest.mark.jax

import jax.numpy as jnp  # noqa: E402

X = np.random.default_rng(0).standard_normal((3, 6, 5)).astype(np.float32)
SQUARE = X[:, :4, :4]
POSITIVE = SQUARE @ np.swapaxes(SQUARE, -1, -2) + np.eye(4, dtype=np.float32)


def triangular(a: Any) -> Any:
    solve = jax.scipy.linalg.solve_triangular
    return solve(a[0], a[1], lower=True), solve(a[0], a[1], trans=1), solve(a[0], a[2], unit_diagonal=True)


CASES = {
    "mixing": (lambda x: jnp.fft.fft2(x).real, X),
    "norm": (lambda x: jnp.fft.ifft(jnp.fft.fft(x, norm="ortho"), norm="forward").imag, X),
    "half": (lambda x: jnp.fft.irfft2(jnp.fft.rfft2(x) * (1 + 2j), s=(6, 5)), X),
    "length": (lambda x: jnp.abs(jnp.fft.rfft(x, n=8, axis=1)), X),
    "parts": (lambda x: jnp.angle(jnp.conj(jax.lax.complex(x, x + 1))), X),
    "cholesky": (jnp.linalg.cholesky, POSITIVE),
    "qr": (lambda x: tuple(jnp.linalg.qr(x)), SQUARE),
    "eigenvalues": (jnp.linalg.eigvalsh, POSITIVE),
    "projection": (lambda x: jnp.matmul(*[(v := jnp.linalg.eigh(x)[1][..., :2]), jnp.swapaxes(v, -1, -2)]), POSITIVE),
    "singular-values": (lambda x: jnp.linalg.svd(x, compute_uv=False), X),
    "triangular": (triangular, POSITIVE),
}


@pytest.mark.parametrize("name", CASES)
def test_lift(name: str) -> None:
    function, x = CASES[name]
    model = kx.capture(function, x, dynamic=False)
    wanted = function(x)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for backend in ("numpy", "jax"):
        found = kx.run(model, {model.input_names[0]: x}, backend=backend)
        for got, want in zip(found.values(), wanted, strict=True):
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)
