"""Operations of `keras.ops` inside a model, each against Keras itself on the backend that runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import kxchange as kx  # noqa: E402

K = keras.ops
pytestmark = pytest.mark.keras


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def uniform(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.05, 0.95, size=shape).astype(np.float32)


def integers(high: int, *shape: int) -> Any:
    return np.random.default_rng(1).integers(0, high, shape).astype(np.int32)


def definite(*lead: int, n: int = 3) -> Any:
    x = np.random.default_rng(2).normal(size=(*lead, n, n))
    return (x @ np.swapaxes(x, -1, -2) + n * np.eye(n)).astype(np.float32)


def gappy(*shape: int) -> Any:
    x = normal(*shape)
    x[..., 1] = np.nan
    return x


def rebuilt_svd(x: Any) -> Any:
    """Singular vectors are defined up to signs: what they make of the values is not."""
    u, s, v = K.linalg.svd(x, full_matrices=False)
    return s, K.matmul(u * s[..., None, :], v)


def rebuilt_qr(x: Any) -> Any:
    q, r = K.linalg.qr(x)
    return K.matmul(q, r), K.matmul(K.swapaxes(q, -1, -2), q)


def rebuilt_eigh(x: Any) -> Any:
    w, v = K.linalg.eigh(x)
    return w, K.matmul(v * w[..., None, :], K.swapaxes(v, -1, -2))


Case = tuple[str, Callable[..., Any], tuple[Any, ...]]
LINALG: list[Case] = [
    ("cholesky", lambda x: K.linalg.cholesky(x), (definite(2),)),
    ("cholesky upper", lambda x: K.linalg.cholesky(x, upper=True), (definite(2),)),
    ("cholesky_inverse", lambda x: K.linalg.cholesky_inverse(K.linalg.cholesky(x)), (definite(),)),
    ("det", lambda x: K.linalg.det(x), (definite(2),)),
    ("inv", lambda x: K.linalg.inv(x), (definite(2),)),
    ("slogdet", lambda x: K.slogdet(x), (definite(2),)),
    ("logdet", lambda x: K.logdet(x), (definite(2),)),
    ("solve", lambda a, b: K.linalg.solve(a, b), (definite(2), normal(2, 3, 4))),
    ("solve a vector", lambda a, b: K.linalg.solve(a, b), (definite(), normal(3))),
    ("solve_triangular", lambda a, b: K.linalg.solve_triangular(a, b, lower=True), (definite(2), normal(2, 3, 4))),
    ("solve_triangular upper", lambda a, b: K.linalg.solve_triangular(a, b), (definite(), normal(3, 2))),
    ("qr", rebuilt_qr, (normal(2, 4, 3),)),
    ("svd", rebuilt_svd, (normal(2, 4, 3),)),
    ("svd values", lambda x: K.linalg.svd(x, compute_uv=False), (normal(4, 3),)),
    ("eigh", rebuilt_eigh, (definite(2),)),
    ("matrix_rank", lambda x: K.linalg.matrix_rank(x), (np.diag([1.0, 2.0, 0.0]).astype(np.float32),)),
    ("inner", lambda x, y: K.inner(x, y), (normal(2, 3), normal(4, 3))),
    ("vdot", lambda x, y: K.vdot(x, y), (normal(2, 3), normal(2, 3, seed=1))),
    ("kron", lambda x, y: K.kron(x, y), (normal(2, 3), normal(4, 2))),
    ("cross", lambda x, y: K.cross(x, y), (normal(5, 3), normal(5, 3, seed=1))),
    ("diag", lambda x: K.diag(x, k=1), (normal(4),)),
    ("diag below", lambda x: K.diag(x, k=-2), (normal(4),)),
    ("diag of a matrix", lambda x: K.diag(x, k=1), (normal(4, 5),)),
    ("diagonal", lambda x: K.diagonal(x, offset=-1, axis1=1, axis2=2), (normal(2, 4, 3),)),
    ("trace", lambda x: K.trace(x, offset=1), (normal(4, 3),)),
]
MISSING: list[Case] = [
    *((name, getattr(K, name), (gappy(3, 4),)) for name in ("nansum", "nanprod", "nanmax", "nanmin", "nanmean")),
    ("nanvar", lambda x: K.nanvar(x, axis=1), (gappy(3, 4),)),
    ("nanstd", lambda x: K.nanstd(x, axis=0, keepdims=True), (normal(3, 4),)),
    ("nancumsum", lambda x: K.nancumsum(x, axis=1), (gappy(3, 4),)),
    ("nanmax of nothing", lambda x: K.nanmax(x, axis=0), (gappy(3, 4),)),
    ("median", lambda x: K.median(x, axis=1), (normal(3, 4),)),
    ("median of all", lambda x: K.median(x, keepdims=True), (normal(3, 5),)),
    ("quantile", lambda x: K.quantile(x, 0.3, axis=1), (normal(3, 8),)),
    ("quantiles", lambda x: K.quantile(x, [0.1, 0.5, 1.0], axis=0), (normal(6, 2),)),
    ("quantile nearest", lambda x: K.quantile(x, 0.3, method="nearest"), (normal(3, 8),)),
    ("percentile", lambda x: K.percentile(x, 30.0, axis=1, keepdims=True), (normal(3, 8),)),
    ("trapezoid", lambda x: K.trapezoid(x, dx=0.5, axis=0), (normal(4, 3),)),
    ("linspace", lambda x, y: K.linspace(x, y, num=5), (normal(3), normal(3, seed=1))),
]
LOSSES: list[Case] = [
    ("binary_crossentropy", lambda t, x: K.binary_crossentropy(t, x), (uniform(3, 4), uniform(3, 4, seed=1))),
    ("... of logits", lambda t, x: K.binary_crossentropy(t, x, from_logits=True), (uniform(3, 4), normal(3, 4))),
    ("categorical_crossentropy", lambda t, x: K.categorical_crossentropy(t, x), (uniform(3, 4), uniform(3, 4, seed=1))),
    ("... of logits", lambda t, x: K.categorical_crossentropy(t, x, from_logits=True), (uniform(3, 4), normal(3, 4))),
    ("sparse", lambda t, x: K.sparse_categorical_crossentropy(t, x), (integers(4, 3), uniform(3, 4))),
    (
        "sparse of logits",
        lambda t, x: K.sparse_categorical_crossentropy(t, x, from_logits=True),
        (integers(4, 3, 5), normal(3, 5, 4)),
    ),
    ("in_top_k", lambda t, x: K.in_top_k(t, x, k=2), (integers(5, 6), normal(6, 5))),
    ("psnr", lambda x, y: K.psnr(x, y, max_val=2.0), (normal(3, 4), normal(3, 4, seed=1))),
]
IMAGES: list[Case] = [
    ("extract_patches", lambda x: K.image.extract_patches(x, size=(2, 3)), (normal(2, 6, 7, 3),)),
    ("... that overlap", lambda x: K.image.extract_patches(x, (3, 2), strides=(1, 2)), (normal(2, 6, 7, 3),)),
    ("... padded", lambda x: K.image.extract_patches(x, 3, strides=2, padding="same"), (normal(2, 6, 7, 3),)),
    ("... spread", lambda x: K.image.extract_patches(x, 2, strides=1, dilation_rate=2), (normal(2, 6, 7, 3),)),
    ("pad_images", lambda x: K.image.pad_images(x, 1, 2, target_height=9, target_width=10), (normal(2, 6, 7, 3),)),
    ("crop_images", lambda x: K.image.crop_images(x, 1, 2, target_height=4, target_width=3), (normal(2, 6, 7, 3),)),
    ("rgb_to_hsv", lambda x: K.image.rgb_to_hsv(x), (uniform(2, 3, 4, 3),)),
    ("hsv_to_rgb", lambda x: K.image.hsv_to_rgb(x), (uniform(2, 3, 4, 3),)),
]
PLACES: list[Case] = [
    (
        "scatter_update",
        lambda x, u: K.scatter_update(x, [[0], [3]], u),
        (normal(4, 3), normal(2, 3, seed=1)),
    ),
    (
        "scatter_update add",
        lambda x, i, u: K.scatter_update(x, i, u, reduction="add"),
        (normal(4, 3), np.array([[1], [1]], np.int32), normal(2, 3, seed=1)),
    ),
    ("scatter", lambda i, u: K.scatter(i, u, shape=(5, 2)), (np.array([[1], [4]], np.int32), normal(2, 2))),
    ("segment_sum", lambda x, i: K.segment_sum(x, i, num_segments=4), (normal(6, 2), integers(3, 6))),
    ("unravel_index", lambda i: K.unravel_index(i, (3, 4)), (integers(12, 5),)),
    ("rot90", lambda x: K.rot90(x, k=1, axes=(1, 2)), (normal(2, 3, 4),)),
    ("rot90 back", lambda x: K.rot90(x, k=3, axes=(0, 2)), (normal(2, 3, 4),)),
    ("meshgrid", lambda x, y: K.meshgrid(x, y), (normal(3), normal(4))),
    ("meshgrid ij", lambda x, y: K.meshgrid(x, y, indexing="ij"), (normal(3), normal(4))),
    ("ldexp", lambda x, n: K.ldexp(x, n), (normal(5), integers(4, 5))),
    ("rearrange", lambda x: K.rearrange(x, "b (h p) c -> b h (p c)", p=2), (normal(2, 6, 3),)),
]
SIGNALS: list[Case] = [
    ("rfft", lambda x: K.rfft(x), (normal(2, 8),)),
    ("rfft cut", lambda x: K.rfft(x, fft_length=6), (normal(2, 8),)),
    ("fft", lambda x, y: K.fft((x, y)), (normal(2, 8), normal(2, 8, seed=1))),
    ("fft2", lambda x, y: K.fft2((x, y)), (normal(2, 4, 8), normal(2, 4, 8, seed=1))),
    ("ifft2", lambda x, y: K.ifft2((x, y)), (normal(2, 4, 8), normal(2, 4, 8, seed=1))),
    ("irfft", lambda x, y: K.irfft((x, y)), (normal(2, 5), normal(2, 5, seed=1))),
]
CASES = [*LINALG, *MISSING, *LOSSES, *IMAGES, *PLACES, *SIGNALS]


def run_case(name: str, body: Callable[..., Any], arrays: tuple[Any, ...]) -> None:
    """Capture a layer that computes `body`, and compare with the layer itself."""

    class Code(keras.Layer):
        def call(self, *tensors: Any) -> Any:
            return body(*tensors)

    layer = Code()
    wanted = [np.asarray(K.convert_to_numpy(item)) for item in keras.tree.flatten(layer(*arrays))]
    model = kx.capture(layer, *arrays, dynamic=False)
    found = list(model(**dict(zip(model.input_names, arrays, strict=True))).values())
    assert len(found) == len(wanted)
    for ours, own in zip(found, wanted, strict=True):
        assert ours.shape == own.shape and ours.dtype == own.dtype, (name, ours.dtype, own.dtype, ours.shape, own.shape)
        np.testing.assert_allclose(ours, own, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=[f"{place}-{case[0]}" for place, case in enumerate(CASES)])
def test_an_operation(case: Case) -> None:
    run_case(*case)
