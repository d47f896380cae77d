"""Arithmetic, comparison, logic and bits, element by element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.lift import lift, refuse

UNARY: dict[str, Callable[[Value], Value]] = {
    "Abs": ops.abs,
    "Acos": ops.acos,
    "Acosh": ops.acosh,
    "Asin": ops.asin,
    "Asinh": ops.asinh,
    "Atan": ops.atan,
    "Atanh": ops.atanh,
    "BitwiseNot": ops.bitwise_invert,
    "Ceil": ops.ceil,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "Erf": ops.erf,
    "Exp": ops.exp,
    "Floor": ops.floor,
    "IsNaN": ops.isnan,
    "Log": ops.log,
    "Neg": ops.negative,
    "Not": ops.logical_not,
    "Reciprocal": ops.reciprocal,
    "Round": ops.round,
    "Sigmoid": ops.sigmoid,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Sqrt": ops.sqrt,
    "Tan": ops.tan,
    "Tanh": ops.tanh,
}

BINARY: dict[str, Callable[[Value, Value], Value]] = {
    "Add": ops.add,
    "Sub": ops.subtract,
    "Mul": ops.multiply,
    "BitwiseAnd": ops.bitwise_and,
    "BitwiseOr": ops.bitwise_or,
    "BitwiseXor": ops.bitwise_xor,
    "And": ops.logical_and,
    "Or": ops.logical_or,
    "Xor": ops.logical_xor,
    "Equal": ops.equal,
    "Greater": ops.greater,
    "GreaterOrEqual": ops.greater_equal,
    "Less": ops.less,
    "LessOrEqual": ops.less_equal,
}


def divided(a: Value, b: Value) -> Value:
    """The quotient as ONNX has it: integers are truncated (trap I02)."""
    return ops.truncated_divide(a, b) if a.dtype.is_integer else ops.divide(a, b)


def powered(a: Value, b: Value) -> Value:
    """The power in the dtype of the base, whatever that of the exponent."""
    if a.dtype is b.dtype:
        return ops.pow(a, b)
    if a.dtype.is_floating:
        return ops.pow(a, ops.astype(b, dtype=a.dtype))
    if b.dtype.is_floating:
        return ops.astype(ops.pow(ops.astype(a, dtype=b.dtype), b), dtype=a.dtype)
    return ops.pow(a, ops.astype(b, dtype=a.dtype))


def _unary(op: Callable[[Value], Value]) -> Callable[[Value], Value]:
    def rule(x: Value) -> Value:
        return op(x)

    return rule


def _binary(op: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    def rule(a: Value, b: Value) -> Value:
        return op(a, b)

    return rule


def _legacy(op: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    """Before version 7 the second operand is stretched only if told so, and from an axis that may be named."""

    def rule(a: Value, b: Value, *, broadcast: int | None, axis: int | None) -> Value:
        if not broadcast or axis is None:
            return op(a, b)
        before, after = axis % a.ndim, a.ndim - axis % a.ndim - b.ndim
        if after < 0:
            return refuse(f"its axis {axis} leaves no room for {b.ndim} axes in {a.ndim}")
        fitted = ops.expand_dims(b, axis=tuple(range(b.ndim, b.ndim + after))) if after else b
        return op(a, fitted) if before >= 0 else fitted

    return rule


for _name, _op in UNARY.items():
    lift.add("", _name, _unary(_op))
for _name, _op in {**BINARY, "Div": divided, "Pow": powered}.items():
    lift.add("", _name, _binary(_op), since=7)
    if _name not in ("GreaterOrEqual", "LessOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        lift.add("", _name, _legacy(_op))


def _folded(op: Callable[[Value, Value], Value]) -> Callable[..., Value]:
    def rule(*xs: Value) -> Value:
        result = xs[0]
        for x in xs[1:]:
            result = op(result, x)
        return result

    return rule


for _name, _op in {"Max": ops.maximum, "Min": ops.minimum, "Sum": ops.add}.items():
    lift.add("", _name, _folded(_op))


@lift.rule("Mean")
def _(*xs: Value) -> Value:
    return ops.divide(_folded(ops.add)(*xs), len(xs))


@lift.rule("Mod")
def _(a: Value, b: Value, *, fmod: int) -> Value:
    return ops.fmod(a, b) if fmod else ops.remainder(a, b)


@lift.rule("Where")
def _(condition: Value, a: Value, b: Value) -> Value:
    return ops.where(condition, a, b)


@lift.rule("BitShift")
def _(a: Value, b: Value, *, direction: str) -> Value:
    if direction not in ("LEFT", "RIGHT"):
        return refuse(f"its direction {direction!r} is neither LEFT nor RIGHT")
    shift = ops.bitwise_left_shift if direction == "LEFT" else ops.bitwise_right_shift
    return shift(a, b if a.dtype is b.dtype else ops.astype(b, dtype=a.dtype))


@lift.rule("IsInf")
def _(x: Value, *, detect_negative: int, detect_positive: int) -> Value:
    if detect_negative and detect_positive:
        return ops.isinf(x)
    if not detect_negative and not detect_positive:
        return ops.full(shape=x.shape, value=False, dtype=DType.BOOL)
    sign = ops.greater if detect_positive else ops.less
    return ops.logical_and(ops.isinf(x), sign(x, 0))


@lift.rule("Clip")
def _(x: Value, *, min: float | None, max: float | None) -> Value:  # noqa: A002
    return clipped(x, min, max)


@lift.rule("Clip", since=11)
def _(x: Value, low: Value | None, high: Value | None) -> Value:
    return clipped(x, low, high)


def clipped(x: Value, low: Any, high: Any) -> Value:
    """X between two limits, each where present."""
    if low is None and high is None:
        return x
    if low is None:
        return ops.minimum(x, high)
    return ops.maximum(x, low) if high is None else ops.clip(x, low, high)
