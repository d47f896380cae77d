"""Lifting of TFLite's arithmetic, comparisons, activations and reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow import lift_elementwise, lift_reduction
from kxchange_tensorflow.lift import SCOPE, LiftTable, integer, integers, refuse, scalar
from kxchange_tensorflow.lift_activation import local_response_norm
from kxchange_tensorflow.lift_convolution import turned
from kxchange_tensorflow.tflite_schema import ACTIVATIONS, DTYPES

lift = LiftTable("tflite")
lift.direct(
    ABS=ops.abs,
    ATAN2=ops.atan2,
    BITWISE_XOR=ops.bitwise_xor,
    CEIL=ops.ceil,
    COS=ops.cos,
    EQUAL=ops.equal,
    EXP=ops.exp,
    FLOOR=ops.floor,
    FLOOR_DIV=ops.floor_divide,
    FLOOR_MOD=ops.remainder,
    GREATER=ops.greater,
    GREATER_EQUAL=ops.greater_equal,
    HARD_SWISH=ops.hard_swish,
    LESS=ops.less,
    LESS_EQUAL=ops.less_equal,
    LOG=ops.log,
    LOGICAL_AND=ops.logical_and,
    LOGICAL_NOT=ops.logical_not,
    LOGICAL_OR=ops.logical_or,
    LOGISTIC=ops.sigmoid,
    MAXIMUM=ops.maximum,
    MINIMUM=ops.minimum,
    NEG=ops.negative,
    NOT_EQUAL=ops.not_equal,
    POW=ops.pow,
    RELU=ops.relu,
    RELU6=ops.relu6,
    RIGHT_SHIFT=ops.bitwise_right_shift,
    ROUND=ops.round,
    RSQRT=ops.rsqrt,
    SELECT_V2=ops.where,
    SIGN=ops.sign,
    SIN=ops.sin,
    SQRT=ops.sqrt,
    SQUARE=ops.square,
    TANH=ops.tanh,
)
lift.add("SELECT", lift_elementwise.select)
lift.add("SQUARED_DIFFERENCE", lift_elementwise.squared_difference)
lift.add("ADD_N", lift_elementwise.add_all)


def activated(x: Value, activation: int) -> Value:
    """The activation that an operator has built in.

    Raises:
        CaptureError: It is none that runs on numbers.
    """
    name = ACTIVATIONS[activation] if 0 <= activation < len(ACTIVATIONS) else str(activation)
    if name == "NONE":
        return x
    if name == "RELU_N1_TO_1":
        return ops.clip(x, scalar(-1.0, x), scalar(1.0, x))
    found = {"RELU": ops.relu, "RELU6": ops.relu6, "TANH": ops.tanh}.get(name)
    return refuse(f"its activation {name} has no lift") if found is None else found(x)


def arithmetic(compute: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of a binary operator with an activation."""

    def rule(x1: Value, x2: Value, *, activation: int) -> Value:
        return activated(compute(x1, x2), activation)

    return rule


lift.add("ADD", arithmetic(ops.add))
lift.add("SUB", arithmetic(ops.subtract))
lift.add("MUL", arithmetic(ops.multiply))
lift.add("DIV", arithmetic(lift_elementwise.divide))


@lift.rule("RELU_N1_TO_1")
def _(x: Value) -> Value:
    return ops.clip(x, scalar(-1.0, x), scalar(1.0, x))


@lift.rule("RELU_0_TO_1")
def _(x: Value) -> Value:
    return ops.clip(x, scalar(0.0, x), scalar(1.0, x))


@lift.rule("ELU")
def _(x: Value) -> Value:
    return ops.elu(x)


@lift.rule("LEAKY_RELU")
def _(x: Value, *, alpha: float) -> Value:
    return ops.leaky_relu(x, negative_slope=alpha)


@lift.rule("PRELU")
def _(x: Value, slope: Value) -> Value:
    return ops.prelu(x, slope)


@lift.rule("GELU")
def _(x: Value, *, approximate: bool) -> Value:
    return ops.gelu(x, approximate="tanh" if approximate else "none")


@lift.rule("SOFTMAX")
def _(x: Value, *, beta: float) -> Value:
    return ops.softmax(x if beta == 1.0 else ops.multiply(x, scalar(beta, x)), axis=-1)


@lift.rule("LOG_SOFTMAX")
def _(x: Value) -> Value:
    return ops.log_softmax(x, axis=-1)


@lift.rule("LOCAL_RESPONSE_NORMALIZATION")
def _(x: Value, *, radius: int, bias: float, alpha: float, beta: float) -> Value:
    return local_response_norm(x, radius, bias, alpha, beta)


@lift.rule("L2_NORMALIZATION")
def _(x: Value, *, activation: int) -> Value:
    return activated(ops.l2_normalize(x, axis=(-1,), epsilon=1e-6), activation)


@lift.rule("CUMSUM")
def _(x: Value, axis: Value, *, exclusive: bool, reverse: bool) -> Value:
    return ops.cumulative_sum(x, axis=integer(axis), exclusive=exclusive, reverse=reverse)


@lift.rule("BATCH_MATMUL")
def _(x1: Value, x2: Value, *, adj_x: bool, adj_y: bool) -> Value:
    return ops.matmul(turned(x1) if adj_x else x1, turned(x2) if adj_y else x2)


def reduction(compute: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of one reduction."""

    def rule(x: Value, axes: Value, *, keep_dims: bool) -> Value:
        chosen = tuple(dict.fromkeys(axis % x.ndim for axis in integers(axes)))
        return compute(x, axis=chosen, keepdims=keep_dims) if chosen else x

    return rule


REDUCTIONS = {"MEAN": lift_reduction.mean, "SUM": ops.sum, "REDUCE_PROD": ops.prod, "REDUCE_MAX": ops.max}
REDUCTIONS |= {"REDUCE_MIN": ops.min, "REDUCE_ANY": ops.any, "REDUCE_ALL": ops.all}
for _name, _compute in REDUCTIONS.items():
    lift.add(_name, reduction(_compute))


def position(find: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of `argmax` or `argmin`."""

    def rule(x: Value, axis: Value, *, output_type: int) -> Value:
        return ops.astype(find(x, axis=integer(axis)), dtype=DTYPES[output_type])

    return rule


lift.add("ARG_MAX", position(ops.argmax))
lift.add("ARG_MIN", position(ops.argmin))


@lift.rule("TOPK_V2")
def _(x: Value, k: Value) -> tuple[Value, Value]:
    values, indices = ops.top_k(x, k=integer(k, "count"))
    return values, ops.astype(indices, dtype=DType.INT32)


@lift.rule("CAST")
def _(x: Value, *, out_data_type: int = 0, in_data_type: int = 0) -> Any:
    wanted = SCOPE.lifter.results[0].dtype
    return x if x.dtype is wanted else ops.astype(x, dtype=wanted)
