"""Arithmetic that ONNX lacks, written in ops that it has: canonical ops in, canonical ops out."""

from __future__ import annotations

import math

from kxchange.graph import Graph, Node, Value, placeholder
from kxchange.ops.arithmetic import (
    abs_,
    add,
    ceil,
    divide,
    floor,
    fmod,
    maximum,
    minimum,
    multiply,
    negative,
    remainder,
    sign,
    subtract,
    truncated_divide,
)
from kxchange.ops.comparison import (
    bitwise_left_shift,
    bitwise_right_shift,
    equal,
    greater,
    less,
    logical_and,
    logical_or,
    logical_xor,
    not_equal,
    where,
)
from kxchange.ops.control import while_loop
from kxchange.ops.conversion import astype, bitcast, narrowed, widened
from kxchange.ops.mathematics import atan, copysign, exp, log
from kxchange.ops.reduction import any_
from kxchange.table import Table
from kxchange.types import DType
from kxchange_onnx.expand_types import WIDER
from kxchange_onnx.lower_elementwise import UNSIGNED, integral
from kxchange_onnx.opsets import target

TABLE = Table("onnx")
LOG2, LOG10 = math.log(2), math.log(10)


def _floats(node: Node) -> bool:
    return node.inputs[0] is not None and node.inputs[0].dtype.is_floating


def real(node: Node) -> bool:
    """Whether the first operand is of integers or floats."""
    return _floats(node) or integral(node)


def literal(value: Value | None) -> float | None:
    """The number that a rank-0 literal holds; None for anything else."""
    if value is None or value.node.op != "full" or value.shape:
        return None
    number = value.node.attrs["value"]
    return number if isinstance(number, (int, float)) else None


@TABLE.rule("ceil", "floor", "round", when=integral)
def _(x: Value) -> Value:
    return x


@TABLE.rule("trunc")
def _(x: Value) -> Value:
    return where(less(x, 0.0), ceil(x), floor(x)) if x.dtype.is_floating else x


@TABLE.rule("isnan", when=integral)
def _(x: Value) -> Value:
    return not_equal(x, x)


@TABLE.rule("isinf", when=real)
def _(x: Value) -> Value:
    return equal(abs_(x), math.inf) if x.dtype.is_floating else not_equal(x, x)


@TABLE.rule("isfinite", when=real)
def _(x: Value) -> Value:
    return less(abs_(x), math.inf) if x.dtype.is_floating else equal(x, x)


@TABLE.rule("negative", when=lambda node: node.types[0].dtype in UNSIGNED)
def _(x: Value) -> Value:
    return subtract(0, x)


@TABLE.rule("floor_divide")
def _(x1: Value, x2: Value) -> Value:
    return _floored(x1, x2) if x1.dtype.is_floating else _floored_integer(x1, x2)


def _floored_integer(x1: Value, x2: Value) -> Value:
    quotient = truncated_divide(x1, x2)
    if x1.dtype in UNSIGNED:
        return quotient
    rest = fmod(x1, x2)
    divisor = literal(x2)
    if divisor is not None and divisor > 0:
        below = less(rest, 0)
    else:
        below = logical_and(not_equal(rest, 0), logical_xor(less(x1, 0), less(x2, 0)))
    return subtract(quotient, astype(below, dtype=x1.dtype))


def _floored(x1: Value, x2: Value) -> Value:
    # The quotient itself may round up to the next integer: only what is left after the exact rest is divided.
    rest = fmod(x1, x2)
    other_side = logical_and(not_equal(rest, 0.0), logical_xor(less(rest, 0.0), less(x2, 0.0)))
    whole = divide(subtract(x1, rest), x2)
    whole = where(other_side, subtract(whole, 1.0), whole)
    rounded_down = floor(whole)
    rounded = where(greater(subtract(whole, rounded_down), 0.5), add(rounded_down, 1.0), rounded_down)
    return where(equal(x2, 0.0), divide(x1, x2), rounded)


@TABLE.rule("remainder", when=real)
def _(x1: Value, x2: Value) -> Value:
    if x1.dtype in WIDER:
        wide = remainder(astype(x1, dtype=WIDER[x1.dtype]), astype(x2, dtype=WIDER[x1.dtype]))
        return astype(wide, dtype=x1.dtype)
    rest = fmod(x1, x2)
    other_side = logical_and(not_equal(rest, 0.0), logical_xor(less(rest, 0.0), less(x2, 0.0)))
    return where(other_side, add(rest, x2), rest)


@TABLE.rule("pow", when=integral)
def _(x1: Value, x2: Value) -> Value:
    exponent = literal(x2)
    if exponent is not None and 0 <= exponent <= 64:
        return _fixed_power(x1, int(exponent))
    raised = _loop_power(x1, maximum(x2, 0) if x2.dtype.is_signed else x2)
    if not x2.dtype.is_signed:
        return raised
    odd = not_equal(remainder(x2, 2), 0)
    return where(less(x2, 0), _unit_power(x1, odd), raised)


def _unit_power(x: Value, odd: Value) -> Value:
    """A negative power of an integer: 1 of 1, 1 or -1 of -1, and 0 of the rest."""
    alternating = subtract(1, multiply(astype(odd, dtype=x.dtype), 2))
    one = astype(equal(x, 1), dtype=x.dtype)
    return add(one, multiply(astype(equal(x, -1), dtype=x.dtype), alternating))


