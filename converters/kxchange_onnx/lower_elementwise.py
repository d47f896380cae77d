"""Elementwise ops, creation and conversion: canonical op -> ONNX."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Node
from kxchange.spec import Scalar
from kxchange.table import Condition, Table
from kxchange.types import DType
from kxchange_onnx.dims_out import scalar, vector
from kxchange_onnx.guards_out import is_below, never
from kxchange_onnx.kernels import has_kernel, takes
from kxchange_onnx.opsets import since
from kxchange_onnx.types_out import data_type
from kxchange_onnx.writing import constant, emit, type_of

TABLE = Table("onnx")
SMALL = 256
"""Elements up to which a computed constant is written out."""
UNSIGNED = frozenset({DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64})


def native(name: str, op_type: str, when: Condition) -> None:
    """An op that ONNX has under another name, with the same operands and no attributes."""

    def rule(*operands: ir.Value | None) -> ir.Value:
        return emit(op_type, *operands)

    TABLE.rule(name, when=when)(rule)


def floating(condition: Condition) -> Condition:
    """The condition, for floating operands only."""
    return lambda node: node.inputs[0] is not None and node.inputs[0].dtype.is_floating and condition(node)


def integral(node: Node) -> bool:
    """Whether the first operand is of integers."""
    return node.inputs[0] is not None and node.inputs[0].dtype.is_integer


def _calculable(node: Node) -> bool:
    """Whether ONNX multiplies and divides the integers of the node."""
    return integral(node) and has_kernel("Mul", node.types[0].dtype)


def _signed(node: Node) -> bool:
    # ONNX Runtime's Sign of a float16 NaN is 0.
    return node.types[0].dtype is not DType.FLOAT16 and takes("Sign")(node)


for _name, _op_type in {
    "abs": "Abs",
    "acos": "Acos",
    "acosh": "Acosh",
    "add": "Add",
    "asin": "Asin",
    "asinh": "Asinh",
    "atan": "Atan",
    "atanh": "Atanh",
    "cos": "Cos",
    "cosh": "Cosh",
    "divide": "Div",
    "equal": "Equal",
    "erf": "Erf",
    "exp": "Exp",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "log": "Log",
    "logical_and": "And",
    "logical_not": "Not",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "maximum": "Max",
    "minimum": "Min",
    "multiply": "Mul",
    "negative": "Neg",
    "reciprocal": "Reciprocal",
    "sigmoid": "Sigmoid",
    "sin": "Sin",
    "sinh": "Sinh",
    "sqrt": "Sqrt",
    "subtract": "Sub",
    "tan": "Tan",
    "tanh": "Tanh",
}.items():
    native(_name, _op_type, takes(_op_type))
for _name, _op_type in {"ceil": "Ceil", "floor": "Floor", "round": "Round", "isnan": "IsNaN"}.items():
    native(_name, _op_type, floating(takes(_op_type)))
for _name, _op_type in {"and": "BitwiseAnd", "or": "BitwiseOr", "xor": "BitwiseXor", "invert": "BitwiseNot"}.items():
    native(f"bitwise_{_name}", _op_type, takes(_op_type))
native("isinf", "IsInf", floating(takes("IsInf")))
native("sign", "Sign", _signed)
native("pow", "Pow", floating(takes("Pow")))


@TABLE.rule("not_equal")
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return emit("Not", emit("Equal", x1, x2))


def _chosen(node: Node) -> bool:
    return has_kernel("Where", node.types[0].dtype)


@TABLE.rule("where", when=_chosen)
def _(condition: ir.Value, x1: ir.Value, x2: ir.Value) -> ir.Value:
    return emit("Where", condition, x1, x2)


def _scalar_limits(node: Node) -> bool:
    return takes("Clip")(node) and all(value is None or value.ndim == 0 for value in node.inputs[1:])


@TABLE.rule("clip", when=_scalar_limits)
def _(x: ir.Value, min: ir.Value | None, max: ir.Value | None) -> ir.Value:
    return emit("Clip", x, min, max)


@TABLE.rule("fmod", when=lambda node: not integral(node) or _calculable(node))
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return emit("Mod", x1, x2 if type_of(x1).dtype.is_floating else _harmless(x1, x2)[0], fmod=1)


@TABLE.rule("remainder", when=_calculable)
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return emit("Mod", x1, _harmless(x1, x2)[0])


@TABLE.rule("truncated_divide", when=_calculable)
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    divisor, factor = _harmless(x1, x2)
    quotient = emit("Div", x1, divisor)
    return quotient if factor is None else emit("Mul", quotient, factor)


def _harmless(x1: ir.Value, x2: ir.Value) -> tuple[ir.Value, ir.Value | None]:
    """The divisor with 1 for 0 and for -1, on which processors trap, and what the quotient is then multiplied by.

    Both numbers leave no remainder, as 1 does. A constant divisor is either harmless or known to be not.
    """
    dtype = type_of(x1).dtype
    traps = (0, -1) if dtype.is_signed else (0,)
    if never(x2, traps):
        return x2, None
    bad = emit("Equal", x2, constant(0, dtype))
    if dtype.is_signed:
        bad = emit("Or", bad, emit("Equal", x2, constant(-1, dtype)))
    one = constant(1, dtype)
    return _select(bad, one, x2, dtype), _select(bad, x2, one, dtype)


def _select(condition: ir.Value, x1: ir.Value, x2: ir.Value, dtype: DType) -> ir.Value:
    """`Where` through arithmetic, for the integer types that ONNX Runtime's `Where` does not take."""
    if has_kernel("Where", dtype):
        return emit("Where", condition, x1, x2)
    chosen = emit("Cast", condition, to=data_type(dtype))
    other = emit("Cast", emit("Not", condition), to=data_type(dtype))
    return emit("Add", emit("Mul", chosen, x1), emit("Mul", other, x2))


