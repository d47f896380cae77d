"""Normalisations and dropout."""

from __future__ import annotations

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import broadcast_shapes, normalize_axis, require_divides
from kxchange.types import DType
from kxchange_onnx.lift import expand, lift, refuse, wants
from kxchange_onnx.operands_in import scalar


@lift.rule("BatchNormalization")
def _(
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float,
    momentum: float,
    is_test: int,
    spatial: int,
    consumed_inputs: tuple[int, ...] | None,
) -> Value:
    return _batch_norm(x, scale, bias, mean, variance, epsilon, spatial)


@lift.rule("BatchNormalization", since=7)
def _(
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float,
    momentum: float,
    spatial: int,
) -> Value:
    return _batch_norm(x, scale, bias, mean, variance, epsilon, spatial)


@lift.rule("BatchNormalization", since=9)
def _(x: Value, scale: Value, bias: Value, mean: Value, variance: Value, *, epsilon: float, momentum: float) -> Value:
    return _batch_norm(x, scale, bias, mean, variance, epsilon, 1)


def _batch_norm(
    x: Value, scale: Value, bias: Value, mean: Value, variance: Value, epsilon: float, spatial: int
) -> Value:
    """In one dtype: mean and variance, or scale and bias, may have a wider one than x."""
    if not spatial:
        return refuse("statistics per position (spatial=0) have no lift")
    if wants(1):
        return refuse("it is in training mode, which this version tells by its outputs")
    wide = widest(x, scale, mean)
    operands = [as_type(value, wide) for value in (x, mean, variance, scale, bias)]
    y = ops.batch_norm(*operands, epsilon=epsilon, channel_axis=1 if x.ndim > 1 else 0)
    return as_type(y, x.dtype)


