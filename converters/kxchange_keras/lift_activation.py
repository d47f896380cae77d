"""Activations by name, and the layers that are one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.ops.gate_activation import ACTIVATIONS, Activation
from kxchange.types import DType
from kxchange_keras.call import Call
from kxchange_keras.layer_config import read_layer
from kxchange_keras.layer_tree import grow
from kxchange_keras.registry import LAYERS, layer, operation

Apply = Callable[[Value], Value]

NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "celu": ("celu", {}),
    "elu": ("elu", {}),
    "exponential": ("exp", {}),
    "gelu": ("gelu", {"approximate": "none"}),
    "hard_shrink": ("hard_shrink", {"lambda_": 0.5}),
    "hard_sigmoid": ("hard_sigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}),
    "hard_tanh": ("hard_tanh", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "log_sigmoid": ("log_sigmoid", {}),
    "mish": ("mish", {}),
    "relu": ("relu", {}),
    "relu6": ("relu6", {}),
    "selu": ("selu", {}),
    "sigmoid": ("sigmoid", {}),
    "silu": ("silu", {}),
    "soft_shrink": ("soft_shrink", {"lambda_": 0.5}),
    "softplus": ("softplus", {"threshold": math.inf}),
    "softsign": ("softsign", {}),
    "swish": ("silu", {}),
    "tanh": ("tanh", {}),
    "tanh_shrink": ("tanh_shrink", {}),
}
"""Keras's names of activations that are one op, with the attributes that Keras gives it."""

COMPOSED: dict[str, Apply] = {}
"""Activations that are several ops."""


def composed(name: str) -> Callable[[Apply], Apply]:
    """Register an activation made of several ops."""

    def register(rule: Apply) -> Apply:
        COMPOSED[name] = rule
        return rule

    return register


COMPOSED["softmax"] = lambda x: ops.softmax(x, axis=-1)
COMPOSED["log_softmax"] = lambda x: ops.log_softmax(x, axis=-1)
COMPOSED["glu"] = lambda x: ops.glu(x, axis=-1)


@composed("squareplus")
def squareplus(x: Value, b: float = 4.0) -> Value:
    """``(x + sqrt(x**2 + b)) / 2``."""
    return ops.multiply(ops.add(x, ops.sqrt(ops.add(ops.square(x), float(b)))), 0.5)


@composed("sparse_plus")
def sparse_plus(x: Value) -> Value:
    """0 below -1, x above 1, ``(x + 1)**2 / 4`` between."""
    between = ops.multiply(ops.square(ops.add(x, 1.0)), 0.25)
    return ops.where(ops.less_equal(x, -1.0), 0.0, ops.where(ops.less(x, 1.0), between, x))


@composed("sparse_sigmoid")
def sparse_sigmoid(x: Value) -> Value:
    """0 below -1, 1 above 1, ``(x + 1) / 2`` between."""
    between = ops.multiply(ops.add(x, 1.0), 0.5)
    return ops.where(ops.less_equal(x, -1.0), 0.0, ops.where(ops.greater_equal(x, 1.0), 1.0, between))


@composed("sparsemax")
def sparsemax(x: Value, axis: int = -1) -> Value:
    """Keras's sparsemax: the threshold is taken from the *sum* of the supported cumulative sums.

    That is not the projection onto the simplex of the paper, whose threshold is the last of them; it is what models
    trained with Keras compute.
    """
    axis %= x.ndim
    size = x.shape[axis]
    ordered = ops.sort(x, axis=axis, descending=True)
    total = ops.cumulative_sum(ordered, axis=axis)
    shape = tuple(size if place == axis else 1 for place in range(x.ndim))
    rank = ops.reshape(ops.arange(start=1, stop=size + 1, dtype=x.dtype), shape=shape)
    supported = ops.greater(ops.subtract(ordered, ops.divide(ops.subtract(total, 1.0), rank)), 0.0)
    count = ops.sum(ops.astype(supported, dtype=x.dtype), axis=(axis,), keepdims=True)
    kept = ops.sum(ops.where(supported, total, 0.0), axis=(axis,), keepdims=True)
    return ops.maximum(ops.subtract(x, ops.divide(ops.subtract(kept, 1.0), count)), 0.0)


