"""Models as `onnx.ModelProto`."""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir

from kxchange.errors import BuildError
from kxchange.model import Model
from kxchange_onnx.graph_out import lower_model
from kxchange_onnx.verify import verify
from kxchange_onnx.weights import message

PROTO_LIMIT = 2**31 - 1
"""Bytes that a protobuf message can hold."""


def build(
    model: Model, *, opset: int | None = None, function: str | None = None, check: bool = True
) -> onnx.ModelProto:
    """Write one function of a model as a `ModelProto`, parameters inside.

    Dynamic sizes keep their names (``dim_param``), parameters theirs; of tied ones the first name holds the values and
    the others are listed in ``metadata_props["kxchange.aliases"]``. ONNX has no place for a parameter that nothing
    reads: ``kxchange.unread_parameters`` names those.

    Args:
        model: What to write.
        opset: Version of the operator set; the newest that onnx and ONNX Runtime both know where None.
        function: Which entry point; the main one where None.
        check: Check the result with onnx's checker and run it in ONNX Runtime at two sizes.

    Raises:
        UnsupportedOpError: The opset lacks ops; all of them, each with its places.
        BuildError: The model does not fit into a `ModelProto` (save it to a file instead), or a check failed.
    """
    lowered = lower_model(model, opset=opset, function=function)
    size = weight_bytes(lowered)
    if size > PROTO_LIMIT:
        raise BuildError(
            f"onnx cannot build a ModelProto of {size:,} bytes: protobuf ends at 2 GiB. "
            "Save the model to a file: its weights go to a second file beside it."
        )
    if check:
        verify(model, lowered, function)
    return message(lowered)


def weight_bytes(lowered: ir.Model) -> int:
    """Size of all initializers."""
    tensors: Any = [value.const_value for value in lowered.graph.initializers.values()]
    return sum(tensor.nbytes for tensor in tensors)
