"""An ONNX model's message without the bytes of its large weights, and those beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx
import onnx_ir as ir

from kxchange.errors import BuildError, KxchangeError
from kxchange.model import Model

INLINE = 1024
"""Bytes up to which an initializer stays in the message."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a weight are: a file name relative to the model, an offset, a length."""

    file: str
    offset: int = 0


@contextmanager
def external(lowered: ir.Model, places: dict[str, Place]) -> Iterator[None]:
    """Declare initializers to be stored outside while the block serializes the model."""
    initializers = lowered.graph.initializers
    held = {name: initializers[name].const_value for name in places}
    for name, place in places.items():
        tensor: Any = held[name]
        initializers[name].const_value = ir.ExternalTensor(
            location=place.file,
            offset=place.offset,
            length=tensor.nbytes,
            dtype=tensor.dtype,
            shape=tensor.shape,
            name=name,
        )
    try:
        yield
    finally:
        for name, tensor in held.items():
            initializers[name].const_value = tensor


def large(lowered: ir.Model) -> dict[str, Any]:
    """The initializers that do not stay in the message, by name."""
    return {
        name: value.const_value
        for name, value in lowered.graph.initializers.items()
        if value.const_value is not None and value.const_value.nbytes > INLINE
    }


def message(lowered: ir.Model) -> onnx.ModelProto:
    """The protobuf message of a model.

    Raises:
        KxchangeError: A weight could not be read; the reader's own error.
        BuildError: The message could not be made.
    """
    try:
        return cast("onnx.ModelProto", ir.to_proto(lowered))
    except ir.serde.SerdeError as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, (KxchangeError, OSError)):
            raise cause from error
        raise BuildError(f"onnx cannot hold the model: {cause}. Please report it.") from error


def skeleton(lowered: ir.Model) -> onnx.ModelProto:
    """The message with large weights as inputs: all that onnx's checker and shape inference look at."""
    names = large(lowered)
    with external(lowered, {name: Place("weights") for name in names}):
        proto = message(lowered)
    kept = [tensor for tensor in proto.graph.initializer if tensor.name not in names]
    moved = [tensor for tensor in proto.graph.initializer if tensor.name in names]
    for tensor in moved:
        entry = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        proto.graph.input.append(entry)
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    return proto


def content(tensor: Any) -> memoryview:
    """The bytes of a tensor as ONNX stores them, without a copy where its array is stored so already."""
    array = np.asarray(tensor.numpy())
    if tensor.dtype.bitwidth < 8:
        return memoryview(tensor.tobytes())
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint8).data


def held_weights(model: Model, *, function: str | None = None, opset: int | None = None) -> dict[str, np.ndarray]:
    """The parameters as the ONNX message of a model holds them, by the model's names.

    Args:
        model: The model.
        function: Which entry point; the main one where None.
        opset: Version of the operator set.
    """
    from kxchange_onnx.graph_out import lower_model

    lowered = lower_model(model, opset=opset, function=function)
    tensors = {name: value.const_value for name, value in lowered.graph.initializers.items()}
    for unread in lowered.functions.values():
        tensors |= {str(node.outputs[0].name): node.attributes["value"].as_tensor() for node in unread}
    renamed = json.loads(lowered.metadata_props.get("kxchange.renamed", "{}"))
    held: dict[str, np.ndarray] = {}
    for name, entry in model.parameters.items():
        first = entry.alias_of or name
        tensor = tensors.get(renamed.get(first, first), tensors.get(first))
        if tensor is not None:
            stored = ir.serde.deserialize_tensor(ir.serde.serialize_tensor(tensor))
            held[name] = stored.numpy()
    return held
