"""What users call of `jnp.linalg` and `jnp.fft`: captured, the NumPy runner gives what JAX gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import kxchange as kx  # noqa: E402

pytestmark = pytest.mark.jax
A = np.random.default_rng(0).standard_normal((3, 4, 4)).astype(np.float32) + 4 * np.eye(4, dtype=np.float32)

CASES: dict[str, Callable[[Any], Any]] = {
    "solve": lambda a: jnp.linalg.solve(a, a[..., :2]),
    "inv": jnp.linalg.inv,
    "det": jnp.linalg.det,
    "qr": lambda a: jnp.abs(jnp.linalg.qr(a)[1]),
    "singular values": lambda a: jnp.linalg.svd(a, compute_uv=False),
    "eigenvalues": lambda a: jnp.linalg.eigvalsh(a + a.swapaxes(-1, -2)),
    "cholesky": lambda a: jnp.linalg.cholesky(a @ a.swapaxes(-1, -2)),
    "triangular": lambda a: jax.scipy.linalg.solve_triangular(a, a[..., :1], lower=True),
    "fft": lambda a: jnp.abs(jnp.fft.rfft2(a)),
    "filter": lambda a: jnp.fft.irfft(jnp.fft.rfft(a) * jnp.array([1.0, 0.5, 0.0])),
}


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_what_jax_computes(name: str) -> None:
    model = kx.capture(CASES[name], A)
    data = A[:2] * np.float32(1.5)
    (found,) = model(**{model.input_names[0]: data}).values()
    wanted = np.asarray(CASES[name](jnp.asarray(data)))
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4 * np.abs(wanted).max())
