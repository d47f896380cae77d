"""The lowering table of all families, and the expansions that come before it."""

from __future__ import annotations

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_onnx import (
    expand_arithmetic,
    expand_arrays,
    expand_layers,
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
for _family in (expand_arithmetic, expand_special, expand_arrays, expand_layers, expand_types):
    EXPANSIONS.include(_family.TABLE)


def supports(node: Node) -> bool:
    """Whether ONNX takes this very node, in the opset that is being written (the newest outside of a build)."""
    return not _is_complex(node) and TABLE.supports(node)


def expresses(node: Node) -> bool:
    """Whether ONNX takes this very node, or what one of the expansions makes of it."""
    return not _is_complex(node) and (TABLE.supports(node) or EXPANSIONS.supports(node))


def _is_complex(node: Node) -> bool:
    operands = [value.type for value in node.inputs if value is not None]
    return any(type.dtype.is_complex for type in (*node.types, *operands))
