"""Elementwise arithmetic, comparison and logic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import each, lift
from kxchange_torch.lift_promotion import cast, promote, promote_float, result_dtype, tensor_of, to_bool, to_float

_SAME = """acos acosh asin asinh atan atanh cos cosh erf erfc erfinv exp expm1 lgamma digamma log log10 log1p log2
reciprocal rsqrt sigmoid sin sinh sqrt tan tanh"""
FLOATING = {name: name for name in _SAME.split()} | {
    "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan", "arctanh": "atanh",
    "special_erf": "erf", "special_erfc": "erfc", "special_erfinv": "erfinv", "special_expm1": "expm1",
    "special_gammaln": "lgamma", "special_digamma": "digamma", "special_log1p": "log1p", "special_expit": "sigmoid",
    "special_psi": "digamma",
}  # fmt: skip
KEEPING = {"abs": "abs", "absolute": "abs", "neg": "negative", "negative": "negative"}
ROUNDING = {
    "ceil": "ceil",
    "floor": "floor",
    "round": "round",
    "trunc": "trunc",
    "fix": "trunc",
    "special_round": "round",
}
TESTS = {"isfinite": "isfinite", "isinf": "isinf", "isnan": "isnan"}
BINARY = {
    "mul": "multiply", "multiply": "multiply", "maximum": "maximum", "minimum": "minimum", "fmod": "fmod",
    "remainder": "remainder", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor",
    "bitwise_left_shift": "bitwise_left_shift", "bitwise_right_shift": "bitwise_right_shift", "__and__": "bitwise_and",
    "__or__": "bitwise_or", "__xor__": "bitwise_xor", "__lshift__": "bitwise_left_shift", "greater": "greater",
    "__rshift__": "bitwise_right_shift", "floor_divide": "floor_divide", "greater_equal": "greater_equal",
    "less": "less", "less_equal": "less_equal", "not_equal": "not_equal",
}  # fmt: skip
FLOAT_BINARY = {
    "atan2": "atan2",
    "arctan2": "atan2",
    "hypot": "hypot",
    "logaddexp": "logaddexp",
    "copysign": "copysign",
}
ON_BOOLS = {
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor", "multiply": "logical_and",
    "maximum": "logical_or", "minimum": "logical_and",
}  # fmt: skip
ORDERS = {"less", "less_equal", "greater", "greater_equal"}
LOGICAL = {"logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor"}


def _floating(op: str) -> Callable[[Value], Value]:
    return lambda x: getattr(ops, op)(to_float(x))


def _keeping(op: str) -> Callable[[Value], Value]:
    return lambda x: getattr(ops, op)(x)


def _rounding(op: str) -> Callable[[Value], Value]:
    return lambda x: getattr(ops, op)(x) if x.dtype.is_floating else x


def _test(op: str) -> Callable[[Value], Value]:
    def rule(x: Value) -> Value:
        if x.dtype.is_floating:
            return getattr(ops, op)(x)
        if x.dtype.is_complex:
            both = ops.logical_and if op == "isfinite" else ops.logical_or
            return both(getattr(ops, op)(ops.real(x)), getattr(ops, op)(ops.imag(x)))
        return ops.full(shape=x.shape, value=op == "isfinite", dtype=DType.BOOL)

    return rule


def _binary(op: str) -> Callable[[Any, Any], Value]:
    def rule(x1: Any, x2: Any) -> Value:
        if result_dtype(x1, x2).is_bool and op in ON_BOOLS:
            return getattr(ops, ON_BOOLS[op])(*promote(x1, x2))
        if result_dtype(x1, x2).is_bool and op in ORDERS:
            return getattr(ops, op)(cast(x1, DType.UINT8), cast(x2, DType.UINT8))
        return getattr(ops, op)(*promote(x1, x2))

    return rule


def _float_binary(op: str) -> Callable[[Any, Any], Value]:
    return lambda x1, x2: getattr(ops, op)(*promote_float(x1, x2))


def _logical(op: str) -> Callable[[Any, Any], Value]:
    return lambda x1, x2: getattr(ops, op)(to_bool(x1), to_bool(x2))


each(FLOATING, _floating)
each(KEEPING, _keeping)
each(ROUNDING, _rounding)
each(TESTS, _test)
for _pattern in ("aten.{}.Tensor", "aten.{}.Scalar", "aten.{}.Scalar_Tensor"):
    each({k: v for k, v in BINARY.items() if k not in ("maximum", "minimum")}, _binary, _pattern)
    each({"copysign": "copysign"}, _float_binary, _pattern)
each({k: v for k, v in BINARY.items() if k in ("maximum", "minimum", "floor_divide")}, _binary)
each({k: v for k, v in BINARY.items() if k == "bitwise_left_shift"}, _binary, "aten.{}.Tensor_Scalar")
each({k: v for k, v in BINARY.items() if k == "bitwise_right_shift"}, _binary, "aten.{}.Tensor_Scalar")
each(FLOAT_BINARY, _float_binary)
each(LOGICAL, _logical)
each({"max": "maximum", "min": "minimum"}, _binary, "aten.{}.other")


def _is_identity(x: Any, number: Any, neutral: int) -> bool:
    """Whether ``x + 0`` or ``x * 1`` changes nothing at all: on integers it does not, on floats -0.0 + 0 would."""
    return isinstance(x, Value) and x.dtype.is_integer and type(number) is int and number == neutral


def scaled(x: Any, alpha: Any) -> Any:
    """``alpha * x`` for the `alpha` argument of sums, which is nearly always 1."""
    if alpha == 1 and not isinstance(alpha, bool):
        return x
    if not isinstance(x, Value):
        return bool(x and alpha) if isinstance(x, bool) else x * alpha
    if x.dtype.is_bool:
        return ops.logical_and(x, bool(alpha))
    return ops.multiply(x, int(alpha) if x.dtype.is_integer and isinstance(alpha, float) else alpha)


@lift.rule("aten.add.Tensor", "aten.add.Scalar")
def _(x1: Any, x2: Any, alpha: Any) -> Value:
    if _is_identity(x1, x2, 0):
        return x1
    left, right = promote(x1, x2)
    if result_dtype(x1, x2).is_bool:
        return ops.logical_or(left, scaled(right, alpha))
    return ops.add(left, scaled(right, alpha))


@lift.rule("aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar")
def _(x1: Any, x2: Any, alpha: Any) -> Value:
    if _is_identity(x1, x2, 0):
        return x1
    left, right = promote(x1, x2)
    return ops.subtract(left, scaled(right, alpha))


@lift.rule("aten.rsub.Tensor", "aten.rsub.Scalar")
def _(x1: Any, x2: Any, alpha: Any) -> Value:
    left, right = promote(x1, x2)
    return ops.subtract(right, scaled(left, alpha))


@lift.rule(*(f"aten.{n}.{o}" for n in ("div", "divide", "true_divide") for o in ("Tensor", "Scalar")))
def _(x1: Any, x2: Any) -> Value:
    return ops.divide(*promote_float(x1, x2))


@lift.rule(*(f"aten.{n}.{o}" for n in ("div", "divide") for o in ("Tensor_mode", "Scalar_mode")))
def _(x1: Any, x2: Any, rounding_mode: str | None) -> Value:
    if rounding_mode is None:
        return ops.divide(*promote_float(x1, x2))
    left, right = promote(x1, x2)
    if rounding_mode == "floor":
        return ops.floor_divide(left, right)
    return ops.truncated_divide(left, right) if left.dtype.is_integer else ops.trunc(ops.divide(left, right))


@lift.rule("aten.pow.Tensor_Tensor", "aten.pow.Tensor_Scalar", "aten.pow.Scalar")
def _(x: Any, exponent: Any) -> Value:
    base, power = promote(x, exponent)
    if isinstance(power, int | float) and isinstance(base, Value) and power in (1, 2):
        return ops.square(base) if power == 2 else base
    if power == 0.5 and isinstance(power, float) and base.dtype.is_floating:
        return ops.sqrt(base)
    return ops.pow(base, power)


@lift.rule("aten.float_power.Tensor_Tensor", "aten.float_power.Tensor_Scalar", "aten.float_power.Scalar")
def _(x: Any, exponent: Any) -> Value:
    return ops.pow(cast(x, DType.FLOAT64), cast(exponent, DType.FLOAT64))


@lift.rule("aten.square.default")
def _(x: Value) -> Value:
    return ops.square(cast(x, DType.INT64) if x.dtype.is_bool else x)


@lift.rule("aten.sign.default", "aten.sgn.default")
def _(x: Value) -> Value:
    """Torch's sign of NaN is 0, of the language NaN."""
    if not x.dtype.is_floating:
        return x if x.dtype.is_bool else ops.sign(x)
    return ops.where(ops.isnan(x), 0.0, ops.sign(x))


