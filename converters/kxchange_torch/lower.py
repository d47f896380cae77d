"""The lowering table: canonical op -> torch call. What is missing here is decomposed."""

from __future__ import annotations

from kxchange.graph import Node
from kxchange_torch import (
    lower_activation,
    lower_control,
    lower_convolution,
    lower_creation,
    lower_elementwise,
    lower_indexing,
    lower_linalg,
    lower_manipulation,
    lower_normalization,
    lower_recurrent,
    lower_reduction,
    lower_signal,
)
from kxchange_torch.carriers import is_computable
from kxchange_torch.dtypes import TORCH
from kxchange_torch.rules import Rules

lower = Rules()
for _family in (
    lower_activation,
    lower_control,
    lower_convolution,
    lower_creation,
    lower_elementwise,
    lower_indexing,
    lower_linalg,
    lower_manipulation,
    lower_normalization,
    lower_recurrent,
    lower_reduction,
    lower_signal,
):
    lower.include(_family.lower)


def supports(node: Node) -> bool:
    """Whether torch takes this very node natively."""
    known = all(type.dtype in TORCH for type in node.types) and all(v is None or v.dtype in TORCH for v in node.inputs)
    return known and is_computable(node) and lower.supports(node)
