"""Normalisation layers; epsilons and axes as the file has them."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, Traced, cast
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.registry import Weight, having, layer

SCALE, CENTER = having("gamma", "scale"), having("beta", "center")
STATISTICS = [Weight("moving_mean", trainable=False), Weight("moving_variance", trainable=False)]
RENORM = ("moving_stddev", "renorm_mean", "renorm_stddev")


def _batch_weights(config: LayerConfig) -> list[Weight]:
    renorm = [Weight(name, trainable=False) for name in RENORM] if config.options.get("renorm") else []
    return [SCALE, CENTER, *STATISTICS, *renorm]


def wide(x: Value) -> Value:
    """Narrow floats as float32, in which Keras normalises them."""
    return cast(x, DType.FLOAT32) if x.dtype in (DType.FLOAT16, DType.BFLOAT16) else x


@layer(
    "BatchNormalization",
    "BatchNormalizationV1",
    "BatchNormalizationV2",
    "SyncBatchNormalization",
    weights=_batch_weights,
    mask="keep",
)
def _(call: Call, x: Value) -> Value:
    if call.option("mode", 0) == 1:
        call.refuse("its statistics are those of each sample (mode 1 of Keras 1)")
    axis = call.option("axis", -1)
    if isinstance(axis, list | tuple):
        if len(axis) != 1:
            call.refuse("it normalises over several axes")
        axis = axis[0]
    computed = wide(cast(x, call.dtype))
    vectors = [None if w is None else cast(w, computed.dtype) for w in (_plain(call, n) for n in _batch_order())]
    found = ops.batch_norm(
        computed, *vectors, epsilon=float(call.option("epsilon", 1e-3)), channel_axis=_signed(axis, x)
    )
    return cast(found, call.dtype)


def _batch_order() -> tuple[str, ...]:
    return ("moving_mean", "moving_variance", "gamma", "beta")


def _plain(call: Call, name: str) -> Value | None:
    """A variable that Keras does not cast to a narrower type first."""
    if not call.has(name):
        return None
    weight = next(weight for weight in call.layer.weights if weight.name == name)
    return call.lifter.parameter(call.layer.variable_name(weight))


def _signed(axis: int, x: Value) -> int:
    """The last axis as -1, which says "channels last" whatever the rank."""
    return -1 if axis % x.ndim == x.ndim - 1 else axis


def _axes(call: Call, x: Value) -> tuple[int, ...]:
    axis = call.option("axis", -1)
    axes = axis if isinstance(axis, list | tuple) else [axis]
    return tuple(sorted(int(a) % x.ndim for a in axes))


def _layer_weights(config: LayerConfig) -> list[Weight]:
    return [SCALE] if config.options.get("rms_scaling") else [SCALE, CENTER]


@layer("LayerNormalization", weights=_layer_weights, mask="keep")
def _(call: Call, x: Value) -> Value:
    x, axes, epsilon = cast(x, call.dtype), _axes(call, x), float(call.option("epsilon", 1e-3))
    computed = wide(x)
    gamma = _fitted(call, "gamma", computed, axes)
    if call.option("rms_scaling", False):
        deviation = ops.sqrt(ops.add(ops.var(computed, axis=axes, keepdims=True), epsilon))
        y = ops.divide(computed, deviation)
        return cast(y if gamma is None else ops.multiply(y, gamma), call.dtype)
    if axes == tuple(range(x.ndim - len(axes), x.ndim)):
        raw = [_plain_as(call, name, computed) for name in ("gamma", "beta")]
        return cast(ops.layer_norm(computed, *raw, axes=len(axes), epsilon=epsilon), call.dtype)
    centered = ops.subtract(computed, ops.mean(computed, axis=axes, keepdims=True))
    power = ops.mean(ops.square(centered), axis=axes, keepdims=True)
    y = ops.divide(centered, ops.sqrt(ops.add(power, epsilon)))
    y = y if gamma is None else ops.multiply(y, gamma)
    beta = _fitted(call, "beta", computed, axes)
    return cast(y if beta is None else ops.add(y, beta), call.dtype)


def _plain_as(call: Call, name: str, x: Value) -> Value | None:
    found = _plain(call, name)
    return None if found is None else cast(found, x.dtype)


def _fitted(call: Call, name: str, x: Value, axes: tuple[int, ...]) -> Value | None:
    """A vector over some axes, shaped to broadcast."""
    found = _plain_as(call, name, x)
    if found is None or axes == (x.ndim - 1,):
        return found
    sizes = iter(found.shape)
    return ops.reshape(found, shape=tuple(next(sizes) if axis in axes else 1 for axis in range(x.ndim)))


@layer("GroupNormalization", weights=(SCALE, CENTER), mask="keep")
def _(call: Call, x: Value) -> Value:
    axis, groups = int(call.option("axis", -1)) % x.ndim, int(call.option("groups", 32))
    computed = wide(cast(x, call.dtype))
    order = _channels_first_or_last(axis, x.ndim)
    turned = ops.permute_dims(computed, axes=order) if order else computed
    where = 1 if axis == 1 and x.ndim > 2 else -1
    vectors = [_plain_as(call, name, computed) for name in ("gamma", "beta")]
    size = turned.shape[where]
    attrs: dict[str, Any] = {"epsilon": float(call.option("epsilon", 1e-3)), "channel_axis": where}
    y = ops.group_norm(turned, *vectors, groups=size if groups == -1 else groups, **attrs)
    if order:
        y = ops.permute_dims(y, axes=tuple(order.index(i) for i in range(x.ndim)))
    return cast(y, call.dtype)


def _channels_first_or_last(axis: int, rank: int) -> tuple[int, ...]:
    """The order of axes that brings the channels to the end; empty where they stand where the op takes them."""
    if axis in (1, rank - 1):
        return ()
    return (*(i for i in range(rank) if i != axis), axis)


@layer("RMSNormalization", weights=("scale",))
def _(call: Call, x: Value) -> Value:
    axes, epsilon = _axes(call, x), float(call.option("epsilon", 1e-6))
    computed = wide(cast(x, call.dtype))
    if axes == tuple(range(x.ndim - len(axes), x.ndim)):
        scale = _plain_as(call, "scale", computed)
        return cast(ops.rms_norm(computed, scale, axes=len(axes), epsilon=epsilon), call.dtype)
    power = ops.mean(ops.square(computed), axis=axes, keepdims=True)
    y = ops.divide(computed, ops.sqrt(ops.add(power, epsilon)))
    scale = _fitted(call, "scale", computed, axes)
    return cast(y if scale is None else ops.multiply(y, scale), call.dtype)


@layer("UnitNormalization", mask="keep")
def _(call: Call, x: Value) -> Value:
    axes = _axes(call, x)
    if call.dialect >= 3:
        return ops.l2_normalize(x, axis=axes, epsilon=1e-12)
    power = ops.maximum(ops.sum(ops.square(x), axis=axes, keepdims=True), 1e-12)
    return ops.multiply(x, ops.rsqrt(power))


def _inner(config: LayerConfig) -> dict[str, LayerConfig]:
    return {"layer": read_layer(config.options.get("layer"), config.dialect)}


def _spectral_weights(config: LayerConfig) -> list[Weight]:
    """The wrapper stores the kernel of the layer inside a second time."""
    inner = config.options.get("layer")
    name = "embeddings" if isinstance(inner, dict) and inner.get("class_name") == "Embedding" else "kernel"
    return [Weight(name, repeats=True), Weight("vector_u", trainable=False)]


@layer("SpectralNormalization", weights=_spectral_weights, children=_inner, mask="keep")
def _(call: Call, x: Value) -> Traced:
    """The kernel is stored normalised; only training divides it again."""
    return call.inside("layer", call.args[0])
