"""Activations and softmax, dissolved and whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kxchange.dims import DimExpr
from kxchange.graph import Value
from kxchange.ops.activation import gelu, sigmoid, silu, softplus
from kxchange.ops.rectifier import hard_sigmoid
from kxchange.ops.reduction import logsumexp, mean, var
from kxchange.ops.softmax import log_softmax, softmax
from kxchange.passes.recompose_catalogue import ODD, Builder, Composite, derived
from kxchange.passes.recompose_found import Found, Unrealizable
from kxchange.passes.recompose_match import Pattern
from kxchange.shapes import product
from kxchange.spec import REGISTRY

ROOT_HALF = math.sqrt(0.5)
ROOT_2_OVER_PI = math.sqrt(2 / math.pi)
X = {"x": "float32[a, b, c]"}
PLAIN = ("relu", "relu6", "silu", "mish", "softsign", "log_sigmoid", "tanh_shrink", "selu", "hard_swish")
"""Activations without attributes."""
WITH_NUMBERS = {"leaky_relu": ("negative_slope",), "elu": ("alpha",), "hard_sigmoid": ("alpha", "beta")}
"""Activations with numbers as attributes."""


def activations() -> list[Composite]:
    """Every elementwise composite."""
    found = [Composite(op, (derived(op, X),), elementwise(op)) for op in PLAIN]
    for op, names in WITH_NUMBERS.items():
        marks = {name: ODD * (index + 1) for index, name in enumerate(names)}
        found.append(Composite(op, (derived(op, X, **marks),), elementwise(op, names)))
    positive: Pattern = ("greater", "?x", 0.0)
    kept_zero: Pattern = ("where", positive, "?x", ("scaled", ("expm1", ("where", positive, 0.0, "?x")), "#alpha"))
    logistic: Pattern = ("pow", ("add", 1.0, ("exp", ("scaled", "?x", -1.0))), -1.0)
    return [
        *found,
        Composite("elu", (kept_zero,), elementwise("elu", ("alpha",))),
        *_piecewise(),
        Composite("sigmoid", (logistic,), lambda m: sigmoid(m.element("x"))),
        Composite("silu", (("mul", logistic, "?x"),), lambda m: silu(m.element("x"))),
        Composite("softplus", _softpluses(), _softplus),
        Composite("gelu", gelu_erf(), lambda m: gelu(m.element("x"), approximate="none")),
        Composite("gelu", gelu_tanh(), lambda m: gelu(m.element("x"), approximate="tanh")),
    ]


def _piecewise() -> list[Composite]:
    """Hard and leaky forms as JAX and Keras write them."""
    rectified: Pattern = ("maximum", "?x", 0.0)
    shifted: Pattern = ("add", "?x", 3.0)
    six: Pattern = ("any", ("relu6", shifted), ("minimum", ("maximum", shifted, 0.0), 6.0))
    below: Pattern = ("expm1", ("scaled", ("minimum", "?x", 0.0), "#inverse"))
    above: Pattern = ("any", ("greater", "?x", 0.0), ("greater_equal", "?x", 0.0))
    return [
        Composite("relu6", (("minimum", rectified, 6.0),), elementwise("relu6")),
        Composite("hard_sigmoid", (("scaled", six, 1 / 6),), lambda m: hard_sigmoid(m.element("x"))),
        Composite("hard_swish", (("scaled", ("mul", six, "?x"), 1 / 6),), elementwise("hard_swish")),
        Composite(
            "leaky_relu",
            (("where", above, "?x", ("scaled", "?x", "#negative_slope")),),
            elementwise("leaky_relu", ("negative_slope",)),
        ),
        Composite(
            "celu",
            (
                ("add", ("scaled", below, "#alpha"), rectified),
                ("where", ("greater", "?x", 0.0), "?x", ("scaled", below, "#alpha")),
            ),
            elementwise("celu", ("alpha",)),
        ),
        Composite("log_sigmoid", (("scaled", ("softplus", ("scaled", "?x", -1.0)), -1.0),), elementwise("log_sigmoid")),
        Composite("mish", (("mul", ("tanh", ("softplus", "?x")), "?x"),), elementwise("mish")),
    ]


def elementwise(op: str, numbers: Sequence[str] = ()) -> Builder:
    """Put an activation together: on the one operand, with the numbers that were found."""
    return lambda found: REGISTRY[op](found.element("x"), **{name: found.number(name) for name in numbers})


def _softpluses() -> tuple[Pattern, ...]:
    """Forms of softplus; JAX's logaddexp with 0 sends NaN around the maximum."""
    scaled: Pattern = ("scaled", "?x", "#beta")
    smooth: Pattern = ("scaled", ("any", ("logaddexp", scaled, 0.0), ("logaddexp", 0.0, scaled)), "#inverse")
    limited: Pattern = ("where", ("greater", scaled, "#threshold"), "?x", smooth)
    exact: Pattern = ("add", ("log1p", ("exp", ("scaled", ("abs", "?x"), -1.0))), ("maximum", "?x", 0.0))
    guarded: Pattern = ("where", ("not_equal", "?x", "?x"), "?x", exact)
    return limited, guarded, exact, ("logaddexp", "?x", 0.0), ("logaddexp", 0.0, "?x")


