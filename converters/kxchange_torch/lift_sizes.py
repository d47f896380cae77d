"""Arithmetic on sizes: it dissolves into dims, and never becomes a node unless a tensor uses the number."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr, dim_max, dim_min
from kxchange.graph import Value
from kxchange.reshaping import product
from kxchange.types import DType
from kxchange_torch.lift import SCOPE, Number, lift, refuse

_INTEGER: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "floordiv": operator.floordiv, "mod": operator.mod,
}  # fmt: skip
_TENSOR = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
}


def _integer(name: str) -> Callable[[Any, Any], Any]:
    def rule(left: Any, right: Any) -> Any:
        if isinstance(left, Number | float) or isinstance(right, Number | float):
            return _on_numbers(name, left, right)
        return _INTEGER[name](left, right)

    return rule


for _name in _INTEGER:
    lift.rule(f"operator.{_name}")(_integer(_name))


def _on_numbers(name: str, left: Any, right: Any) -> Any:
    """Arithmetic in which a number is known to the data only, or is no integer."""
    if not any(isinstance(x, Number | DimExpr) for x in (left, right)):
        return getattr(operator, name)(left, right)
    whole = all(_kind(x) is int for x in (left, right))
    dtype = DType.INT64 if whole else DType.FLOAT64
    value = getattr(ops, _TENSOR[name])(number_tensor(left, dtype), number_tensor(right, dtype))
    return Number(value, int if whole else float)


def _kind(number: Any) -> type:
    if isinstance(number, Number):
        return number.kind
    return int if isinstance(number, DimExpr) else type(number)


def number_tensor(number: Any, dtype: DType) -> Value:
    """A number or a size as a rank-0 tensor."""
    if isinstance(number, Number):
        return number.value if number.value.dtype is dtype else ops.astype(number.value, dtype=dtype)
    return ops.full(shape=(), value=number, dtype=dtype)


@lift.rule("operator.pow", "torch.sym_pow")
def _(base: Any, exponent: Any) -> Any:
    if isinstance(base, DimExpr) and isinstance(exponent, int) and exponent >= 0:
        return product([base] * exponent)
    return _on_numbers("pow", base, exponent)


@lift.rule("operator.neg")
def _(number: Any) -> Any:
    return _on_numbers("sub", 0, number) if isinstance(number, Number) else -number


@lift.rule("operator.pos", "torch.sym_int")
def _(number: Any) -> Any:
    return _rounded(number, up=False) if isinstance(number, Number) else number


@lift.rule("operator.truediv")
def _(numerator: Any, denominator: Any) -> Any:
    if not any(isinstance(x, Number | DimExpr) for x in (numerator, denominator)):
        return numerator / denominator
    value = ops.divide(number_tensor(numerator, DType.FLOAT64), number_tensor(denominator, DType.FLOAT64))
    sizes = all(isinstance(x, int | DimExpr) for x in (numerator, denominator))
    return Number(value, float, (numerator, denominator) if sizes else None)


@lift.rule("torch.sym_float")
def _(number: Any) -> Any:
    if isinstance(number, Number):
        return Number(number_tensor(number, DType.FLOAT64), float)
    if isinstance(number, DimExpr):
        return Number(number_tensor(number, DType.FLOAT64), float, (number, 1))
    return float(number)


def _rounded(number: Any, *, up: bool) -> Any:
    if not isinstance(number, Number):
        return number if isinstance(number, DimExpr) else (math.ceil if up else math.floor)(number)
    if number.quotient is None:
        return refuse("a size is computed in floats; use integer arithmetic (//) on sizes")
    numerator, denominator = number.quotient
    return -(-numerator // denominator) if up else numerator // denominator


@lift.rule("math.ceil", "torch.sym_ceil")
def _(number: Any) -> Any:
    return _rounded(number, up=True)


@lift.rule("math.floor", "torch.sym_floor", "math.trunc", "torch._trunc")
def _(number: Any) -> Any:
    return _rounded(number, up=False)


def _root(number: Any) -> Any:
    return Number(ops.sqrt(number_tensor(number, DType.FLOAT64)), float)


lift.rule("torch._sym_sqrt", "math.sqrt", "torch.sym_sqrt")(_root)


@lift.rule("torch.sym_max")
def _(left: Dim, right: Dim) -> Dim:
    return dim_max(left, right)


@lift.rule("torch.sym_min")
def _(left: Dim, right: Dim) -> Dim:
    return dim_min(left, right)


@lift.rule("aten.sym_size.int")
def _(x: Value, axis: int) -> Dim:
    return x.shape[axis]


@lift.rule("aten.sym_size.default", "aten.size.default")
def _(x: Value) -> tuple[Dim, ...]:
    return x.shape


@lift.rule("aten.sym_numel.default", "aten.numel.default")
def _(x: Value) -> Dim:
    return product(x.shape)


@lift.rule("aten.sym_stride.int")
def _(x: Value, axis: int) -> Dim:
    return product(x.shape[axis % x.ndim + 1 :])


@lift.rule("aten.sym_storage_offset.default")
def _(_x: Value) -> int:
    return 0


@lift.rule("aten.item.default", "aten._local_scalar_dense.default")
def _(x: Value) -> Any:
    value = ops.reshape(x, shape=()) if x.ndim else x
    kind = bool if x.dtype.is_bool else int if x.dtype.is_integer else float
    return Number(value, kind)


_COMPARISON = {
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal",
    "and_": "logical_and", "or_": "logical_or",
}  # fmt: skip


def _comparison(name: str) -> Callable[[Any, Any], Any]:
    """A condition on sizes: the predicate of a `cond`, or an assertion that nothing reads."""

    def rule(left: Any, right: Any) -> Any:
        if not any(isinstance(x, Number | DimExpr) for x in (left, right)):
            return getattr(operator, name)(left, right)
        if name in ("and_", "or_"):
            dtype = DType.BOOL
        else:
            dtype = DType.INT64 if all(_kind(x) is int for x in (left, right)) else DType.FLOAT64
        return Number(getattr(ops, _COMPARISON[name])(number_tensor(left, dtype), number_tensor(right, dtype)), bool)

    return rule


for _name in _COMPARISON:
    lift.rule(f"operator.{_name}")(_comparison(_name))


@lift.rule("torch.sym_not")
def _(condition: Any) -> Any:
    return Number(ops.logical_not(condition.value), bool) if isinstance(condition, Number) else not condition


@lift.rule("torch.sym_ite")
def _(condition: Any, chosen: Any, other: Any) -> Any:
    if not isinstance(condition, Number):
        return chosen if condition else other
    return refuse("a size that depends on a condition has no form as a dim; use torch.cond on tensors")


_ASSERTIONS = """_assert_scalar.default _assert_async.default _assert_async.msg _assert_tensor_metadata.default
sym_constrain_range.default sym_constrain_range_for_size.default _functional_assert_scalar.default _print.default
_functional_assert_async.msg _functional_sym_constrain_range.default _functional_sym_constrain_range_for_size.default"""


@lift.rule("torch._check", *(f"aten.{name}" for name in _ASSERTIONS.split()))
def _(*_args: Any) -> None:
    return None


@lift.rule("wrap_with_set_grad_enabled")
def _(_enabled: bool, body: Any, *args: Any) -> Any:
    return SCOPE.lifter.inline(body, args)


@lift.rule("wrap_with_autocast")
def _(_device: str, _dtype: Any, _enabled: bool, _cache: Any, body: Any, *args: Any) -> Any:
    return SCOPE.lifter.inline(body, args)


@lift.rule("invoke_subgraph")
def _(body: Any, _name: str, *args: Any) -> Any:
    return SCOPE.lifter.inline(body, args)
