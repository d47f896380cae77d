"""Activations: the measured traps, tails, special values, and torch."""

from __future__ import annotations

from math import erfc, exp, inf, log1p, nan, sqrt, tanh

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import TypeInferenceError


def test_a01_gelu_forms(ways):
    for y in ways(ops.gelu, [1.0]):
        np.testing.assert_allclose(y, 0.8413447460685429, rtol=1e-15)
    expected = 0.5 * (1 + tanh(sqrt(2 / np.pi) * 1.044715))
    for y in ways(ops.gelu, [1.0], approximate="tanh"):
        np.testing.assert_allclose(y, expected, rtol=1e-14)
        np.testing.assert_allclose(y, 0.841192, atol=5e-7)


def test_a02_gelu_keeps_its_left_tail(ways):
    points = [-3.0, -8.0, -12.0, -30.0]
    expected = [0.5 * x * erfc(-x / sqrt(2)) for x in points]
    for y in ways(ops.gelu, points):
        np.testing.assert_allclose(y, expected, rtol=1e-12)
    # Near -5 the two terms of 1 + tanh would cancel: five digits of the result would be lost.
    inner = sqrt(2 / np.pi) * (-5 + 0.044715 * -125)
    for y in ways(ops.gelu, [-5.0], approximate="tanh"):
        np.testing.assert_allclose(y, -5 / (1 + exp(-2 * inner)), rtol=1e-12)


def test_a03_hard_sigmoid_slope(ways):
    for y in ways(ops.hard_sigmoid, [1.0, -4.0, 4.0]):
        np.testing.assert_allclose(y, [2 / 3, 0, 1], rtol=1e-15)
    for y in ways(ops.hard_sigmoid, [1.0], alpha=0.2):
        np.testing.assert_allclose(y, [0.7], rtol=1e-15)
    for y in ways(ops.hard_swish, [1.0, -4.0, 4.0]):
        np.testing.assert_allclose(y, [2 / 3, 0, 4], rtol=1e-15)


def test_a04_leaky_relu_has_no_default_slope(infer):
    with pytest.raises(TypeInferenceError, match="negative_slope"):
        ops.leaky_relu.bind_attrs({})


@pytest.mark.parametrize("slope", [0.01, 0.2, 1.5, -1.0])
def test_leaky_relu_is_no_maximum(ways, slope):
    for y in ways(ops.leaky_relu, [-3.0, 2.0], negative_slope=slope):
        np.testing.assert_allclose(y, [-3 * slope, 2], rtol=1e-15)


def test_a05_elu_is_not_celu(ways):
    for y in ways(ops.elu, [-3.0, 2.0], alpha=2.0):
        np.testing.assert_allclose(y, [2 * (exp(-3) - 1), 2], rtol=1e-15)
        np.testing.assert_allclose(y[0], -1.9004, atol=5e-5)
    for y in ways(ops.celu, [-3.0, 2.0], alpha=2.0):
        np.testing.assert_allclose(y, [2 * (exp(-1.5) - 1), 2], rtol=1e-15)
        np.testing.assert_allclose(y[0], -1.5537, atol=5e-5)


def test_a06_softmax_axis(ways):
    x = [[[1.0, 1.0], [2.0, 2.0]], [[3.0, 3.0], [4.0, 4.0]]]
    low = 1 / (1 + exp(2))
    for y in ways(ops.softmax, x, axis=0):
        np.testing.assert_allclose(y, [np.full((2, 2), low), np.full((2, 2), 1 - low)], rtol=1e-14)
    for y in ways(ops.softmax, x, axis=-1):
        np.testing.assert_array_equal(y, np.full((2, 2, 2), 0.5))


def test_a07_softmax_of_nothing_is_nan(ways):
    for spec in (ops.softmax, ops.log_softmax):
        for y in ways(spec, [-inf, -inf], axis=0):
            np.testing.assert_array_equal(y, [nan, nan])
    for y in ways(ops.softmax, [-inf, 3.0], axis=0):
        np.testing.assert_array_equal(y, [0, 1])


