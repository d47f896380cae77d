"""Complex numbers, Fourier transforms and factorizations of TensorFlow; every expected value is TensorFlow's own."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange as kx

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

X = np.random.default_rng(0).standard_normal((3, 6, 5)).astype(np.float32)
SQUARE = X[:, :4, :4]
POSITIVE = SQUARE @ np.swapaxes(SQUARE, -1, -2) + np.eye(4, dtype=np.float32)
CASES = {
    "mixing": (lambda x: tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64))), X),
    "half": (lambda x: tf.signal.irfft2d(tf.signal.rfft2d(x), [6, 5]), X),
    "length": (lambda x: tf.abs(tf.signal.rfft(x, [8])), X),
    "spectrogram": (lambda x: tf.abs(tf.signal.stft(x, 4, 2)), X),
    "parts": (lambda x: tf.math.imag(tf.math.conj(tf.complex(x, x + 1))), X),
    "angle": (lambda x: tf.math.angle(tf.complex(x, x + 1)), X),
    "cholesky": (tf.linalg.cholesky, POSITIVE),
    "determinant": (tf.linalg.det, POSITIVE),
    "logarithm": (lambda x: tf.linalg.slogdet(x).log_abs_determinant, POSITIVE),
    "inverse": (tf.linalg.inv, POSITIVE),
    "solve": (lambda x: tf.linalg.solve(x, x[..., :2], adjoint=True), POSITIVE),
    "triangular": (lambda x: tf.linalg.triangular_solve(x, x + 1, lower=False), POSITIVE),
    "triangular-adjoint": (lambda x: tf.linalg.triangular_solve(x, x + 1, adjoint=True), POSITIVE),
    "qr": (lambda x: tf.linalg.qr(x).r, SQUARE),
    "eigenvalues": (tf.linalg.eigvalsh, POSITIVE),
    "singular-values": (lambda x: tf.linalg.svd(x, compute_uv=False), X),
}


@pytest.mark.parametrize("name", CASES)
def test_lift(name: str) -> None:
    function, x = CASES[name]
    traced = tf.function(function)
    model = kx.capture(traced, x, dynamic=False)
    wanted = traced(x).numpy()
    for backend in ("numpy", "tensorflow"):
        (got,) = kx.run(model, {model.input_names[0]: x}, backend=backend).values()
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-5)