def _native_shift(node: Node) -> bool:
    # BitShift takes unsigned integers only, and shifts by the width of the type or more are undefined in C++.
    return node.types[0].dtype in UNSIGNED and _calculable(node)


@TABLE.rule("bitwise_left_shift", when=_native_shift)
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return _shift(x1, x2, "LEFT")


@TABLE.rule("bitwise_right_shift", when=_native_shift)
def _(x1: ir.Value, x2: ir.Value) -> ir.Value:
    return _shift(x1, x2, "RIGHT")


def _shift(x1: ir.Value, x2: ir.Value, direction: str) -> ir.Value:
    dtype = type_of(x1).dtype
    width = dtype.bits
    if is_below(x2, width):
        return emit("BitShift", x1, x2, direction=direction)
    inside = emit("Less", x2, constant(width, dtype))
    kept = emit("Cast", inside, to=data_type(dtype))
    return emit("Mul", emit("BitShift", x1, emit("Mul", x2, kept), direction=direction), kept)


@TABLE.rule("astype")
def _(x: ir.Value, *, dtype: DType) -> ir.Value:
    # An overflow is infinite, or NaN where there is no infinity; ONNX's own default is the greatest value.
    saturate = 0 if dtype.is_floating and dtype.bits == 8 else None
    return x if type_of(x).dtype is dtype else emit("Cast", x, to=data_type(dtype), saturate=saturate)


@TABLE.rule("bitcast", when=since(26))
def _(x: ir.Value, *, dtype: DType) -> ir.Value:
    return x if type_of(x).dtype is dtype else emit("BitCast", x, to=data_type(dtype))


@TABLE.rule("constant")
def _(*, value: Constant) -> ir.Value:
    return constant(value.array, value.type.dtype)


@TABLE.rule("full")
def _(*, shape: tuple[Dim, ...], value: Scalar, dtype: DType) -> ir.Value:
    if isinstance(value, DimExpr):
        number = scalar(value)
        number = number if dtype is DType.INT64 else emit("Cast", number, to=data_type(dtype))
        return number if not shape else emit("Expand", number, vector(shape))
    filled = rounded(value, dtype)
    if all(isinstance(dim, int) for dim in shape) and int(np.prod(np.array(shape, dtype=object))) <= SMALL:
        return constant(np.full([dim for dim in shape if isinstance(dim, int)], filled), dtype)
    return emit("ConstantOfShape", vector(shape), value=ir.tensor(filled.reshape(1)))


def rounded(value: Any, dtype: DType) -> Any:
    """A Python number in the dtype, rounded once; a float beyond its range is infinite."""
    with np.errstate(all="ignore"):
        return np.asarray(value).astype(dtype.numpy)


@TABLE.rule("arange")
def _(*, start: Dim | float, stop: Dim | float, step: Dim | float, dtype: DType) -> ir.Value:
    numbers = [value for value in (start, stop, step) if not isinstance(value, DimExpr)]
    if len(numbers) == 3:
        count = max(0, int(-((numbers[0] - numbers[1]) // numbers[2])))
        exact = np.float64 if any(isinstance(value, float) for value in numbers) else np.int64
        return constant(rounded(np.arange(count, dtype=exact) * numbers[2] + numbers[0], dtype), dtype)
    steps = [
        scalar(value) if isinstance(value, (int, DimExpr)) else constant(int(value)) for value in (start, stop, step)
    ]
    counted = emit("Range", *steps)
    return counted if dtype is DType.INT64 else emit("Cast", counted, to=data_type(dtype))


@TABLE.rule("eye", when=lambda node: all(isinstance(dim, int) for dim in node.types[0].shape))
def _(*, rows: int, columns: int | None, offset: int, dtype: DType) -> ir.Value:
    return constant(np.eye(rows, columns, offset), dtype)
