"""Lowering of elementwise ops."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

from kxchange.types import DType
from kxchange_torch.dtypes import torch_dtype
from kxchange_torch.lowering import is_number, model_dtype, output_type
from kxchange_torch.rules import Rules

Tensor = Any
"""A tensor, or the proxy that stands for one."""

E4M3FN_END = 464.0
"""Half a step above the greatest float8_e4m3fn, which a tie still rounds to: beyond it there is only NaN."""

INT64_END = 2**63 - 1

lower = Rules()
lower.direct(
    abs=torch.abs,
    acos=torch.acos,
    acosh=torch.acosh,
    asin=torch.asin,
    asinh=torch.asinh,
    atan=torch.atan,
    atanh=torch.atanh,
    ceil=torch.ceil,
    cos=torch.cos,
    cosh=torch.cosh,
    digamma=torch.digamma,
    erf=torch.erf,
    erfc=torch.erfc,
    erfinv=torch.erfinv,
    exp=torch.exp,
    expm1=torch.expm1,
    floor=torch.floor,
    lgamma=torch.lgamma,
    log=torch.log,
    log10=torch.log10,
    log1p=torch.log1p,
    log2=torch.log2,
    negative=torch.neg,
    reciprocal=torch.reciprocal,
    round=torch.round,
    rsqrt=torch.rsqrt,
    sin=torch.sin,
    sinh=torch.sinh,
    sqrt=torch.sqrt,
    square=torch.square,
    tan=torch.tan,
    tanh=torch.tanh,
    trunc=torch.trunc,
    isfinite=torch.isfinite,
    isinf=torch.isinf,
    isnan=torch.isnan,
    logical_not=torch.logical_not,
    bitwise_invert=torch.bitwise_not,
    atan2=torch.atan2,
    copysign=torch.copysign,
    hypot=torch.hypot,
    logaddexp=torch.logaddexp,
    maximum=torch.maximum,
    minimum=torch.minimum,
)
lower.numbers(
    add=operator.add,
    subtract=operator.sub,
    multiply=operator.mul,
    divide=operator.truediv,
    equal=operator.eq,
    not_equal=operator.ne,
    less=operator.lt,
    less_equal=operator.le,
    greater=operator.gt,
    greater_equal=operator.ge,
    logical_and=operator.and_,
    logical_or=operator.or_,
    logical_xor=operator.xor,
    bitwise_and=operator.and_,
    bitwise_or=operator.or_,
    bitwise_xor=operator.xor,
    bitwise_left_shift=operator.lshift,
)
lower.numbers(1, 2, where=torch.where)


@lower.takes_numbers("bitwise_right_shift", 1)
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if output_type().dtype is not DType.UINT64:
        return x1 >> x2
    # int64 computes for it: the first step brings a zero in at the top, and the rest is the same for both.
    if is_number(x2):
        return ((x1 >> 1) & INT64_END) >> (x2 - 1) if x2 else x1
    return torch.where(x2 == 0, x1, ((x1 >> 1) & INT64_END) >> torch.clamp(x2 - 1, min=0))


@lower.rule("sign")
def _(x: Tensor) -> Tensor:
    if not x.dtype.is_floating_point:
        return torch.sgn(x)
    return torch.where(torch.isnan(x), x, torch.sign(x))  # torch gives 0 for NaN (trap A10)


def _integer_division(function: Callable[[Tensor, Tensor], Tensor], by_minus_one: Callable[[Tensor], Any]) -> Any:
    """Division that never traps: torch raises on an integer 0, and the CPU on the least integer by -1."""

    def rule(x1: Tensor, x2: Tensor) -> Tensor:
        dtype = (x2 if is_number(x1) else x1).dtype
        if isinstance(x2, int) and x2 in (0, -1):
            return by_minus_one(x1) if x2 else torch.zeros_like(x1)
        if dtype.is_floating_point or is_number(x2):  # a size is neither 0 nor -1 where there is anything to divide
            return function(x1, x2)
        zero: Any = x2 == 0
        if not dtype.is_signed:
            return torch.where(zero, 0, function(x1, torch.where(zero, 1, x2)))
        minus_one: Any = x2 == -1
        quotient = function(x1, torch.where(zero | minus_one, 1, x2))
        return torch.where(zero, 0, torch.where(minus_one, by_minus_one(x1), quotient))

    return rule


def _truncated(x1: Tensor, x2: Tensor) -> Tensor:
    return torch.div(x1, x2, rounding_mode="trunc")


def _negated(x: Tensor) -> Any:
    return -x


def _nothing(x: Tensor) -> Any:
    return 0 if is_number(x) else torch.zeros_like(x)


lower.takes_numbers("floor_divide")(_integer_division(operator.floordiv, _negated))
lower.takes_numbers("remainder")(_integer_division(operator.mod, _nothing))
lower.takes_numbers("truncated_divide", 1)(_integer_division(_truncated, _negated))
lower.takes_numbers("fmod", 1)(_integer_division(torch.fmod, _nothing))


@lower.takes_numbers("pow")
def _(x1: Tensor, x2: Tensor) -> Tensor:
    if isinstance(x2, int) and x2 < 0:  # torch refuses a negative integer exponent unless it is a tensor
        return torch.pow(x1, x1.new_full((), x2))
    return torch.pow(x1, x2)


@lower.takes_numbers("clip", 1, 2)
def _(x: Tensor, min: Tensor | None, max: Tensor | None) -> Tensor:
    if min is None and max is None:
        return x
    numbers = [is_number(bound) for bound in (min, max) if bound is not None]
    if any(numbers) and not all(numbers):
        min, max = (x.new_full((), bound) if is_number(bound) else bound for bound in (min, max))
    return torch.clamp(x, min, max)


@lower.rule("astype")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    if x.dtype == torch_dtype(dtype):
        return x
    if dtype is DType.FLOAT8_E4M3FN and not x.dtype.is_complex:  # torch gives the greatest value for infinities
        wide = x if x.dtype.is_floating_point and x.dtype.itemsize > 1 else x.to(torch.float32)
        x = torch.where(torch.abs(wide) > E4M3FN_END, torch.nan, wide)
    return x.to(model_dtype(dtype))


@lower.rule("bitcast")
def _(x: Tensor, *, dtype: DType) -> Tensor:
    return x.view(torch_dtype(dtype))