def activation_name(spec: Any) -> str | None:
    """The name in an activation's config; None for a layer used as one."""
    if spec is None:
        return "linear"
    if isinstance(spec, str):
        return spec.rpartition(">")[2]
    inner = spec.get("config") if isinstance(spec, Mapping) else None
    return inner if isinstance(inner, str) else None


def named(name: str, dialect: int) -> tuple[str, dict[str, Any]] | None:
    """Op and attributes of an activation as a version of Keras understood it (trap A03)."""
    if name == "hard_sigmoid" and dialect < 3:
        return "hard_sigmoid", {"alpha": 0.2, "beta": 0.5}
    return NAMED.get(name)


def activate(call: Call, x: Value, spec: Any) -> Value:
    """An activation applied: by name, or a layer used as one."""
    name = activation_name(spec)
    if name is None:
        return _activate_by_layer(call, x, spec)
    if name == "linear":
        return x
    if name == "gelu" and isinstance(spec, Mapping):
        call.refuse("its gelu comes with arguments that the file does not name")
    if found := named(name, call.dialect):
        return getattr(ops, found[0])(x, **found[1])
    if name not in COMPOSED:
        call.refuse(f"its activation {name[:60]!r} is none of Keras's own")
    return COMPOSED[name](x)


def _activate_by_layer(call: Call, x: Value, spec: Any) -> Value:
    if not isinstance(spec, Mapping) or spec.get("class_name") not in LAYERS:
        call.refuse(f"its activation {str(spec)[:60]!r} is none of Keras's own")
    problems: dict[tuple[str, str], list[str]] = {}
    inner = grow(read_layer(spec, call.dialect, call.config.path), problems, call.layer.policy)
    if problems or inner.weights:
        call.refuse(f"its activation is a layer {inner.config.class_name!r} that cannot be one here")
    made = Call(call.lifter, inner, (), {})
    assert inner.rule is not None
    return inner.rule.lift(made, x)


def gate_activation(call: Call, spec: Any) -> Activation | None:
    """The activation as the recurrent ops name it; None where they have none like it."""
    name = activation_name(spec)
    if name == "linear":
        return "linear"
    found = named(name, call.dialect) if name else None
    if found is None or found[0] not in ACTIVATIONS:
        return None
    return (found[0], *found[1].items()) if found[1] else found[0]


@layer("Activation", mask="keep")
def _(call: Call, x: Value) -> Value:
    return activate(call, x, call.option("activation"))


@layer("ELU", mask="keep")
def _(call: Call, x: Value) -> Value:
    return ops.elu(x, alpha=float(call.option("alpha", 1.0)))


@layer("LeakyReLU", mask="keep")
def _(call: Call, x: Value) -> Value:
    slope = call.option("negative_slope" if "negative_slope" in call.config.options else "alpha", 0.3)
    return ops.leaky_relu(x, negative_slope=float(slope))


@layer("ThresholdedReLU", mask="keep")
def _(call: Call, x: Value) -> Value:
    return ops.thresholded_relu(x, alpha=float(call.option("theta", 1.0)))


@layer("ReLU", mask="keep")
def _(call: Call, x: Value) -> Value:
    ceiling = call.option("max_value", None)
    slope = float(call.option("negative_slope", 0.0) or 0.0)
    return general_relu(
        x, slope, None if ceiling is None else float(ceiling), float(call.option("threshold", 0.0) or 0.0)
    )


def general_relu(x: Value, slope: float, ceiling: float | None, threshold: float) -> Value:
    """``x`` above `threshold`, at most `ceiling`; below, ``slope * (x - threshold)``."""
    if threshold == 0 and slope == 0:
        if ceiling is None:
            return ops.relu(x)
        return ops.relu6(x) if ceiling == 6 else ops.clip(x, 0.0, ceiling)
    if threshold == 0 and ceiling is None:
        return ops.leaky_relu(x, negative_slope=slope)
    kept = ops.where(ops.greater(x, threshold), x, 0.0) if threshold else ops.relu(x)
    if ceiling is not None:
        kept = ops.clip(kept, 0.0, ceiling)
    if slope:
        kept = ops.subtract(kept, ops.multiply(ops.relu(ops.subtract(threshold, x)), slope))
    return kept


