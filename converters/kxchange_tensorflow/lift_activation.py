"""Lifting of TensorFlow's activations and normalizations."""

from __future__ import annotations

import math
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow.lift import LiftTable, integer, refuse, scalar
from kxchange_tensorflow.spatial_in import channel_axis

lift = LiftTable("tensorflow")
lift.direct(Relu=ops.relu, Relu6=ops.relu6, Selu=ops.selu, Sigmoid=ops.sigmoid, Softsign=ops.softsign)


@lift.rule("Elu")
def _(x: Value) -> Value:
    return ops.elu(x)


@lift.rule("Softplus")
def _(x: Value) -> Value:
    return ops.softplus(x, threshold=math.inf)


@lift.rule("LeakyRelu")
def _(x: Value, *, alpha: float = 0.2) -> Value:
    return ops.leaky_relu(x, negative_slope=alpha)


@lift.rule("Softmax")
def _(x: Value) -> Value:
    return ops.softmax(x, axis=-1)


@lift.rule("LogSoftmax")
def _(x: Value) -> Value:
    return ops.log_softmax(x, axis=-1)


@lift.rule("L2Loss")
def _(x: Value) -> Value:
    return ops.multiply(ops.sum(ops.square(x)), scalar(0.5, x))


@lift.rule("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _(
    x: Value,
    scale: Value,
    offset: Value,
    mean: Value,
    variance: Value,
    *,
    epsilon: float = 1e-4,
    data_format: str = "NHWC",
    is_training: bool = True,
    exponential_avg_factor: float = 1.0,
    U: Any = None,  # noqa: N803 - the schema's name
) -> tuple[Value, ...]:
    if is_training:
        refuse("it normalizes with the statistics of the batch: the graph is one of training")
    dtype: DType = x.dtype
    wide = scale.dtype
    operand = x if dtype is wide else ops.astype(x, dtype=wide)
    axis = channel_axis(data_format)
    y = ops.batch_norm(operand, mean, variance, scale, offset, epsilon=epsilon, channel_axis=axis)
    return (y if dtype is wide else ops.astype(y, dtype=dtype), mean, variance)


@lift.rule("LRN")
def _(x: Value, *, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5) -> Value:
    return local_response_norm(x, depth_radius, bias, alpha, beta)


def local_response_norm(x: Value, radius: int, bias: float, alpha: float, beta: float) -> Value:
    """TensorFlow's alpha is per element, the language's per window (trap C16)."""
    size = 2 * radius + 1
    return ops.local_response_norm(x, size=size, alpha=alpha * size, beta=beta, k=bias, channel_axis=-1)


@lift.rule("Cumsum")
def _(x: Value, axis: Value, *, exclusive: bool = False, reverse: bool = False) -> Value:
    return ops.cumulative_sum(x, axis=integer(axis), exclusive=exclusive, reverse=reverse)


@lift.rule("Cumprod")
def _(x: Value, axis: Value, *, exclusive: bool = False, reverse: bool = False) -> Value:
    return ops.cumulative_prod(x, axis=integer(axis), exclusive=exclusive, reverse=reverse)


@lift.rule("BiasAdd")
def _(x: Value, bias: Value, *, data_format: str = "NHWC") -> Value:
    if data_format == "NCHW" and x.ndim > 2:
        bias = ops.reshape(bias, shape=(bias.shape[0], *(1,) * (x.ndim - 2)))
    return ops.add(x, bias)
