"""bfloat16 in ONNX Runtime on a CPU, which has few kernels for it: each op in float32, and its results rounded.

ONNX Runtime does this by itself for float16. Only the copy in memory that is run is changed, no file: an op of
bfloat16 is its result in more digits, rounded once, so that the numbers are those of the ops as they are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx
import onnx_ir as ir

NATIVE = frozenset(
    [
        *["Cast", "BitCast", "Constant", "ConstantOfShape", "Identity", "Shape", "Size", "If", "Loop", "Scan"],
        *["Concat", "Split", "Slice", "Pad", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"],
        *["Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"],
    ]
)
"""Ops that only move numbers or change their type: ONNX Runtime has kernels of theirs for bfloat16."""
NARROW, WIDE = ir.DataType.BFLOAT16, ir.DataType.FLOAT


def run_wide(lowered: ir.Model) -> None:
    """Put casts around every op on bfloat16 that ONNX Runtime has no kernel for."""
    opset = lowered.graph.opset_imports[""]
    pending = [lowered.graph]
    while pending:
        graph = pending.pop()
        casts: dict[ir.Value, ir.Value] = {}
        nodes = list(graph)
        for node in nodes:
            _type_results(node, opset)
        for node in nodes:
            pending += _bodies(node)
            if node.op_type not in NATIVE and node.domain == "":
                _widen_operands(graph, node, casts)
                _round_results(graph, node)


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()


def _type_results(node: ir.Node, opset: int) -> None:
    """Give the results between the nodes of one canonical op their element type, by the schema of theirs."""
    if node.domain or all(value.dtype is not None for value in node.outputs):
        return
    schema = onnx.defs.get_schema(node.op_type, opset)
    known = {_formal(schema.inputs, index): _dtype(value) for index, value in enumerate(node.inputs)}
    for index, value in enumerate(node.outputs):
        if value.dtype is None:
            dtype = known.get(_formal(schema.outputs, index)) or _stated(node)
            if dtype is not None:
                value.dtype = dtype


def _formal(parameters: Sequence[onnx.defs.OpSchema.FormalParameter], index: int) -> str:
    """The type variable of an operand or a result; the last parameter stands for all that follow."""
    return parameters[min(index, len(parameters) - 1)].type_str


def _dtype(value: ir.Value | None) -> ir.DataType | None:
    if value is None:
        return None
    return value.dtype if value.const_value is None else value.const_value.dtype


def _stated(node: ir.Node) -> ir.DataType | None:
    """The element type that an attribute of a node states."""
    if "to" in node.attributes:
        return ir.DataType(node.attributes["to"].as_int())
    value = node.attributes.get("value")
    return value.as_tensor().dtype if value is not None and value.type == ir.AttributeType.TENSOR else None


def _widen_operands(graph: ir.Graph, node: ir.Node, casts: dict[ir.Value, ir.Value]) -> None:
    for index, value in enumerate(node.inputs):
        if value is None or _dtype(value) is not NARROW:
            continue
        if value not in casts:
            casts[value] = _cast(value, WIDE, f"{value.name}_wide_in_{graph.name}")
            producer = casts[value].producer()
            assert producer is not None
            graph.insert_before(node, producer)
        node.replace_input_with(index, casts[value])


def _round_results(graph: ir.Graph, node: ir.Node) -> None:
    after = node
    for value in node.outputs:
        if value.dtype is not NARROW:
            continue
        name = str(value.name)
        value.name, value.dtype = f"{name}_wide", WIDE
        readers = list(value.uses())
        rounded = _cast(value, NARROW, name)
        for reader, index in readers:
            reader.replace_input_with(index, rounded)
        for place, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[place] = rounded
        producer = rounded.producer()
        assert producer is not None
        graph.insert_after(after, producer)
        after = producer


def _cast(value: ir.Value, dtype: ir.DataType, name: str) -> ir.Value:
    node = ir.node("Cast", [value], {"to": int(dtype)}, name=f"{name}/Cast")
    (result,) = node.outputs
    result.name, result.dtype, result.shape = name, dtype, value.shape
    return result
