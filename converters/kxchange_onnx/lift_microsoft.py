"""Operators of `com.microsoft` that exporters and ONNX Runtime's optimizer leave in files: fused layers and products.

The onnx package has no schemas of them, so attribute defaults stand here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import normalize_axis
from kxchange.types import DType
from kxchange_onnx.lift import MICROSOFT, lift, refuse, wants
from kxchange_onnx.lift_convolution import convolved, kernel_sizes
from kxchange_onnx.lift_linalg import gemm, scaled
from kxchange_onnx.lift_normalization import fit
from kxchange_onnx.operands_in import content, ints
from kxchange_onnx.windows_in import window

Ints = Sequence[int] | None
EPSILON = 1e-12
"""ONNX Runtime's default for the skip forms."""


def _swapped(x: Value) -> Value:
    return ops.permute_dims(x, axes=(*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _batch_last(x: Value) -> Value:
    """[a, ..., m, k] with the row axis moved to the front is stored: back to batch first."""
    return ops.permute_dims(x, axes=(*range(1, x.ndim - 1), 0, x.ndim - 1))


@lift.rule(
    "FusedMatMul",
    "TransposeMatMul",
    domain=MICROSOFT,
    defaults={"alpha": 1.0, "transA": 0, "transB": 0, "transBatchA": 0, "transBatchB": 0},
)
def _(
    a: Value,
    b: Value,
    *,
    alpha: float,
    transA: int,  # noqa: N803
    transB: int,  # noqa: N803
    transBatchA: int,  # noqa: N803
    transBatchB: int,  # noqa: N803
) -> Value:
    a, b = (_batch_last(x) if flag else x for x, flag in ((a, transBatchA), (b, transBatchB)))
    a, b = (_swapped(x) if flag and x.ndim > 1 else x for x, flag in ((a, transA), (b, transB)))
    product = ops.matmul(a, b)
    return product if alpha == 1 else scaled(product, alpha)


@lift.rule("Gelu", domain=MICROSOFT)
def _(x: Value) -> Value:
    return ops.gelu(x, approximate="none")


@lift.rule("BiasGelu", domain=MICROSOFT)
def _(x: Value, bias: Value) -> Value:
    return ops.gelu(ops.add(x, bias), approximate="none")


@lift.rule("FastGelu", domain=MICROSOFT)
def _(x: Value, bias: Value | None) -> Value:
    return ops.gelu(x if bias is None else ops.add(x, bias), approximate="tanh")


@lift.rule("QuickGelu", domain=MICROSOFT, defaults={"alpha": 1.702})
def _(x: Value, *, alpha: float) -> Value:
    return ops.multiply(x, ops.sigmoid(ops.multiply(x, alpha)))


@lift.rule("BiasSplitGelu", domain=MICROSOFT)
def _(x: Value, bias: Value) -> Value:
    half = x.shape[-1] // 2
    left, gate = ops.split(ops.add(x, bias), sizes=(half, half), axis=-1)
    return ops.multiply(left, ops.gelu(gate, approximate="none"))


@lift.rule("BiasAdd", domain=MICROSOFT)
def _(x: Value, bias: Value, skip: Value) -> Value:
    return ops.add(ops.add(x, bias), skip)


@lift.rule("BiasDropout", domain=MICROSOFT, defaults={"seed": None})
def _(
    x: Value, bias: Value, residual: Value | None, ratio: Value | None, training: Value | None, *, seed: Any
) -> Value:
    live = None if training is None else content(training)
    if training is not None and (live is None or bool(live.reshape(()))):
        return refuse("it may be in training mode: what it drops is random")
    y = ops.add(x, bias)
    return y if residual is None else ops.add(y, residual)


@lift.rule("Trilu", domain=MICROSOFT, defaults={"upper": 1})
def _(x: Value, k: Value | None, *, upper: int) -> Value:
    offset = 0 if k is None else ints(k, "k")[0]
    return ops.triu(x, k=offset) if upper else ops.tril(x, k=offset)


@lift.rule("ExpandDims", domain=MICROSOFT)
def _(x: Value, axis: Value) -> Value:
    return ops.expand_dims(x, axis=ints(axis, "axis"))


@lift.rule("SimplifiedLayerNormalization", defaults={"axis": -1, "epsilon": 1e-5, "stash_type": 1})
def _(x: Value, scale: Value, *, axis: int, epsilon: float, stash_type: int) -> tuple[Value, ...]:
    axes = x.ndim - normalize_axis(axis, x.ndim)
    return (ops.rms_norm(x, fit(scale, x.shape[x.ndim - axes :]), axes=axes, epsilon=epsilon),)


@lift.rule("SkipLayerNormalization", domain=MICROSOFT, defaults={"epsilon": EPSILON})
def _(x: Value, skip: Value, gamma: Value, beta: Value | None, bias: Value | None, *, epsilon: float) -> Any:
    total = _skipped(x, skip, bias)
    return _with_sum(ops.layer_norm(total, gamma, beta, epsilon=epsilon), total)


@lift.rule("SkipSimplifiedLayerNormalization", domain=MICROSOFT, defaults={"epsilon": EPSILON})
def _(x: Value, skip: Value, gamma: Value, bias: Value | None, *, epsilon: float) -> Any:
    total = _skipped(x, skip, bias)
    return _with_sum(ops.rms_norm(total, gamma, epsilon=epsilon), total)


def _skipped(x: Value, skip: Value, bias: Value | None) -> Value:
    total = ops.add(x, skip)
    return total if bias is None else ops.add(total, bias)


def _with_sum(y: Value, total: Value) -> tuple[Value, ...]:
    if wants(1) or wants(2):
        return refuse("its mean and inverse deviation, which only training reads, have no lift")
    return (y, y, y, total)


@lift.rule("EmbedLayerNormalization", domain=MICROSOFT, defaults={"epsilon": EPSILON, "mask_index_type": None})
def _(
    ids: Value,
    segments: Value | None,
    words: Value,
    positions: Value,
    segment_table: Value | None,
    gamma: Value,
    beta: Value,
    mask: Value | None,
    position_ids: Value | None,
    *,
    epsilon: float,
    mask_index_type: int | None,
) -> tuple[Value, ...]:
    total = ops.embedding(words, ids)
    if position_ids is None:
        total = ops.add(total, ops.slice(positions, starts=(0,), stops=(ids.shape[1],), steps=(1,), axes=(0,)))
    else:
        total = ops.add(total, ops.embedding(positions, position_ids))
    if segments is not None and segment_table is not None:
        total = ops.add(total, ops.embedding(segment_table, segments))
    y = ops.layer_norm(total, gamma, beta, epsilon=epsilon)
    if not wants(1):
        return (y, y, total)
    if mask is None:
        return (y, ops.full(shape=(ids.shape[0],), value=0, dtype=DType.INT32), total)
    return (y, ops.sum(mask, axis=(1,)), total)


ACTIVATIONS: dict[str, Callable[..., Value]] = {
    "Relu": ops.relu,
    "Sigmoid": ops.sigmoid,
    "Tanh": ops.tanh,
    "LeakyRelu": lambda x, alpha=0.01: ops.leaky_relu(x, negative_slope=alpha),
    "Clip": lambda x, low=-math.inf, high=math.inf: ops.clip(x, low, high),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: ops.hard_sigmoid(x, alpha=alpha, beta=beta),
}


def activated(x: Value, name: str | None, numbers: Sequence[float]) -> Value:
    """The activation that is fused behind an operator."""
    if not name:
        return x
    if name not in ACTIVATIONS:
        return refuse(f"its activation {name!r} has no lift")
    return ACTIVATIONS[name](x, *numbers)


@lift.rule(
    "FusedConv",
    domain=MICROSOFT,
    defaults={"auto_pad": "NOTSET", "group": 1, "activation": None, "activation_params": None},
)
def _(
    x: Value,
    weight: Value,
    bias: Value | None,
    other: Value | None,
    *,
    activation: str | None,
    activation_params: Sequence[float] | None,
    auto_pad: str,
    dilations: Ints,
    group: int,
    kernel_shape: Ints,
    pads: Ints,
    strides: Ints,
) -> Value:
    place = window(x, kernel_sizes(weight, kernel_shape), strides, dilations, pads, auto_pad)
    y = convolved(x, weight, bias, place, group)
    y = y if other is None else ops.add(y, other)
    return activated(y, activation, activation_params or ())


@lift.rule("FusedGemm", domain=MICROSOFT, defaults={"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0})
def _(
    a: Value,
    b: Value,
    c: Value | None,
    *,
    activation: str | None,
    activation_alpha: float | None,
    activation_beta: float | None,
    activation_gamma: float | None,
    alpha: float,
    beta: float,
    transA: int,  # noqa: N803
    transB: int,  # noqa: N803
) -> Value:
    numbers = [number for number in (activation_alpha, activation_beta, activation_gamma) if number is not None]
    return activated(gemm(a, b, c, alpha, beta, transA, transB), activation, numbers)
