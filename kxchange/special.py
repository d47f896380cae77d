"""Special functions in float64: erf, erfc, erfinv, lgamma, digamma.

Each interval has a rational function P/Q that interpolates the exact function at Chebyshev nodes; the coefficients
(lowest power first) were computed with 60 digits, and their relative error is below 6e-17 before rounding. Results are
within a few units in the last place, except next to the zeros of lgamma and digamma on the negative axis, where the
error is relative to the size of the terms that cancel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rational = tuple[tuple[float, ...], tuple[float, ...]]

_ERF_NEAR: Rational = (
    (1.1283791670955126, 0.13273781588831823, 0.04003497179909916, 0.001111947160008201, 6.53146755682646e-05),
    (1.0, 0.4509691597993518, 0.08580312323455648, 0.008299086420556764, 0.00035166476084434685),
)
ERFC_MIDDLE: Rational = (
    (
        0.9999999999409119,
        1.7125909086890725,
        1.462233575755,
        0.7713805373133161,
        0.26805730002461975,
        0.06113266718281179,
        0.008507148284926528,
        0.0005650357192797929,
        7.717156040324074e-12,
    ),
    (
        1.0,
        2.84097007489991,
        3.667925028857504,
        2.821473401738902,
        1.4209517972817745,
        0.4826543258529566,
        0.10885591901594882,
        0.015078507849364011,
        0.001001500488257476,
    ),
)
ERFC_FAR: Rational = (
    (
        0.5641895835477563,
        16.791078708339597,
        172.95302810902118,
        753.917078810447,
        1355.6128920577805,
        806.9836296332869,
        69.6290813505026,
    ),
    (
        1.0,
        30.261412117454135,
        320.9319667563323,
        1475.9281538908365,
        2950.2040405147636,
        2231.1853109808726,
        418.83921758984917,
    ),
)
_ERFINV_NEAR: Rational = (
    (
        0.886226925452758,
        -2.125309744068628,
        1.7868025384515263,
        -0.616477943407903,
        0.0756427849231936,
        -0.0016005493035574966,
    ),
    (1.0, -2.6599546266312846, 2.5686335220784353, -1.0828992979876984, 0.18562996432609088, -0.00880258939807174),
)
_ERFINV_MIDDLE: Rational = (
    (
        3.551557616525806e-05,
        -0.0005280178261923009,
        0.889830084641565,
        2.5817312561963153,
        5.182122348845835,
        6.331796491125079,
        5.605380543081088,
        2.8988465778421584,
        0.39323141011235696,
    ),
    (
        1.0,
        2.929777612030383,
        6.303549137374096,
        8.682295768074574,
        8.993584094358527,
        6.295210457213005,
        2.9114883520787145,
        0.39286813935870085,
        7.532893995877913e-06,
    ),
)
_ERFINV_FAR: Rational = (
    (
        -0.0017495556862676092,
        0.015162689876137196,
        0.8204311637803039,
        2.030754930008862,
        2.704038377837574,
        3.0279184492697753,
        1.0202748524272527,
        0.10247737503810503,
        0.002564155632899348,
    ),
    (
        1.0,
        2.081505344851488,
        3.9681778634484854,
        3.8797324547107395,
        3.20739383040617,
        1.0269033498279574,
        0.10249378728006446,
        0.0025640547113179716,
        4.622079753791124e-10,
    ),
)
_LGAMMA_NEAR: Rational = (
    (
        2.50122248590597,
        60.229893442512626,
        313.573155062483,
        549.1682726967687,
        370.7635508574532,
        98.76854727656175,
        9.521191873502843,
        0.24812235435201221,
        0.0003763030691685167,
    ),
    (
        1.0,
        41.353808227451644,
        324.96514391450205,
        828.803636133775,
        827.2289495995393,
        346.6434259484583,
        59.883621024475644,
        3.769213093382763,
        0.06011709265048859,
    ),
)
_DIGAMMA_NEAR: Rational = (
    (
        47024720.94877825,
        148964264.41421935,
        130652947.26322567,
        42608535.53108994,
        5114583.889885832,
        172108.07039412935,
        326.3379982914608,
    ),
    (
        1.0,
        68732831.18662316,
        131032639.97962917,
        79428911.656088,
        18697402.65228246,
        1611035.9931411904,
        36073.9221120326,
    ),
)
_DIGAMMA_ROOT = 1.4616321449683622
_DIGAMMA_ROOT_REST = 9.549995429965697e-17
_BERNOULLI = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
"""B(2k) / (2k (2k - 1)): Stirling's series of log gamma."""
_HALF_LOG_TAU = 0.9189385332046728
_LARGE = 10.0
"""Where seven terms of the asymptotic series are exact to float64."""
_BLOCK = 1 << 14
"""Elements worked on at a time: the temporaries stay in the cache."""


