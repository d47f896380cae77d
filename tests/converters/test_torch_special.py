"""Operators lifted as formulas and loops of their own: special functions, factorizations, windows, runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import kxchange as kx  # noqa: E402

NAN = float("nan")


def assert_same(function: Callable[..., Any], *inputs: Any, sizes: tuple[int, ...] = (1, 5)) -> None:
    """On NumPy and as a rebuilt module, with the batch of the trace and with others."""
    model = kx.capture(function, *inputs)
    for size in (inputs[0].shape[0], *sizes):
        given = [torch.cat([x] * size)[:size] for x in inputs]
        wanted = function(*given)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        for backend in ("numpy", "torch"):
            arrays = dict(zip(model.input_names, [x.numpy() for x in given], strict=True))
            for got, want in zip(kx.run(model, arrays, backend=backend).values(), wanted, strict=True):
                assert got.dtype == want.numpy().dtype
                np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def computed(function: Callable[..., Any], x: Any) -> Any:
    """What the captured function gives on NumPy."""
    model = kx.capture(function, torch.as_tensor(x), dynamic=False)
    return next(iter(kx.run(model, {model.input_names[0]: np.asarray(x)}, backend="numpy").values()))


# Exact values, to 16 digits, from tables (arbitrary precision): torch's own float64 is off by 3e-7 for some of them.
TABLE: dict[str, list[tuple[float, float]]] = {
    "bessel_j0": [(0.5, 0.9384698072408130), (7.0, 0.3000792705195556), (20.0, 0.1670246643405832)],
    "bessel_j1": [(0.5, 0.2422684576748739), (7.0, -0.0046828234823458), (-20.0, -0.0668331241758499)],
    "bessel_y0": [(0.5, -0.4445187335067066), (7.0, -0.02594974396720926), (0.0, -math.inf), (-1.0, NAN)],
    "bessel_y1": [(0.5, -1.4714723926702430), (7.0, -0.3026672370241849), (0.0, -math.inf), (-1.0, NAN)],
    "modified_bessel_i0": [(0.5, 1.0634833707413236), (10.0, 2815.716628466254), (30.0, 781672297823.9775)],
    "modified_bessel_i1": [(0.5, 0.2578943053908963), (-10.0, -2670.988303701255), (30.0, 768532038938.9570)],
    "modified_bessel_k0": [(0.5, 0.9244190712276659), (5.0, 0.0036910983340426), (0.0, math.inf), (-1.0, NAN)],
    "modified_bessel_k1": [(0.5, 1.6564411200033009), (5.0, 0.0040446134454522), (0.0, math.inf), (-1.0, NAN)],
    "airy_ai": [(-5.0, 0.3507610090241142), (0.0, 0.3550280538878172), (5.0, 1.0834442813607442e-4)],
    "erfcx": [(-1.0, 5.0089800807622835), (0.5, 0.6156903441929259), (10.0, 0.0561409927438226)],
    "ndtri": [(0.5, 0.0), (0.975, 1.9599639845400545), (1e-10, -6.3613409024040559), (1.0, math.inf), (2.0, NAN)],
    "log_ndtr": [(-20.0, -203.9171553710973), (0.0, -0.6931471805599453), (3.0, -0.0013508099647482)],
}


@pytest.mark.parametrize("name", TABLE)
def test_special_functions_are_exact(name: str) -> None:
    points, wanted = zip(*TABLE[name], strict=True)
    found = computed(lambda x: getattr(torch.special, name)(x), np.array(points))
    np.testing.assert_allclose(found, wanted, rtol=2e-13, atol=2e-14)


def test_zeta_and_polygamma() -> None:
    np.testing.assert_allclose(
        computed(lambda q: torch.special.zeta(2.0, q), np.array([1.0, 0.5, 20.0])),
        [math.pi**2 / 6, math.pi**2 / 2, 0.05127082293520],
        rtol=1e-12,
    )
    for order in range(5):
        assert_same(lambda x, n=order: torch.polygamma(n, x), torch.tensor([0.3, 2.5, 11.0, -0.7]))


@pytest.mark.parametrize("name", ["chebyshev_polynomial_t", "chebyshev_polynomial_w", "hermite_polynomial_he"])
def test_polynomials_of_degrees_that_are_data(name: str) -> None:
    x = torch.tensor([0.3, -1.0, 1.0, 2.0, 0.99, -0.5])
    degree = torch.tensor([7.0, 3.0, 0.0, 4.9, 30.0, -2.0])
    assert_same(lambda x, n: getattr(torch.special, name)(x, n), x, degree)


def test_where_the_greatest_element_of_a_window_stands() -> None:
    """Ties go to the first, NaN to the last; padding never wins."""
    x = torch.randint(-3, 3, (2, 3, 7, 6)).float()
    x[0, 0, 2, 2] = x[0, 0, 3, 3] = NAN
    x[1, 1] = -math.inf
    assert_same(lambda x: torch.nn.functional.max_pool2d(x, 3, 2, 1, return_indices=True), x)
    assert_same(
        lambda x: torch.nn.functional.max_pool2d(x, 2, 1, 0, dilation=2, ceil_mode=True, return_indices=True), x
    )
    assert_same(lambda x: torch.nn.functional.adaptive_max_pool2d(x, (3, 4), return_indices=True), x)


def test_pooling_and_unpooling() -> None:
    def halved(x: Any) -> Any:
        pooled, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
        return torch.nn.functional.max_unpool2d(pooled, places, 2)

    assert_same(halved, torch.randn(2, 3, 6, 4))


def test_averages_of_integers_are_cut_towards_zero() -> None:
    x = torch.randint(-9, 9, (2, 3, 7, 5))
    for include in (True, False):
        assert_same(
            lambda x, i=include: torch.nn.functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=i), x
        )


@pytest.mark.parametrize("shape", [(3, 4, 4), (3, 3, 5), (3, 5, 3)])
def test_packed_factorizations(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert_same(torch.linalg.lu, x)
    assert_same(torch.linalg.lu_factor_ex, x)
    model = kx.capture(torch.geqrf, x, dynamic=False)  # torch itself has no shape rule for it
    for got, want in zip(
        kx.run(model, {model.input_names[0]: x.numpy()}, backend="numpy").values(), torch.geqrf(x), strict=True
    ):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)


def test_solutions_and_error_codes() -> None:
    x, b = torch.randn(3, 4, 4), torch.randn(3, 4, 2)
    assert_same(lambda x, b: torch.linalg.lu_solve(*torch.linalg.lu_factor(x), b), x, b)
    assert_same(lambda x, b: torch.linalg.solve_ex(x, b), x, b)
    singular = torch.eye(3).repeat(2, 1, 1)
    singular[1, 1, 1] = 0.0
    assert_same(lambda x: torch.linalg.inv_ex(x)[1], singular)
    assert_same(lambda x: torch.linalg.cholesky_ex(x)[1], singular)


def test_matrix_exponentials() -> None:
    scales = torch.tensor([0.01, 1.0, 4.0], dtype=torch.float64)  # the last cancels too much for float32
    assert_same(torch.linalg.matrix_exp, torch.randn(3, 4, 4, dtype=torch.float64) * scales[:, None, None])


def test_runs_and_modes() -> None:
    x = torch.tensor([[1, 1], [1, 1], [2, 1], [1, 1], [1, 1]])
    assert_same(lambda x: torch.unique_consecutive(x, True, True, dim=0), x, sizes=(2, 9))
    assert_same(lambda x: torch.unique(x, True, True, True, dim=0), x, sizes=(2, 9))
    assert_same(lambda x: torch.mode(x, 1), torch.tensor([[3.0, 1, 3, 1, 2], [NAN, 5, NAN, 4, 4]]))


def test_statistics_that_are_inputs_become_states() -> None:
    """Of a module's own buffers they would be a module left in training mode, which is refused."""

    def normed(x: Any, mean: Any, variance: Any) -> Any:
        return torch.nn.functional.batch_norm(x, mean, variance, training=True, momentum=0.3)

    x, mean, variance = torch.randn(5, 3), torch.zeros(3), torch.ones(3)
    model = kx.capture(normed, x, mean, variance, dynamic=False)
    found = model(x=x.numpy(), mean=mean.numpy(), variance=variance.numpy())
    wanted = normed(x, mean, variance)
    assert set(model.main.updates.values()) == {"mean", "variance"}
    for got, want in zip(found.values(), (wanted, mean, variance), strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)
    training = torch.export.export(torch.nn.BatchNorm1d(3).train(), (x,))
    with pytest.raises(kx.KxchangeError, match="training mode"):
        kx.capture(training)


def test_two_numbers_in_a_choice_keep_their_dtype() -> None:
    """`torch.where` of two Python numbers has torch's default dtype, whatever the graph says."""

    def chosen(x: Any) -> Any:
        return torch.where(x > 0, torch.tensor(1 / 3, dtype=torch.float64), torch.tensor(0.1, dtype=torch.float64))

    model = kx.capture(chosen, torch.tensor([1.0, -1.0]))
    found = next(
        iter(kx.run(model, {model.input_names[0]: np.array([1.0, -1.0], np.float32)}, backend="torch").values())
    )
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [1 / 3, 0.1])