@lift.rule("aten.signbit.default")
def _(x: Value) -> Value:
    if x.dtype.is_bool:
        return ops.full(shape=x.shape, value=False, dtype=DType.BOOL)
    return ops.less(ops.copysign(1.0, x), 0.0) if x.dtype.is_floating else ops.less(x, 0)


@lift.rule("aten.isposinf.default")
def _(x: Value) -> Value:
    return ops.equal(x, math.inf) if x.dtype.is_floating else ops.full(shape=x.shape, value=False, dtype=DType.BOOL)


@lift.rule("aten.isneginf.default")
def _(x: Value) -> Value:
    return ops.equal(x, -math.inf) if x.dtype.is_floating else ops.full(shape=x.shape, value=False, dtype=DType.BOOL)


@lift.rule("aten.round.decimals", "aten.special_round.decimals")
def _(x: Value, decimals: int) -> Value:
    if not decimals:
        return ops.round(x)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return ops.divide(ops.round(ops.multiply(x, scale)), scale)
    return ops.multiply(ops.round(ops.divide(x, scale)), scale)


@lift.rule("aten.logical_not.default")
def _(x: Value) -> Value:
    return ops.logical_not(to_bool(x))


@lift.rule("aten.bitwise_not.default")
def _(x: Value) -> Value:
    return ops.logical_not(x) if x.dtype.is_bool else ops.bitwise_invert(x)


