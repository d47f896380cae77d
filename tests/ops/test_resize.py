"""Resizing: the measured traps, hand-computed numbers, symbolic sizes, and torch."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.dims import symbol
from kxchange.errors import TypeInferenceError
from kxchange.graph import placeholder
from kxchange.types import TensorType

LINE = [[[1.0, 2.0, 3.0, 4.0]]]
RAMP = [[[0.0, 1.0, 2.0, 3.0]]]


@pytest.mark.parametrize(
    ("coordinate_mode", "expected"),
    [
        ("half_pixel", [1, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75, 4]),
        ("align_corners", [1 + 3 * i / 7 for i in range(8)]),
        ("asymmetric", [1, 1.5, 2, 2.5, 3, 3.5, 4, 4]),
    ],
)
def test_r01_coordinate_mode(ways, coordinate_mode, expected):
    for y in ways(ops.resize, LINE, sizes=(8,), coordinate_mode=coordinate_mode):
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)


def test_r02_antialias(ways):
    squares = np.arange(8.0).reshape(1, 1, 8) ** 2
    for y in ways(ops.resize, squares, sizes=(2,)):
        np.testing.assert_allclose(y[0, 0], [2.5, 30.5], rtol=1e-15)
    # Triangle of radius 4 around 1.5, renormalised over elements 0 to 5: weights 5, 7, 7, 5, 3, 1 of 28.
    expected = [(7 + 4 * 7 + 9 * 5 + 16 * 3 + 25) / 28, (4 + 9 * 3 + 16 * 5 + 25 * 7 + 36 * 7 + 49 * 5) / 28]
    for y in ways(ops.resize, squares, sizes=(2,), antialias=True, exclude_outside=True):
        np.testing.assert_allclose(y[0, 0], expected, rtol=1e-15)
        np.testing.assert_allclose(y[0, 0], [5.464, 27.964], atol=5e-4)
    # Repeating the edge: elements -2 and -1 weigh 1 and 3 and read element 0, so the whole is 32.
    for y in ways(ops.resize, squares, sizes=(2,), antialias=True):
        np.testing.assert_allclose(y[0, 0, 0], (7 + 4 * 7 + 9 * 5 + 16 * 3 + 25) / 32, rtol=1e-15)


@pytest.mark.parametrize(
    ("coordinate_mode", "nearest_mode", "expected"),
    [("asymmetric", "floor", [0, 1, 3]), ("half_pixel", "round_prefer_ceil", [0, 2, 4])],
    ids=["torch", "exact"],
)
def test_r03_nearest_downscale(ways, coordinate_mode, nearest_mode, expected):
    attrs = {"mode": "nearest", "coordinate_mode": coordinate_mode, "nearest_mode": nearest_mode}
    for y in ways(ops.resize, [[[0, 1, 2, 3, 4]]], sizes=(3,), **attrs):
        assert y.dtype == np.int64
        np.testing.assert_array_equal(y[0, 0], expected)


@pytest.mark.parametrize(
    ("nearest_mode", "expected"),
    [
        ("round_prefer_floor", [1, 1, 2, 3, 3, 4]),
        ("round_prefer_ceil", [1, 2, 2, 3, 4, 4]),
        ("floor", [1, 1, 2, 2, 3, 4]),
        ("ceil", [1, 2, 3, 3, 4, 4]),
    ],
)
def test_r04_nearest_ties(ways, nearest_mode, expected):
    # Coordinates -1/6, 1/2, 7/6, 11/6, 5/2, 19/6.
    for y in ways(ops.resize, LINE, sizes=(6,), mode="nearest", nearest_mode=nearest_mode):
        np.testing.assert_array_equal(y[0, 0], expected)


def test_r05_cubic_coefficient_and_edges(ways):
    x = [[[1.0, 2.0, 4.0, 8.0]]]
    for y in ways(ops.resize, x, sizes=(8,), mode="cubic"):
        np.testing.assert_allclose(y[0, 0, :2], [0.89453125, 1.15625], rtol=1e-15)
    for y in ways(ops.resize, x, sizes=(8,), mode="cubic", cubic_coefficient=-0.5, exclude_outside=True):
        np.testing.assert_allclose(y[0, 0, :2], [0.9118, 1.1460], atol=5e-5)


def test_r06_scale_is_not_size(ways):
    x = [[[0.0, 1.0, 2.0]]]
    for y in ways(ops.resize, x, sizes=(4,), scales=(1.5,)):
        np.testing.assert_allclose(y[0, 0], [0, 0.5, 7 / 6, 11 / 6], rtol=1e-15)
    for y in ways(ops.resize, x, sizes=(4,)):
        np.testing.assert_allclose(y[0, 0], [0, 0.625, 1.375, 2], rtol=1e-15)


@pytest.mark.parametrize(
    ("coordinate_mode", "expected"), [("half_pixel", 1.5), ("pytorch_half_pixel", 0), ("align_corners", 0)]
)
def test_r07_size_1(ways, coordinate_mode, expected):
    for y in ways(ops.resize, RAMP, sizes=(1,), coordinate_mode=coordinate_mode):
        np.testing.assert_array_equal(y[0, 0], [expected])


def test_symmetric_coordinates_keep_the_center(ways):
    # 5 elements times 0.7 are 3.5, so 3: the shift is 2.5 * (1 - 3 / 3.5) = 5/14; the middle one reads the middle.
    x = np.arange(5.0).reshape(1, 1, 5)
    attrs = {"sizes": (3,), "scales": (0.7,), "coordinate_mode": "half_pixel_symmetric"}
    for y in ways(ops.resize, x, **attrs):
        np.testing.assert_allclose(y[0, 0], [2 - 1 / 0.7, 2, 2 + 1 / 0.7], rtol=1e-14)


def test_an_unchanged_axis_costs_nothing():
    x = placeholder("x", TensorType.parse("float32[1, 3, 4, 5]"))
    y = ops.resize.decompose_rule(x, **ops.resize.bind_attrs({"sizes": (4, 5)}))
    assert y is x


def test_nan_stays_in_its_window():
    y = ops.resize(np.array([[[np.nan, 1.0, 2.0, 3.0]]]), sizes=(8,))
    np.testing.assert_array_equal(np.isnan(y[0, 0]), [True] * 3 + [False] * 5)


def test_symbolic_sizes(infer):
    sizes = (2 * symbol("h"), symbol("n"))
    assert infer(ops.resize, "float32[batch, 3, h, w]", sizes=sizes) == "float32[batch, 3, 2*h, n]"
    y = infer(ops.resize, "float32[batch, h, w, 3]", sizes=sizes, channel_axis=-1)
    assert y == "float32[batch, 2*h, n, 3]"
    assert infer(ops.resize, "uint8[batch, 3, h]", sizes=(7,), mode="nearest") == "uint8[batch, 3, 7]"


@pytest.mark.parametrize(
    ("attrs", "message"),
    [({"mode": "cubic"}, "cubic"), ({"antialias": True}, "antialias"), ({"scales": (1.5,)}, "1.5")],
)
def test_symbolic_sizes_that_do_not_decompose(attrs, message):
    x = placeholder("x", TensorType.parse("float32[1, 3, n]"))
    with pytest.raises(TypeInferenceError, match=message):
        ops.resize.decompose_rule(x, **ops.resize.bind_attrs({"sizes": (symbol("m"),), **attrs}))


@pytest.mark.parametrize(
    ("x", "attrs", "message"),
    [
        ("int32[1, 1, 4]", {"sizes": (8,)}, "floating"),
        ("float32[1, 1, 4]", {"sizes": (8, 8)}, "entry for each"),
        ("float32[1, 1, 4]", {"sizes": (8,), "scales": (1.0, 1.0)}, "entry for each"),
        ("float32[1, 1, 4]", {"sizes": (8,), "scales": (0.0,)}, "positive"),
        ("float32[1, 1, 4]", {"sizes": (8,), "mode": "bilinear"}, "mode"),
        ("float32[1, 1, 4]", {"sizes": (8,), "coordinate_mode": "pixel"}, "coordinate_mode"),
        ("float32[1, 1, 4]", {"sizes": (8,), "mode": "nearest", "nearest_mode": "round"}, "nearest_mode"),
    ],
)
def test_refusals(infer, x, attrs, message):
    with pytest.raises(TypeInferenceError, match=message):
        infer(ops.resize, x, **attrs)


def _pair(seed: int) -> tuple[np.ndarray, tuple[int, ...]]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(2, 3, *generator.integers(2, 9, 2))), tuple(generator.integers(1, 12, 2).tolist())


TORCH = {
    "nearest": {"mode": "nearest", "coordinate_mode": "asymmetric", "nearest_mode": "floor"},
    "nearest-exact": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "bilinear": {"mode": "linear"},
    "bicubic": {"mode": "cubic"},
}


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("mode", TORCH)
def test_sizes_against_torch(ways, mode, seed):
    torch = pytest.importorskip("torch")
    x, sizes = _pair(seed)
    expected = torch.nn.functional.interpolate(torch.tensor(x), sizes, mode=mode).numpy()
    for y in ways(ops.resize, x, sizes=sizes, **TORCH[mode]):
        np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.torch
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("form", ["align_corners", "antialias", "scales"])
def test_forms_against_torch(ways, form, mode, seed):
    torch = pytest.importorskip("torch")
    x, sizes = _pair(seed)
    given = {"mode": mode, "align_corners": form == "align_corners", "antialias": form == "antialias"}
    attrs = {**TORCH[mode], "sizes": sizes}
    if form == "align_corners":
        attrs["coordinate_mode"] = "align_corners"
    elif form == "antialias":
        attrs |= {"antialias": True, "exclude_outside": True, "cubic_coefficient": -0.5}
    else:
        attrs["scales"] = (1.3, 0.8)
        attrs["sizes"] = tuple(int(size * scale) for size, scale in zip(x.shape[2:], (1.3, 0.8), strict=True))
    size = {"scale_factor": (1.3, 0.8)} if form == "scales" else {"size": sizes}
    expected = torch.nn.functional.interpolate(torch.tensor(x), **size, **given).numpy()
    for y in ways(ops.resize, x, **attrs):
        np.testing.assert_allclose(y, expected, atol=1e-12)
