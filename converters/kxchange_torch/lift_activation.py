"""Activations, softmax and dropout, each kept whole."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import SCOPE, each, lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_promotion import cast

PLAIN = {"relu": "relu", "relu6": "relu6", "silu": "silu", "mish": "mish", "selu": "selu", "hardswish": "hard_swish"}

each(PLAIN, lambda op: lambda x: getattr(ops, op)(x))


@lift.rule("aten.gelu.default")
def _(x: Value, approximate: str) -> Value:
    return ops.gelu(x, approximate=approximate)


@lift.rule("aten.leaky_relu.default")
def _(x: Value, slope: float) -> Value:
    return ops.leaky_relu(x, negative_slope=slope)


@lift.rule("aten.elu.default")
def _(x: Value, alpha: float, scale: float, input_scale: float) -> Value:
    """Torch scales both sides, and the argument of the exponential."""
    if scale == 1 and input_scale == 1:
        return ops.elu(x, alpha=alpha)
    curve = ops.multiply(ops.expm1(ops.multiply(x, input_scale)), alpha * scale)
    return ops.where(ops.greater(x, 0), ops.multiply(x, scale), curve)


@lift.rule("aten.celu.default")
def _(x: Value, alpha: float) -> Value:
    return ops.celu(x, alpha=alpha)


@lift.rule("aten.softplus.default")
def _(x: Value, beta: float, threshold: float) -> Value:
    return ops.softplus(x, beta=beta, threshold=threshold)


@lift.rule("aten.softsign.default")
def _(x: Value) -> Value:
    return ops.softsign(x)


@lift.rule("aten.hardsigmoid.default")
def _(x: Value) -> Value:
    return ops.hard_sigmoid(x, alpha=1 / 6, beta=0.5)


@lift.rule("aten.hardtanh.default")
def _(x: Value, min: float, max: float) -> Value:
    if x.dtype.is_integer:
        return ops.clip(x, int(min), int(max))
    return ops.hard_tanh(x, min=min, max=max)


@lift.rule("aten.glu.default")
def _(x: Value, axis: int) -> Value:
    return ops.glu(x, axis=axis)


@lift.rule("aten.prelu.default")
def _(x: Value, slope: Value) -> Value:
    """One slope per channel stands on axis 1."""
    if slope.ndim == 1 and x.ndim > 1 and slope.shape[0] != 1:
        slope = ops.reshape(slope, shape=(slope.shape[0],) + (1,) * (x.ndim - 2)) if x.ndim > 2 else slope
    elif slope.ndim == 1 and slope.shape[0] == 1:
        slope = ops.reshape(slope, shape=())
    return ops.prelu(x, slope)


@lift.rule("aten._prelu_kernel.default")
def _(x: Value, slope: Value) -> Value:
    return ops.prelu(x, slope)


@lift.rule("aten.log_sigmoid.default")
def _(x: Value) -> Value:
    return ops.log_sigmoid(x)


@lift.rule("aten.log_sigmoid_forward.default")
def _(x: Value) -> tuple[Value, Value]:
    return ops.log_sigmoid(x), full((0,), 0, x.dtype)


@lift.rule("aten.tanhshrink.default")
def _(x: Value) -> Value:
    return ops.tanh_shrink(x)


@lift.rule("aten.softshrink.default")
def _(x: Value, amount: float) -> Value:
    return ops.soft_shrink(x, lambda_=amount)


@lift.rule("aten.hardshrink.default")
def _(x: Value, amount: float) -> Value:
    return x if amount < 0 else ops.hard_shrink(x, lambda_=amount)  # nothing lies between 1 and -1


@lift.rule("aten.threshold.default")
def _(x: Value, threshold: Any, value: Any) -> Value:
    return ops.where(ops.less_equal(x, threshold), value, x)


@lift.rule("aten.rrelu.default")
def _(x: Value, lower: float, upper: float, training: bool) -> Value:
    if training:
        return refuse("rrelu draws random slopes in training mode; call eval()")
    return ops.leaky_relu(x, negative_slope=(lower + upper) / 2)


def _on_axis(op: Any, x: Value, axis: int) -> Value:
    """A rank-0 tensor is one element to torch, whatever axis is named."""
    if x.ndim:
        return op(x, axis=axis)
    return ops.reshape(op(ops.reshape(x, shape=(1,)), axis=0), shape=())


@lift.rule("aten.softmax.int")
def _(x: Value, axis: int, dtype: DType | None) -> Value:
    return _on_axis(ops.softmax, cast(x, dtype or x.dtype), axis)


@lift.rule("aten.log_softmax.int")
def _(x: Value, axis: int, dtype: DType | None) -> Value:
    return _on_axis(ops.log_softmax, cast(x, dtype or x.dtype), axis)


@lift.rule("aten._softmax.default")
def _(x: Value, axis: int, widen: bool) -> Value:
    return _on_axis(ops.softmax, cast(x, DType.FLOAT32) if widen else x, axis)


@lift.rule("aten._log_softmax.default")
def _(x: Value, axis: int, widen: bool) -> Value:
    return _on_axis(ops.log_softmax, cast(x, DType.FLOAT32) if widen else x, axis)


@lift.rule("aten._safe_softmax.default")
def _(x: Value, axis: int, dtype: DType | None) -> Value:
    """Rows that are all -inf are 0, not NaN."""
    x = cast(x, dtype or x.dtype)
    empty = ops.all(ops.equal(x, -float("inf")), axis=(axis,), keepdims=True)
    return ops.where(empty, 0.0, ops.softmax(x, axis=axis))


@lift.rule("aten.softmin.int")
def _(x: Value, axis: int) -> Value:
    return ops.softmax(ops.negative(x), axis=axis)


@lift.rule(
    "aten.dropout.default", "aten.feature_dropout.default", "aten.alpha_dropout.default",
    "aten.feature_alpha_dropout.default",
)  # fmt: skip
def _(x: Value, rate: float, train: bool) -> Value:
    if train and rate > 0:
        return refuse(
            "dropout is live (training=True), so two runs differ; pass training=self.training and call eval()"
        )
    return ops.dropout(x, rate=rate) if SCOPE.training and rate > 0 else x


@lift.rule("aten.native_dropout.default")
def _(x: Value, rate: float, train: bool | None) -> tuple[Value, Value]:
    if train is not False and rate > 0:
        return refuse(
            "dropout is live (training=True), so two runs differ; pass training=self.training and call eval()"
        )
    return x, full(x.shape, True, DType.BOOL)
