"""Lifting of elementwise primitives."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_jax.lift import SCOPE, cast, each, elementwise, lift, number_of, refuse, scalar, spread_to, thin

each(
    {
        "abs": "abs",
        "acos": "acos",
        "acosh": "acosh",
        "add_any": "add",
        "asin": "asin",
        "asinh": "asinh",
        "atan": "atan",
        "atan2": "atan2",
        "atanh": "atanh",
        "ceil": "ceil",
        "cos": "cos",
        "cosh": "cosh",
        "digamma": "digamma",
        "eq": "equal",
        "erf": "erf",
        "erf_inv": "erfinv",
        "erfc": "erfc",
        "exp": "exp",
        "expm1": "expm1",
        "floor": "floor",
        "is_finite": "isfinite",
        "lgamma": "lgamma",
        "log": "log",
        "log1p": "log1p",
        "neg": "negative",
        "rem": "fmod",
        "rsqrt": "rsqrt",
        "shift_left": "bitwise_left_shift",
        "sign": "sign",
        "sin": "sin",
        "sinh": "sinh",
        "sqrt": "sqrt",
        "square": "square",
        "sub": "subtract",
        "tan": "tan",
        "tanh": "tanh",
    },
    elementwise,
)


def _with_identity(op: Callable[..., Value], identity: int) -> Callable[..., Value]:
    """The rule of an op that leaves integers and booleans as they are where the other operand is its identity."""
    apply = elementwise(op)

    def rule(x1: Value, x2: Value, **_: Any) -> Value:
        if not x1.dtype.is_floating:
            for x, other in ((x1, x2), (x2, x1)):
                if number_of(other) == identity:
                    return spread_to(x, SCOPE.types[0].shape)
        return apply(x1, x2)

    return rule


lift.rule("add")(_with_identity(ops.add, 0))
lift.rule("mul")(_with_identity(ops.multiply, 1))


def _ordering(op: Callable[..., Value]) -> Callable[..., Value]:
    """The rule of a comparison; false is less than true."""
    apply = elementwise(op)
    return lambda *xs, **_: apply(*(cast(x, DType.UINT8) if x.dtype.is_bool else x for x in xs))


lift.rule("ge")(_ordering(ops.greater_equal))
lift.rule("gt")(_ordering(ops.greater))
lift.rule("le")(_ordering(ops.less_equal))
lift.rule("lt")(_ordering(ops.less))


def _logical(on_bits: Callable[..., Value], on_bools: Callable[..., Value]) -> Callable[..., Value]:
    """The op for integers, and the one for booleans."""
    bits, bools = elementwise(on_bits), elementwise(on_bools)
    identity = {id(ops.logical_and): True, id(ops.logical_or): False}.get(id(on_bools))
    if identity is not None:
        bools = _with_identity(on_bools, identity)
    return lambda *xs, **_: (bools if xs[0].dtype.is_bool else bits)(*xs)


lift.rule("and")(_logical(ops.bitwise_and, ops.logical_and))
lift.rule("or")(_logical(ops.bitwise_or, ops.logical_or))
lift.rule("xor")(_logical(ops.bitwise_xor, ops.logical_xor))
lift.rule("not")(_logical(ops.bitwise_invert, ops.logical_not))


def extreme(compare: Callable[..., Value]) -> Callable[[Value, Value], Value]:
    """The greater (or less) of two complex numbers, by their real parts, then their imaginary parts."""

    def choose(x1: Value, x2: Value) -> Value:
        first, second = (ops.real(x1), ops.real(x2)), (ops.imag(x1), ops.imag(x2))
        return ops.where(ops.where(ops.equal(*first), compare(*second), compare(*first)), x1, x2)

    return choose


def _extreme(op: Callable[..., Value], on_bools: Callable[..., Value], compare: Callable[..., Value]) -> Any:
    real, of_complex = _logical(op, on_bools), elementwise(extreme(compare))
    return lambda *xs, **_: (of_complex if xs[0].dtype.is_complex else real)(*xs)


lift.rule("max")(_extreme(ops.maximum, ops.logical_or, ops.greater))
lift.rule("min")(_extreme(ops.minimum, ops.logical_and, ops.less))


IDENTITIES = (
    "copy",
    "copy_p",
    "device_put",
    "layout_constraint",
    "name",
    "pvary",
    "sharding_constraint",
    "stop_gradient",
)
"""Primitives that give back what they get."""


@lift.rule(*IDENTITIES)
def _(x: Value, **_: Any) -> Value:
    return x


@lift.rule("optimization_barrier")
def _(*xs: Value, **_: Any) -> tuple[Value, ...]:
    return xs


@lift.rule("div")
def _(x1: Value, x2: Value, **_: Any) -> Value:
    # A division of integers by 0 is -1 in JAX and 0 here: neither is promised by its documentation.
    return elementwise(ops.truncated_divide if x1.dtype.is_integer else ops.divide)(x1, x2)


@lift.rule("logistic")
def _(x: Value, **_: Any) -> Value:
    return ops.reciprocal(ops.add(ops.exp(ops.negative(x)), 1.0)) if x.dtype.is_complex else ops.sigmoid(x)


@lift.rule("clamp")
def _(low: Value, x: Value, high: Value, **_: Any) -> Value:
    x, low, high = thin((x, low, high), SCOPE.types[0].shape)
    return ops.clip(x, low, high)


@lift.rule("pow")
def _(x1: Value, x2: Value, **_: Any) -> Value:
    return elementwise(ops.pow)(x1, cast(x2, x1.dtype))


@lift.rule("integer_pow")
def _(x: Value, *, y: int, **_: Any) -> Value:
    if y == 0:
        return ops.full(shape=x.shape, value=1, dtype=x.dtype)
    if y in (1, 2, 3):
        return {1: lambda: x, 2: lambda: ops.square(x), 3: lambda: ops.multiply(ops.square(x), x)}[y]()
    return ops.reciprocal(x) if y == -1 else ops.pow(x, y)


@lift.rule("exp2")
def _(x: Value, **_: Any) -> Value:
    return ops.pow(scalar(2.0, x.dtype), x)


@lift.rule("cbrt")
def _(x: Value, **_: Any) -> Value:
    root = ops.pow(ops.abs(x), 1 / 3)
    return ops.where(ops.equal(x, 0.0), x, ops.copysign(root, x))


@lift.rule("round")
def _(x: Value, *, rounding_method: Any, **_: Any) -> Value:
    if int(rounding_method) == 1:
        return ops.round(x)
    whole = ops.trunc(x)
    away = ops.greater_equal(ops.abs(ops.subtract(x, whole)), 0.5)
    return ops.where(away, ops.add(whole, ops.sign(x)), whole)


@lift.rule("select_n")
def _(which: Value, *cases: Value, **_: Any) -> Value:
    shape = SCOPE.types[0].shape
    if which.dtype.is_bool:
        condition, first, second = thin((which, cases[1], cases[0]), shape)
        return ops.where(condition, first, second)
    result = cases[-1]
    for position in range(len(cases) - 2, -1, -1):
        result = ops.where(ops.less_equal(which, position), cases[position], result)
    return result


@lift.rule("convert_element_type")
def _(x: Value, *, new_dtype: Any, **_: Any) -> Value:
    dtype = DType.of(new_dtype)
    number = x.node.attrs["value"] if x.node.op == "full" and not x.ndim else None
    if isinstance(number, int | float) and not isinstance(number, bool) and x.dtype.is_integer and dtype.is_floating:
        return scalar(float(number), dtype)
    if number is not None and not isinstance(number, int | float | bool) and dtype.is_numeric:
        return scalar(number, dtype)  # a size stays one in every type
    if x.dtype.is_complex and not dtype.is_complex:
        return cast(ops.not_equal(x, scalar(0, x.dtype)) if dtype.is_bool else ops.real(x), dtype)
    was = as_bool(x)
    return was if dtype.is_bool and was is not None else cast(x, dtype)


def as_bool(x: Value) -> Value | None:
    """The boolean that a number of 0 or 1 was made from."""
    inner = x.node.inputs[0] if x.node.op == "astype" else None
    return inner if inner is not None and inner.dtype.is_bool else None


@lift.rule("ne")
def _(x1: Value, x2: Value, **_: Any) -> Value:
    was = as_bool(x1)
    if was is not None and number_of(x2) == 0 and tuple(was.shape) == SCOPE.types[0].shape:
        return was
    return elementwise(ops.not_equal)(x1, x2)


@lift.rule("bitcast_convert_type")
def _(x: Value, *, new_dtype: Any, **_: Any) -> Value:
    dtype = DType.of(new_dtype)
    if dtype.bits != x.dtype.bits:
        return _resized_bits(x, dtype)
    return x if dtype is x.dtype else ops.bitcast(x, dtype=dtype)


def _resized_bits(x: Value, dtype: DType) -> Value:
    """Elements of another width: a last axis of parts, the low one first, appears or goes."""
    if not (x.dtype.is_integer and dtype.is_integer):
        refuse(f"the bits of {x.dtype} elements as {dtype}, which are of another width, exist for integers only")
    parts = max(x.dtype.bits, dtype.bits) // min(x.dtype.bits, dtype.bits)
    wide = unsigned(x.dtype if x.dtype.bits > dtype.bits else dtype)
    if x.dtype.bits > dtype.bits:
        whole = as_unsigned(x)
        pieces = [ops.bitwise_right_shift(whole, dtype.bits * i) if i else whole for i in range(parts)]
        return _signed_as(ops.stack(*(cast(piece, unsigned(dtype)) for piece in pieces), axis=x.ndim), dtype)
    low = cast(as_unsigned(x), wide)
    split = ops.split(low, sizes=(1,) * parts, axis=-1)
    shifted = [ops.bitwise_left_shift(p, x.dtype.bits * i) if i else p for i, p in enumerate(split)]
    return _signed_as(ops.squeeze(reduce(ops.bitwise_or, shifted), axis=(-1,)), dtype)


def unsigned(dtype: DType) -> DType:
    """The unsigned integer type of the same width."""
    return DType(f"uint{dtype.bits}")


def signed(dtype: DType) -> DType:
    """The signed integer type of the same width."""
    return DType(f"int{dtype.bits}")


def as_unsigned(x: Value) -> Value:
    """The bits of a number as an unsigned integer."""
    return x if x.dtype is unsigned(x.dtype) else ops.bitcast(x, dtype=unsigned(x.dtype))


def _signed_as(x: Value, dtype: DType) -> Value:
    return x if x.dtype is dtype else ops.bitcast(x, dtype=dtype)


@lift.rule("shift_right_arithmetic")
def _(x: Value, shift: Value, **_: Any) -> Value:
    kind = signed(x.dtype)
    moved = elementwise(_shift_right)(_signed_as(x, kind), _signed_as(shift, kind))
    return _signed_as(moved, x.dtype)


@lift.rule("shift_right_logical")
def _(x: Value, shift: Value, **_: Any) -> Value:
    return _signed_as(elementwise(_shift_right)(as_unsigned(x), as_unsigned(shift)), x.dtype)


def _shift_right(x: Value, shift: Value) -> Value:
    return ops.bitwise_right_shift(x, shift)


@lift.rule("population_count")
def _(x: Value, **_: Any) -> Value:
    return _signed_as(_count_bits(as_unsigned(x)), x.dtype)


def _count_bits(x: Value) -> Value:
    """Number of bits set: sums over fields of 2, 4, 8 ... bits at once."""
    bits = x.dtype.bits
    width = 1
    while width < bits:
        mask = sum(((1 << width) - 1) << place for place in range(0, bits, 2 * width))
        low = ops.bitwise_and(x, mask)
        high = ops.bitwise_and(ops.bitwise_right_shift(x, width), mask)
        x, width = ops.add(low, high), 2 * width
    return x


@lift.rule("clz")
def _(x: Value, **_: Any) -> Value:
    spread, width = as_unsigned(x), 1
    while width < x.dtype.bits:
        spread = ops.bitwise_or(spread, ops.bitwise_right_shift(spread, width))
        width *= 2
    return _signed_as(_count_bits(ops.bitwise_invert(spread)), x.dtype)


def _total_order(compare: Callable[..., Value]) -> Callable[..., Value]:
    """Comparison in which -0 < +0, and NaN is beyond every number on the side of its sign."""

    def rule(x1: Value, x2: Value, **_: Any) -> Value:
        if not x1.dtype.is_floating:
            return elementwise(compare)(x1, x2)
        return elementwise(compare)(_ordered_bits(x1), _ordered_bits(x2))

    return rule


def _ordered_bits(x: Value) -> Value:
    kind = signed(x.dtype)
    bits = ops.bitcast(x, dtype=kind)
    highest = int(np.iinfo(kind.numpy).max)
    return ops.where(ops.less(bits, 0), ops.bitwise_xor(bits, highest), bits)


lift.rule("lt_to")(_total_order(ops.less))
lift.rule("le_to")(_total_order(ops.less_equal))
lift.rule("eq_to")(_total_order(ops.equal))


@lift.rule("nextafter")
def _(x: Value, towards: Value, **_: Any) -> Value:
    kind = signed(x.dtype)
    line = _ordered_bits(x)
    step = ops.where(ops.less(x, towards), scalar(1, kind), scalar(-1, kind))
    # Zero has two patterns of bits that are one number: a step from either starts between them.
    start = ops.where(ops.equal(x, 0.0), ops.where(ops.less(x, towards), scalar(0, kind), scalar(-1, kind)), line)
    moved = ops.add(start, step)
    highest = int(np.iinfo(kind.numpy).max)
    back = ops.bitcast(ops.where(ops.less(moved, 0), ops.bitwise_xor(moved, highest), moved), dtype=x.dtype)
    invalid = ops.logical_or(ops.isnan(x), ops.isnan(towards))
    return ops.where(ops.equal(x, towards), towards, ops.where(invalid, float("nan"), back))


@lift.rule("reduce_precision")
def _(x: Value, *, exponent_bits: int, mantissa_bits: int, **_: Any) -> Value:
    kinds = {(5, 10): DType.FLOAT16, (8, 7): DType.BFLOAT16, (8, 23): DType.FLOAT32, (11, 52): DType.FLOAT64}
    kind = kinds.get((exponent_bits, mantissa_bits))
    if kind is None:
        refuse(f"no floating type has {exponent_bits} bits of exponent and {mantissa_bits} of mantissa")
    return x if kind is x.dtype or kind.bits > x.dtype.bits else cast(cast(x, kind), x.dtype)
