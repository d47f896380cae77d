"""Ops whose results have a size that only the data decides: nonzero, unique.

The size is a symbol, and its name is the attribute `count`, filled in when the node is emitted: types inferred again
(another dtype, another file) speak of the same symbol, and so do the attributes of other nodes that mention it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import DimExpr, symbol
from kxchange.fresh import fresh_symbol
from kxchange.spec import REGISTRY, Op, Tensor
from kxchange.types import DType, TensorType

P = ParamSpec("P")
Array = NDArray[Any]


class DataSizedOp(Op[P]):
    """An op that names its own result size on emission."""

    def bind_attrs(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes with a fresh name for an unnamed `count`."""
        bound = super().bind_attrs(attrs)
        return {**bound, "count": bound["count"] or fresh_symbol(self.name)}


def data_sized(reference: Callable[P, Any]) -> DataSizedOp[P]:
    """Declare an op with a `count` attribute; see `DataSizedOp`."""
    spec = DataSizedOp(reference, alike=None, widen=True, differentiable=False)
    if spec.name in REGISTRY:
        raise ValueError(f"op {spec.name!r} is declared twice")
    REGISTRY[spec.name] = spec
    return spec


@data_sized
def nonzero(x: Tensor, /, *, count: str = "") -> Tensor:
    """Positions of the elements that are not zero, in row-major order (trap X08: one row per element).

    Args:
        x: Any tensor; NaN is not zero.
        count: Name of the symbol for the number of rows; a fresh one where empty.

    Returns:
        int64 [count, x.ndim].
    """
    return np.argwhere(x != 0).astype(np.int64)


@nonzero.infer
def _(x: TensorType, /, *, count: str) -> TensorType:
    return TensorType(DType.INT64, (_size(count, "nonzero"), x.rank))


def _size(count: str, prefix: str) -> DimExpr:
    return symbol(count or fresh_symbol(prefix))


@data_sized
def unique(x: Tensor, /, *, count: str = "") -> tuple[Tensor, Tensor, Tensor]:
    """The distinct elements in rising order (trap X07), where they were, and how often.

    Every NaN counts as distinct (array API); NaNs come last.

    Args:
        x: Any tensor, read in row-major order.
        count: Name of the symbol for the number of distinct elements; a fresh one where empty.

    Returns:
        values [count], dtype of x; inverse, int64 of the shape of x, with ``values[inverse] == x``; counts, int64
        [count].
    """
    flat: Array = x.reshape(-1)
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    first: Array = np.ones(flat.shape, dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    inverse: Array = np.empty(flat.shape, dtype=np.int64)
    inverse[order] = np.cumsum(first) - 1
    counts = np.diff(np.append(np.flatnonzero(first), flat.size))
    return ordered[first], inverse.reshape(np.shape(x)), counts.astype(np.int64)


@unique.infer
def _(x: TensorType, /, *, count: str) -> tuple[TensorType, ...]:
    size = _size(count, "unique")
    counts = TensorType(DType.INT64, (size,))
    return x.with_shape((size,)), x.with_dtype(DType.INT64), counts