def _in_blocks(function: Callable[[Array], Array]) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Give `function`, written for float64 vectors, arrays of any floating dtype and shape."""

    @wraps(function)
    def apply(x: NDArray[Any]) -> NDArray[Any]:
        flat = np.ravel(x)
        result = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, _BLOCK):
                block = slice(start, start + _BLOCK)
                result[block] = function(flat[block].astype(np.float64))
        return result.reshape(np.shape(x))

    return apply


@_in_blocks
def erf(x: Array) -> Array:
    r"""Error function :math:`2/\sqrt\pi \int_0^x e^{-t^2} dt`."""
    near = np.abs(x) < 0.5
    result = np.empty_like(x)
    result[near] = _erf_near(x[near])
    result[~near] = np.copysign(1.0 - _upper_tail(np.abs(x[~near])), x[~near])
    return result


@_in_blocks
def erfc(x: Array) -> Array:
    """1 - erf(x), accurate where erf is next to 1."""
    near = np.abs(x) < 0.5
    result = np.empty_like(x)
    result[near] = 1.0 - _erf_near(x[near])
    outer = x[~near]
    tail = _upper_tail(np.abs(outer))
    result[~near] = np.where(outer > 0.0, tail, 2.0 - tail)
    return result


def _erf_near(x: Array) -> Array:
    """Erf for |x| < 0.5."""
    return x * _ratio(_ERF_NEAR, x * x)


def _upper_tail(x: Array) -> Array:
    """Erfc for x >= 0.5."""
    # x * x is split into an exact part and a small one: its rounding error would be multiplied by itself.
    capped = np.minimum(x, 30.0)
    coarse = np.floor(capped * 16.0) / 16.0
    decay = np.exp(-coarse * coarse) * np.exp(-(capped - coarse) * (capped + coarse))
    middle = capped < 4.0
    scaled = np.empty_like(capped)
    scaled[middle] = _ratio(ERFC_MIDDLE, capped[middle])
    far = capped[~middle]
    scaled[~middle] = _ratio(ERFC_FAR, 1.0 / (far * far)) / far
    return scaled * decay


@_in_blocks
def erfinv(x: Array) -> Array:
    """The y with erf(y) = x; infinite at -1 and 1, NaN beyond."""
    size = np.abs(x)
    depth = np.sqrt(-np.log(1.0 - size))
    near, infinite = size <= 0.5, size == 1.0
    middle, far = ~near & (depth < 2.0), ~near & (depth >= 2.0) & ~infinite
    result = np.full_like(x, np.nan)
    result[near] = size[near] * _ratio(_ERFINV_NEAR, np.square(size[near]))
    result[middle] = _ratio(_ERFINV_MIDDLE, depth[middle])
    result[far] = _ratio(_ERFINV_FAR, depth[far])
    result[infinite] = np.inf
    return np.copysign(result, x)


@_in_blocks
def lgamma(x: Array) -> Array:
    """Logarithm of the absolute value of the gamma function; +inf at 0 and the negative integers."""
    mirrored = x < 0.0
    positive = _lgamma_positive(np.where(mirrored, 1.0 - x, x))
    sine = np.abs(_sin_pi(x))
    reflected = np.log(np.pi / sine) - positive
    poles = np.isinf(x) | (mirrored & (sine == 0.0))
    return np.where(poles, np.inf, np.where(mirrored, reflected, positive))


def _lgamma_positive(x: Array) -> Array:
    small = x < 1.0
    shifted, product = np.where(small, x + 1.0, x), np.ones_like(x)
    for _ in range(7):
        down = (shifted > 3.0) & (shifted < _LARGE)
        shifted = np.where(down, shifted - 1.0, shifted)
        product = np.where(down, product * shifted, product)
    # Zeros at 1 and 2: their distances must be exact, which those of x + 1 would not be.
    zeros = np.where(small, x * (x - 1.0), (shifted - 1.0) * (shifted - 2.0))
    near = zeros * _ratio(_LGAMMA_NEAR, np.clip(shifted, 1.0, 3.0))
    inverse = 1.0 / np.maximum(x, _LARGE)
    series = inverse * _polynomial(_BERNOULLI, inverse * inverse)
    large = (x - 0.5) * (np.log(x) - 1.0) + (_HALF_LOG_TAU - 0.5 + series)
    return np.where(x >= _LARGE, large, near + np.where(small, -np.log(x), np.log(product)))


@_in_blocks
def digamma(x: Array) -> Array:
    """Derivative of log gamma; -inf at 0, +inf at -0.0, NaN at the negative integers."""
    mirrored = x < 0.0
    positive = _digamma_positive(np.where(mirrored, 1.0 - x, x))
    reflected = positive - np.pi * _cos_pi(x) / _sin_pi(x)
    reflected[x == np.floor(x)] = np.nan
    return np.where(x == 0.0, np.copysign(np.inf, -x), np.where(mirrored, reflected, positive))


def _digamma_positive(x: Array) -> Array:
    small = x < 1.0
    shifted, total = np.where(small, x + 1.0, x), np.where(small, -1.0 / x, 0.0)
    for _ in range(8):
        down = (shifted > 2.0) & (shifted < _LARGE)
        shifted = np.where(down, shifted - 1.0, shifted)
        total = np.where(down, total + 1.0 / shifted, total)
    distance = (shifted - _DIGAMMA_ROOT) - _DIGAMMA_ROOT_REST
    near = distance * _ratio(_DIGAMMA_NEAR, np.clip(shifted, 1.0, 2.0))
    inverse = 1.0 / np.maximum(x, _LARGE)
    square = inverse * inverse
    derivative = tuple((2 * k + 1) * term for k, term in enumerate(_BERNOULLI))
    large = np.log(x) - 0.5 * inverse - square * _polynomial(derivative, square)
    return np.where(x >= _LARGE, large, total + near)


def _ratio(rational: Rational, x: Array) -> Array:
    return _polynomial(rational[0], x) / _polynomial(rational[1], x)


def _polynomial(coefficients: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total *= x
        total += coefficient
    return total


def _sin_pi(x: Array) -> Array:
    nearest = np.rint(x)
    return np.sin(np.pi * (x - nearest)) * np.where(nearest % 2.0 == 0.0, 1.0, -1.0)


def _cos_pi(x: Array) -> Array:
    nearest = np.rint(x)
    return np.cos(np.pi * (x - nearest)) * np.where(nearest % 2.0 == 0.0, 1.0, -1.0)
