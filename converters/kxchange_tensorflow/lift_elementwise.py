"""Lifting of TensorFlow's elementwise operators."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_tensorflow.lift import LiftTable, refuse, scalar

lift = LiftTable("tensorflow")
lift.direct(
    Abs=ops.abs,
    Acos=ops.acos,
    Acosh=ops.acosh,
    Add=ops.add,
    AddV2=ops.add,
    Asin=ops.asin,
    Asinh=ops.asinh,
    Atan=ops.atan,
    Atan2=ops.atan2,
    Atanh=ops.atanh,
    BitwiseAnd=ops.bitwise_and,
    BitwiseOr=ops.bitwise_or,
    BitwiseXor=ops.bitwise_xor,
    Ceil=ops.ceil,
    Cos=ops.cos,
    Cosh=ops.cosh,
    Digamma=ops.digamma,
    Erf=ops.erf,
    Erfc=ops.erfc,
    Erfinv=ops.erfinv,
    Exp=ops.exp,
    Expm1=ops.expm1,
    Floor=ops.floor,
    FloorDiv=ops.floor_divide,
    FloorMod=ops.remainder,
    Greater=ops.greater,
    GreaterEqual=ops.greater_equal,
    Inv=ops.reciprocal,
    Invert=ops.bitwise_invert,
    IsFinite=ops.isfinite,
    IsInf=ops.isinf,
    IsNan=ops.isnan,
    LeftShift=ops.bitwise_left_shift,
    Less=ops.less,
    LessEqual=ops.less_equal,
    Lgamma=ops.lgamma,
    Log=ops.log,
    Log1p=ops.log1p,
    LogicalAnd=ops.logical_and,
    LogicalNot=ops.logical_not,
    LogicalOr=ops.logical_or,
    Maximum=ops.maximum,
    Minimum=ops.minimum,
    Mod=ops.fmod,
    Mul=ops.multiply,
    Neg=ops.negative,
    Pow=ops.pow,
    Reciprocal=ops.reciprocal,
    RightShift=ops.bitwise_right_shift,
    Rint=ops.round,
    Rsqrt=ops.rsqrt,
    Sign=ops.sign,
    Sin=ops.sin,
    Sinh=ops.sinh,
    Sqrt=ops.sqrt,
    Square=ops.square,
    Sub=ops.subtract,
    Tan=ops.tan,
    Tanh=ops.tanh,
    TruncateDiv=ops.truncated_divide,
    TruncateMod=ops.fmod,
)


@lift.rule("Equal")
def _(x: Value, y: Value, *, incompatible_shape_error: bool = True) -> Value:
    return ops.equal(x, y)


@lift.rule("NotEqual")
def _(x: Value, y: Value, *, incompatible_shape_error: bool = True) -> Value:
    return ops.not_equal(x, y)


@lift.rule("RealDiv", "Div")
def divide(x: Value, y: Value) -> Value:
    """True division of floats; of integers only under TensorFlow's old `Div`, which cuts (trap I02)."""
    return ops.divide(x, y) if not x.dtype.is_integer else ops.truncated_divide(x, y)


@lift.rule("DivNoNan")
def _(x: Value, y: Value) -> Value:
    zero = ops.equal(y, scalar(0, y))
    safe = ops.where(zero, scalar(1, y), y)
    return ops.where(zero, scalar(0, x), ops.divide(x, safe))


@lift.rule("MulNoNan")
def _(x: Value, y: Value) -> Value:
    return ops.where(ops.equal(y, scalar(0, y)), scalar(0, x), ops.multiply(x, y))


@lift.rule("Xdivy")
def _(x: Value, y: Value) -> Value:
    return ops.where(ops.equal(x, scalar(0, x)), scalar(0, x), ops.divide(x, y))


@lift.rule("Xlogy")
def _(x: Value, y: Value) -> Value:
    return ops.where(ops.equal(x, scalar(0, x)), scalar(0, x), ops.multiply(x, ops.log(y)))


@lift.rule("Xlog1py")
def _(x: Value, y: Value) -> Value:
    return ops.where(ops.equal(x, scalar(0, x)), scalar(0, x), ops.multiply(x, ops.log1p(y)))


@lift.rule("SquaredDifference")
def squared_difference(x: Value, y: Value) -> Value:
    """``(x - y)**2``."""
    return ops.square(ops.subtract(x, y))


@lift.rule("AddN")
def add_all(*xs: Value) -> Value:
    """The sum of tensors of one shape."""
    total = xs[0]
    for x in xs[1:]:
        total = ops.add(total, x)
    return total


@lift.rule("SelectV2")
def _(condition: Value, x: Value, y: Value) -> Value:
    return ops.where(condition, x, y)


@lift.rule("Select")
def select(condition: Value, x: Value, y: Value) -> Value:
    """Selection whose condition may be one flag per row: it is then stretched along the axes behind."""
    if 0 < condition.ndim < x.ndim:
        condition = ops.expand_dims(condition, axis=tuple(range(condition.ndim, x.ndim)))
    return ops.where(condition, x, y)


@lift.rule("ClipByValue")
def _(x: Value, low: Value, high: Value) -> Value:
    return ops.maximum(ops.minimum(x, high), low)


@lift.rule("Cast")
def _(x: Value, *, DstT: DType, Truncate: bool = False) -> Value:  # noqa: N803 - the schema's names
    if Truncate:
        refuse("it cuts floats to narrower ones instead of rounding")
    return x if x.dtype is DstT else ops.astype(x, dtype=DstT)


@lift.rule("Bitcast")
def _(x: Value, *, type: DType) -> Value:
    if x.dtype.bits != type.bits:
        refuse(f"it views {x.dtype} as {type}, which is of another width")
    return ops.bitcast(x, dtype=type)


IDENTITIES = (
    "Identity",
    "StopGradient",
    "PreventGradient",
    "Snapshot",
    "CheckNumerics",
    "PlaceholderWithDefault",
    "EnsureShape",
    "ReadVariableOp",
    "DeepCopy",
)


@lift.rule(*IDENTITIES)
def _(x: Any, *, message: str = "", shape: Any = None, dtype: Any = None) -> Any:
    return x


@lift.rule("IdentityN")
def _(*xs: Any) -> tuple[Any, ...]:
    return xs


@lift.rule("ApproximateEqual")
def _(x: Value, y: Value, *, tolerance: float = 1e-5) -> Value:
    return ops.less(ops.abs(ops.subtract(x, y)), scalar(tolerance, x))


@lift.rule("Round")
def _(x: Value) -> Value:
    if not x.dtype.is_floating:
        refuse("it rounds whole numbers, of which TensorFlow's kernel makes 0")
    return ops.round(x)