@lift.rule("BatchNormalization", since=14)
def _(
    x: Value,
    scale: Value,
    bias: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> tuple[Value, ...] | Value:
    if not training_mode:
        return _batch_norm(x, scale, bias, mean, variance, epsilon, 1)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    current = ops.mean(x, axis=axes), ops.var(x, axis=axes)
    wide = [as_type(statistic, mean.dtype) for statistic in current]
    y = _plain_batch_norm(x, scale, bias, *wide, epsilon)  # pyright: ignore[reportCallIssue]
    updated = [
        ops.add(ops.multiply(old, momentum), ops.multiply(new, 1 - momentum))
        for old, new in zip((mean, variance), wide, strict=True)
    ]
    return (y, *updated)


def _plain_batch_norm(x: Value, scale: Value, bias: Value, mean: Value, variance: Value, epsilon: float) -> Value:
    wide = widest(x, scale, mean)
    operands = [as_type(value, wide) for value in (x, mean, variance, scale, bias)]
    return as_type(ops.batch_norm(*operands, epsilon=epsilon), x.dtype)


def widest(*values: Value) -> DType:
    """The dtype with the most bits."""
    return max((value.dtype for value in values), key=lambda dtype: dtype.bits)


def as_type(value: Value, dtype: DType) -> Value:
    """The value in a dtype."""
    return value if value.dtype is dtype else ops.astype(value, dtype=dtype)


@lift.rule("InstanceNormalization")
def _(x: Value, scale: Value, bias: Value, *, epsilon: float) -> Value:
    return ops.instance_norm(x, scale, bias, epsilon=epsilon)


@lift.rule("InstanceNormalization", since=1 + 5)
def _(x: Value, scale: Value, bias: Value, *, epsilon: float) -> Value:
    return ops.instance_norm(x, scale, bias, epsilon=epsilon)


@lift.rule("GroupNormalization")
def _(x: Value, scale: Value, bias: Value, *, epsilon: float, num_groups: int) -> Value:
    """In version 18, scale and bias are per group (trap N07)."""
    each = require_divides(num_groups, x.shape[1], "channels in groups")
    if not isinstance(each, int):
        return refuse(f"its groups have {each} channels; the number must be known")
    spread = [ops.repeat(vector, repeats=each, axis=0) for vector in (scale, bias)]
    return ops.group_norm(x, *spread, groups=num_groups, epsilon=epsilon)


@lift.rule("GroupNormalization", since=21)
def _(x: Value, scale: Value, bias: Value, *, epsilon: float, num_groups: int, stash_type: int) -> Value:
    return ops.group_norm(x, scale, bias, groups=num_groups, epsilon=epsilon)


EARLY = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
"""ONNX Runtime's optimizer writes the operator into files whose opset has no schema of it."""


@lift.rule("LayerNormalization", defaults=EARLY)
def _(x: Value, scale: Value, bias: Value | None, *, axis: int, epsilon: float, stash_type: int) -> tuple[Value, ...]:
    axes = x.ndim - normalize_axis(axis, x.ndim)
    trailing = x.shape[x.ndim - axes :]
    if wants(1) or wants(2):
        return expand()
    fitted = [None if v is None else fit(v, trailing) for v in (scale, bias)]
    return (ops.layer_norm(x, *fitted, axes=axes, epsilon=epsilon),)


@lift.rule("RMSNormalization")
def _(x: Value, scale: Value, *, axis: int, epsilon: float, stash_type: int) -> Value:
    axes = x.ndim - normalize_axis(axis, x.ndim)
    trailing = x.shape[x.ndim - axes :]
    if scale.ndim > axes or scale.dtype is not x.dtype:
        return as_type(
            ops.multiply(ops.rms_norm(as_type(x, scale.dtype), axes=axes, epsilon=epsilon), scale), scale.dtype
        )
    return ops.rms_norm(x, fit(scale, trailing), axes=axes, epsilon=epsilon)


def fit(vector: Value, shape: tuple[object, ...]) -> Value:
    """Scale or bias in the very shape of the normalised axes."""
    if vector.shape == shape:
        return vector
    wanted = broadcast_shapes(vector.shape, shape)  # pyright: ignore[reportArgumentType]
    return ops.broadcast_to(vector, shape=wanted)


@lift.rule("LRN")
def _(x: Value, *, alpha: float, beta: float, bias: float, size: int) -> Value:
    return ops.local_response_norm(x, size=size, alpha=alpha, beta=beta, k=bias)


@lift.rule("LpNormalization")
def _(x: Value, *, axis: int, p: int) -> Value:
    """A norm of 0 divides nothing: its elements are 0 and stay so."""
    if p not in (1, 2):
        return refuse(f"the norm of order {p} has no lift, only 1 and 2")
    axes = (normalize_axis(axis, x.ndim),)
    if p == 1:
        norm = ops.sum(ops.abs(x), axis=axes, keepdims=True)
    else:
        norm = ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))
    return ops.divide(x, ops.where(ops.equal(norm, 0), 1, norm))


@lift.rule("Dropout")
def _(x: Value, *, ratio: float, is_test: int) -> tuple[Value, ...]:
    return dropped(x, ratio)


@lift.rule("Dropout", since=7)
def _(x: Value, *, ratio: float) -> tuple[Value, ...]:
    return dropped(x, ratio)


@lift.rule("Dropout", since=12)
def _(x: Value, ratio: Value | None, training: Value | None, *, seed: int | None) -> tuple[Value, ...]:
    rate = 0.5 if ratio is None else float(np.real(scalar(ratio, "ratio")))
    if training is not None and scalar(training, "training_mode") and rate:
        return refuse("it is in training mode: what it drops is random")
    return dropped(x, rate)


def dropped(x: Value, rate: float) -> tuple[Value, ...]:
    """The identity at inference, kept for training; the mask keeps everything."""
    y = ops.dropout(x, rate=rate) if rate else x
    return (y, ops.full(shape=x.shape, value=True, dtype=DType.BOOL)) if wants(1) else (y,)
