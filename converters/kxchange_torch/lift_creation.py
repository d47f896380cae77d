"""Tensors from nothing: fills, ranges, identity matrices, triangles of indices."""

from __future__ import annotations

import math
from typing import Any

from kxchange import ops
from kxchange.dims import Dim, DimExpr
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_torch.lift import Number, lift, refuse
from kxchange_torch.lift_promotion import as_number, cast, default_float

Shape = tuple[Dim, ...]


def full(shape: Shape, value: Any, dtype: DType) -> Value:
    """A fill; a number known to the data only is broadcast."""
    if isinstance(value, Number):
        value = value.value
    if isinstance(value, Value):
        return ops.broadcast_to(cast(value, dtype), shape=shape) if shape else cast(value, dtype)
    return ops.full(shape=shape, value=value if isinstance(value, DimExpr) else as_number(value, dtype), dtype=dtype)


def dtype_of_number(value: Any) -> DType:
    """The dtype torch gives a tensor made of this number."""
    kind = value.kind if isinstance(value, Number) else int if isinstance(value, DimExpr) else type(value)
    if kind is complex:
        return DType.COMPLEX64
    return {bool: DType.BOOL, int: DType.INT64}.get(kind) or default_float()


@lift.rule("aten.full.default")
def _(shape: Shape, value: Any, dtype: DType | None) -> Value:
    return full(shape, value, dtype or dtype_of_number(value))


@lift.rule("aten.full_like.default")
def _(x: Value, value: Any, dtype: DType | None) -> Value:
    return full(x.shape, value, dtype or x.dtype)


@lift.rule("aten.new_full.default")
def _(x: Value, shape: Shape, value: Any, dtype: DType | None) -> Value:
    return full(shape, value, dtype or x.dtype)


@lift.rule("aten.fill.Scalar", "aten.fill.Tensor")
def _(x: Value, value: Any) -> Value:
    return full(x.shape, value, x.dtype)


@lift.rule("aten.zero.default")
def _(x: Value) -> Value:
    return full(x.shape, 0, x.dtype)


@lift.rule("aten.zeros.default", "aten.empty.memory_format", "aten.empty.default")
def _(shape: Shape, dtype: DType | None) -> Value:
    """What `empty` holds is undefined; zeros are one of its values."""
    return full(shape, 0, dtype or default_float())


@lift.rule("aten.ones.default")
def _(shape: Shape, dtype: DType | None) -> Value:
    return full(shape, 1, dtype or default_float())


@lift.rule("aten.zeros_like.default", "aten.empty_like.default")
def _(x: Value, dtype: DType | None) -> Value:
    return full(x.shape, 0, dtype or x.dtype)


@lift.rule("aten.ones_like.default")
def _(x: Value, dtype: DType | None) -> Value:
    return full(x.shape, 1, dtype or x.dtype)


@lift.rule("aten.new_zeros.default", "aten.new_empty.default")
def _(x: Value, shape: Shape, dtype: DType | None) -> Value:
    return full(shape, 0, dtype or x.dtype)


@lift.rule("aten.new_ones.default")
def _(x: Value, shape: Shape, dtype: DType | None) -> Value:
    return full(shape, 1, dtype or x.dtype)


@lift.rule("aten.new_empty_strided.default")
def _(x: Value, shape: Shape, _strides: Shape, dtype: DType | None) -> Value:
    return full(shape, 0, dtype or x.dtype)


@lift.rule("aten.empty_strided.default")
def _(shape: Shape, _strides: Shape, dtype: DType | None) -> Value:
    return full(shape, 0, dtype or default_float())


@lift.rule("aten.empty_permuted.default")
def _(shape: Shape, _layout: Any, dtype: DType | None) -> Value:
    return full(shape, 0, dtype or default_float())


@lift.rule("aten.scalar_tensor.default")
def _(value: Any, dtype: DType | None) -> Value:
    return full((), value, dtype or default_float())


