"""The lowering table of all families, and the expansions that come before it."""

from __future__ import annotations

from kxchange.graph import Node
from kxchange.table import Table
from kxchange.types import DType
from kxchange_onnx import (
    expand_arithmetic,
    expand_arrays,
    expand_layers,
    expand_linalg,
    expand_special,
    expand_types,
    lower_activation,
    lower_control,
    lower_convolution,
    lower_elementwise,
    lower_indexing,
    lower_manipulation,
    lower_normalization,
    lower_recurrent,
    lower_reduction,
)
from kxchange_onnx.opsets import target

NEVER = 2**31
TABLE = Table("onnx")
for _family in (
    lower_elementwise,
    lower_manipulation,
    lower_indexing,
    lower_reduction,
    lower_convolution,
    lower_normalization,
    lower_activation,
    lower_recurrent,
    lower_control,
):
    TABLE.include(_family.TABLE)

EXPANSIONS = Table("onnx")
for _family in (expand_arithmetic, expand_special, expand_arrays, expand_layers, expand_linalg, expand_types):
    EXPANSIONS.include(_family.TABLE)


FIRST = {
    DType.FLOAT8_E4M3FN: 19,
    DType.FLOAT8_E4M3FNUZ: 19,
    DType.FLOAT8_E5M2: 19,
    DType.FLOAT8_E5M2FNUZ: 19,
    DType.INT4: 21,
    DType.UINT4: 21,
    DType.FLOAT4_E2M1FN: 23,
    DType.FLOAT8_E8M0FNU: 24,
    DType.INT2: 25,
    DType.UINT2: 25,
    DType.COMPLEX64: NEVER,
    DType.COMPLEX128: NEVER,
}
"""The opsets from which on tensors of a type can be computed with; 13 for all others."""


def supports(node: Node) -> bool:
    """Whether ONNX takes this very node, in the opset that is being written (the newest outside of a build)."""
    return _is_writable(node) and TABLE.supports(node)


def expresses(node: Node) -> bool:
    """Whether ONNX takes this very node, or what one of the expansions makes of it."""
    return _is_writable(node) and (TABLE.supports(node) or EXPANSIONS.supports(node))


def _is_writable(node: Node) -> bool:
    """Whether the opset has the element types of the node; for complex numbers it has no arithmetic."""
    version = target()
    operands = [value.dtype for value in node.inputs if value is not None]
    return all(FIRST.get(dtype, 0) <= version for dtype in (*operands, *(type.dtype for type in node.types)))
