"""The special functions against the C library and SciPy, independent implementations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kxchange import special

scipy = pytest.importorskip("scipy.special")

# The C library is the more accurate: SciPy's erfc is 1e-13 off.
C_ERF, C_ERFC = (np.vectorize(f, otypes=[np.float64]) for f in (math.erf, math.erfc))
RANDOM = np.random.default_rng(0)
POSITIVE = np.concatenate([RANDOM.uniform(0, 12, 4000), 10.0 ** RANDOM.uniform(-300, 300, 2000), np.arange(1.0, 40.0)])
TAIL = 10.0 ** RANDOM.uniform(-15.9, -0.3, 2000)
EDGES = np.array([0.0, -0.0, 0.5, -0.5, 4.0, -4.0, 1e-320, 26.0, -30.0])


@pytest.mark.parametrize(
    ("ours", "theirs", "x", "tolerance"),
    [
        (special.erf, C_ERF, np.concatenate([RANDOM.normal(size=5000) * 2, EDGES]), 1e-15),
        (special.erfc, C_ERFC, np.concatenate([RANDOM.uniform(-6, 26, 5000), EDGES]), 3e-15),
        (special.erfinv, scipy.erfinv, np.concatenate([RANDOM.uniform(-1, 1, 5000), 1 - TAIL, TAIL]), 4e-15),
        (special.digamma, scipy.digamma, POSITIVE[POSITIVE > 1e-290], 4e-15),
    ],
)
def test_relative_accuracy(
    ours: Callable[..., Any], theirs: Callable[..., Any], x: np.ndarray, tolerance: float
) -> None:
    np.testing.assert_allclose(ours(x), theirs(x), rtol=tolerance, atol=5e-324)


def test_lgamma_on_the_positive_axis() -> None:
    # SciPy is only absolutely accurate next to the zeros at 1 and 2; those follow.
    np.testing.assert_allclose(special.lgamma(POSITIVE), scipy.gammaln(POSITIVE), rtol=4e-15, atol=1e-15)


def test_lgamma_next_to_its_zeros() -> None:
    # Taylor series at 1 and 2: coefficients are Euler's constant and zeta(k) / k, to the power that 1e-4 needs.
    gamma, zeta = 0.5772156649015329, [math.pi**2 / 6, 1.2020569031595942, math.pi**4 / 90, 1.03692775514337]
    d = RANDOM.choice([-1, 1], 500) * 10.0 ** RANDOM.uniform(-12, -4, 500)
    for zero, shift in ((1.0, 0.0), (2.0, 1.0)):
        exact = (zero + d) - zero
        terms = [(shift - gamma) * exact] + [(-1) ** k * (z - shift) / k * exact**k for k, z in enumerate(zeta, 2)]
        np.testing.assert_allclose(special.lgamma(zero + d), sum(reversed(terms)), rtol=3e-15)


@pytest.mark.parametrize(("ours", "theirs"), [(special.lgamma, scipy.gammaln), (special.digamma, scipy.digamma)])
def test_accuracy_on_the_negative_axis(ours: Callable[..., Any], theirs: Callable[..., Any]) -> None:
    x = RANDOM.uniform(-30.0, 0.0, 5000)
    x = x[np.abs(x - np.rint(x)) > 1e-3]  # next to a pole the libraries differ by their reduction of pi * x
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-12, atol=3e-14)


def test_values_at_the_ends() -> None:
    inf, nan = np.inf, np.nan
    x = np.array([0.0, -0.0, inf, -inf, nan, -1.0, 1.0, 2.0])
    np.testing.assert_array_equal(special.erf(x)[:5], [0.0, 0.0, 1.0, -1.0, nan])
    assert np.signbit(special.erf(x)[1])
    np.testing.assert_array_equal(special.erfc(x)[:5], [1.0, 1.0, 0.0, 2.0, nan])
    np.testing.assert_array_equal(special.erfinv(x), [0.0, 0.0, nan, nan, nan, -inf, inf, nan])
    np.testing.assert_array_equal(special.lgamma(x), [inf, inf, inf, inf, nan, inf, 0.0, 0.0])
    np.testing.assert_array_equal(special.digamma(x)[:6], [-inf, inf, inf, nan, nan, nan])


@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "lgamma", "digamma"])
def test_shapes_and_dtypes_are_kept(name: str) -> None:
    function = getattr(special, name)
    for shape in ((), (0, 3), (2, 1, 3), (20000,)):
        result = function(np.full(shape, 0.25, np.float32))
        assert result.shape == shape and result.dtype == np.float32
        assert np.all(result == np.float32(getattr(scipy, {"lgamma": "gammaln"}.get(name, name))(0.25)))
