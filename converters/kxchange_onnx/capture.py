"""Lifting models in memory: `onnx.ModelProto` and `onnx_ir.Model`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from kxchange.errors import CaptureError
from kxchange.model import Array, Model
from kxchange_onnx.external_in import ExternalFolder
from kxchange_onnx.model_in import Request, read_model


def capture(
    source: Any,
    *args: Any,
    dynamic: Mapping[str, Sequence[Any]] | None = None,
    constants: Mapping[str, Array] | None = None,
    trainable: Collection[str] | None = None,
    folder: Path | None = None,
    **kwargs: Any,
) -> Model:
    """Lift an ONNX model in memory; it states its inputs itself, so there are no example inputs.

    Args:
        source: A `ModelProto` or an `onnx_ir.Model`; it is not changed.
        args: None are taken.
        dynamic: Dims by input name, where the model's are to be replaced.
        constants: Values by input name: these inputs become constants.
        trainable: Names of the trainable parameters, where the rule is not to decide.
        folder: Where the external data of a `ModelProto` lie.
        kwargs: None are taken.

    Raises:
        CaptureError: Example inputs were given.
        FormatError: The model contradicts itself or ONNX.
        UnsupportedOpError: Operators without a lift, all of them, each with its places.
    """
    if args or kwargs:
        raise CaptureError("an ONNX model states its inputs: pass no example inputs to capture.")
    proto = source if isinstance(source, onnx.ModelProto) else proto_of(source)
    request = Request(dynamic or {}, constants or {}, trainable)
    return read_model(proto, "the ONNX model", ExternalFolder(folder), request)


def proto_of(model: ir.Model) -> onnx.ModelProto:
    """The message of an `onnx_ir` model, with all its tensors inside."""
    proto = ir.to_proto(model)
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            held = model.graph.initializers[tensor.name].const_value
            tensor.CopyFrom(onnx.numpy_helper.from_array(held.numpy(), tensor.name))  # pyright: ignore
    return proto