@lift.rule("aten.fmax.default")
def _(x1: Value, x2: Value) -> Value:
    left, right = promote(x1, x2)
    if not left.dtype.is_floating:
        return _binary("maximum")(left, right)
    return ops.where(ops.isnan(left), right, ops.where(ops.isnan(right), left, ops.maximum(left, right)))


@lift.rule("aten.fmin.default")
def _(x1: Value, x2: Value) -> Value:
    left, right = promote(x1, x2)
    if not left.dtype.is_floating:
        return _binary("minimum")(left, right)
    return ops.where(ops.isnan(left), right, ops.where(ops.isnan(right), left, ops.minimum(left, right)))


@lift.rule("aten.where.self", "aten.where.ScalarSelf", "aten.where.ScalarOther", "aten.where.Scalar")
def _(condition: Value, x1: Any, x2: Any) -> Value:
    left, right = promote(x1, x2)
    if not isinstance(left, Value) and not isinstance(right, Value):
        left = tensor_of(left, result_dtype(x1, x2))
    return ops.where(to_bool(condition), left, right)


@lift.rule("aten.masked_fill.Scalar", "aten.masked_fill.Tensor")
def _(x: Value, mask: Value, value: Any) -> Value:
    return ops.where(to_bool(mask), cast(value, x.dtype), x)


def clamp(x: Value, low: Any, high: Any) -> Value:
    """Between two limits, either of which may be missing; bools count as 0 and 1."""
    dtype = result_dtype(*(a for a in (x, low, high) if a is not None))
    wide = DType.UINT8 if dtype.is_bool else dtype
    bounds = [a if a is None else cast(a, wide) for a in (low, high)]
    return cast(ops.clip(cast(x, wide), *bounds), dtype)


@lift.rule("aten.clamp.default", "aten.clamp.Tensor", "aten.clip.default", "aten.clip.Tensor")
def _(x: Value, min: Any, max: Any) -> Value:
    return clamp(x, min, max)


@lift.rule("aten.clamp_min.default", "aten.clamp_min.Tensor")
def _(x: Value, min: Any) -> Value:
    return clamp(x, min, None)


@lift.rule("aten.clamp_max.default", "aten.clamp_max.Tensor")
def _(x: Value, max: Any) -> Value:
    return clamp(x, None, max)


@lift.rule("aten.lerp.Scalar", "aten.lerp.Tensor")
def _(start: Value, end: Value, weight: Any) -> Value:
    """Torch starts from the nearer end: ``start + w*(end - start)`` for ``|w| < 0.5``, else from `end`."""
    span = ops.subtract(end, start)
    rest = ops.subtract(1.0, weight) if isinstance(weight, Value) else 1 - weight
    near = ops.add(start, ops.multiply(span, weight))
    far = ops.subtract(end, ops.multiply(span, rest))
    if isinstance(weight, Value):
        return ops.where(ops.less(ops.abs(weight), 0.5), near, far)
    return near if abs(weight) < 0.5 else far


@lift.rule("aten.addcmul.default")
def _(x: Value, x1: Value, x2: Value, value: Any) -> Value:
    x, x1, x2 = promote(x, x1, x2)
    return ops.add(x, scaled(ops.multiply(x1, x2), value))


@lift.rule("aten.addcdiv.default")
def _(x: Value, x1: Value, x2: Value, value: Any) -> Value:
    x, x1, x2 = promote_float(x, x1, x2)
    return ops.add(x, scaled(ops.divide(x1, x2), value))
