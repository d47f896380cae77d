"""Tensors made from attributes alone."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np

from kxchange.constant import Constant
from kxchange.dims import Dim, DimExpr, compare_ge, dim_max
from kxchange.errors import TypeInferenceError
from kxchange.spec import Scalar, Tensor, op
from kxchange.types import DType, TensorType


@op
@np.errstate(all="ignore")
def full(*, shape: tuple[Dim, ...], value: Scalar, dtype: DType) -> Tensor:
    """A tensor of one value.

    Args:
        shape: Shape of the result; dims may be symbolic.
        value: A Python number, kept at full precision, or a dim: a size used as data.
        dtype: Element type; a float beyond its range is infinite (trap D10).
    """
    return np.full(cast("tuple[int, ...]", shape), np.asarray(value).astype(dtype.numpy))


@full.infer
def _(*, shape: tuple[Dim, ...], value: Scalar, dtype: DType) -> TensorType:
    if isinstance(value, DimExpr):
        if dtype.is_bool:
            raise TypeInferenceError(f"the size {value} is not a bool. Compare it with a number first.")
    else:
        _check_representable(value, dtype)
    return TensorType(dtype, shape)


def _check_representable(value: complex, dtype: DType) -> None:
    """Refuse a number that the dtype would change beyond rounding."""
    if isinstance(value, complex) and not dtype.is_complex:
        raise TypeInferenceError(f"the complex number {value} has no one value in {dtype.value}.")
    if dtype.is_bool and value not in (0, 1):
        raise TypeInferenceError(f"{value!r} is not a bool.")
    if dtype.is_integer and not _fits(cast("float", value), dtype):
        raise TypeInferenceError(f"{value!r} does not fit {dtype.value}. Take a wider dtype or cast the tensor first.")


def _fits(value: float, dtype: DType) -> bool:
    if not math.isfinite(value) or value != int(value):
        return False
    low = -(1 << (dtype.bits - 1)) if dtype.is_signed else 0
    return low <= value < low + (1 << dtype.bits)


@op
def arange(*, start: Dim | float, stop: Dim | float, step: Dim | float = 1, dtype: DType) -> Tensor:
    """start, start + step, ... up to but without stop; 1-D of ceil((stop - start) / step) elements, at least 0.

    Args:
        start: First value: a number or a dim.
        stop: Where it ends.
        step: Difference of neighbours, not 0; a number.
        dtype: Element type. Values are computed in Python's precision and rounded once (trap R15).
    """
    count = cast("int", _count(start, stop, step))
    exact = np.float64 if any(isinstance(value, float) for value in (start, step)) else np.int64
    return (np.arange(count, dtype=exact) * cast("Any", step) + cast("Any", start)).astype(dtype.numpy)


@arange.infer
def _(*, start: Dim | float, stop: Dim | float, step: Dim | float, dtype: DType) -> TensorType:
    if not dtype.is_integer and not dtype.is_floating:
        raise TypeInferenceError(f"integer and floating dtypes are taken, not {dtype.value}.")
    count = _count(start, stop, step)
    floats = [value for value in (start, stop, step) if isinstance(value, float)]
    if floats and dtype.is_integer:
        raise TypeInferenceError(f"{floats[0]!r} is not an integer, as {dtype.value} needs. Cast the result instead.")
    return TensorType(dtype, (count,))


def _count(start: Dim | float, stop: Dim | float, step: Dim | float) -> Dim:
    if isinstance(step, DimExpr) or step == 0:
        raise TypeInferenceError(f"the step must be a number other than 0, not {step}.")
    if any(isinstance(value, float) for value in (start, stop, step)):
        if isinstance(start, DimExpr) or isinstance(stop, DimExpr):
            raise TypeInferenceError(f"the length from {start} to {stop} by {step} mixes sizes and floats.")
        return max(0, math.ceil((stop - start) / step))
    distance, stride = cast("Dim", stop) - cast("Dim", start), int(step)
    count: Dim = -(-distance // stride) if stride > 0 else -(distance // -stride)
    return count if compare_ge(count, 0, {}) else dim_max(count, 0)


@op
def eye(*, rows: Dim, columns: Dim | None = None, offset: int = 0, dtype: DType) -> Tensor:
    """A [rows, columns] matrix with ones on a diagonal and zeros elsewhere.

    Args:
        rows: Number of rows.
        columns: Number of columns; None for as many as rows.
        offset: Which diagonal: above the main one if positive, below if negative.
        dtype: Element type.
    """
    height, width = cast("int", rows), cast("int", rows if columns is None else columns)
    return np.eye(height, width, offset).astype(dtype.numpy)


@eye.infer
def _(*, rows: Dim, columns: Dim | None, offset: int, dtype: DType) -> TensorType:
    return TensorType(dtype, (rows, rows if columns is None else columns))


@op
def constant(*, value: Constant) -> Tensor:
    """An array that is part of the graph and no parameter of the model."""
    return value.array


@constant.infer
def _(*, value: Constant) -> TensorType:
    return value.type
