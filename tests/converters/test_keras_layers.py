"""Every layer of Keras, in many configurations: the file that Keras saves computes in kxchange what it does in Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # the only one that is float64 throughout

import numpy as np
import pytest

keras = pytest.importorskip("keras")
L = keras.layers

pytestmark = pytest.mark.keras

Case = tuple[str, Callable[[], Any], list[Any]]
N = None


def shapes(*sizes: tuple[Any, ...]) -> list[Any]:
    return list(sizes)


def dense_cases() -> Iterator[Case]:
    yield "dense", lambda: L.Dense(3, activation="relu"), [(N, 5)]
    yield "dense-rank3", lambda: L.Dense(3, use_bias=False), [(N, N, 5)]
    yield "dense-rank4", lambda: L.Dense(3, activation="gelu"), [(N, 2, 4, 5)]
    yield "einsum-dense", lambda: L.EinsumDense("ab,bc->ac", output_shape=6, bias_axes="c"), [(N, 5)]
    yield "einsum-dense-ellipsis", lambda: L.EinsumDense("...x,xy->...y", 6, bias_axes="y"), [(N, 3, 5)]
    yield (
        "einsum-dense-heads",
        lambda: L.EinsumDense("abc,cde->abde", (N, 2, 3), bias_axes="de", activation="tanh"),
        [(N, 4, 5)],
    )
    yield "embedding", lambda: L.Embedding(7, 3), [("int", N, 4, 7)]
    yield "embedding-mask", lambda: L.Embedding(7, 3, mask_zero=True), [("int", N, N, 7)]
    yield "reversible-embedding", lambda: L.ReversibleEmbedding(7, 3), [("int", N, 4, 7)]
    yield "identity", lambda: L.Identity(), [(N, 3)]
    yield "masking", lambda: L.Masking(0.5), [(N, 4, 3)]
    yield "dropout", lambda: L.Dropout(0.4), [(N, 4, 3)]
    yield "spatial-dropout", lambda: L.SpatialDropout1D(0.4), [(N, 4, 3)]
    yield "gaussian-noise", lambda: L.GaussianNoise(0.4), [(N, 4, 3)]
    yield "gaussian-dropout", lambda: L.GaussianDropout(0.4), [(N, 4, 3)]
    yield "alpha-dropout", lambda: L.AlphaDropout(0.4), [(N, 4, 3)]
    yield "activity", lambda: L.ActivityRegularization(0.4), [(N, 4, 3)]


ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
    "hard_swish",
]


def named(name: str) -> Callable[[], Any]:
    return lambda: L.Activation(name)


def activation_cases() -> Iterator[Case]:
    for name in ACTIVATIONS:
        yield f"activation-{name}", named(name), [(N, 3, 6)]
    yield "elu", lambda: L.ELU(0.7), [(N, 5)]
    yield "leaky-relu", lambda: L.LeakyReLU(0.15), [(N, 5)]
    yield "prelu", lambda: L.PReLU(), [(N, 4, 5)]
    yield "prelu-shared", lambda: L.PReLU(shared_axes=[1, 2]), [(N, 4, 5, 3)]
    yield "relu", lambda: L.ReLU(), [(N, 5)]
    yield "relu-max", lambda: L.ReLU(max_value=0.8), [(N, 5)]
    yield "relu-6", lambda: L.ReLU(6.0), [(N, 5)]
    yield "relu-slope", lambda: L.ReLU(negative_slope=0.2), [(N, 5)]
    yield "relu-threshold", lambda: L.ReLU(threshold=0.3), [(N, 5)]
    yield "relu-all", lambda: L.ReLU(max_value=0.9, negative_slope=0.2, threshold=0.3), [(N, 5)]
    yield "softmax", lambda: L.Softmax(), [(N, 4, 5)]
    yield "softmax-axes", lambda: L.Softmax(axis=[1, 2]), [(N, 4, 5)]
    yield "dense-layer-activation", lambda: L.Dense(3, activation=L.LeakyReLU(0.1)), [(N, 5)]


def convolution_cases() -> Iterator[Case]:
    for padding in ("valid", "same", "causal"):
        for stride, dilation in ((1, 1), (2, 1), (1, 2)):
            yield (
                f"conv1d-{padding}-{stride}-{dilation}",
                lambda p=padding, s=stride, d=dilation: L.Conv1D(4, 3, strides=s, padding=p, dilation_rate=d),
                [(N, N, 2)],
            )
    for padding in ("valid", "same"):
        for stride in (1, 2, 3):
            for size in (7, 8):
                yield (
                    f"conv2d-{padding}-{stride}-{size}",
                    lambda p=padding, s=stride: L.Conv2D(4, (3, 2), strides=s, padding=p, activation="relu"),
                    [(N, size, size + 1, 2)],
                )
    yield "conv2d-symbolic", lambda: L.Conv2D(4, 3, strides=2, padding="same"), [(N, N, N, 2)]
    yield "conv2d-groups", lambda: L.Conv2D(6, 3, groups=2, use_bias=False), [(N, 6, 6, 4)]
    yield "conv2d-dilated", lambda: L.Conv2D(6, 3, dilation_rate=(2, 1), padding="same"), [(N, 9, 6, 4)]
    yield "conv2d-channels-first", lambda: L.Conv2D(6, 3, data_format="channels_first"), [(N, 4, 6, 6)]
    yield "conv3d", lambda: L.Conv3D(3, (2, 3, 2), strides=(1, 2, 1), padding="same"), [(N, 4, 5, 4, 2)]
    yield "separable1d", lambda: L.SeparableConv1D(5, 3, depth_multiplier=2, padding="same"), [(N, 7, 3)]
    yield "separable2d", lambda: L.SeparableConv2D(5, 3, depth_multiplier=2, strides=2, padding="same"), [(N, 7, 8, 3)]
    yield "depthwise1d", lambda: L.DepthwiseConv1D(3, depth_multiplier=2), [(N, 7, 3)]
    yield "depthwise2d", lambda: L.DepthwiseConv2D((3, 2), depth_multiplier=3, padding="same"), [(N, 7, 6, 2)]
    yield (
        "depthwise2d-stride",
        lambda: L.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6"),
        [(N, 7, 8, 2)],
    )
    for padding in ("valid", "same"):
        for kernel, stride in ((3, 1), (3, 2), (2, 3), (4, 2), (5, 3)):
            yield (
                f"conv1d-transpose-{padding}-{kernel}-{stride}",
                lambda p=padding, k=kernel, s=stride: L.Conv1DTranspose(4, k, strides=s, padding=p),
                [(N, 5, 2)],
            )
    yield "conv2d-transpose", lambda: L.Conv2DTranspose(4, 3, strides=2, padding="same"), [(N, N, N, 2)]
    yield "conv2d-transpose-dilated", lambda: L.Conv2DTranspose(4, 3, dilation_rate=2), [(N, 5, 5, 2)]
    yield "conv2d-transpose-extra", lambda: L.Conv2DTranspose(4, 3, strides=2, output_padding=1), [(N, 5, 5, 2)]
    yield (
        "conv2d-transpose-extra-same",
        lambda: L.Conv2DTranspose(4, 3, strides=2, output_padding=1, padding="same"),
        [(N, 5, 5, 2)],
    )
    yield "conv3d-transpose", lambda: L.Conv3DTranspose(3, 2, strides=2), [(N, 2, 3, 2, 2)]


def pooling_cases() -> Iterator[Case]:
    for kind in ("Max", "Average"):
        for padding in ("valid", "same"):
            for window, stride in ((2, N), (3, 2), (3, 1)):
                yield (
                    f"{kind}-pool1d-{padding}-{window}-{stride}",
                    lambda k=kind, p=padding, w=window, s=stride: getattr(L, f"{k}Pooling1D")(w, s, p),
                    [(N, N, 2)],
                )
        yield f"{kind}-pool2d", lambda k=kind: getattr(L, f"{k}Pooling2D")((2, 3), 2, "same"), [(N, 5, 6, 3)]
        yield (
            f"{kind}-pool2d-first",
            lambda k=kind: getattr(L, f"{k}Pooling2D")(2, data_format="channels_first"),
            [(N, 3, 5, 6)],
        )
        yield f"{kind}-pool3d", lambda k=kind: getattr(L, f"{k}Pooling3D")(2), [(N, 4, 4, 4, 2)]
        for rank, shape in ((1, (N, N, 3)), (2, (N, 4, 5, 3)), (3, (N, 2, 3, 4, 3))):
            yield f"Global{kind}-{rank}", lambda k=kind, r=rank: getattr(L, f"Global{k}Pooling{r}D")(), [shape]
            yield (
                f"Global{kind}-{rank}-keep",
                lambda k=kind, r=rank: getattr(L, f"Global{k}Pooling{r}D")(keepdims=True),
                [shape],
            )
            size = (4, 2, 3)[:rank]
            fixed = (N, 5, 6, 7, 2)[: rank + 1] + (2,)
            yield (
                f"Adaptive{kind}-{rank}",
                lambda k=kind, r=rank, s=size: getattr(L, f"Adaptive{k}Pooling{r}D")(s if r > 1 else s[0]),
                [fixed],
            )


def normalization_cases() -> Iterator[Case]:
    yield "batch-norm", lambda: L.BatchNormalization(), [(N, 4, 4, 3)]
    yield "batch-norm-plain", lambda: L.BatchNormalization(scale=False, center=False, epsilon=1e-5), [(N, 5)]
    yield "batch-norm-axis1", lambda: L.BatchNormalization(axis=1), [(N, 3, 4, 4)]
    yield "batch-norm-frozen", lambda: L.BatchNormalization(trainable=False), [(N, 3)]
    yield "batch-norm-renorm", lambda: L.BatchNormalization(renorm=True), [(N, 3)]
    yield "layer-norm", lambda: L.LayerNormalization(), [(N, 4, 5)]
    yield "layer-norm-plain", lambda: L.LayerNormalization(scale=False, center=False), [(N, 4, 5)]
    yield "layer-norm-two", lambda: L.LayerNormalization(axis=[-2, -1], epsilon=1e-6), [(N, 4, 5)]
    yield "layer-norm-axis1", lambda: L.LayerNormalization(axis=1), [(N, 4, 5)]
    yield "layer-norm-rms", lambda: L.LayerNormalization(rms_scaling=True), [(N, 4, 5)]
    yield "group-norm", lambda: L.GroupNormalization(2), [(N, 4, 5, 6)]
    yield "group-norm-axis1", lambda: L.GroupNormalization(2, axis=1, center=False), [(N, 4, 5, 3)]
    yield "group-norm-instance", lambda: L.GroupNormalization(-1), [(N, 4, 5, 3)]
    yield "group-norm-vector", lambda: L.GroupNormalization(3), [(N, 6)]
    yield "rms-norm", lambda: L.RMSNormalization(), [(N, 4, 5)]
    yield "rms-norm-axes", lambda: L.RMSNormalization(axis=[1, 2], epsilon=1e-3), [(N, 4, 5)]
    yield "unit-norm", lambda: L.UnitNormalization(), [(N, 4, 5)]
    yield "unit-norm-axes", lambda: L.UnitNormalization(axis=[1, 2]), [(N, 4, 5)]
    yield "spectral-norm", lambda: L.SpectralNormalization(L.Dense(4)), [(N, 5)]


def reshaping_cases() -> Iterator[Case]:
    yield "flatten", lambda: L.Flatten(), [(N, 3, 4, 2)]
    yield "flatten-first", lambda: L.Flatten(data_format="channels_first"), [(N, 3, 4, 2)]
    yield "reshape", lambda: L.Reshape((4, 3)), [(N, 12)]
    yield "reshape-open", lambda: L.Reshape((-1, 2)), [(N, 4, 6)]
    yield "reshape-symbolic", lambda: L.Reshape((-1, 2, 3)), [(N, N, 6)]
    yield "permute", lambda: L.Permute((2, 1, 3)), [(N, 3, 4, 2)]
    yield "repeat-vector", lambda: L.RepeatVector(3), [(N, 4)]
    yield "cropping1d", lambda: L.Cropping1D((1, 2)), [(N, 7, 2)]
    yield "cropping1d-symbolic", lambda: L.Cropping1D(1), [(N, N, 2)]
    yield "cropping2d", lambda: L.Cropping2D(((1, 2), (0, 1))), [(N, 7, 6, 2)]
    yield "cropping2d-int", lambda: L.Cropping2D(1), [(N, 7, 6, 2)]
    yield "cropping2d-two", lambda: L.Cropping2D((1, 2)), [(N, 7, 6, 2)]
    yield "cropping2d-first", lambda: L.Cropping2D((1, 2), data_format="channels_first"), [(N, 2, 7, 6)]
    yield "cropping3d", lambda: L.Cropping3D(((1, 0), (1, 1), (0, 2))), [(N, 4, 5, 6, 2)]
    yield "padding1d", lambda: L.ZeroPadding1D((1, 2)), [(N, N, 2)]
    yield "padding2d", lambda: L.ZeroPadding2D(((1, 2), (0, 1))), [(N, 3, 4, 2)]
    yield "padding2d-first", lambda: L.ZeroPadding2D(2, data_format="channels_first"), [(N, 3, 4, 2)]
    yield "padding3d", lambda: L.ZeroPadding3D((1, 2, 0)), [(N, 3, 4, 2, 2)]
    yield "upsampling1d", lambda: L.UpSampling1D(3), [(N, N, 2)]
    yield "upsampling2d", lambda: L.UpSampling2D((2, 3)), [(N, 3, 4, 2)]
    yield "upsampling2d-bilinear", lambda: L.UpSampling2D(2, interpolation="bilinear"), [(N, 3, 4, 2)]
    yield "upsampling2d-bicubic", lambda: L.UpSampling2D(2, interpolation="bicubic"), [(N, 4, 5, 2)]
    yield "upsampling2d-first", lambda: L.UpSampling2D(2, data_format="channels_first"), [(N, 2, 3, 4)]
    yield "upsampling3d", lambda: L.UpSampling3D((1, 2, 3)), [(N, 2, 3, 2, 2)]


def merging_cases() -> Iterator[Case]:
    two = [(N, 4, 5), (N, 4, 5)]
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        yield name.lower(), lambda n=name: getattr(L, n)(), two
    yield "add-three", lambda: L.Add(), [(N, 4, 5)] * 3
    yield "add-ranks", lambda: L.Add(), [(N, 5), (N, 4, 5)]
    yield "add-symbolic", lambda: L.Add(), [(N, N, 5), (N, N, 5)]
    yield "concatenate-axis", lambda: L.Concatenate(axis=1), [(N, 4, 5), (N, 3, 5)]
    yield "dot", lambda: L.Dot(axes=1), [(N, 5), (N, 5)]
    yield "dot-matrix", lambda: L.Dot(axes=(2, 1)), [(N, 4, 5), (N, 5, 3)]
    yield "dot-normalized", lambda: L.Dot(axes=-1, normalize=True), [(N, 4, 5), (N, 3, 5)]
    yield "dot-mixed", lambda: L.Dot(axes=(1, 2)), [(N, 5), (N, 3, 5)]


def recurrent_cases() -> Iterator[Case]:
    for name in ("LSTM", "GRU", "SimpleRNN"):
        make = getattr(L, name)
        yield f"{name}", lambda m=make: m(3), [(N, 4, 5)]
        yield f"{name}-sequences", lambda m=make: m(3, return_sequences=True), [(N, N, 5)]
        yield f"{name}-state", lambda m=make: m(3, return_state=True, return_sequences=True), [(N, 4, 5)]
        yield f"{name}-backwards", lambda m=make: m(3, go_backwards=True, return_sequences=True), [(N, 4, 5)]
        yield f"{name}-plain", lambda m=make: m(3, use_bias=False, activation="relu"), [(N, 4, 5)]
        yield f"{name}-odd", lambda m=make: m(3, activation="softmax", return_sequences=True), [(N, 4, 5)]
        yield f"{name}-unrolled", lambda m=make: m(3, unroll=True), [(N, 4, 5)]
        yield f"Bidirectional-{name}", lambda m=make: L.Bidirectional(m(3)), [(N, 4, 5)]
        yield (
            f"Bidirectional-{name}-sequences",
            lambda m=make: L.Bidirectional(m(3, return_sequences=True), merge_mode="sum"),
            [(N, N, 5)],
        )
        yield (
            f"Bidirectional-{name}-none",
            lambda m=make: L.Bidirectional(m(3, return_sequences=True), merge_mode=None),
            [(N, 4, 5)],
        )
    yield "LSTM-hard", lambda: L.LSTM(3, recurrent_activation="hard_sigmoid"), [(N, 4, 5)]
    yield "LSTM-odd-gates", lambda: L.LSTM(3, recurrent_activation="sparse_sigmoid"), [(N, 4, 5)]
    yield "GRU-before", lambda: L.GRU(3, reset_after=False, return_sequences=True), [(N, 4, 5)]
    yield "GRU-before-odd", lambda: L.GRU(3, reset_after=False, activation="softmax"), [(N, 4, 5)]
    yield "RNN-cell", lambda: L.RNN(L.LSTMCell(3), return_sequences=True), [(N, 4, 5)]
    yield (
        "RNN-stacked",
        lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.SimpleRNNCell(4)], return_sequences=True, return_state=False),
        [(N, 4, 5)],
    )
    yield "ConvLSTM1D", lambda: L.ConvLSTM1D(2, 3, padding="same", return_sequences=True), [(N, 3, 5, 2)]
    yield "ConvLSTM2D", lambda: L.ConvLSTM2D(2, 3, strides=2), [(N, 3, 5, 6, 2)]
    yield "ConvLSTM3D", lambda: L.ConvLSTM3D(2, 2), [(N, 2, 3, 3, 3, 2)]
    yield "ConvLSTM2D-first", lambda: L.ConvLSTM2D(2, 3, data_format="channels_first"), [(N, 3, 2, 5, 6)]
    yield "TimeDistributed", lambda: L.TimeDistributed(L.Dense(3)), [(N, 4, 5)]
    yield "TimeDistributed-conv", lambda: L.TimeDistributed(L.Conv2D(3, 2)), [(N, 2, 4, 5, 2)]
    yield "TimeDistributed-rnn", lambda: L.TimeDistributed(L.GRU(3)), [(N, 2, 4, 5)]


def preprocessing_cases() -> Iterator[Case]:
    yield "rescaling", lambda: L.Rescaling(1 / 255, offset=-1.0), [(N, 4, 4, 3)]
    yield "rescaling-channels", lambda: L.Rescaling([0.5, 0.25, 2.0], [0.1, 0.2, 0.3]), [(N, 4, 4, 3)]
    yield "normalization", lambda: L.Normalization(), [(N, 4, 3)]
    yield "normalization-invert", lambda: L.Normalization(invert=True), [(N, 3)]
    yield "normalization-axes", lambda: L.Normalization(axis=(1, 2)), [(N, 4, 3)]
    yield "normalization-none", lambda: L.Normalization(axis=None), [(N, 4, 3)]
    yield "normalization-given", lambda: L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 0.5]), [(N, 3)]
    yield "normalization-scalar", lambda: L.Normalization(mean=1.5, variance=4.0), [(N, 3)]
    for mode in ("nearest", "bilinear", "bicubic"):
        yield f"resizing-{mode}", lambda m=mode: L.Resizing(5, 4, interpolation=m), [(N, 8, 7, 2)]
    yield "resizing-crop", lambda: L.Resizing(4, 4, crop_to_aspect_ratio=True), [(N, 8, 6, 2)]
    yield "center-crop", lambda: L.CenterCrop(4, 5), [(N, 7, 8, 2)]
    yield "center-crop-small", lambda: L.CenterCrop(9, 5), [(N, 7, 8, 2)]
    for mode in ("one_hot", "multi_hot", "count"):
        yield f"category-{mode}", lambda m=mode: L.CategoryEncoding(6, output_mode=m), [("int", N, 3, 6)]
        yield f"discretization-{mode}", lambda m=mode: L.Discretization([-0.5, 0.1, 0.6], output_mode=m), [(N, 3)]
    yield "discretization", lambda: L.Discretization([-0.5, 0.1, 0.6]), [(N, 3)]
    for name, options in {
        "RandomFlip": {},
        "RandomRotation": {"factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomContrast": {"factor": 0.2},
        "RandomBrightness": {"factor": 0.2},
    }.items():
        yield name, lambda n=name, o=options: getattr(L, n)(**o), [(N, 4, 4, 3)]


AUGMENTATION: dict[str, dict[str, Any]] = {
    "AugMix": {},
    "CutMix": {},
    "MixUp": {},
    "RandAugment": {},
    "RandomColorDegeneration": {"factor": 0.5},
    "RandomColorJitter": {"brightness_factor": 0.3},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomElasticTransform": {},
    "RandomErasing": {},
    "RandomGaussianBlur": {},
    "RandomGrayscale": {},
    "RandomHue": {"factor": 0.3},
    "RandomInvert": {},
    "RandomPerspective": {},
    "RandomPosterization": {"factor": 4},
    "RandomSaturation": {"factor": 0.3},
    "RandomSharpness": {"factor": 0.3},
    "RandomShear": {},
    "Solarization": {},
    "SpatialDropout2D": {"rate": 0.3},
}
"""Layers that do nothing at inference."""


def augmentation_cases() -> Iterator[Case]:
    for name, options in AUGMENTATION.items():
        yield f"augmentation-{name}", lambda n=name, o=options: getattr(L, n)(**o), [(N, 4, 4, 3)]
    yield "spatial-dropout-3d", lambda: L.SpatialDropout3D(0.4), [(N, 2, 4, 3, 2)]


def spectrogram_cases() -> Iterator[Case]:
    for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft"):
        how: dict[str, Any] = {"mode": mode, "frame_length": 8, "fft_length": 8}
        yield f"spectrogram-{mode}", lambda h=how: L.STFTSpectrogram(**h), [(N, 40, 2)]
    wide: dict[str, Any] = {
        "frame_length": 8,
        "frame_step": 3,
        "fft_length": 16,
        "padding": "same",
        "window": "hamming",
    }
    yield "spectrogram-same", lambda: L.STFTSpectrogram(**wide), [(N, 37, 1)]
    yield "spectrogram-image", lambda: L.STFTSpectrogram(**wide, expand_dims=True), [(N, 40, 2)]


def attention_cases() -> Iterator[Case]:
    two, three = [(N, 4, 6), (N, 5, 6)], [(N, 4, 6), (N, 5, 6), (N, 5, 6)]
    yield "attention", lambda: L.Attention(), two
    yield "attention-three", lambda: L.Attention(use_scale=True), three
    yield "attention-concat", lambda: L.Attention(use_scale=True, score_mode="concat"), two
    yield "additive-attention", lambda: L.AdditiveAttention(), three
    yield "additive-attention-plain", lambda: L.AdditiveAttention(use_scale=False), two


ALL = [
    *dense_cases(),
    *activation_cases(),
    *convolution_cases(),
    *pooling_cases(),
    *normalization_cases(),
    *augmentation_cases(),
    *spectrogram_cases(),
    *reshaping_cases(),
    *merging_cases(),
    *recurrent_cases(),
    *preprocessing_cases(),
    *attention_cases(),
]


@contextmanager
def floats(name: str) -> Iterator[None]:
    """Keras in another floating type."""
    before = keras.config.floatx()
    for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
        setting(name)
    try:
        yield
    finally:
        for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
            setting(before)


def symbolic_input(spec: tuple[Any, ...]) -> Any:
    return keras.Input(batch_shape=spec[1:-1], dtype="int32") if spec[0] == "int" else keras.Input(batch_shape=spec)


def example(spec: tuple[Any, ...], batch: int, extra: int, dtype: str, rng: np.random.Generator) -> np.ndarray:
    whole = spec[0] == "int"
    sizes = spec[1:-1] if whole else spec
    shape = tuple(size or (batch if axis == 0 else 6 + extra) for axis, size in enumerate(sizes))
    return rng.integers(0, spec[-1], shape, dtype=np.int32) if whole else rng.standard_normal(shape).astype(dtype)


def randomize(model: Any, rng: np.random.Generator) -> None:
    """Weights that show every mistake: none is 0 or 1, variances are positive."""
    for variable in model.variables:
        if variable.dtype.startswith("float"):
            values = rng.uniform(0.2, 1.2, variable.shape) * (1 if "variance" in variable.path else rng.choice([-1, 1]))
            variable.assign(values)
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


BACKEND = keras.backend.backend()
NOT_ON_TENSORFLOW = {"conv2d-channels-first", "conv2d-transpose-dilated", "ConvLSTM2D-first"}
"""Needs a GPU there."""
NOT_ON_TORCH = {
    "Average-pool1d-same-3-2",
    "Average-pool2d",
    "layer-norm-axis1",
    "upsampling2d-bicubic",
    "resizing-bicubic",
}
"""Keras computes something else there than on its other backends: counts padding, takes a = -0.75 ..."""
FLOAT32_INSIDE = [
    "activation-gelu",
    "activation-leaky_relu",
    "leaky-relu",
    "relu-max",
    "relu-slope",
    "relu-all",
    "dense-layer-activation",
    "dense-rank4",
    "rescaling",
    "rescaling-channels",
    "upsampling2d-bilinear",
    "upsampling2d-bicubic",
    "resizing-bilinear",
    "resizing-crop",
    "center-crop-small",
    "Max-pool3d",
    "Average-pool3d",
    "AdaptiveMax-3",
    "AdaptiveAverage-3",
]
"""TensorFlow computes them, or takes their Python numbers, in float32 whatever the type of the model."""
LIMITS = {"float64": 1e-12, "float32": 4e-6}
TABLE_LOOK_UP = {"resizing-bicubic": 2e-3, "upsampling2d-bicubic": 2e-3}
"""TensorFlow reads the cubic kernel from a table of 1024 entries."""


def dtype_of(name: str) -> str:
    return "float64" if BACKEND == "tensorflow" and name not in FLOAT32_INSIDE else "float32"


def limit_of(name: str) -> float:
    return TABLE_LOOK_UP.get(name, 0.0) if BACKEND == "tensorflow" and name in TABLE_LOOK_UP else LIMITS[dtype_of(name)]


def as_list(found: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(x) for x in (found if isinstance(found, list | tuple) else [found])]


@pytest.mark.parametrize("case", ALL, ids=[name for name, _, _ in ALL])
def test_layer_from_its_file(case: Case, tmp_path: Path) -> None:
    from kxchange_keras.load import load

    name, make, specs = case
    if BACKEND == "tensorflow" and name in NOT_ON_TENSORFLOW:
        pytest.skip("TensorFlow needs a GPU for it")
    if BACKEND == "torch" and name in NOT_ON_TORCH:
        pytest.skip("Keras's backends disagree")
    rng, dtype = np.random.default_rng(0), dtype_of(name)
    with floats(dtype):
        inputs = [symbolic_input(spec) for spec in specs]
        model = keras.Model(inputs, make()(inputs if len(inputs) > 1 else inputs[0]))
        randomize(model, rng)
        model.save(tmp_path / "model.keras")
        batches = [[example(spec, batch, extra, dtype, rng) for spec in specs] for batch, extra in ((2, 0), (3, 3))]
        wanted = [as_list(model(arrays if len(arrays) > 1 else arrays[0], training=False)) for arrays in batches]
    loaded = load(tmp_path / "model.keras")
    assert set(loaded.parameters) == {v.path for v in model.variables if "seed_generator" not in v.path}
    for arrays, expected in zip(batches, wanted, strict=True):
        found = list(loaded(**dict(zip(loaded.input_names, arrays, strict=True))).values())
        assert [x.shape for x in found] == [x.shape for x in expected]
        for ours, theirs in zip(found, expected, strict=True):
            scale = max(float(np.abs(theirs).max(initial=0)), 1.0)
            assert float(np.abs(ours.astype(np.float64) - theirs).max(initial=0)) <= limit_of(name) * scale


def test_the_table_of_layers_is_up_to_date() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "third_party"))
    import keras_layers

    rows = {line.split("`")[1] for line in keras_layers.PAGE.read_text().splitlines() if line.startswith("| `")}
    assert rows == set(keras_layers.kinds()), "run python tests/third_party/keras_layers.py --write"
    assert "no rule |" not in keras_layers.PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_layers_of_another_backend(backend: str) -> None:
    if BACKEND != "tensorflow":
        pytest.skip("run from the TensorFlow session")
    command = [sys.executable, "-m", "pytest", "-q", "-x", __file__, "-k", "from_its_file", "-p", "no:cacheprovider"]
    done = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
