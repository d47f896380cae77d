"""Preprocessing that is arithmetic on tensors, and augmentation, which is nothing at inference."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, Traced, cast
from kxchange_keras.decoding import decode
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.lift_geometry import channel_axis, cut, spatial, spatial_axes
from kxchange_keras.lift_reshaping import resized
from kxchange_keras.registry import Weight, layer, refuse_layers


def _number(call: Call, value: Any, dtype: DType) -> Value:
    """A number or an array of an option as a tensor."""
    found = np.asarray(decode(value), dtype=np.float64)
    if found.ndim == 0:
        return ops.full(shape=(), value=float(found), dtype=dtype)
    return ops.constant(value=Constant(found.astype(dtype.numpy)))


@layer("Rescaling", mask="keep")
def _(call: Call, x: Value) -> Value:
    x = cast(x, call.dtype)
    y = ops.multiply(x, _number(call, call.option("scale"), x.dtype))
    offset = decode(call.option("offset", 0.0))
    return y if isinstance(offset, int | float) and offset == 0 else ops.add(y, _number(call, offset, x.dtype))


def _statistics(config: LayerConfig) -> list[Weight]:
    if config.options.get("mean") is not None:
        return []
    return [Weight(name, trainable=False) for name in ("mean", "variance", "count")]


@layer("Normalization", weights=_statistics, mask="keep")
def _(call: Call, x: Value) -> Value:
    x = cast(x, call.dtype)
    stated = call.option("axis", -1)
    axes = () if stated is None else (stated,) if isinstance(stated, int) else tuple(stated)
    kept = sorted(axis % x.ndim for axis in axes)
    if call.has("mean"):
        mean, variance = call.weight("mean"), call.weight("variance")
    else:
        mean, variance = (_number(call, call.option(name), x.dtype) for name in ("mean", "variance"))
    mean, variance = (_laid(vector, x, kept) for vector in (mean, variance))
    deviation = ops.maximum(ops.sqrt(variance), 1e-7)
    if call.option("invert", False):
        return ops.add(mean, ops.multiply(x, deviation))
    return ops.divide(ops.subtract(x, mean), deviation)


def _laid(vector: Value, x: Value, kept: list[int]) -> Value:
    """Statistics over some axes, shaped to broadcast; fewer axes than kept ones are the last of them."""
    if vector.ndim == 0 or len(kept) == 0 or (kept == [x.ndim - 1] and vector.ndim == 1):
        return vector if vector.ndim < 2 else ops.reshape(vector, shape=())
    if vector.ndim > len(kept):
        return vector
    sizes = [1] * x.ndim
    for axis, size in zip(reversed(kept), reversed(vector.shape), strict=False):
        sizes[axis] = int(size)
    return ops.reshape(vector, shape=tuple(sizes))


@layer("Resizing")
def _(call: Call, x: Value) -> Value:
    axis = channel_axis(call)
    target: tuple[Dim, ...] = (int(call.option("height")), int(call.option("width")))
    mode = str(call.option("interpolation", "bilinear")).lower()
    antialias = bool(call.option("antialias", False))
    if call.option("pad_to_aspect_ratio", False):
        call.refuse("it pads to keep the aspect ratio")
    x = cast(x, call.dtype) if call.dtype.is_floating else x
    if call.option("crop_to_aspect_ratio", False):
        x = _cropped_to_ratio(call, x, axis, target)
    return resized(call, x, target, mode, axis, antialias=antialias)


def _cropped_to_ratio(call: Call, x: Value, axis: int, target: tuple[Dim, ...]) -> Value:
    """The middle of an image, with the target's aspect ratio."""
    height, width = spatial(x, axis)
    if not all(isinstance(size, int) for size in (height, width, *target)):
        call.refuse("it crops an image of unknown size to an aspect ratio")
    wanted_height, wanted_width = (int(size) for size in target)  # type: ignore[arg-type]
    new_height = min(int(height), int(int(width) * wanted_height / wanted_width))  # type: ignore[arg-type]
    new_width = min(int(width), int(int(height) * wanted_width / wanted_height))  # type: ignore[arg-type]
    return _middle(x, axis, (max(new_height, 1), max(new_width, 1)))


