"""Element types that torch stores but hardly computes in, and the wider ones that do the work for them.

torch has kernels for few operations on uint16, uint32, uint64 and 8-bit floats. Integers are computed in int64 and wrap
when they come back; 8-bit floats in float32, rounded once, as the references do.
"""

from __future__ import annotations

from collections.abc import Mapping

from kxchange.graph import Node
from kxchange.types import DType

UNSIGNED = {DType.UINT16: DType.INT64, DType.UINT32: DType.INT64, DType.UINT64: DType.INT64}
FLOATS8 = {dtype: DType.FLOAT32 for dtype in DType if dtype.is_floating and dtype.bits == 8}
WEAK: Mapping[DType, DType] = {**UNSIGNED, **FLOATS8}
"""What computes in place of each such type."""
INTEGERS: Mapping[DType, DType] = {dtype: DType.INT64 for dtype in DType if dtype.is_integer and dtype.bits >= 8}
SPECIAL: Mapping[str, Mapping[DType, DType]] = {
    "conv": INTEGERS,
    "conv_transpose": INTEGERS,
    "top_k": {DType.BOOL: DType.INT64},
    "searchsorted": {DType.BOOL: DType.INT64},
}
"""Further types that single ops lack kernels for."""
STORING = frozenset(
    ("reshape", "permute_dims", "expand_dims", "squeeze", "broadcast_to", "concat", "stack", "split")
    + ("astype", "bitcast", "full", "constant")
)
"""Ops that only move or convert elements, for which torch takes every type."""
ORDERED = frozenset(
    ("floor_divide", "remainder", "fmod", "truncated_divide", "pow")
    + ("less", "less_equal", "greater", "greater_equal", "maximum", "minimum", "clip", "relu", "relu6")
    + ("max", "min", "argmax", "argmin", "cumulative_max", "cumulative_min", "max_pool", "adaptive_max_pool")
    + ("sort", "argsort", "top_k", "searchsorted", "unique", "scatter", "scatter_nd")
)
"""Ops whose result depends on the order of numbers, which uint64 does not share with int64."""
INDEXED = frozenset(("take", "take_along_axis", "gather_nd", "embedding", "scatter", "scatter_nd"))
"""Ops whose second operand holds positions: their rules take any integer type there."""


def carriers(node: Node) -> Mapping[DType, DType]:
    """The types among a node's operands and results that another type must compute for."""
    if node.op in STORING:
        return {}
    known = {**WEAK, **SPECIAL.get(node.op, {})}
    computed = [value for position, value in enumerate(node.inputs) if not holds_positions(node, position)]
    used = {value.dtype for value in computed if value is not None} | {type.dtype for type in node.types}
    return {dtype: known[dtype] for dtype in used if dtype in known and known[dtype] is not dtype}


def holds_positions(node: Node, operand: int) -> bool:
    """Whether an operand is an index, which is converted by the rule and not computed with."""
    return operand == 1 and node.op in INDEXED


def is_computable(node: Node) -> bool:
    """Whether no element of the node needs more than int64."""
    values = [value for position, value in enumerate(node.inputs) if not holds_positions(node, position)]
    operands = {value.dtype for value in values if value is not None}
    return node.op not in ORDERED or DType.UINT64 not in operands
