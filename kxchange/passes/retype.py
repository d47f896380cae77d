"""The same model computed in another floating type: types, parameters and dtype attributes, nothing else."""

from __future__ import annotations

from typing import Any, cast

from kxchange.constant import Constant
from kxchange.graph import Graph, Node, Value, emitting, interpret
from kxchange.model import Model, Parameter
from kxchange.ops.conversion import astype, bitcast
from kxchange.spec import apply_op, keep
from kxchange.types import DType, TensorType

FLOATS = frozenset({DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64})
COMPLEX = {DType.FLOAT64: DType.COMPLEX128, DType.FLOAT32: DType.COMPLEX64}


def retype(model: Model, dtype: DType) -> Model:
    """The model with every floating value of 16 to 64 bits in `dtype`, and integers as they are.

    `full` nodes keep the source's number at full precision, so an epsilon becomes exact in float64; explicit
    casts to a float type (``astype``) become casts to `dtype`. 8-bit floats are storage types and stay.
    """
    parameters = [retype_parameter(p, dtype) for p in model.parameters.values()]
    functions = {n: f.with_graph(retype_graph(f.graph, dtype)) for n, f in model.functions.items()}
    return model.replace(functions=functions, parameters=parameters, samples=())


def retype_parameter(entry: Parameter, dtype: DType) -> Parameter:
    """The parameter in `dtype`, converted when it is first read."""
    target = retype_dtype(entry.type.dtype, dtype)
    if target is entry.type.dtype:
        return entry
    return entry.replace(type=entry.type.with_dtype(target), data=lambda: entry.array.astype(target.numpy))


def retype_dtype(old: DType, dtype: DType) -> DType:
    """What `old` becomes when the model's floats become `dtype`."""
    if old.is_complex:
        return COMPLEX.get(dtype, old)
    return dtype if old in FLOATS else old


def retype_graph(graph: Graph, dtype: DType) -> Graph:
    """The graph with inputs, leaves and dtype attributes retyped, and everything between inferred again."""

    def retyped(type: TensorType) -> TensorType:
        return type.with_dtype(retype_dtype(type.dtype, dtype))

    def leaf(node: Node) -> Value:
        return Value(Node(node.op, (), node.attrs, tuple(map(retyped, node.types)), node.name, node.source))

    def apply(node: Node, operands: list[Value | None]) -> tuple[Value, ...]:
        if node.op == "parameter":
            return (leaf(node),)
        if node.op == "bitcast":
            return (_same_bits(node, operands[0], dtype),)
        attrs = {name: retype_attr(value, dtype) for name, value in node.attrs.items()}
        if attrs == node.attrs:
            return keep(node, tuple(operands))
        changed = Node(node.op, node.inputs, attrs, node.types, node.name, node.source)
        return apply_op(changed, operands)

    inputs = tuple(leaf(value.node) for value in graph.inputs)
    return Graph(inputs, interpret(graph, inputs, apply))


def _same_bits(node: Node, x: Value | None, dtype: DType) -> Value:
    """The bits of the model's own types, because those of another float type are others."""
    before, after = cast("Value", node.inputs[0]).dtype, node.types[0].dtype
    with emitting(node.name, node.source):
        narrow = cast("Value", x) if cast("Value", x).dtype is before else astype(x, dtype=before)
        bits = bitcast(narrow, dtype=after)
        return bits if retype_dtype(after, dtype) is after else astype(bits, dtype=retype_dtype(after, dtype))


def retype_attr(value: Any, dtype: DType) -> Any:
    """One attribute value with its dtypes, constants and sub-graphs retyped."""
    if isinstance(value, DType):
        return retype_dtype(value, dtype)
    if isinstance(value, Constant):
        target = retype_dtype(value.type.dtype, dtype)
        return value if target is value.type.dtype else Constant(value.array.astype(target.numpy))
    if isinstance(value, Graph):
        return retype_graph(value, dtype)
    if isinstance(value, tuple):
        return tuple(retype_attr(item, dtype) for item in cast("tuple[Any, ...]", value))
    return value