@layer("PReLU", weights=("alpha",), mask="keep")
def _(call: Call, x: Value) -> Value:
    return ops.prelu(x, call.weight("alpha"))


@layer("Softmax", mask="keep")
def _(call: Call, x: Value) -> Value:
    axis = call.option("axis", -1)
    axes = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    return masked_softmax(x, call.mask, axes, call.dialect)


def masked_softmax(x: Value, mask: Value | None, axes: tuple[int, ...], dialect: int = 3) -> Value:
    """Softmax over some axes with masked elements far below the others; 0 after that too, since Keras 3."""
    if mask is not None:
        if mask.dtype is not DType.BOOL:
            mask = ops.greater(mask, 0.5)
        far = -3e4 if x.dtype is DType.FLOAT16 else -1e9
        x = ops.where(mask, x, far) if dialect >= 3 else ops.where(mask, x, ops.add(x, far))
    if len(axes) == 1:
        found = ops.softmax(x, axis=axes[0])
    else:
        found = ops.exp(ops.subtract(x, ops.logsumexp(x, axis=axes, keepdims=True)))
    return found if mask is None or dialect < 3 else ops.where(mask, found, 0.0)


OPERATIONS_LIKE = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "SparseSigmoid": "sparse_sigmoid",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "Silu": "silu",
    "LogSigmoid": "log_sigmoid",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "TanhShrink": "tanh_shrink",
    "Selu": "selu",
    "Mish": "mish",
}


def _like(name: str) -> Callable[..., Value]:
    return lambda call, x: activate(call, x, name)


for _class, _name in OPERATIONS_LIKE.items():
    operation(_class)(_like(_name))


@operation("ReLU")
def _(call: Call, x: Value) -> Value:
    ceiling = call.option("max_value", None)
    slope, threshold = float(call.option("negative_slope", 0.0)), float(call.option("threshold", 0.0))
    return general_relu(x, slope, None if ceiling is None else float(ceiling), threshold)


@operation("LeakyRelu")
def _(call: Call, x: Value) -> Value:
    return ops.leaky_relu(x, negative_slope=float(call.option("negative_slope", 0.2)))


@operation("Elu")
def _(call: Call, x: Value) -> Value:
    return ops.elu(x, alpha=float(call.option("alpha", 1.0)))


@operation("Celu")
def _(call: Call, x: Value) -> Value:
    return ops.celu(x, alpha=float(call.option("alpha", 1.0)))


@operation("Gelu")
def _(call: Call, x: Value) -> Value:
    return ops.gelu(x, approximate="tanh" if call.option("approximate", True) else "none")


@operation("Glu")
def _(call: Call, x: Value) -> Value:
    return ops.glu(x, axis=int(call.option("axis", -1)))


@operation("Softmax")
def _(call: Call, x: Value) -> Value:
    axis = call.option("axis", -1)
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    return masked_softmax(x, None, axes)


@operation("LogSoftmax")
def _(call: Call, x: Value) -> Value:
    axis = call.option("axis", -1)
    if isinstance(axis, int):
        return ops.log_softmax(x, axis=axis)
    axes = tuple(range(x.ndim)) if axis is None else tuple(axis)
    return ops.subtract(x, ops.logsumexp(x, axis=axes, keepdims=True))


@operation("Sparsemax")
def _(call: Call, x: Value) -> Value:
    return sparsemax(x, int(call.option("axis", -1)))  # pyright: ignore[reportCallIssue]


@operation("Squareplus")
def _(call: Call, x: Value) -> Value:
    return squareplus(x, float(call.option("b", 4)))  # pyright: ignore[reportCallIssue]


@operation("SoftShrink")
def _(call: Call, x: Value) -> Value:
    return ops.soft_shrink(x, lambda_=float(call.option("threshold", 0.5)))


@operation("HardShrink")
def _(call: Call, x: Value) -> Value:
    return ops.hard_shrink(x, lambda_=float(call.option("threshold", 0.5)))


@operation("Threshold")
def _(call: Call, x: Value) -> Value:
    limit, otherwise = float(call.option("threshold")), float(call.option("default_value"))
    return ops.where(ops.greater(x, limit), x, otherwise)