def test_a08_log_softmax_does_not_underflow(ways):
    for y in ways(ops.log_softmax, [0.0, 200.0], axis=0):
        np.testing.assert_array_equal(y, [-200, 0])
    for y in ways(ops.softmax, [1e4, 1e4 + 1], axis=0):
        np.testing.assert_allclose(y, [1 / (1 + exp(1)), 1 / (1 + exp(-1))], rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "attrs"),
    [
        ("relu", {}),
        ("relu6", {}),
        ("sigmoid", {}),
        ("log_sigmoid", {}),
        ("silu", {}),
        ("gelu", {}),
        ("gelu", {"approximate": "tanh"}),
        ("leaky_relu", {"negative_slope": 0.1}),
        ("elu", {}),
        ("celu", {}),
        ("selu", {}),
        ("softplus", {}),
        ("softsign", {}),
        ("hard_sigmoid", {}),
        ("hard_swish", {}),
        ("hard_tanh", {}),
        ("mish", {}),
        ("thresholded_relu", {"alpha": 1.0}),
        ("soft_shrink", {"lambda_": 0.5}),
        ("hard_shrink", {"lambda_": 0.5}),
        ("tanh_shrink", {}),
    ],
)
def test_a09_nan_stays_nan_and_the_type_stays(ways, infer, name, attrs):
    spec = getattr(ops, name)
    for y in ways(spec, np.array([nan, 1.0], np.float32), **attrs):
        assert y.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(y), [True, False])
    assert infer(spec, "bfloat16[batch, 2*n]", **attrs) == "bfloat16[batch, 2*n]"
    with pytest.raises(TypeInferenceError):
        infer(spec, "bool[3]", **attrs)


def test_a13_dropout_is_the_identity(ways):
    for y in ways(ops.dropout, [1.0, 2.0], rate=0.25):
        np.testing.assert_array_equal(y, [1, 2])


def test_r21_softmax_of_a_scalar(ways):
    for axis in (0, -1):
        for y in ways(ops.softmax, 3.0, axis=axis):
            assert y.shape == ()
            assert y == 1
        for y in ways(ops.log_softmax, 3.0, axis=axis):
            assert y == 0


@pytest.mark.parametrize(("function", "expected"), [("relu", [-0.0, 2]), ("relu6", [0, 2])])
def test_integers_rectify(ways, function, expected):
    for y in ways(getattr(ops, function), np.array([-3, 2], np.int8)):
        assert y.dtype == np.int8
        np.testing.assert_array_equal(y, expected)


def test_tails(ways):
    for y in ways(ops.sigmoid, [-740.0, 0.0, 800.0]):
        np.testing.assert_allclose(y, [exp(-740), 0.5, 1], rtol=1e-12)
    for y in ways(ops.log_sigmoid, [-800.0, 0.0, 40.0]):
        np.testing.assert_allclose(y, [-800, -np.log(2), -exp(-40)], rtol=1e-14)
    for y in ways(ops.mish, [-40.0, 1.0, 800.0]):
        np.testing.assert_allclose(y, [-40 * exp(-40), tanh(log1p(exp(1))), 800], rtol=1e-14)
    for y in ways(ops.elu, [-1e-20]):
        np.testing.assert_allclose(y, [-1e-20], rtol=1e-15)


def test_softplus_threshold(ways):
    for y in ways(ops.softplus, [20.0, 20.5, -40.0]):
        np.testing.assert_array_equal(y[1], 20.5)
        np.testing.assert_allclose(y[[0, 2]], [20 + log1p(exp(-20)), log1p(exp(-40))], rtol=1e-15)
    for y in ways(ops.softplus, [1.0, 3.0], beta=2.0, threshold=5.0):
        np.testing.assert_allclose(y, [log1p(exp(2)) / 2, 3], rtol=1e-15)
    for y in ways(ops.softplus, [25.0, 800.0], threshold=inf):
        np.testing.assert_allclose(y, [25 + log1p(exp(-25)), 800], rtol=1e-16)


def test_selu_constants(ways):
    for y in ways(ops.selu, [1.0, -inf]):
        np.testing.assert_array_equal(y, [1.0507009873554805, -1.0507009873554805 * 1.6732632423543772])


def test_shrinkage(ways):
    for y in ways(ops.soft_shrink, [-2.0, -0.5, 0.25, 3.0], lambda_=0.5):
        np.testing.assert_array_equal(y, [-1.5, 0, 0, 2.5])
    for y in ways(ops.hard_shrink, [-2.0, -0.5, 0.25, 3.0], lambda_=0.5):
        np.testing.assert_array_equal(y, [-2, 0, 0, 3])
    for y in ways(ops.thresholded_relu, [0.5, 1.0, 3.0], alpha=1.0):
        np.testing.assert_array_equal(y, [0, 0, 3])


