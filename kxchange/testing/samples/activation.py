"""Samples of activation functions."""

from __future__ import annotations

from math import inf, nan

from kxchange.testing.samples import integers, normal, samples, values

BATCH = ("batch", 3)
SPECIAL = values([0.0, -0.0, 1e-8, -1e-8, 30.0, -30.0, 80.0, -80.0, inf, -inf, nan])
UNARY = {
    "relu": {},
    "relu6": {},
    "sigmoid": {},
    "log_sigmoid": {},
    "softplus": {},
    "softsign": {},
    "leaky_relu": {"negative_slope": 0.2},
    "elu": {"alpha": 2.0},
    "celu": {"alpha": 2.0},
    "selu": {},
    "hard_sigmoid": {},
    "hard_tanh": {},
    "thresholded_relu": {"alpha": 0.5},
    "soft_shrink": {"lambda_": 0.5},
    "hard_shrink": {"lambda_": 0.5},
    "silu": {},
    "gelu": {},
    "hard_swish": {},
    "mish": {},
    "tanh_shrink": {},
}
"""Attributes of each elementwise activation."""

for name, attrs in UNARY.items():
    samples(name, [normal(BATCH, 4, scale=2.0)], attrs)
    samples(name, [normal()], attrs, note="scalar")
    # The limit at an infinity is 0 * infinity in some forms of a function and not in others.
    finite = name in ("silu", "gelu", "hard_swish", "mish", "tanh_shrink", "softsign", "soft_shrink")
    special = values([0.0, -0.0, 1e-3, -1e-3, 30.0, -30.0, 80.0, -80.0, nan]) if finite else SPECIAL
    samples(name, [special], attrs, differentiable=False, note="special")

samples("relu", [integers(-5, 6, 7)], note="integer")
samples("relu6", [integers(-5, 12, 9)], note="integer")
samples("gelu", [normal(BATCH, 5, scale=3.0)], {"approximate": "tanh"})
samples("gelu", [values([1.0, -3.0, -8.0, -12.0])], {"approximate": "none"}, note="A02")
samples("gelu", [values([1.0, -3.0, -5.0])], {"approximate": "tanh"}, note="A01")
samples("leaky_relu", [normal(5)], {"negative_slope": 1.5})
samples("elu", [values([-3.0, 2.0])], {"alpha": 2.0}, note="A05")
samples("celu", [values([-3.0, 2.0])], {"alpha": 2.0}, note="A05")
samples("softplus", [normal(BATCH, 4, scale=8.0)], {"beta": 2.0, "threshold": 5.0})
samples("softplus", [values([-40.0, 0.0, 40.0])], {"threshold": inf})
samples("hard_sigmoid", [normal(BATCH, 4, scale=4.0)], {"alpha": 0.2, "beta": 0.4}, note="A03")
samples("hard_tanh", [normal(BATCH, 4, scale=4.0)], {"min": -0.5, "max": 2.0})
samples("glu", [normal(BATCH, 6)], {"axis": -1})
samples("glu", [normal(2, ("2*n", 4), 3)], {"axis": 1}, dims={"n": 2})
samples("prelu", [normal(BATCH, 3, 2, 2), normal(3, 1, 1)], note="C17")
samples("prelu", [normal(BATCH, 4), normal(4)])
samples("prelu", [normal(BATCH, 4), normal(1)])

for name in ("softmax", "log_softmax"):
    samples(name, [normal(BATCH, 5)], {"axis": -1})
    samples(name, [normal(2, ("n", 4), 3, scale=5.0)], {"axis": 1})
    samples(name, [values([[[1.0, 1.0], [2.0, 2.0]], [[3.0, 3.0], [4.0, 4.0]]])], {"axis": 0}, note="A06")
    samples(name, [values([[0.0, 200.0], [1e4, -1e4]])], {"axis": 1}, differentiable=False, note="A08")
    samples(name, [values([[0.0, -inf], [1.0, 2.0]])], {"axis": 1}, differentiable=False, note="masked")
    samples(name, [values([-inf, -inf])], {"axis": 0}, differentiable=False, note="A07")
    samples(name, [values([nan, 1.0])], {"axis": 0}, differentiable=False, note="nan")
    samples(name, [normal()], {"axis": -1}, note="R21")
