"""Normalizations, each kept whole."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.types import DType
from kxchange_torch.lift import dissolve, lift, refuse
from kxchange_torch.lift_creation import full
from kxchange_torch.lift_promotion import cast


def layer_norm(x: Value, axes: int, weight: Value | None, bias: Value | None, epsilon: float) -> Value:
    """A bias without a weight, or an empty list of axes, are spelled out."""
    return ops.layer_norm(x, weight, bias, axes=axes, epsilon=epsilon)


@lift.rule("aten.layer_norm.default")
def _(x: Value, shape: tuple[int, ...], weight: Value | None, bias: Value | None, epsilon: float) -> Value:
    return layer_norm(x, len(shape), weight, bias, epsilon)


@lift.rule("aten.native_layer_norm.default")
def _(x: Value, shape: tuple[int, ...], weight: Value | None, bias: Value | None, epsilon: float) -> tuple[Value, ...]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    mean = ops.mean(x, axis=axes, keepdims=True)
    inverse = ops.rsqrt(ops.add(ops.var(x, axis=axes, keepdims=True, correction=0.0), epsilon))
    return layer_norm(x, len(shape), weight, bias, epsilon), mean, inverse


@lift.rule("aten.rms_norm.default")
def _(x: Value, shape: tuple[int, ...], weight: Value | None, epsilon: float | None) -> Value:
    return rms_norm(x, len(shape), weight, epsilon)


def rms_norm(x: Value, axes: int, weight: Value | None, epsilon: float | None) -> Value:
    """Torch's epsilon is that of the element type where none is given."""
    if epsilon is None:
        import ml_dtypes

        epsilon = float(ml_dtypes.finfo(x.dtype.numpy).eps)
    return ops.rms_norm(x, None if weight is None else cast(weight, x.dtype), axes=axes, epsilon=epsilon)


@lift.rule("aten._fused_rms_norm.default")
def _(x: Value, shape: tuple[int, ...], weight: Value | None, epsilon: float | None) -> tuple[Value, Value]:
    axes = tuple(range(x.ndim - len(shape), x.ndim))
    square = ops.mean(ops.square(x), axis=axes, keepdims=True)
    return rms_norm(x, len(shape), weight, epsilon), ops.rsqrt(ops.add(square, epsilon or 0.0))


@lift.rule("aten.batch_norm.default")
def _(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    training: bool,
    _momentum: float,
    epsilon: float,
) -> Value:
    if training and mean is not None:
        return _dissolve_update("batch_norm", mean)
    return batch_norm(x, weight, bias, None if training else mean, variance, epsilon)


def _dissolve_update(name: str, mean: Value) -> Any:
    """An update of inputs is a result; one of a module's own statistics says that it was left in training mode."""
    _require_inputs(name, mean)
    return dissolve()


def _require_inputs(name: str, *statistics: Value | None) -> None:
    if any(value is not None and value.node.op == "parameter" for value in statistics):
        refuse(f"{name} is in training mode and would update its statistics; call eval()")


def batch_norm(
    x: Value, weight: Value | None, bias: Value | None, mean: Value | None, variance: Value | None, epsilon: float
) -> Value:
    """With running statistics, or with those of the batch where there are none."""
    if mean is None or variance is None:
        axes = tuple(axis for axis in range(x.ndim) if axis != 1)
        mean = ops.mean(x, axis=axes)
        variance = ops.var(x, axis=axes, correction=0.0)
    operands = [value if value is None else cast(value, x.dtype) for value in (mean, variance, weight, bias)]
    return ops.batch_norm(x, *operands, epsilon=epsilon, channel_axis=1)


@lift.rule("aten._native_batch_norm_legit_no_training.default")
def _(
    x: Value, weight: Value | None, bias: Value | None, mean: Value, variance: Value, _momentum: float, epsilon: float
) -> tuple[Value, Value, Value]:
    empty = full((0,), 0, x.dtype)
    return batch_norm(x, weight, bias, mean, variance, epsilon), empty, empty


@lift.rule("aten._native_batch_norm_legit.no_stats")
def _(
    x: Value, weight: Value | None, bias: Value | None, _training: bool, _momentum: float, epsilon: float
) -> tuple[Value, Value, Value]:
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean, variance = ops.mean(x, axis=axes), ops.var(x, axis=axes, correction=0.0)
    return batch_norm(x, weight, bias, mean, variance, epsilon), mean, ops.rsqrt(ops.add(variance, epsilon))


