"""Attributes and types of StableHLO operations as Python values: data only, by the bindings that ship with jaxlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from kxchange.errors import CaptureError
from kxchange.model import Array
from kxchange.types import DType
from kxchange_jax.private import dialect, ir

ELEMENTS = {
    "i1": DType.BOOL,
    "f16": DType.FLOAT16,
    "bf16": DType.BFLOAT16,
    "f32": DType.FLOAT32,
    "f64": DType.FLOAT64,
    **{f"i{bits}": DType(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"ui{bits}": DType(f"uint{bits}") for bits in (8, 16, 32, 64)},
}


@dataclass(frozen=True, slots=True)
class RankedType:
    """A tensor type of MLIR: None for a size that it leaves open."""

    dtype: DType
    shape: tuple[int | None, ...]

    @property
    def is_static(self) -> bool:
        """Whether every size is given."""
        return None not in self.shape


def type_of(type: Any) -> RankedType:
    """A tensor type.

    Raises:
        CaptureError: It is a token, a tuple, or has elements of an unknown type.
    """
    try:
        ranked = ir.RankedTensorType(type)
    except ValueError:
        raise CaptureError(f"a value of type {type} is no tensor of fixed rank") from None
    name = str(ranked.element_type)
    if name not in ELEMENTS:
        raise CaptureError(f"elements of type {name} are unknown here")
    sizes = [None if ranked.is_dynamic_dim(axis) else ranked.get_dim_size(axis) for axis in range(ranked.rank)]
    return RankedType(ELEMENTS[name], tuple(sizes))


def integers(op: Any, name: str, default: Sequence[int] | None = None) -> tuple[int, ...]:
    """An attribute that is a list of integers; without a default it must be there."""
    if name not in op.attributes:
        if default is None:
            raise CaptureError(f"it has no attribute {name}")
        return tuple(default)
    attribute = op.attributes[name]
    try:
        return tuple(int(item) for item in ir.DenseI64ArrayAttr(attribute))
    except ValueError:
        return tuple(int(item) for item in np.asarray(ir.DenseIntElementsAttr(attribute)).reshape(-1))


def integer(op: Any, name: str, default: int | None = None) -> int:
    """An attribute that is one integer."""
    if name not in op.attributes and default is not None:
        return default
    return int(ir.IntegerAttr(op.attributes[name]).value)


def text(op: Any, name: str) -> str:
    """A symbol or string attribute without its quotes."""
    attribute = op.attributes[name]
    kind = ir.FlatSymbolRefAttr if str(attribute).startswith("@") else ir.StringAttr
    return str(kind(attribute).value)


def keyword(op: Any, name: str) -> str:
    """The one word of an attribute such as ``#stablehlo<comparison_direction GE>``."""
    return str(op.attributes[name]).rstrip(">").split()[-1] if name in op.attributes else ""


def dense(op: Any) -> Array:
    """The elements of a constant.

    Raises:
        CaptureError: They are not of a type that NumPy has.
    """
    type = type_of(op.results[0].type)
    attribute = ir.DenseElementsAttr(op.attributes["value"])
    shape = tuple(size or 0 for size in type.shape)
    if type.dtype in (DType.BFLOAT16, DType.FLOAT16) and attribute.is_splat:
        number = ir.FloatAttr(attribute.get_splat_value()).value
        return np.full(shape, number, type.dtype.numpy)
    try:
        array = np.asarray(attribute)
    except (ValueError, TypeError, BufferError) as error:
        raise CaptureError(f"a constant of {type.dtype} elements cannot be read: {error}") from error
    if type.dtype is DType.BFLOAT16 and array.dtype.itemsize == 2:
        array = array.view(ml_dtypes.bfloat16)
    return np.array(array, type.dtype.numpy).reshape(shape)


def pads(op: Any, name: str, count: int) -> tuple[tuple[int, int], ...]:
    """Pairs of padding per axis; 0 where there is no attribute."""
    if name not in op.attributes:
        return ((0, 0),) * count
    rows = np.asarray(ir.DenseIntElementsAttr(op.attributes[name])).reshape(-1, 2)
    return tuple((int(low), int(high)) for low, high in rows)


def dot_numbers(op: Any) -> Any:
    """As the parameter of JAX's primitive."""
    n = dialect.DotDimensionNumbers(op.attributes["dot_dimension_numbers"])
    contracted = tuple(n.lhs_contracting_dimensions), tuple(n.rhs_contracting_dimensions)
    return contracted, (tuple(n.lhs_batching_dimensions), tuple(n.rhs_batching_dimensions))


def gather_numbers(op: Any) -> Any:
    """As the parameter of JAX's primitive."""
    n = dialect.GatherDimensionNumbers(op.attributes["dimension_numbers"])
    return SimpleNamespace(
        offset_dims=tuple(n.offset_dims),
        start_index_map=tuple(n.start_index_map),
        collapsed_slice_dims=tuple(n.collapsed_slice_dims),
        operand_batching_dims=tuple(n.operand_batching_dims),
        start_indices_batching_dims=tuple(n.start_indices_batching_dims),
        index_vector_dim=int(n.index_vector_dim),
    )


def scatter_numbers(op: Any) -> Any:
    """As the parameter of JAX's primitive."""
    n = dialect.ScatterDimensionNumbers(op.attributes["scatter_dimension_numbers"])
    return SimpleNamespace(
        update_window_dims=tuple(n.update_window_dims),
        inserted_window_dims=tuple(n.inserted_window_dims),
        operand_batching_dims=tuple(n.input_batching_dims),
        scatter_indices_batching_dims=tuple(n.scatter_indices_batching_dims),
        scatter_dims_to_operand_dims=tuple(n.scattered_dims_to_operand_dims),
        index_vector_dim=int(n.index_vector_dim),
    )


def conv_numbers(op: Any) -> Any:
    """As the parameter of JAX's primitive."""
    n = dialect.ConvDimensionNumbers(op.attributes["dimension_numbers"])
    return SimpleNamespace(
        lhs_spec=(n.input_batch_dimension, n.input_feature_dimension, *n.input_spatial_dimensions),
        rhs_spec=(n.kernel_output_feature_dimension, n.kernel_input_feature_dimension, *n.kernel_spatial_dimensions),
        out_spec=(n.output_batch_dimension, n.output_feature_dimension, *n.output_spatial_dimensions),
    )