def _softplus(found: Found) -> Value:
    beta, threshold = found.number("beta", 1.0), found.number("threshold", math.inf)
    return softplus(found.element("x"), beta=beta, threshold=threshold)


def gelu_erf() -> tuple[Pattern, ...]:
    """Forms of ``x * Phi(x)``."""
    erf: Pattern = ("erf", ("scaled", "?x", ROOT_HALF))
    return (
        derived("gelu", X, approximate="none"),
        ("scaled", ("mul", ("add", 1.0, erf), "?x"), 0.5),
        ("mul", ("add", 0.5, ("scaled", erf, 0.5)), "?x"),
        ("mul", ("scaled", ("add", 1.0, erf), 0.5), "?x"),
    )


def gelu_tanh() -> tuple[Pattern, ...]:
    """Forms of ``x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))) / 2``."""
    cubic: Pattern = ("add", ("scaled", ("pow", "?x", 3.0), 0.044715), "?x")
    factored: Pattern = ("mul", ("add", 1.0, ("scaled", ("pow", "?x", 2.0), 0.044715)), "?x")
    inner: Pattern = ("scaled", ("any", cubic, factored), ROOT_2_OVER_PI)
    tanh: Pattern = ("tanh", inner)
    return (
        derived("gelu", X, approximate="tanh"),
        ("scaled", ("mul", ("add", 1.0, tanh), "?x"), 0.5),
        ("mul", ("add", 0.5, ("scaled", tanh, 0.5)), "?x"),
        ("mul", ("scaled", ("add", 1.0, tanh), 0.5), "?x"),
    )


def reductions() -> list[Composite]:
    """Softmax, its logarithm, logsumexp, mean and variance."""
    shifted: Pattern = ("add", ("scaled", ("max", "?x", "@axes"), -1.0), "?x")
    total: Pattern = ("sum", ("exp", shifted), "@axes")
    finite: Pattern = ("where", ("isfinite", ("max", "?x", "@axes")), ("max", "?x", "@axes"), 0.0)
    shift: Pattern = ("add", ("scaled", finite, -1.0), "?x")
    return [
        Composite("softmax", (derived("softmax", X, axis=-1),), lambda m: softmax(m.element("x"), axis=_axis(m))),
        Composite(
            "log_softmax",
            (
                derived("log_softmax", X, axis=-1),
                # Where nothing else reads ``x - max``, the sum is flat.
                ("add", ("scaled", ("log", total), -1.0), ("scaled", ("max", "?x", "@axes"), -1.0), "?x"),
                ("add", ("scaled", ("logsumexp", "?x", "@axes"), -1.0), "?x"),
            ),
            lambda m: log_softmax(m.element("x"), axis=_axis(m)),
        ),
        Composite(
            "logsumexp",
            (
                derived("logsumexp", X, axis=(-1,), keepdims=True),
                ("add", ("log", total), ("max", "?x", "@axes")),
                ("add", ("log", ("sum", ("exp", shift), "@axes")), finite),
            ),
            lambda m: _reduction(m, logsumexp),
        ),
        Composite("mean", (("mean", "?x", "@axes"),), lambda m: _reduction(m, mean)),
        Composite("var", (derived("var", X, axis=(-1,), keepdims=True, correction=0.0), _corrected_var()), _var),
    ]


def _axis(found: Found) -> int:
    axes = found.axes("x")
    if len(axes) != 1:
        raise Unrealizable(f"softmax has one axis, not {axes}.")
    return axes[0]


def _reduction(found: Found, op: Callable[..., Value], **attrs: float) -> Value:
    """A reduction; its axes stay where the root has as many as the operand."""
    x, axes = found.reduced("x")
    return op(x, axis=axes, keepdims=len(found.root.shape) == x.ndim, **attrs)


def _corrected_var() -> Pattern:
    """The sum of squares over less than their number."""
    centred: Pattern = ("add", ("scaled", ("mean", "?x", "@axes"), -1.0), "?x")
    return ("scaled", ("sum", ("pow", centred, 2.0), "@axes"), "#inverse")


def _var(found: Found) -> Value:
    x = found.term("x")
    axes: tuple[int, ...] = found.names["@axes"]
    count = product(x.shape[axis] for axis in axes)
    # The number in the graph may be rounded to float32; the proof tells whether this is what was meant.
    correction = 0.0 if isinstance(count, DimExpr) else round(count - 1 / found.number("inverse", 1 / count), 2)
    return _reduction(found, var, correction=correction)
