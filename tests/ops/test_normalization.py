"""Normalisations: the measured traps, hand-computed numbers, symbolic sizes, and torch."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import TypeInferenceError


def test_n01_epsilon_shows_at_small_variance(ways):
    # Values 0 and 0.02: variance 1e-4.
    for epsilon in (1e-3, 1e-5):
        for y in ways(ops.layer_norm, [[0.0, 0.02]], epsilon=epsilon):
            np.testing.assert_allclose(y[0, 1], 0.01 / sqrt(1e-4 + epsilon), rtol=1e-14)
        for y in ways(ops.rms_norm, [[0.01, 0.01]], epsilon=epsilon):
            np.testing.assert_allclose(y[0, 1], 0.01 / sqrt(1e-4 + epsilon), rtol=1e-14)
    with pytest.raises(TypeInferenceError, match="epsilon"):
        ops.layer_norm.bind_attrs({})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_n04_variance_takes_two_passes(ways, dtype):
    expected = np.array([-1.5, -0.5, 0.5, 1.5]) / sqrt(1.25 + 1e-5)
    x = np.array([[10000.0, 10001.0, 10002.0, 10003.0]], dtype)
    for y in ways(ops.layer_norm, x, epsilon=1e-5):
        np.testing.assert_allclose(y[0], expected, rtol=1e-6)
    for y in ways(ops.instance_norm, x.reshape(1, 1, 4), epsilon=1e-5):
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-6)
    for y in ways(ops.group_norm, x, groups=1, epsilon=1e-5):
        np.testing.assert_allclose(y[0], expected, rtol=1e-6)


def test_n06_the_norm_is_clamped_not_its_square(ways):
    for y in ways(ops.l2_normalize, [[6e-8, 8e-8], [0.0, 0.0]], axis=(1,), epsilon=1e-12):
        np.testing.assert_allclose(y, [[0.6, 0.8], [0, 0]], rtol=1e-14)
    for y in ways(ops.l2_normalize, [[6e-8, 8e-8]], axis=(1,), epsilon=1e-6):
        np.testing.assert_allclose(y, [[0.06, 0.08]], rtol=1e-14)


def test_n07_group_norm_scales_per_channel(ways):
    near, far = 0.5 / sqrt(0.25 + 1e-5), 3.5 / sqrt(12.25 + 1e-5)
    for y in ways(ops.group_norm, [[1.0, 2.0, 3.0, 10.0]], groups=2, epsilon=1e-5):
        np.testing.assert_allclose(y, [[-near, near, -far, far]], rtol=1e-14)
    scale, bias = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 0.0, 1.0, 1.0])
    for y in ways(ops.group_norm, [[1.0, 2.0, 3.0, 10.0]], scale, bias, groups=2, epsilon=1e-5):
        np.testing.assert_allclose(y, [[-near, 2 * near, 1 - 3 * far, 1 + 4 * far]], rtol=1e-14)


def test_n09_instance_norm_with_and_without_scale(ways):
    x = np.array([[[0.0, 2.0], [0.0, 4.0]]])
    for y in ways(ops.instance_norm, x, [1.0, 10.0], [0.0, 1.0], epsilon=0.0):
        np.testing.assert_array_equal(y, [[[-1, 1], [-9, 11]]])
    for y in ways(ops.instance_norm, x.transpose(0, 2, 1), None, None, epsilon=0.0, channel_axis=-1):
        np.testing.assert_array_equal(y, [[[-1, -1], [1, 1]]])


def test_c16_local_response_norm_divides_alpha_by_size(ways):
    x = np.ones((1, 3, 1))
    for y in ways(ops.local_response_norm, x, size=3, alpha=1.0, beta=1.0, k=1.0):
        np.testing.assert_allclose(y[0, :, 0], [0.6, 0.5, 0.6], rtol=1e-15)
    # Even size, as in torch: one neighbour in front, none behind.
    for y in ways(ops.local_response_norm, x, size=2, alpha=2.0, beta=1.0, k=1.0):
        np.testing.assert_allclose(y[0, :, 0], [1 / 2, 1 / 3, 1 / 3], rtol=1e-15)


def test_batch_norm_operand_order(ways):
    x, mean, variance = np.array([[5.0, 5.0]]), [1.0, 3.0], [4.0, 16.0]
    for y in ways(ops.batch_norm, x, mean, variance, epsilon=0.0):
        np.testing.assert_array_equal(y, [[2, 0.5]])
    for y in ways(ops.batch_norm, x, mean, variance, [10.0, 2.0], [1.0, 7.0], epsilon=0.0, channel_axis=-1):
        np.testing.assert_array_equal(y, [[21, 8]])
    for y in ways(ops.batch_norm, x, mean, variance, None, [1.0, 7.0], epsilon=9.0):
        np.testing.assert_allclose(y, [[1 + 4 / sqrt(13), 7.4]], rtol=1e-15)


def test_symbolic_sizes(infer):
    x = "bfloat16[batch, 2*c, h, w]"
    vector = "bfloat16[2*c]"
    assert infer(ops.batch_norm, x, vector, vector, vector, epsilon=1e-5) == x
    assert infer(ops.group_norm, x, vector, vector, groups=2, epsilon=1e-5) == x
    assert infer(ops.instance_norm, x, vector, epsilon=1e-5) == x
    assert infer(ops.layer_norm, x, "bfloat16[h, w]", axes=2, epsilon=1e-5) == x
    assert infer(ops.rms_norm, x, "bfloat16[w]", epsilon=1e-5) == x
    assert infer(ops.local_response_norm, x, size=5, alpha=1.0, beta=1.0, k=1.0) == x
    assert infer(ops.l2_normalize, x, axis=(1, -1), epsilon=1e-12) == x


@pytest.mark.parametrize(
    ("name", "operands", "attrs", "message"),
    [
        ("batch_norm", ("float32[2, 3]", "float32[2]", "float32[3]"), {}, "mean"),
        ("batch_norm", ("float32[2, 3]", "float32[3]", "float32[3, 1]"), {}, "variance"),
        ("layer_norm", ("float32[2, 3]", "float32[2]"), {}, "scale"),
        ("layer_norm", ("float32[2, 3]",), {"axes": 3}, "trailing"),
        ("layer_norm", ("float32[2, 3]", "float16[3]"), {}, "float16"),
        ("rms_norm", ("int32[2, 3]",), {}, "floating"),
        ("group_norm", ("float32[2, 3]",), {"groups": 2}, "groups"),
        ("instance_norm", ("float32[2, 3]",), {}, "spatial"),
    ],
)
def test_refusals(infer, name, operands, attrs, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(getattr(ops, name), *operands, **attrs, epsilon=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(3))
def test_against_torch(ways, seed):
    torch = pytest.importorskip("torch")
    functions = torch.nn.functional
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(3, 6, 4, 5), loc=2.0)
    scale, bias, mean = (generator.normal(size=6) for _ in range(3))
    variance = generator.uniform(0.1, 2.0, 6)
    last, trailing = generator.normal(size=5), generator.normal(size=(4, 5))
    cases = [
        (ops.batch_norm, (x, mean, variance, scale, bias), {}, functions.batch_norm, {}),
        (
            ops.layer_norm,
            (x, trailing, trailing + 1),
            {"axes": 2},
            lambda x, s, b, eps: functions.layer_norm(x, (4, 5), s, b, eps),
            {},
        ),
        (ops.rms_norm, (x, last), {}, lambda x, s, eps: functions.rms_norm(x, (5,), s, eps), {}),
        (
            ops.group_norm,
            (x, scale, bias),
            {"groups": 3},
            lambda x, s, b, eps: functions.group_norm(x, 3, s, b, eps),
            {},
        ),
        (
            ops.instance_norm,
            (x, scale, bias),
            {},
            lambda x, s, b, eps: functions.instance_norm(x, None, None, s, b, eps=eps),
            {},
        ),
        (ops.l2_normalize, (x,), {"axis": (1,)}, lambda x, eps: functions.normalize(x, dim=1, eps=eps), {}),
    ]
    for spec, operands, attrs, theirs, arguments in cases:
        expected = theirs(*map(torch.tensor, operands), eps=1e-3, **arguments).numpy()
        for y in ways(spec, *operands, epsilon=1e-3, **attrs):
            np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-13, err_msg=spec.name)


@pytest.mark.torch
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_local_response_norm_against_torch(ways, size):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(size).normal(size=(2, 7, 3, 2))
    expected = torch.nn.functional.local_response_norm(torch.tensor(x), size, alpha=0.5, beta=0.75, k=2.0).numpy()
    for y in ways(ops.local_response_norm, x, size=size, alpha=0.5, beta=0.75, k=2.0):
        np.testing.assert_allclose(y, expected, rtol=1e-12)
