"""The lowering table: canonical op -> TensorFlow call. What is missing here is decomposed."""

from __future__ import annotations

from kxchange.graph import Node
from kxchange.table import Table
from kxchange_tensorflow import (
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
from kxchange_tensorflow.dtypes import TENSORFLOW

lower = Table("tensorflow")
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
    """Whether TensorFlow takes this very node natively."""
    known = all(type.dtype in TENSORFLOW for type in node.types)
    return known and all(v is None or v.dtype in TENSORFLOW for v in node.inputs) and lower.supports(node)