def _middle(x: Value, axis: int, sizes: tuple[int, int]) -> Value:
    limits: dict[int, tuple[Dim, Dim]] = {}
    for place, wanted in zip(spatial_axes(x, axis), sizes, strict=True):
        before = (x.shape[place] - wanted) // 2
        limits[place] = (before, x.shape[place] - wanted - before)
    return cut(x, limits)


@layer("CenterCrop", "RandomCrop")
def _(call: Call, x: Value) -> Value:
    axis = channel_axis(call)
    x = cast(x, call.dtype)
    target = (int(call.option("height")), int(call.option("width")))
    sizes = spatial(x, axis)
    small = any(isinstance(size, int) and size < wanted for size, wanted in zip(sizes, target, strict=True))
    if not small:
        return _middle(x, axis, target)
    x = _cropped_to_ratio(call, x, axis, target)
    return resized(call, x, target, "bilinear", axis)


def encoded(call: Call, indices: Value, mode: str, depth: int, dtype: DType, weights: Value | None = None) -> Value:
    """Categories as vectors: one_hot, multi_hot or count."""
    if mode == "one_hot":
        if indices.ndim > 1 and indices.shape[-1] == 1:
            indices = ops.squeeze(indices, axis=(indices.ndim - 1,))
        return ops.one_hot(indices, depth=depth, dtype=dtype)
    rows = ops.one_hot(indices, depth=depth, dtype=dtype)
    axis = 1 if indices.ndim > 1 else 0
    if mode in ("multi_hot", "binary"):
        return ops.max(rows, axis=(axis,))
    if mode != "count":
        call.refuse(f"its output mode {mode!r} has no rule")
    rows = rows if weights is None else ops.multiply(rows, ops.expand_dims(cast(weights, dtype), axis=(weights.ndim,)))
    return ops.sum(rows, axis=(axis,))


def _whole(x: Value) -> Value:
    return x if x.dtype.is_integer else ops.astype(x, dtype=DType.INT32)


@layer("CategoryEncoding")
def _(call: Call, x: Value, count_weights: Value | None = None) -> Value:
    mode, depth = str(call.option("output_mode", "multi_hot")), int(call.option("num_tokens"))
    return encoded(call, _whole(x), mode, depth, call.dtype, count_weights)


@layer("Discretization")
def _(call: Call, x: Value) -> Value:
    boundaries = call.option("bin_boundaries", None)
    if boundaries is None:
        call.refuse("its boundaries were learned and are not in the config")
    x = x if x.dtype.is_floating else cast(x, DType.FLOAT32)
    edges = ops.constant(value=Constant(np.asarray(boundaries, dtype=x.dtype.numpy)))
    found = ops.searchsorted(edges, x, side="right")
    mode = str(call.option("output_mode", "int"))
    if mode == "int":
        return ops.astype(found, dtype=DType.INT32 if call.dialect >= 3 else DType.INT64)
    return encoded(call, found, mode, len(boundaries) + 1, DType.FLOAT32)


AUGMENTATION = (
    "AugMix",
    "CutMix",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHeight",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "Solarization",
    "RandomWidth",
    "RandomZoom",
)


@layer(*AUGMENTATION)
def _(call: Call, x: Value) -> Value:
    """Training only."""
    return cast(x, call.dtype) if call.dtype.is_floating else x


def _stages(config: LayerConfig) -> dict[str, LayerConfig]:
    return {f"layers/{i}": read_layer(e, config.dialect) for i, e in enumerate(config.options.get("layers", ()))}


@layer("Pipeline", children=_stages)
def _(call: Call, x: Value) -> Any:
    traced: Any = Traced(x)
    for name in call.layer.children:
        traced = call.inside(name, traced)
    return traced


refuse_layers("it computes on bounding boxes", "MaxNumBoundingBoxes")
refuse_layers(
    "kxchange has no rule for this image operation yet",
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
)
refuse_layers("kxchange has no rule for its Fourier transform yet", "MelSpectrogram")
