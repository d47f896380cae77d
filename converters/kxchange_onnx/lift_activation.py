"""Activations and softmax."""

from __future__ import annotations

from collections.abc import Callable

from kxchange import ops
from kxchange.graph import Value
from kxchange.shapes import normalize_axis, product
from kxchange_onnx.lift import expand, lift, refuse


def _unary(op: Callable[[Value], Value]) -> Callable[[Value], Value]:
    def rule(x: Value) -> Value:
        return op(x)

    return rule


for _name, _op in {"Mish": ops.mish, "Relu": ops.relu, "Softsign": ops.softsign, "HardSwish": ops.hard_swish}.items():
    lift.add("", _name, _unary(_op))


@lift.rule("Softplus")
def _(x: Value) -> Value:
    return ops.softplus(x)


@lift.rule("Celu")
def _(x: Value, *, alpha: float) -> Value:
    return ops.celu(x, alpha=alpha)


@lift.rule("Elu")
def _(x: Value, *, alpha: float) -> Value:
    return ops.elu(x, alpha=alpha)


@lift.rule("LeakyRelu")
def _(x: Value, *, alpha: float) -> Value:
    return ops.leaky_relu(x, negative_slope=alpha)


@lift.rule("ThresholdedRelu")
def _(x: Value, *, alpha: float) -> Value:
    return ops.thresholded_relu(x, alpha=alpha)


@lift.rule("HardSigmoid")
def _(x: Value, *, alpha: float, beta: float) -> Value:
    return ops.hard_sigmoid(x, alpha=alpha, beta=beta)


SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805
"""The constants of the paper; files hold them in float32."""


@lift.rule("Selu")
def _(x: Value, *, alpha: float, gamma: float) -> Value:
    if abs(alpha - SELU_ALPHA) < 1e-6 and abs(gamma - SELU_GAMMA) < 1e-6:
        return ops.selu(x)
    return ops.multiply(ops.elu(x, alpha=alpha), gamma)


@lift.rule("Gelu")
def _(x: Value, *, approximate: str) -> Value:
    if approximate not in ("none", "tanh"):
        return refuse(f"its approximation {approximate!r} is unknown")
    return ops.gelu(x, approximate=approximate)


@lift.rule("Swish")
def _(x: Value, *, alpha: float) -> Value:
    return ops.silu(x) if alpha == 1 else ops.multiply(x, ops.sigmoid(ops.multiply(x, alpha)))


@lift.rule("Shrink")
def _(x: Value, *, lambd: float, bias: float) -> Value:
    if not x.dtype.is_floating:
        return expand()
    if bias == 0:
        return ops.hard_shrink(x, lambda_=lambd)
    if bias == lambd:
        return ops.soft_shrink(x, lambda_=lambd)
    low, high = ops.less(x, -lambd), ops.greater(x, lambd)
    return ops.where(low, ops.add(x, bias), ops.where(high, ops.subtract(x, bias), ops.multiply(x, 0)))


@lift.rule("PRelu", since=7)
def _(x: Value, slope: Value) -> Value:
    if not x.dtype.is_floating:
        return ops.where(ops.less(x, 0), ops.multiply(x, slope), x)
    return ops.prelu(x, slope)


@lift.rule("PRelu")
def _(x: Value, slope: Value) -> Value:
    """Before version 7 a slope of one axis is per channel."""
    if slope.ndim == 1 and slope.shape[0] != 1 and x.ndim > 2:
        slope = ops.expand_dims(slope, axis=tuple(range(1, x.ndim - 1)))
    return ops.prelu(x, slope)


@lift.rule("Softmax", since=13)
def _(x: Value, *, axis: int) -> Value:
    return ops.softmax(x, axis=axis)


@lift.rule("LogSoftmax", since=13)
def _(x: Value, *, axis: int) -> Value:
    return ops.log_softmax(x, axis=axis)


@lift.rule("Hardmax", since=13)
def _(x: Value, *, axis: int) -> Value:
    return hardmax(x, axis=axis)


def hardmax(x: Value, *, axis: int) -> Value:
    """1 at the first greatest element of the axis, 0 elsewhere."""
    position = normalize_axis(axis, x.ndim)
    first = ops.argmax(x, axis=position)
    return ops.one_hot(first, depth=x.shape[position], axis=position, dtype=x.dtype)


def _flattened(op: Callable[..., Value]) -> Callable[..., Value]:
    """Before version 13 the axes from `axis` on are one (trap A06)."""

    def rule(x: Value, *, axis: int) -> Value:
        position = normalize_axis(axis, x.ndim) if x.ndim else 0
        if position == x.ndim - 1:
            return op(x, axis=-1)
        rows = ops.reshape(x, shape=(product(x.shape[:position]), product(x.shape[position:])))
        return ops.reshape(op(rows, axis=-1), shape=x.shape)

    return rule


for _name, _op in {"Softmax": ops.softmax, "LogSoftmax": ops.log_softmax, "Hardmax": hardmax}.items():
    lift.add("", _name, _flattened(_op))
