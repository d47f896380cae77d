"""StableHLO operations that work element by element, and arithmetic on sizes, which dissolves into dims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kxchange.dims import DimExpr, dim_max, dim_min
from kxchange.graph import Value
from kxchange_jax.hlo_attributes import keyword
from kxchange_jax.hlo_in import current, hlo, size_of
from kxchange_jax.lift import SCOPE, lift, refuse, scalar

PLAIN = {
    "abs": "abs",
    "atan2": "atan2",
    "cbrt": "cbrt",
    "ceil": "ceil",
    "clamp": "clamp",
    "cosine": "cos",
    "count_leading_zeros": "clz",
    "exponential": "exp",
    "exponential_minus_one": "expm1",
    "floor": "floor",
    "is_finite": "is_finite",
    "log": "log",
    "log_plus_one": "log1p",
    "logistic": "logistic",
    "negate": "neg",
    "not": "not",
    "and": "and",
    "or": "or",
    "xor": "xor",
    "popcnt": "population_count",
    "power": "pow",
    "rsqrt": "rsqrt",
    "shift_left": "shift_left",
    "shift_right_arithmetic": "shift_right_arithmetic",
    "shift_right_logical": "shift_right_logical",
    "sign": "sign",
    "sine": "sin",
    "sqrt": "sqrt",
    "tan": "tan",
    "tanh": "tanh",
}
"""Operations and the primitives of JAX that they are."""
NAMED = (
    "erf",
    "erfc",
    "erf_inv",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "sinh",
    "cosh",
    "lgamma",
    "digamma",
)
"""Functions of CHLO that artifacts hold as composites or custom calls."""
SIZES: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "add": ("add", lambda a, b: a + b),
    "subtract": ("sub", lambda a, b: a - b),
    "multiply": ("mul", lambda a, b: a * b),
    "divide": ("div", lambda a, b: a // b),
    "remainder": ("rem", lambda a, b: a % b),
    "maximum": ("max", dim_max),
    "minimum": ("min", dim_min),
}
"""Operations that sizes are computed with: the primitive, and what it is on sizes."""
COMPARISONS = {"EQ": "eq", "NE": "ne", "GE": "ge", "GT": "gt", "LE": "le", "LT": "lt"}


def primitive(name: str, *operands: Value, like: Value | None = None, **params: Any) -> Any:
    """The rule of one of JAX's primitives on these operands; sizes of the result are those of `like`."""
    reader = current()
    wide = like if like is not None else max(operands, key=lambda x: x.ndim, default=None)
    SCOPE.types = tuple(reader.result_type(i, wide) for i in range(len(reader.operation.results)))
    return lift.entries[name].rule(*operands, **params)


def _plain(name: str) -> Callable[..., Value]:
    return lambda *operands: primitive(name, *operands)


for _operation, _name in PLAIN.items():
    hlo.rule(_operation)(_plain(_name))


def _on_sizes(name: str, compute: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    def rule(x1: Value, x2: Value) -> Value:
        first, second = size_of(x1), size_of(x2)
        if first is None or second is None or not isinstance(first - second, DimExpr | int):
            return primitive(name, x1, x2)
        if not isinstance(first, DimExpr) and not isinstance(second, DimExpr):
            return primitive(name, x1, x2)
        if name in ("div", "rem") and (not isinstance(second, int) or second <= 0):
            return primitive(name, x1, x2)
        return scalar(compute(first, second), x1.dtype)

    return rule


for _operation, (_name, _compute) in SIZES.items():
    hlo.rule(_operation)(_on_sizes(_name, _compute))


@hlo.rule("round_nearest_even")
def _(x: Value) -> Value:
    return primitive("round", x, rounding_method=1)


@hlo.rule("round_nearest_afz")
def _(x: Value) -> Value:
    return primitive("round", x, rounding_method=0)


@hlo.rule("compare")
def _(x1: Value, x2: Value) -> Value:
    op = current().operation
    name = COMPARISONS.get(keyword(op, "comparison_direction"))
    if name is None:
        refuse("its direction is unknown")
    if keyword(op, "compare_type") == "TOTALORDER" and x1.dtype.is_floating:
        name += "_to"
        if name not in lift.entries:
            refuse("comparisons in total order are read for LT, LE and EQ")
    return primitive(name, x1, x2)


@hlo.rule("select")
def _(which: Value, on_true: Value, on_false: Value) -> Value:
    return primitive("select_n", which, on_false, on_true, like=on_true)


@hlo.rule("convert")
def _(x: Value) -> Value:
    dtype = current().result_type(0, x).dtype
    size = size_of(x)
    if isinstance(size, DimExpr) and dtype.is_numeric:
        return scalar(size, dtype)
    return primitive("convert_element_type", x, new_dtype=dtype.numpy)


@hlo.rule("bitcast_convert")
def _(x: Value) -> Value:
    return primitive("bitcast_convert_type", x, new_dtype=current().result_type(0, x).dtype.numpy)


@hlo.rule("reduce_precision")
def _(x: Value) -> Value:
    from kxchange_jax.hlo_attributes import integer

    op = current().operation
    return primitive(
        "reduce_precision",
        x,
        exponent_bits=integer(op, "exponent_bits"),
        mantissa_bits=integer(op, "mantissa_bits"),
    )


@hlo.rule("optimization_barrier")
def _(*xs: Value) -> tuple[Value, ...]:
    return xs
