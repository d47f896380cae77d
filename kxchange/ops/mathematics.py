"""Exponentials, logarithms, circular and hyperbolic functions, special functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import special
from kxchange.graph import Value
from kxchange.ops.arithmetic import abs_, add, maximum, negative, subtract
from kxchange.ops.comparison import equal, where
from kxchange.ops.rules import binary, is_floating, is_inexact, unary
from kxchange.spec import Tensor, op

silent: Any = np.errstate(all="ignore")
"""IEEE infinities and NaN are the defined results: no warning."""


@op
@silent
def exp(x: Tensor, /) -> Tensor:
    """E to the power x."""
    return np.exp(x)


@op
@silent
def expm1(x: Tensor, /) -> Tensor:
    """exp(x) - 1, accurate near 0."""
    return np.expm1(x)


@op
@silent
def log(x: Tensor, /) -> Tensor:
    """Natural logarithm; -inf at 0, NaN below."""
    return np.log(x)


@op
@silent
def log1p(x: Tensor, /) -> Tensor:
    """log(1 + x), accurate near 0."""
    return np.log1p(x)


@op
@silent
def log2(x: Tensor, /) -> Tensor:
    """Logarithm to base 2."""
    return np.log2(x)


@op
@silent
def log10(x: Tensor, /) -> Tensor:
    """Logarithm to base 10."""
    return np.log10(x)


@op
@silent
def logaddexp(x1: Tensor, x2: Tensor, /) -> Tensor:
    """log(exp(x1) + exp(x2)) without overflow."""
    return np.logaddexp(x1, x2)


@logaddexp.decompose
def _(x1: Value, x2: Value) -> Value:
    # Equal infinities have no difference; their sum of exponentials is that infinity all the same.
    distance = where(equal(x1, x2), 0.0, abs_(subtract(x1, x2)))
    return add(maximum(x1, x2), log1p(exp(negative(distance))))


@op
@silent
def sin(x: Tensor, /) -> Tensor:
    """Sine of x in radians."""
    return np.sin(x)


@op
@silent
def cos(x: Tensor, /) -> Tensor:
    """Cosine of x in radians."""
    return np.cos(x)


@op
@silent
def tan(x: Tensor, /) -> Tensor:
    """Tangent of x in radians."""
    return np.tan(x)


@op
@silent
def asin(x: Tensor, /) -> Tensor:
    """Inverse sine in radians; NaN outside [-1, 1]."""
    return np.arcsin(x)


@op
@silent
def acos(x: Tensor, /) -> Tensor:
    """Inverse cosine in radians; NaN outside [-1, 1]."""
    return np.arccos(x)


@op
@silent
def atan(x: Tensor, /) -> Tensor:
    """Inverse tangent in radians."""
    return np.arctan(x)


@op
@silent
def atan2(x1: Tensor, x2: Tensor, /) -> Tensor:
    """Angle in radians, in [-pi, pi], of the point with ordinate x1 and abscissa x2."""
    return np.arctan2(x1, x2)


@op
@silent
def sinh(x: Tensor, /) -> Tensor:
    """Hyperbolic sine."""
    return np.sinh(x)


@op
@silent
def cosh(x: Tensor, /) -> Tensor:
    """Hyperbolic cosine."""
    return np.cosh(x)


@op
@silent
def tanh(x: Tensor, /) -> Tensor:
    """Hyperbolic tangent."""
    return np.tanh(x)


@op
@silent
def asinh(x: Tensor, /) -> Tensor:
    """Inverse hyperbolic sine."""
    return np.arcsinh(x)


@op
@silent
def acosh(x: Tensor, /) -> Tensor:
    """Inverse hyperbolic cosine; NaN below 1."""
    return np.arccosh(x)


@op
@silent
def atanh(x: Tensor, /) -> Tensor:
    """Inverse hyperbolic tangent; infinite at -1 and 1, NaN beyond."""
    return np.arctanh(x)


@op
def copysign(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The magnitude of x1 with the sign bit of x2, that of -0.0 and NaN too."""
    return np.copysign(x1, x2)


@op
def erf(x: Tensor, /) -> Tensor:
    r"""Error function :math:`2/\sqrt\pi \int_0^x e^{-t^2} dt`."""
    return special.erf(x)


@op
def erfc(x: Tensor, /) -> Tensor:
    """1 - erf(x), accurate where erf is next to 1 (which a decomposition into erf is not)."""
    return special.erfc(x)


@op
def erfinv(x: Tensor, /) -> Tensor:
    """The y with erf(y) = x; infinite at -1 and 1, NaN beyond."""
    return special.erfinv(x)


@op
def lgamma(x: Tensor, /) -> Tensor:
    """Logarithm of the absolute value of the gamma function; +inf at 0 and the negative integers."""
    return special.lgamma(x)


@op
def digamma(x: Tensor, /) -> Tensor:
    """Derivative of the logarithm of the gamma function; -inf at 0, NaN at the negative integers."""
    return special.digamma(x)


for _op in (
    exp,
    expm1,
    log,
    log1p,
    log2,
    log10,
    sin,
    cos,
    tan,
    asin,
    acos,
    atan,
    sinh,
    cosh,
    tanh,
    asinh,
    acosh,
    atanh,
):
    _op.infer(unary(is_inexact, "floating and complex"))
for _op in (erf, erfc, erfinv, lgamma, digamma):
    _op.infer(unary(is_floating, "floating"))
for _op in (logaddexp, atan2, copysign):
    _op.infer(binary(is_floating, "floating"))
