"""Pools: the measured traps, hand-computed numbers, symbolic sizes, and torch."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import evaluate, parse_dim, symbol
from kxchange.errors import TypeInferenceError

PAD_1 = ((1, 1), (1, 1))


def _max(rank: int, **changes: object) -> dict[str, object]:
    return {"padding": ((0, 0),) * rank, "dilations": (1,) * rank, **changes}


@pytest.mark.parametrize(
    ("include", "expected"), [(True, np.full((2, 2), 10 / 9)), (False, np.full((2, 2), 2.5))], ids=["torch", "onnx"]
)
def test_c09_padding_counts_or_not(ways, include, expected):
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    attrs = {"window": (3, 3), "strides": (1, 1), "padding": PAD_1, "count_include_pad": include}
    for y in ways(ops.avg_pool, x, **attrs):
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)


def test_c10_what_lies_beyond_the_padding_never_counts(ways):
    x = np.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    attrs = {"window": (3, 3), "strides": (2, 2), "padding": PAD_1, "ceil_mode": True, "count_include_pad": True}
    expected = [[14 / 9, 30 / 9, 2], [57 / 9, 11, 6], [4.5, 7.5, 4]]
    for y in ways(ops.avg_pool, x, **attrs):
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)


def test_c11_no_window_starts_in_the_padding_behind(ways):
    attrs = {"window": (2,), "strides": (3,), "padding": ((1, 1),), "dilations": (1,), "ceil_mode": True}
    for y in ways(ops.max_pool, [[[0.0, 1.0, 2.0, 3.0]]], **attrs):
        np.testing.assert_array_equal(y[0, 0], [0, 3])


def test_c12_nan_wins(ways):
    for y in ways(ops.max_pool, [[[1.0, np.nan, 3.0, 2.0]]], window=(2,), strides=(2,), **_max(1)):
        np.testing.assert_array_equal(y[0, 0], [np.nan, 3])


def test_c13_stride_is_its_own():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    assert ops.max_pool(x, window=(2, 2), strides=(1, 1), **_max(2)).shape == (1, 1, 3, 3)


def test_c15_adaptive_bins_overlap(ways):
    for y in ways(ops.adaptive_avg_pool, [[[0.0, 1.0, 2.0, 3.0, 4.0]]], output_size=(3,)):
        np.testing.assert_allclose(y[0, 0], [0.5, 2, 3.5], rtol=1e-15)
    for y in ways(ops.adaptive_max_pool, [[[4.0, 0.0, 1.0, 3.0, 2.0]]], output_size=(3,)):
        np.testing.assert_array_equal(y[0, 0], [4, 3, 3])


def test_padding_never_wins(ways):
    for y in ways(ops.max_pool, [[[-5.0, -3.0]]], window=(2,), strides=(1,), **_max(1, padding=((1, 1),))):
        np.testing.assert_array_equal(y[0, 0], [-5, -3, -3])
    y = ops.max_pool(np.array([[[-5, -3]]]), window=(2,), strides=(1,), **_max(1, padding=((1, 1),)))
    assert y.tolist() == [[[-5, -3, -3]]]


def test_window_of_nothing_averages_to_0(ways):
    for y in ways(ops.avg_pool, [[[6.0]]], window=(1,), strides=(1,), padding=((1, 1),)):
        np.testing.assert_array_equal(y[0, 0], [0, 6, 0])


def test_divisor_replaces_the_count(ways):
    for y in ways(ops.avg_pool, [[[1.0, 2.0, 3.0]]], window=(2,), strides=(1,), padding=((0, 0),), divisor=4):
        np.testing.assert_array_equal(y[0, 0], [0.75, 1.25])


def test_lp_pool_takes_magnitudes(ways):
    for y in ways(ops.lp_pool, [[[-3.0, 4.0]]], window=(2,), strides=(1,), padding=((0, 0),)):
        np.testing.assert_allclose(y[0, 0], [5], rtol=1e-15)
    for y in ways(ops.lp_pool, [[[-3.0, 4.0]]], window=(2,), strides=(1,), padding=((0, 0),), p=1):
        np.testing.assert_allclose(y[0, 0], [7], rtol=1e-15)


def test_infinity_stays_in_its_bin(ways):
    y = ops.adaptive_avg_pool(np.array([[[np.inf, 1.0, 2.0, 3.0, 4.0]]]), output_size=(3,))
    np.testing.assert_array_equal(y[0, 0], [np.inf, 2, 3.5])


def test_symbolic_sizes(infer):
    x = "float32[batch, 3, h, w]"
    pool = {"window": (3, 3), "strides": (2, 2), "padding": PAD_1}
    assert infer(ops.avg_pool, x, **pool) == "float32[batch, 3, (h-1)//2+1, (w-1)//2+1]"
    assert infer(ops.max_pool, x, **pool, dilations=(1, 1), ceil_mode=True) == "float32[batch, 3, h//2+1, w//2+1]"
    assert infer(ops.adaptive_avg_pool, x, output_size=(1, 1)) == "float32[batch, 3, 1, 1]"
    assert infer(ops.adaptive_avg_pool, x, output_size=(symbol("n"), 2)) == "float32[batch, 3, n, 2]"
    n = symbol("n")
    same = {"window": (3,), "strides": (1,), "padding": ((n - 1, 2),)}
    assert infer(ops.avg_pool, "float32[batch, 3, n]", **same) == "float32[batch, 3, 2*n-1]"
    assert infer(ops.max_pool, "float32[batch, 3, n]", **same, dilations=(1,)) == "float32[batch, 3, 2*n-1]"


def test_symbolic_ceil_mode_with_symbolic_padding_agrees_with_numbers(infer):
    n = symbol("n")
    attrs = {"window": (2,), "strides": (3,), "padding": ((1, n % 2),), "dilations": (1,), "ceil_mode": True}
    symbolic = infer(ops.max_pool, "float32[1, 1, n]", **attrs).removeprefix("float32[1, 1, ").removesuffix("]")
    for size in range(2, 12):
        numbers = {**attrs, "padding": ((1, size % 2),)}
        y = ops.max_pool(np.zeros((1, 1, size)), **numbers)
        assert evaluate(parse_dim(symbolic), {"n": size}) == y.shape[2]


@pytest.mark.parametrize(
    ("x", "attrs", "message"),
    [
        ("int32[1, 3, 8]", {"window": (2,), "strides": (2,), "padding": ((0, 0),)}, "floating"),
        ("float32[1, 3]", {"window": (2,), "strides": (2,), "padding": ((0, 0),)}, "spatial"),
        ("float32[1, 3, 8]", {"window": (9,), "strides": (2,), "padding": ((0, 0),)}, "window"),
        ("float32[1, 3, 8]", {"window": (2, 2), "strides": (2,), "padding": ((0, 0),)}, "entry for each"),
        ("float32[1, 3, 8]", {"window": (2,), "strides": (2,), "padding": ((0, 0),), "divisor": 0}, "divisor"),
    ],
)
def test_refusals(infer, x, attrs, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(ops.avg_pool, x, **attrs)


def _config(seed: int) -> tuple[np.random.Generator, int, dict[str, tuple[int, ...]], np.ndarray]:
    generator = np.random.default_rng(seed)
    rank = int(generator.integers(1, 4))
    window = tuple(generator.integers(1, 5, rank).tolist())
    strides = tuple(generator.integers(1, 4, rank).tolist())
    pads = tuple(int(generator.integers(0, size // 2 + 1)) for size in window)
    x = generator.normal(size=(2, 3, *(size + int(generator.integers(0, 5)) for size in window)))
    return generator, rank, {"window": window, "strides": strides, "pads": pads}, x


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(24))
def test_max_pool_against_torch(seed):
    torch = pytest.importorskip("torch")
    generator, rank, config, x = _config(seed)
    dilations = tuple(int(generator.integers(1, 3)) for _ in range(rank))
    x = np.pad(x, [(0, 0), (0, 0), *((0, size) for size in config["window"])])
    ceil_mode = bool(generator.integers(2))
    call = [torch.max_pool1d, torch.max_pool2d, torch.max_pool3d][rank - 1]
    expected = call(torch.tensor(x), config["window"], config["strides"], config["pads"], dilations, ceil_mode)
    y = ops.max_pool(
        x,
        window=config["window"],
        strides=config["strides"],
        padding=tuple((pad, pad) for pad in config["pads"]),
        dilations=dilations,
        ceil_mode=ceil_mode,
    )
    np.testing.assert_array_equal(y, expected.numpy())


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(40))
def test_avg_pool_against_torch(ways, seed):
    torch = pytest.importorskip("torch")
    generator, rank, config, x = _config(seed)
    ceil_mode, include = bool(generator.integers(2)), bool(generator.integers(2))
    functions = torch.nn.functional
    call = [functions.avg_pool1d, functions.avg_pool2d, functions.avg_pool3d][rank - 1]
    expected = call(torch.tensor(x), config["window"], config["strides"], config["pads"], ceil_mode, include).numpy()
    padding = tuple((pad, pad) for pad in config["pads"])
    attrs = {"ceil_mode": ceil_mode, "count_include_pad": include, "padding": padding}
    for y in ways(ops.avg_pool, x, window=config["window"], strides=config["strides"], **attrs):
        np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(16))
def test_adaptive_pools_against_torch(ways, seed):
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(2, 3, *generator.integers(1, 10, 2)))
    sizes = tuple(generator.integers(1, 8, 2).tolist())
    functions = torch.nn.functional
    for y in ways(ops.adaptive_avg_pool, x, output_size=sizes):
        np.testing.assert_allclose(y, functions.adaptive_avg_pool2d(torch.tensor(x), sizes).numpy(), atol=1e-13)
    for y in ways(ops.adaptive_max_pool, x, output_size=sizes):
        np.testing.assert_array_equal(y, functions.adaptive_max_pool2d(torch.tensor(x), sizes).numpy())


@pytest.mark.torch
def test_lp_pool_against_torch(ways):
    torch = pytest.importorskip("torch")
    x = np.abs(np.random.default_rng(0).normal(size=(2, 3, 6, 7)))
    expected = torch.nn.functional.lp_pool2d(torch.tensor(x), 3, (2, 3), (2, 1)).numpy()
    for y in ways(ops.lp_pool, x, window=(2, 3), strides=(2, 1), padding=((0, 0), (0, 0)), p=3):
        np.testing.assert_allclose(y, expected, rtol=1e-11)
