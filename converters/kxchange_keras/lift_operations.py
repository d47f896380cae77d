"""`keras.ops` by class of operation: element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, cast
from kxchange_keras.promotion import dtype_named, float_of, promoted, value_of
from kxchange_keras.registry import operation

Rule = Callable[..., Value]

SAME_TYPE = {
    "Absolute": "abs",
    "Abs": "abs",
    "Fabs": "abs",
    "Negative": "negative",
    "Square": "square",
    "Sign": "sign",
    "BitwiseInvert": "bitwise_invert",
    "BitwiseNot": "bitwise_invert",
}
"""Operations on any number."""
FLOATING = {
    "Arccos": "acos",
    "Arccosh": "acosh",
    "Arcsin": "asin",
    "Arcsinh": "asinh",
    "Arctan": "atan",
    "Arctanh": "atanh",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfinv": "erfinv",
    "Exp": "exp",
    "Expm1": "expm1",
    "Log": "log",
    "Log10": "log10",
    "Log1p": "log1p",
    "Log2": "log2",
    "Reciprocal": "reciprocal",
    "Rsqrt": "rsqrt",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
"""Operations that make floats of whole numbers."""
ROUNDING = {"Ceil": "ceil", "Floor": "floor", "Trunc": "trunc"}
TESTS = {"Isfinite": "isfinite", "Isinf": "isinf", "Isnan": "isnan"}
BINARY = {
    "Add": "add",
    "Subtract": "subtract",
    "Multiply": "multiply",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Power": "pow",
    "FloorDivide": "floor_divide",
    "Mod": "remainder",
    "Fmod": "fmod",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "BitwiseLeftShift": "bitwise_left_shift",
    "LeftShift": "bitwise_left_shift",
    "BitwiseRightShift": "bitwise_right_shift",
    "RightShift": "bitwise_right_shift",
}
FLOATING_BINARY = {
    "Divide": "divide",
    "TrueDivide": "divide",
    "Arctan2": "atan2",
    "Hypot": "hypot",
    "Logaddexp": "logaddexp",
}
COMPARISONS = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
}
LOGIC = {"LogicalAnd": "logical_and", "LogicalOr": "logical_or", "LogicalXor": "logical_xor"}


def _each(table: dict[str, str], make: Callable[[Any], Rule]) -> None:
    for name, op in table.items():
        operation(name)(make(getattr(ops, op)))


def _truth(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    return value if value.dtype is DType.BOOL else ops.astype(value, dtype=DType.BOOL)


_each(SAME_TYPE, lambda op: lambda call, x: op(value_of(call, x)))
_each(FLOATING, lambda op: lambda call, x: op(float_of(call, x)))
_each(TESTS, lambda op: lambda call, x: op(float_of(call, x)))
_each(BINARY, lambda op: lambda call, x1, x2: op(*promoted(call, x1, x2)))
_each(FLOATING_BINARY, lambda op: lambda call, x1, x2: op(*promoted(call, x1, x2, floating=True)))
_each(COMPARISONS, lambda op: lambda call, x1, x2: op(*promoted(call, x1, x2)))
_each(LOGIC, lambda op: lambda call, x1, x2: op(_truth(call, x1), _truth(call, x2)))
_each(ROUNDING, lambda op: lambda call, x: op(float_of(call, x)))


@operation("LogicalNot")
def _(call: Call, x: Any) -> Value:
    return ops.logical_not(_truth(call, x))


@operation("Round")
def _(call: Call, x: Any) -> Value:
    decimals = int(call.option("decimals", 0))
    value = value_of(call, x)
    if decimals == 0:
        return ops.round(value)
    factor = 10.0**decimals
    return ops.divide(ops.round(ops.multiply(float_of(call, value), factor)), factor)


@operation("Clip")
def _(call: Call, x: Any) -> Value:
    value = value_of(call, x)
    low, high = call.option("x_min"), call.option("x_max")
    value, *limits = promoted(call, value, *(limit for limit in (low, high) if limit is not None))
    rest = iter(limits)
    return ops.clip(value, *(None if limit is None else next(rest) for limit in (low, high)))


@operation("Where")
def _(call: Call, condition: Any, x1: Any = None, x2: Any = None) -> Value:
    if x1 is None or x2 is None:
        call.refuse("it asks where a condition holds, which is as many places as the data says")
    numbers = not any(isinstance(item, Value) for item in (x1, x2))
    first, second = promoted(call, value_of(call, x1), x2) if numbers else promoted(call, x1, x2)
    return ops.where(_truth(call, condition), first, second)


@operation("DivideNoNan")
def _(call: Call, x1: Any, x2: Any) -> Value:
    top, bottom = promoted(call, x1, value_of(call, x2), floating=True)
    zero = ops.equal(bottom, 0.0)
    return ops.where(zero, 0.0, ops.divide(top, ops.where(zero, 1.0, bottom)))


@operation("Cast", "SaturateCast")
def _(call: Call, x: Any) -> Value:
    if call.config.class_name == "SaturateCast":
        call.refuse("it saturates")
    return cast(value_of(call, x), dtype_named(call, call.option("dtype")))


@operation("ConvertToTensor", "Array")
def _(call: Call, x: Any) -> Value:
    stated = call.option("dtype", None)
    return value_of(call, x) if stated is None else cast(value_of(call, x), dtype_named(call, stated))


@operation("StopGradient", "Copy")
def _(call: Call, x: Any) -> Value:
    return value_of(call, x)


@operation("Cbrt")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.multiply(ops.sign(value), ops.pow(ops.abs(value), 1 / 3))


@operation("Exp2")
def _(call: Call, x: Any) -> Value:
    return ops.exp(ops.multiply(float_of(call, x), math.log(2)))


@operation("Logaddexp2")
def _(call: Call, x1: Any, x2: Any) -> Value:
    first, second = promoted(call, x1, x2, floating=True)
    scaled = (
        value * math.log(2) if isinstance(value, float) else ops.multiply(value, math.log(2))
        for value in (first, second)
    )
    return ops.multiply(ops.logaddexp(*scaled), 1 / math.log(2))


@operation("Deg2rad")
def _(call: Call, x: Any) -> Value:
    return ops.multiply(float_of(call, x), math.pi / 180)


@operation("Rad2deg")
def _(call: Call, x: Any) -> Value:
    return ops.multiply(float_of(call, x), 180 / math.pi)


@operation("Isneginf")
def _(call: Call, x: Any) -> Value:
    return ops.equal(float_of(call, x), -math.inf)


@operation("Isposinf")
def _(call: Call, x: Any) -> Value:
    return ops.equal(float_of(call, x), math.inf)


@operation("Signbit")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    return ops.less(ops.copysign(ops.full(shape=value.shape, value=1.0, dtype=value.dtype), value), 0.0)


@operation("Sinc")
def _(call: Call, x: Any) -> Value:
    value = float_of(call, x)
    zero = ops.equal(value, 0.0)
    angle = ops.multiply(ops.where(zero, 1.0, value), math.pi)
    return ops.where(zero, 1.0, ops.divide(ops.sin(angle), angle))


@operation("Heaviside")
def _(call: Call, x1: Any, x2: Any) -> Value:
    x, at_zero = promoted(call, value_of(call, x1), x2, floating=True)
    step = ops.where(ops.greater(x, 0.0), ops.full(shape=(), value=1.0, dtype=x.dtype), 0.0)
    return ops.where(ops.equal(x, 0.0), at_zero, step)


@operation("Fmax", "Fmin")
def _(call: Call, x1: Any, x2: Any) -> Value:
    """NaN only where both are."""
    first, second = promoted(call, value_of(call, x1), value_of(call, x2))
    found = (ops.maximum if call.config.class_name == "Fmax" else ops.minimum)(first, second)
    if not first.dtype.is_floating:
        return found
    return ops.where(ops.isnan(first), second, ops.where(ops.isnan(second), first, found))


@operation("NanToNum")
def _(call: Call, x: Any) -> Value:
    import ml_dtypes

    value = value_of(call, x)
    if not value.dtype.is_floating:
        return value
    largest = float(ml_dtypes.finfo(value.dtype.numpy).max)
    high, low = call.option("posinf", None), call.option("neginf", None)
    value = ops.where(ops.isnan(value), float(call.option("nan", 0.0)), value)
    value = ops.where(ops.equal(value, math.inf), largest if high is None else float(high), value)
    return ops.where(ops.equal(value, -math.inf), -largest if low is None else float(low), value)


@operation("Isclose")
def _(call: Call, x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Value:
    first, second = promoted(call, value_of(call, x1), value_of(call, x2), floating=True)
    near = ops.less_equal(
        ops.abs(ops.subtract(first, second)), ops.add(ops.multiply(ops.abs(second), float(rtol)), float(atol))
    )
    near = ops.where(ops.logical_and(ops.isfinite(first), ops.isfinite(second)), near, ops.equal(first, second))
    if not call.option("equal_nan", False):
        return near
    return ops.logical_or(near, ops.logical_and(ops.isnan(first), ops.isnan(second)))


@operation("Select")
def _(call: Call, condlist: list[Any], choicelist: list[Any], default: Any = 0) -> Value:
    found: Any = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        first, second = promoted(call, value_of(call, choice), found)
        found = ops.where(_truth(call, condition), first, second)
    return found


@operation("View")
def _(call: Call, x: Any) -> Value:
    """The same bytes as another type: the last axis grows or shrinks where the widths differ."""
    value, dtype = value_of(call, x), dtype_named(call, call.option("dtype"))
    if value.dtype.bits != dtype.bits:
        call.refuse(f"it reads {value.dtype.value} as {dtype.value}, of another width")
    return ops.bitcast(value, dtype=dtype)
