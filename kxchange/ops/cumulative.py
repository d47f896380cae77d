"""Running sums, products and extrema along one axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.ops.rules import is_numeric, is_real, require
from kxchange.shapes import normalize_axis
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

silent: Any = np.errstate(all="ignore")


@op
@silent
def cumulative_sum(x: Tensor, /, *, axis: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Sum of the elements up to each position along an axis.

    Args:
        x: The data; floats are accumulated in float64 and rounded once (trap P03), integers keep their dtype and wrap.
        axis: Axis to run along.
        exclusive: Whether to leave out the element at the position itself: the first result is 0.
        reverse: Whether to run from the end.
    """
    return _scan(np.add, x, axis, 0 if exclusive else None, reverse)


@op
@silent
def cumulative_prod(x: Tensor, /, *, axis: int, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Product of the elements up to each position along an axis.

    Args:
        x: The data; floats are accumulated in float64 and rounded once, integers keep their dtype and wrap.
        axis: Axis to run along.
        exclusive: Whether to leave out the element at the position itself: the first result is 1.
        reverse: Whether to run from the end.
    """
    return _scan(np.multiply, x, axis, 1 if exclusive else None, reverse)


@op
def cumulative_max(x: Tensor, /, *, axis: int) -> Tensor:
    """Largest element up to each position along an axis; NaN from the first NaN on."""
    return np.maximum.accumulate(x, axis=axis)


@op
def cumulative_min(x: Tensor, /, *, axis: int) -> Tensor:
    """Smallest element up to each position along an axis; NaN from the first NaN on."""
    return np.minimum.accumulate(x, axis=axis)


def _scan(combine: np.ufunc, x: NDArray[Any], axis: int, initial: int | None, reverse: bool) -> NDArray[Any]:
    wide = x.astype(np.result_type(x.dtype, np.float64)) if x.dtype.kind in "fc" else x
    along = np.moveaxis(wide, axis, 0)
    along = along[::-1] if reverse else along
    if initial is not None:
        along = np.concatenate([np.full_like(along[:1], initial), along[:-1]])
    result = combine.accumulate(along, axis=0, dtype=along.dtype)
    return np.moveaxis(result[::-1] if reverse else result, 0, axis).astype(x.dtype)


def _running(x: TensorType, *, axis: int, exclusive: bool, reverse: bool) -> TensorType:
    require(x, is_numeric, "integer, floating and complex")
    normalize_axis(axis, x.rank)
    return x


def _extreme(x: TensorType, *, axis: int) -> TensorType:
    require(x, is_real, "integer and floating")
    normalize_axis(axis, x.rank)
    return x


cumulative_sum.infer(_running)
cumulative_prod.infer(_running)
cumulative_max.infer(_extreme)
cumulative_min.infer(_extreme)
