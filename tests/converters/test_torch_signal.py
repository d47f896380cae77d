"""Complex numbers, Fourier transforms and linear equations of torch; every expected value is torch's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange as kx
from kxchange.errors import UnsupportedOpError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from kxchange_torch.capture import capture  # noqa: E402


def assert_same(function: Any, *inputs: Any, sizes: tuple[int, ...] = ()) -> None:
    """On NumPy and as a rebuilt module, at the traced sizes and with other sizes of axis 0 (and 1) besides."""
    model = capture(function, *inputs)
    for size in (inputs[0].shape[0], *sizes):
        given = [torch.cat([x] * size)[:size] for x in inputs]
        wanted = function(*given)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for backend in ("numpy", "torch"):
            arrays = dict(zip(model.input_names, [x.numpy() for x in given], strict=True))
            found = kx.run(model, arrays, backend=backend)
            for got, want in zip(found.values(), wanted, strict=True):
                want = want.resolve_conj().numpy()
                assert got.dtype == want.dtype
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_mixing_by_fourier_transforms(norm: str) -> None:
    """FNet: the real part of a transform over two axes; and the way there and back of one."""
    x = torch.randn(3, 6, 5)
    assert_same(lambda x: torch.fft.fft2(x, norm=norm).real, x, sizes=(1, 5))
    assert_same(
        lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1, norm=norm) * 2, n=6, dim=1, norm=norm), x, sizes=(2,)
    )


def test_a_transform_of_a_symbolic_axis() -> None:
    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(torch.fft.rfft(x, dim=1))

    model = capture(forward, torch.randn(3, 6), dynamic={"x": ("batch", "seq")})
    for shape in ((2, 7), (1, 4)):
        x = torch.randn(*shape)
        (found,) = model(x=x.numpy()).values()
        np.testing.assert_allclose(found, forward(x).numpy(), rtol=1e-4, atol=1e-5)


def test_spectrogram() -> None:
    window = torch.hann_window(16)

    def forward(x: torch.Tensor) -> torch.Tensor:
        return torch.stft(x, 16, 8, window=window, return_complex=True).abs().square()

    assert_same(forward, torch.randn(2, 64), sizes=(3,))


def test_rotations_as_complex_numbers() -> None:
    turns = torch.polar(torch.ones(5, 4), torch.randn(5, 4))

    def rotate(x: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns).flatten(-2)

    assert_same(rotate, torch.randn(2, 5, 8), sizes=(1, 3))


def test_the_conjugate_is_not_the_number() -> None:
    z = torch.randn(3, 2, dtype=torch.complex64)
    assert_same(lambda z: z.conj() * 2, z)
    assert_same(lambda z: (z.mH, torch.vdot(z[:, 0], z[:, 1]).real.reshape(1), torch.isfinite(z)), z)
    assert_same(lambda z: z.angle(), z)


def test_linear_equations() -> None:
    x = torch.randn(3, 4, 4)
    positive = x @ x.mT + torch.eye(4)
    assert_same(lambda a: torch.linalg.solve(a, a[..., :2] + 1), positive, sizes=(1, 2))
    assert_same(lambda a: (torch.linalg.inv(a), torch.linalg.det(a), torch.logdet(a)), positive, sizes=(2,))
    assert_same(lambda a: torch.linalg.cholesky(a, upper=True), positive)
    assert_same(lambda a: torch.cholesky_solve(a[..., :2], torch.linalg.cholesky(a)), positive)
    assert_same(lambda a: torch.linalg.solve_triangular(a, a + 1, upper=True, left=False), positive)
    assert_same(lambda a: torch.linalg.svdvals(a), positive)
    assert_same(lambda a: torch.linalg.eigvalsh(a), positive)


def test_the_packed_factors_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedOpError, match="ldl_factor"):
        capture(lambda a: torch.linalg.ldl_factor_ex(a)[0], torch.eye(3), dynamic=False)


def test_circular_padding_that_also_cuts() -> None:
    """What a negative amount cuts off does not come back on the other side."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert_same(lambda x: torch.nn.functional.pad(x, (-1, 1, 1, -2), mode="circular"), x)


def test_a_type_that_kxchange_lacks_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedOpError, match="complex32"):
        capture(lambda x: x.chalf(), torch.randn(2), dynamic=False)
