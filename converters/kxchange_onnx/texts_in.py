"""Every text in a model checked once: protobuf hands out bytes where a text is no UTF-8."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import onnx

from kxchange.errors import FormatError

Message = Any


def check_texts(model: onnx.ModelProto) -> None:
    """Demand that all texts that are read are UTF-8.

    Raises:
        FormatError: One is not.
    """
    for text in _model(model):
        if not isinstance(text, str):
            raise FormatError(f"a name or text in the file is not UTF-8: {bytes(text)[:40]!r}.")


def _model(model: onnx.ModelProto) -> Iterator[Message]:
    yield from (model.producer_name, model.producer_version, model.domain, model.doc_string)
    yield from (item.domain for item in model.opset_import)
    yield from _entries(model.metadata_props)
    pending: list[onnx.GraphProto] = [model.graph]
    for function in model.functions:
        yield from (function.name, function.domain, function.overload, *function.input, *function.output)
        yield from function.attribute
        yield from (item.domain for item in function.opset_import)
        yield from _attributes(function.attribute_proto, pending)
        yield from _nodes(function.node, pending)
    while pending:
        graph = pending.pop()
        yield from (graph.name, graph.doc_string)
        yield from _nodes(graph.node, pending)
        yield from _tensors(graph.initializer)
        for sparse in graph.sparse_initializer:
            yield from _tensors((sparse.values, sparse.indices))
        for info in (*graph.input, *graph.output):
            yield info.name
            yield from (dim.dim_param for dim in info.type.tensor_type.shape.dim)


def _nodes(nodes: Iterable[onnx.NodeProto], pending: list[onnx.GraphProto]) -> Iterator[Message]:
    for node in nodes:
        yield from (node.name, node.op_type, node.domain, node.overload, node.doc_string)
        yield from node.input
        yield from node.output
        yield from _entries(node.metadata_props)
        yield from _attributes(node.attribute, pending)


def _attributes(attributes: Iterable[onnx.AttributeProto], pending: list[onnx.GraphProto]) -> Iterator[Message]:
    for attribute in attributes:
        yield from (attribute.name, attribute.ref_attr_name)
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            pending.extend((attribute.g, *attribute.graphs))
        elif attribute.type == onnx.AttributeProto.TENSOR:
            yield from _tensors((attribute.t,))
        elif attribute.type == onnx.AttributeProto.SPARSE_TENSOR:
            yield from _tensors((attribute.sparse_tensor.values, attribute.sparse_tensor.indices))


def _tensors(tensors: Iterable[onnx.TensorProto]) -> Iterator[Message]:
    for tensor in tensors:
        yield tensor.name
        yield from _entries(tensor.external_data)


def _entries(entries: Iterable[onnx.StringStringEntryProto]) -> Iterator[Message]:
    for entry in entries:
        yield from (entry.key, entry.value)