def _updated(
    x: Value, weight: Value | None, bias: Value | None, mean: Value, variance: Value, momentum: float, epsilon: float
) -> tuple[Value, ...]:
    """The result, the batch's mean and inverse deviation, and what the running statistics become."""
    _require_inputs("batch_norm", mean, variance)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    batch_mean, spread = ops.mean(x, axis=axes), ops.var(x, axis=axes, correction=0.0)
    unbiased = ops.var(x, axis=axes, correction=1.0)
    moved = [
        ops.add(ops.multiply(cast(new, old.dtype), momentum), ops.multiply(old, 1 - momentum))
        for old, new in ((mean, batch_mean), (variance, unbiased))
    ]
    result = batch_norm(x, weight, bias, None, None, epsilon)
    return result, batch_mean, ops.rsqrt(ops.add(spread, epsilon)), *moved


@lift.rule("aten._native_batch_norm_legit_functional.default")
def _(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value,
    variance: Value,
    training: bool,
    momentum: float,
    epsilon: float,
) -> tuple[Value, ...]:
    if training:
        return _updated(x, weight, bias, mean, variance, momentum, epsilon)
    empty = full((0,), 0, x.dtype)
    return batch_norm(x, weight, bias, mean, variance, epsilon), empty, empty, mean, variance


@lift.rule("aten._batch_norm_with_update_functional.default")
def _(
    x: Value, weight: Value | None, bias: Value | None, mean: Value, variance: Value, momentum: float, epsilon: float
) -> tuple[Value, ...]:
    result, batch_mean, inverse, *moved = _updated(x, weight, bias, mean, variance, momentum, epsilon)
    return result, batch_mean, inverse, full((0,), 0, DType.UINT8), *moved


@lift.rule("aten._native_batch_norm_legit.default", "aten._batch_norm_with_update.default")
def _(*_args: Any) -> Value:
    return refuse("batch_norm is in training mode and would update its statistics; call eval()")


@lift.rule("aten._batch_norm_no_update.default")
def _(
    x: Value, weight: Value | None, bias: Value | None, mean: Value, variance: Value, _momentum: float, epsilon: float
) -> tuple[Value, ...]:
    empty = full((0,), 0, x.dtype)
    return batch_norm(x, weight, bias, mean, variance, epsilon), empty, empty, empty


@lift.rule("aten.group_norm.default")
def _(x: Value, groups: int, weight: Value | None, bias: Value | None, epsilon: float) -> Value:
    return ops.group_norm(x, weight, bias, groups=groups, epsilon=epsilon, channel_axis=1)


@lift.rule("aten.native_group_norm.default")
def _(
    x: Value, weight: Value | None, bias: Value | None, _n: Any, _c: Any, _size: Any, groups: int, epsilon: float
) -> tuple[Value, Value, Value]:
    batch, channels, *rest = x.shape
    grouped = ops.reshape(x, shape=(batch, groups, channels // groups * product(rest)))
    mean = ops.mean(grouped, axis=(2,))
    variance = ops.var(grouped, axis=(2,), correction=0.0)
    result = ops.group_norm(x, weight, bias, groups=groups, epsilon=epsilon, channel_axis=1)
    return result, mean, ops.rsqrt(ops.add(variance, epsilon))


@lift.rule("aten.instance_norm.default")
def _(
    x: Value,
    weight: Value | None,
    bias: Value | None,
    mean: Value | None,
    variance: Value | None,
    use_input_stats: bool,
    _momentum: float,
    epsilon: float,
) -> Value:
    if not use_input_stats:
        return batch_norm(x, weight, bias, mean, variance, epsilon)
    if mean is not None:
        return _dissolve_update("instance_norm", mean)
    return ops.instance_norm(x, weight, bias, epsilon=epsilon, channel_axis=1)


def norm_except(x: Value, axis: int) -> Value:
    """Euclidean norm over every axis but one, which keeps its place; over all of them for axis -1."""
    if axis == -1:
        return ops.sqrt(ops.sum(ops.square(x), axis=None))
    axes = tuple(a for a in range(x.ndim) if a != axis)
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


@lift.rule("aten._weight_norm.default")
def _(direction: Value, magnitude: Value, axis: int) -> Value:
    return ops.multiply(direction, ops.divide(magnitude, norm_except(direction, axis)))


@lift.rule("aten._weight_norm_interface.default")
def _(direction: Value, magnitude: Value, axis: int) -> tuple[Value, Value]:
    norm = norm_except(direction, axis)
    return ops.multiply(direction, ops.divide(magnitude, norm)), norm


@lift.rule("aten.norm_except_dim.default")
def _(x: Value, order: int, axis: int) -> Value:
    return norm_except(x, axis) if order == 2 else refuse(f"norm_except_dim of order {order}")
