"""Convolutions: the measured traps, hand-computed numbers, symbolic sizes, and torch."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import symbol
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph, placeholder
from kxchange.reference import evaluate
from kxchange.types import TensorType

ONES = np.ones((1, 1, 3, 3))
SQUARE = np.arange(16.0).reshape(1, 1, 4, 4)
KERNEL = np.array([[[1.0, 10.0, 100.0]]])


def _attrs(rank: int, **changes: object) -> dict[str, object]:
    return {"strides": (1,) * rank, "padding": ((0, 0),) * rank, "dilations": (1,) * rank, **changes}


@pytest.mark.parametrize(
    ("padding", "expected"),
    [(((1, 1), (1, 1)), [[10, 24], [51, 90]]), (((0, 1), (0, 1)), [[45, 39], [66, 50]])],
    ids=["torch", "same"],
)
def test_c01_same_padding_is_asymmetric_at_stride_2(ways, padding, expected):
    for y in ways(ops.conv, SQUARE, ONES, **_attrs(2, strides=(2, 2), padding=padding)):
        np.testing.assert_array_equal(y[0, 0], expected)


@pytest.mark.parametrize(("pad", "expected"), [((0, 1), [21, 32, 3]), ((1, 0), [10, 21, 32])])
def test_c02_even_kernel(ways, pad, expected):
    for y in ways(ops.conv, [[[1.0, 2.0, 3.0]]], [[[1.0, 10.0]]], **_attrs(1, padding=(pad,))):
        np.testing.assert_array_equal(y[0, 0], expected)


@pytest.mark.parametrize(("size", "expected"), [(4, [321, 43]), (5, [210, 432, 54])])
def test_c03_same_padding_of_a_symbolic_size(size, expected):
    x = placeholder("x", TensorType.parse("float64[1, 1, n]"))
    weight = placeholder("weight", TensorType.parse("float64[1, 1, 3]"))
    y = ops.conv(x, weight, **_attrs(1, strides=(2,), padding=((symbol("n") % 2, 1),)))
    result = evaluate(Graph((x, weight), (y,)), [np.arange(1.0, size + 1).reshape(1, 1, size), KERNEL])[0]
    np.testing.assert_array_equal(result[0, 0], expected)


def test_c04_transposed_kernel_is_not_flipped(ways):
    attrs = _attrs(1, strides=(2,), output_padding=(0,))
    for y in ways(ops.conv_transpose, [[[1.0, 2.0]]], KERNEL, **attrs):
        np.testing.assert_array_equal(y[0, 0], [1, 10, 102, 20, 200])


@pytest.mark.parametrize(
    ("padding", "output_padding", "expected"),
    [(((1, 1),), (1,), [10, 102, 20, 200]), (((0, 1),), (0,), [1, 10, 102, 20])],
    ids=["torch", "same"],
)
def test_c05_transposed_same_padding(ways, padding, output_padding, expected):
    attrs = _attrs(1, strides=(2,), padding=padding, output_padding=output_padding)
    for y in ways(ops.conv_transpose, [[[1.0, 2.0]]], KERNEL, **attrs):
        np.testing.assert_array_equal(y[0, 0], expected)


def test_output_padding_beyond_the_products_is_the_bias(ways):
    attrs = _attrs(1, strides=(3,), output_padding=(2,))
    for y in ways(ops.conv_transpose, [[[1.0]]], [[[5.0]]], [0.5], **attrs):
        np.testing.assert_array_equal(y[0, 0], [5.5, 0.5, 0.5])


def test_c07_depthwise_output_channel_is_channel_times_multiplier_plus_index(ways):
    x = np.array([[[[1.0]], [[10.0]]]])
    weight = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape(6, 1, 1, 1)
    for y in ways(ops.conv, x, weight, **_attrs(2, groups=2)):
        np.testing.assert_array_equal(y.ravel(), [1, 2, 3, 40, 50, 60])


def test_channels_last_is_the_transpose_of_channels_first():
    generator = np.random.default_rng(0)
    x, weight = generator.normal(size=(2, 3, 5, 6)), generator.normal(size=(4, 3, 2, 3))
    first = ops.conv(x, weight, **_attrs(2))
    last = ops.conv(x.transpose(0, 2, 3, 1), weight, **_attrs(2, channel_axis=-1))
    np.testing.assert_allclose(last.transpose(0, 3, 1, 2), first, rtol=1e-14)


def test_negative_padding_crops(ways):
    for y in ways(ops.conv, [[[1.0, 2.0, 3.0, 4.0]]], [[[1.0]]], **_attrs(1, padding=((-1, -2),))):
        np.testing.assert_array_equal(y[0, 0], [2])
    attrs = _attrs(1, padding=((-1, -1),), output_padding=(0,))
    for y in ways(ops.conv_transpose, [[[1.0, 2.0]]], [[[1.0]]], **attrs):
        np.testing.assert_array_equal(y[0, 0], [0, 1, 2, 0])


def test_integers_do_not_overflow_into_floats():
    y = ops.conv(np.full((1, 1, 2), 2**40), np.full((1, 1, 1), 2**20), **_attrs(1))
    assert y.dtype == np.int64
    assert y.tolist() == [[[2**60, 2**60]]]


def test_symbolic_sizes(infer):
    attrs = _attrs(2, strides=(2, 2), padding=((1, 1), (1, 1)))
    y = infer(ops.conv, "float32[batch, 3, h, 2*w]", "float32[8, 3, 3, 3]", "float32[8]", **attrs)
    assert y == "float32[batch, 8, (h-1)//2+1, w]"
    y = infer(ops.conv, "float32[batch, h, w, 3]", "float32[8, 3, 1, 1]", **_attrs(2, channel_axis=-1))
    assert y == "float32[batch, h, w, 8]"
    attrs = _attrs(2, strides=(2, 2), output_padding=(0, 1))
    y = infer(ops.conv_transpose, "float32[batch, 4, h, w]", "float32[4, 3, 2, 2]", **attrs, groups=2)
    assert y == "float32[batch, 6, 2*h, 2*w+1]"


@pytest.mark.parametrize(
    ("x", "weight", "attrs", "message"),
    [
        ("float32[1, 3, 8, 8]", "float64[4, 3, 3, 3]", _attrs(2), "float64"),
        ("float32[1, 3, 8, 8]", "float32[4, 2, 3, 3]", _attrs(2), "channels"),
        ("float32[1, 3, 8, 8]", "float32[4, 3, 3]", _attrs(2), "axes"),
        ("float32[1, 3, 8, 8]", "float32[4, 3, 3, 3]", _attrs(1), "entry for each"),
        ("float32[1, 3, 2, 8]", "float32[4, 3, 3, 3]", _attrs(2), "window"),
        ("float32[1, 3, 8, 8]", "float32[4, 1, 3, 3]", _attrs(2, groups=3), "groups"),
        ("float32[1, 3, 8, 8]", "float32[4, 3, 3, 3]", _attrs(2, channel_axis=2), "channel_axis"),
        ("bool[1, 3, 8, 8]", "bool[4, 3, 3, 3]", _attrs(2), "bool"),
        ("float32[1, 3, 8, 8]", "float32[4, 3, k, 3]", _attrs(2), "symbolic"),
    ],
)
def test_refusals(infer, x, weight, attrs, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(ops.conv, x, weight, **attrs)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(24))
def test_conv_against_torch(seed):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(seed)
    rank = int(generator.integers(1, 4))
    groups = int(generator.choice([1, 1, 2, 3]))
    window, strides, dilations, pads = (tuple(generator.integers(low, 4, rank).tolist()) for low in (1, 1, 1, 0))
    sizes = tuple((generator.integers(1, 5, rank) + np.array(dilations) * (np.array(window) - 1)).tolist())
    x = generator.normal(size=(2, 2 * groups, *sizes))
    weight, bias = generator.normal(size=(3 * groups, 2, *window)), generator.normal(size=3 * groups)
    call = [torch.conv1d, torch.conv2d, torch.conv3d][rank - 1]
    expected = call(*map(torch.tensor, (x, weight, bias)), strides, pads, dilations, groups).numpy()
    padding = tuple((pad, pad) for pad in pads)
    y = ops.conv(x, weight, bias, strides=strides, padding=padding, dilations=dilations, groups=groups)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(24))
def test_conv_transpose_against_torch(ways, seed):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(seed)
    rank = int(generator.integers(1, 4))
    groups = int(generator.choice([1, 1, 2, 3]))
    window, strides, dilations = (tuple(generator.integers(1, 4, rank).tolist()) for _ in range(3))
    sizes = tuple(generator.integers(2, 5, rank).tolist())
    axes = list(zip(sizes, window, strides, dilations, strict=True))
    full = [(size - 1) * stride + dilation * (taps - 1) for size, taps, stride, dilation in axes]
    pads = tuple(int(generator.integers(0, length // 2 + 1)) for length in full)
    extra = tuple(int(generator.integers(0, max(pair))) for pair in zip(strides, dilations, strict=True))
    x = generator.normal(size=(2, 2 * groups, *sizes))
    weight, bias = generator.normal(size=(2 * groups, 3, *window)), generator.normal(size=3 * groups)
    call = [torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d][rank - 1]
    expected = call(*map(torch.tensor, (x, weight, bias)), strides, pads, extra, groups, dilations).numpy()
    attrs = {"strides": strides, "padding": tuple((p, p) for p in pads), "dilations": dilations, "groups": groups}
    for y in ways(ops.conv_transpose, x, weight, bias, output_padding=extra, **attrs):
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-11)
