"""The lowering table: canonical op -> JAX call. What is missing here is decomposed."""

from __future__ import annotations

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_jax import (
    lower_activation,
    lower_control,
    lower_convolution,
    lower_creation,
    lower_elementwise,
    lower_indexing,
    lower_linalg,
    lower_manipulation,
    lower_reduction,
    lower_signal,
    lower_solving,
)
from kxchange_jax.dtypes import JAX

lower = Table("jax")
for _family in (
    lower_activation,
    lower_control,
    lower_convolution,
    lower_creation,
    lower_elementwise,
    lower_indexing,
    lower_linalg,
    lower_manipulation,
    lower_reduction,
    lower_signal,
    lower_solving,
):
    lower.include(_family.lower)


def supports(node: Node) -> bool:
    """Whether JAX takes this very node natively."""
    known = all(type.dtype in JAX for type in node.types) and all(v is None or v.dtype in JAX for v in node.inputs)
    return known and lower.supports(node)