def arange(start: Any, stop: Any, step: Any, dtype: DType | None) -> Value:
    """``start, start+step, ...`` below `stop`; on sizes, too."""
    numbers = (start, stop, step)
    if any(isinstance(number, Number) for number in numbers):
        return refuse("the length of a range depends on data; derive it from a tensor's shape")
    if dtype is None:
        dtype = default_float() if any(isinstance(number, float) for number in numbers) else DType.INT64
    if dtype.is_floating and all(isinstance(number, int | DimExpr) for number in numbers):
        return ops.astype(arange(start, stop, step, DType.INT64), dtype=dtype)
    if isinstance(step, DimExpr) and not any(isinstance(number, float) for number in numbers):
        count = -(-(stop - start) // step)
        steps = ops.arange(start=0, stop=count, step=1, dtype=DType.INT64)
        return cast(ops.add(ops.multiply(steps, step), start), dtype)
    if not dtype.is_floating:
        start, step = int(start) if isinstance(start, float) else start, int(step) if isinstance(step, float) else step
        stop = math.ceil(stop) if isinstance(stop, float) else stop
    return ops.arange(start=start, stop=stop, step=step, dtype=dtype)


@lift.rule("aten.arange.default")
def _(stop: Any, dtype: DType | None) -> Value:
    return arange(0, stop, 1, dtype)


@lift.rule("aten.arange.start")
def _(start: Any, stop: Any, dtype: DType | None) -> Value:
    return arange(start, stop, 1, dtype)


@lift.rule("aten.arange.start_step")
def _(start: Any, stop: Any, step: Any, dtype: DType | None) -> Value:
    return arange(start, stop, step, dtype)


@lift.rule("prims.iota.default")
def _(length: Dim, start: Dim, step: Dim, dtype: DType) -> Value:
    return arange(start, start + length * step, step, dtype)


@lift.rule("aten.linspace.default")
def _(start: Any, stop: Any, steps: Dim, dtype: DType | None) -> Value:
    """Torch counts from the nearer end, so that both ends are exact."""
    dtype = dtype or default_float()
    wide = dtype if dtype.is_floating else DType.FLOAT64
    if isinstance(steps, int) and steps == 1:
        return full((1,), start, dtype)
    index = ops.astype(ops.arange(start=0, stop=steps, step=1, dtype=DType.INT64), dtype=wide)
    count = full((), steps - 1, wide)
    step = ops.divide(ops.subtract(full((), stop, wide), full((), start, wide)), count)
    front = ops.add(ops.multiply(index, step), full((), start, wide))
    back = ops.subtract(full((), stop, wide), ops.multiply(ops.subtract(count, index), step))
    middle = full((), steps // 2, wide)
    return cast(ops.where(ops.less(index, middle), front, back), dtype)


@lift.rule("aten.eye.default")
def _(n: Dim, dtype: DType | None) -> Value:
    return ops.eye(rows=n, columns=n, dtype=dtype or default_float())


@lift.rule("aten.eye.m")
def _(n: Dim, m: Dim, dtype: DType | None) -> Value:
    return ops.eye(rows=n, columns=m, dtype=dtype or default_float())


def _triangle(rows: int, columns: int, offset: int, dtype: Any, lower: bool) -> Value:
    from numpy import stack, tril_indices, triu_indices

    from kxchange.constant import Constant

    pick = tril_indices if lower else triu_indices
    known = dtype if isinstance(dtype, DType) else DType.INT64  # the schema's default is a number
    indices = stack(pick(rows, offset, columns)).astype(known.numpy)
    return ops.constant(value=Constant(indices))


@lift.rule("aten.tril_indices.default")
def _(rows: int, columns: int, offset: int, dtype: DType | None) -> Value:
    return _triangle(rows, columns, offset, dtype, True)


@lift.rule("aten.triu_indices.default")
def _(rows: int, columns: int, offset: int, dtype: DType | None) -> Value:
    return _triangle(rows, columns, offset, dtype, False)


_RANDOM = """bernoulli rand rand_like randn randn_like randint randint_like randperm normal multinomial uniform poisson
exponential geometric cauchy log_normal random rrelu_with_noise normal_functional"""
_OVERLOADS = """default low Tensor p float_Tensor low_dtype low_dtype_out Tensor_float Tensor_Tensor float_float
functional from to"""


@lift.rule(*(f"aten.{name}.{overload}" for name in _RANDOM.split() for overload in _OVERLOADS.split()))
def _(*_args: Any) -> Value:
    return refuse("it draws random numbers, so two runs differ; pass the noise as an input")