def test_c17_prelu_slope_broadcasts_as_given(ways, infer):
    x = -np.ones((1, 2, 2))
    for y in ways(ops.prelu, x, np.array([[2.0], [3.0]])):
        np.testing.assert_array_equal(y, [[[-2, -2], [-3, -3]]])
    for y in ways(ops.prelu, x, np.array([2.0, 3.0])):
        np.testing.assert_array_equal(y, [[[-2, -3], [-2, -3]]])
    assert infer(ops.prelu, "float32[batch, 3, h]", "float32[3, 1]") == "float32[batch, 3, h]"
    with pytest.raises(TypeInferenceError, match="slope"):
        infer(ops.prelu, "float32[1, 3]", "float32[2, 3]")


def test_glu_halves_an_axis(ways, infer):
    for y in ways(ops.glu, [[1.0, 2.0, 0.0, 0.0]], axis=1):
        np.testing.assert_array_equal(y, [[0.5, 1.0]])
    assert infer(ops.glu, "float32[batch, 2*n]", axis=-1) == "float32[batch, n]"
    with pytest.raises(TypeInferenceError, match="2 does not divide 3"):
        infer(ops.glu, "float32[3]", axis=0)


@pytest.mark.parametrize(
    ("name", "attrs", "message"),
    [
        ("gelu", {"approximate": "erf"}, "approximate"),
        ("softplus", {"beta": 0.0}, "beta"),
        ("celu", {"alpha": 0.0}, "alpha"),
        ("hard_tanh", {"min": 2.0}, "greater"),
        ("soft_shrink", {"lambda_": -1.0}, "negative"),
        ("softmax", {"axis": 2}, "axis"),
    ],
)
def test_refusals(infer, name, attrs, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(getattr(ops, name), "float32[2, 3]", **attrs)


TORCH = [
    ("relu", {}, "relu", {}),
    ("relu6", {}, "relu6", {}),
    ("sigmoid", {}, "sigmoid", {}),
    ("log_sigmoid", {}, "logsigmoid", {}),
    ("silu", {}, "silu", {}),
    ("gelu", {}, "gelu", {}),
    ("gelu", {"approximate": "tanh"}, "gelu", {"approximate": "tanh"}),
    ("leaky_relu", {"negative_slope": 0.2}, "leaky_relu", {"negative_slope": 0.2}),
    ("elu", {"alpha": 1.5}, "elu", {"alpha": 1.5}),
    ("celu", {"alpha": 1.5}, "celu", {"alpha": 1.5}),
    ("selu", {}, "selu", {}),
    ("softplus", {"beta": 2.0, "threshold": 5.0}, "softplus", {"beta": 2.0, "threshold": 5.0}),
    ("softsign", {}, "softsign", {}),
    ("hard_sigmoid", {}, "hardsigmoid", {}),
    ("hard_swish", {}, "hardswish", {}),
    ("hard_tanh", {"min": -2.0, "max": 1.0}, "hardtanh", {"min_val": -2.0, "max_val": 1.0}),
    ("mish", {}, "mish", {}),
    ("glu", {"axis": 1}, "glu", {"dim": 1}),
    ("thresholded_relu", {"alpha": 0.5}, "threshold", {"threshold": 0.5, "value": 0.0}),
    ("soft_shrink", {"lambda_": 0.5}, "softshrink", {"lambd": 0.5}),
    ("hard_shrink", {"lambda_": 0.5}, "hardshrink", {"lambd": 0.5}),
    ("tanh_shrink", {}, "tanhshrink", {}),
    ("softmax", {"axis": 0}, "softmax", {"dim": 0}),
    ("log_softmax", {"axis": 1}, "log_softmax", {"dim": 1}),
]


@pytest.mark.torch
@pytest.mark.parametrize(("name", "attrs", "theirs", "arguments"), TORCH, ids=[case[0] for case in TORCH])
def test_against_torch(ways, name, attrs, theirs, arguments):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(scale=4.0, size=(50, 40))
    expected = getattr(torch.nn.functional, theirs)(torch.tensor(x), **arguments).numpy()
    for y in ways(getattr(ops, name), x, **attrs):
        np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-14)
