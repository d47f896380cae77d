"""Fourier transforms of known length as products with matrices; complex numbers stand in a last axis of two."""

from __future__ import annotations

from typing import Any

import numpy as np

from kxchange import ops
from kxchange.constant import Constant
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.shapes import normalize_axis
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.lift_indexing import picked
from kxchange_onnx.operands_in import dim, scalar
from kxchange_onnx.types_in import dtype_of


@lift.rule("DFT")
def _(x: Value, length: Value | None, *, axis: int, inverse: int, onesided: int) -> Value:
    size = None if length is None else dim(length, "dft_length")
    return transformed(x, axis, size, bool(inverse), bool(onesided))


@lift.rule("DFT", since=20)
def _(x: Value, length: Value | None, axis: Value | None, *, inverse: int, onesided: int) -> Value:
    size = None if length is None else dim(length, "dft_length")
    place = -2 if axis is None else int(np.real(scalar(axis, "axis")))
    return transformed(x, place, size, bool(inverse), bool(onesided))


def transformed(x: Value, axis: int, length: Dim | None, inverse: bool, onesided: bool) -> Value:
    """The transform along an axis; with `onesided`, of what is real: the first half of it, or back from that half."""
    place = normalize_axis(axis, x.ndim)
    half_in = inverse and onesided
    size = x.shape[place]
    wanted = (2 * (size - 1) if half_in else size) if length is None else length
    if not isinstance(wanted, int) or not isinstance(size, int) or x.shape[-1] not in (1, 2):
        return refuse(f"a transform of length {wanted} over {x.type} needs known sizes, and a last axis of 1 or 2")
    used = wanted // 2 + 1 if half_in else wanted
    parts = [_resized(picked(x, part, x.ndim - 1), place, size, used) for part in range(int(x.shape[-1]))]
    cosine, sine = _matrices(used, wanted if half_in or not onesided else wanted // 2 + 1, wanted, inverse, half_in)
    # In float64: a sum of many terms that cancel, which a fast transform would not make one after the other.
    wide = [ops.astype(part, dtype=DType.FLOAT64) for part in parts]
    real = _along(wide[0], cosine, place)
    if len(wide) == 2:
        real = ops.subtract(real, _along(wide[1], sine, place))
    if half_in:
        return ops.astype(ops.expand_dims(real, axis=(x.ndim - 1,)), dtype=x.dtype)
    imaginary = _along(wide[0], sine, place)
    if len(wide) == 2:
        imaginary = ops.add(imaginary, _along(wide[1], cosine, place))
    return ops.astype(ops.stack(real, imaginary, axis=-1), dtype=x.dtype)


def _resized(x: Value, axis: int, size: int, wanted: int) -> Value:
    """The axis cut, or padded with zeros."""
    if size > wanted:
        return ops.slice(x, starts=(0,), stops=(wanted,), steps=(1,), axes=(axis,))
    if size < wanted:
        return ops.pad(x, padding=tuple((0, wanted - size) if a == axis else (0, 0) for a in range(x.ndim)))
    return x


def _matrices(rows: int, columns: int, length: int, inverse: bool, half: bool) -> tuple[Any, Any]:
    """Cosines and signed sines, [rows, columns]; from one half, each inner frequency counts twice."""
    turns = np.outer(np.arange(rows), np.arange(columns)) % max(length, 1) * (2 * np.pi / max(length, 1))
    weight = np.full((rows, 1), 1.0 / length if inverse else 1.0)
    if half:
        weight[1 : rows - (length % 2 == 0)] *= 2
    return np.cos(turns) * weight, np.sin(turns) * weight * (1 if inverse else -1)


def _along(x: Value, matrix: Any, axis: int) -> Value:
    """The product with a matrix along one axis."""
    kernel = ops.constant(value=Constant(matrix))
    if axis == x.ndim - 1:
        return ops.matmul(x, kernel)
    order = (*(a for a in range(x.ndim) if a != axis), axis)
    moved = ops.matmul(ops.permute_dims(x, axes=order), kernel)
    return ops.permute_dims(moved, axes=tuple(order.index(a) for a in range(x.ndim)))


@lift.rule("STFT")
def _(signal: Value, step: Value, window: Value | None, length: Value | None, *, onesided: int) -> Value:
    """Frames of the signal, each weighted by the window, then transformed."""
    hop = dim(step, "frame_step")
    size = signal.shape[1] if window is None else window.shape[0]
    size = size if length is None else dim(length, "frame_length")
    if not isinstance(size, int) or not isinstance(hop, int):
        return refuse(f"frames of {size} elements, {hop} apart, need known sizes")
    count = (signal.shape[1] - size) // hop + 1
    starts = ops.multiply(ops.arange(start=0, stop=count, dtype=DType.INT64), hop)
    places = ops.add(ops.expand_dims(starts, axis=(1,)), ops.arange(start=0, stop=size, dtype=DType.INT64))
    frames = ops.take(signal, places, axis=1)
    if window is not None:
        frames = ops.multiply(frames, ops.expand_dims(window, axis=(1,)))
    return transformed(frames, 2, None, False, bool(onesided))


@lift.rule("MelWeightMatrix")
def _(bins: Value, length: Value, rate: Value, low: Value, high: Value, *, output_datatype: int) -> Value:
    """Triangles over the frequencies of a transform, from known numbers."""
    count, size, samples = (int(np.real(scalar(v, "numbers"))) for v in (bins, length, rate))
    edges = [2595 * np.log10(1 + float(np.real(scalar(edge, "edge frequencies"))) / 700) for edge in (low, high)]
    points = np.arange(count + 2) * ((edges[1] - edges[0]) / (count + 2)) + edges[0]
    hertz = 700 * (np.power(10, points / 2595) - 1)
    places = ((size + 1) * hertz // samples).astype(np.int64)
    matrix = np.zeros((size // 2 + 1, count))
    for index in range(count):
        left, center, right = places[index : index + 3]
        if center == left:
            matrix[center, index] = 1
        else:
            matrix[left : center + 1, index] = np.arange(center - left + 1) / (center - left)
        matrix[center:right, index] = (right - np.arange(center, right)) / max(right - center, 1)
    return ops.astype(ops.constant(value=Constant(matrix)), dtype=dtype_of(output_datatype))