def _fixed_power(x: Value, exponent: int) -> Value:
    if exponent == 0:
        return astype(equal(x, x), dtype=x.dtype)
    result: Value | None = None
    while exponent:
        if exponent & 1:
            result = x if result is None else multiply(result, x)
        exponent >>= 1
        x = multiply(x, x) if exponent else x
    return x if result is None else result


def _loop_power(base: Value, exponent: Value) -> Value:
    """Square and multiply, for as long as an exponent has bits: exact in the wrapping arithmetic of the type."""
    common = add(multiply(base, 0), multiply(exponent, 0))
    start = add(common, 1), add(common, base), add(common, exponent)
    before = [placeholder(name, value.type) for name, value in zip(("result", "base", "left"), start, strict=True)]
    result, square, left = before
    odd = astype(not_equal(remainder(left, 2), 0), dtype=base.dtype)
    factor = add(multiply(odd, square), subtract(1, odd))
    body = Graph(tuple(before), (multiply(result, factor), multiply(square, square), truncated_divide(left, 2)))
    test_inputs = tuple(placeholder(value.node.attrs["name"], value.type) for value in before)
    test = Graph(test_inputs, (any_(greater(test_inputs[2], 0)),))
    return while_loop(*start, cond=test, body=body, cond_consts=0, body_consts=0)[0]


@TABLE.rule("bitwise_left_shift", when=lambda node: node.types[0].dtype.is_signed)
def _(x1: Value, x2: Value) -> Value:
    unsigned = DType(f"u{x1.dtype.value}")
    shifted = bitwise_left_shift(astype(x1, dtype=unsigned), astype(x2, dtype=unsigned))
    return astype(shifted, dtype=x1.dtype)


@TABLE.rule("bitwise_right_shift", when=lambda node: node.types[0].dtype.is_signed)
def _(x1: Value, x2: Value) -> Value:
    # ~(~x >> n) copies the sign bit, and ~x of a negative number is not negative.
    unsigned = DType(f"u{x1.dtype.value}")
    below = less(x1, 0)
    size = where(below, subtract(-1, x1), x1)
    shifted = bitwise_right_shift(astype(size, dtype=unsigned), astype(x2, dtype=unsigned))
    shifted = astype(shifted, dtype=x1.dtype)
    return where(below, subtract(-1, shifted), shifted)


@TABLE.rule("bitwise_invert", when=lambda node: target() < 18)
def _(x: Value) -> Value:
    return subtract(-1 if x.dtype.is_signed else 2**x.dtype.bits - 1, x)


@TABLE.rule("sign", when=lambda node: node.types[0].dtype is DType.FLOAT16)
def _(x: Value) -> Value:
    return narrowed(sign(widened(x)), x.dtype)


@TABLE.rule("log1p", when=_floats)
def _(x: Value) -> Value:
    """Kahan's: the rounding of 1 + x is undone by dividing by what it became."""
    wide = widened(x)
    total = add(wide, 1.0)
    scaled = multiply(log(total), divide(wide, subtract(total, 1.0)))
    exact = logical_or(equal(total, 1.0), equal(total, math.inf))
    return narrowed(where(exact, wide, scaled), x.dtype)


@TABLE.rule("expm1", when=_floats)
def _(x: Value) -> Value:
    """Kahan's: the error of exp(x) is the same in its logarithm, and cancels."""
    wide = widened(x)
    power = exp(wide)
    less_one = subtract(power, 1.0)
    scaled = multiply(less_one, divide(wide, log(power)))
    plain = logical_or(equal(less_one, -1.0), equal(power, math.inf))
    return narrowed(where(equal(power, 1.0), wide, where(plain, less_one, scaled)), x.dtype)


@TABLE.rule("log2", when=_floats)
def _(x: Value) -> Value:
    wide = widened(x)
    return narrowed(divide(log(wide), LOG2), x.dtype)


@TABLE.rule("log10", when=_floats)
def _(x: Value) -> Value:
    wide = widened(x)
    return narrowed(divide(log(wide), LOG10), x.dtype)


def has_sign(x: Value) -> Value:
    """Whether the sign bit is set, that of -0.0 too; below opset 26 that of a NaN is not seen."""
    if target() >= 26:
        bits = {16: DType.INT16, 32: DType.INT32, 64: DType.INT64}[x.dtype.bits]
        return less(bitcast(x, dtype=bits), 0)
    return logical_or(less(x, 0.0), logical_and(equal(x, 0.0), less(divide(1.0, x), 0.0)))


@TABLE.rule("copysign")
def _(x1: Value, x2: Value) -> Value:
    size = abs_(x1)
    return where(has_sign(x2), negative(size), size)


@TABLE.rule("atan2")
def _(x1: Value, x2: Value) -> Value:
    """The angle in the first octant, then mirrored at the diagonal and at the axes."""
    y, x = abs_(widened(x1)), abs_(widened(x2))
    large, small = maximum(y, x), minimum(y, x)
    undefined = logical_or(equal(large, 0.0), equal(small, math.inf))
    octant = atan(where(undefined, astype(equal(large, math.inf), dtype=y.dtype), divide(small, large)))
    quadrant = where(greater(y, x), subtract(math.pi / 2, octant), octant)
    angle = where(has_sign(widened(x2)), subtract(math.pi, quadrant), quadrant)
    return narrowed(copysign(angle, widened(x1)), x1.dtype)
