"""The ONNX graph being written: rules emit nodes into it, sizes and constants are made once and shared.

Rules take ONNX values and return ONNX values. What they emit goes into the innermost open `Scope` (a branch or a loop
body opens one); names, constants and the opset belong to the `Writer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from kxchange.dims import Dim, DimExpr, Ranges
from kxchange.graph import Node, Source, Value
from kxchange.model import Parameter
from kxchange.table import Table
from kxchange.types import DType, TensorType
from kxchange_onnx.types_out import data_type, onnx_shape

CURRENT: ContextVar[Writer] = ContextVar("CURRENT")
TYPE = "kxchange.type"


class Scope:
    """The nodes of one ONNX graph, and the sizes computed in it.

    Attributes:
        nodes: Emitted nodes, in order.
        origins: For each symbol, an axis that it is the size of.
        sizes: int64 [1] value per dim expression.
        scalars: int64 [] value per dim expression.
    """

    def __init__(self, outer: Scope | None = None) -> None:
        self.outer = outer
        self.nodes: list[ir.Node] = []
        self.origins: dict[str, tuple[ir.Value, int, DimExpr]] = {}
        self.sizes: dict[Dim, ir.Value] = {}
        self.scalars: dict[Dim, ir.Value] = {}

    def chain(self) -> Iterator[Scope]:
        """This scope and those around it, the innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer


class Writer:
    """One ONNX model under construction.

    Attributes:
        scope: Where nodes are emitted now.
        node: The canonical node that is being lowered.
        table: The lowering table.
        parameters: The model's parameters by name.
        ranges: What the model's constraints say of the sizes of its symbols.
        initializers: Parameters and constants by their names in the file, in order of first use.
        weights: Initializers of parameters by the parameters' names.
        names: Every name given so far, with the number last tried behind it.
        reserved: Names that wait for the parameters that have them.
        read: Values of the canonical graphs that something reads.
    """

    def __init__(self, table: Table, parameters: Mapping[str, Parameter], ranges: Ranges) -> None:
        self.table = table
        self.parameters = parameters
        self.ranges = ranges
        self.scope = Scope()
        self.read: set[Value] = set()
        self.node = Node("input", (), {}, ())
        self.initializers: dict[str, ir.Value] = {}
        self.names: dict[str, int] = {}
        self.reserved: set[str] = set()
        self.weights: dict[str, ir.Value] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._numbered = 0

    def unique(self, base: str) -> str:
        """`base`, or `base` with the first free number behind it; reserved from now on."""
        number = self.names.get(base)
        if number is None and base:
            self.names[base] = 1
            return base
        number = number or 1
        while (name := f"{base or 'unnamed'}_{number}") in self.names:
            number += 1
        self.names[base] = number + 1
        self.names[name] = 1
        return name

    def parameter(self, name: str) -> ir.Value:
        """The initializer of a parameter, under its own name; tied names share the one of the first."""
        entry = self.parameters[self.canonical(name)]
        if entry.name not in self.weights:
            given = entry.name if entry.name in self.reserved else self.unique(entry.name)
            value = ir.Value(name=given)
            set_type(value, entry.type)
            value.const_value = lazy_tensor(entry, given)
            self.weights[entry.name] = self.initializers[given] = value
        return self.weights[entry.name]

    def canonical(self, name: str) -> str:
        """The first name of a tied parameter; the name itself of any other."""
        return self.parameters[name].alias_of or name

    def constant(self, array: NDArray[Any]) -> ir.Value:
        """The initializer of these values; equal ones are one."""
        key = (array.dtype.name, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constant_name()
            tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
            value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape))
            value.const_value = tensor
            set_type(value, TensorType(DType.of(array.dtype), array.shape))
            self._constants[key] = self.initializers[name] = value
        return self._constants[key]

    def _constant_name(self) -> str:
        """The next ``constant_<n>`` that no value has: by this form of the name a reader knows it for no parameter."""
        while (name := f"constant_{self._numbered}") in self.names:
            self._numbered += 1
        return self.unique(name)


def lazy_tensor(entry: Parameter, name: str) -> ir.TensorProtocol:
    """The values of a parameter, read when they are written or run."""

    def read() -> ir.TensorProtocol:
        return ir.Tensor(np.asarray(entry.array), dtype=data_type(entry.type.dtype), name=name)

    return ir.LazyTensor(read, dtype=data_type(entry.type.dtype), shape=onnx_shape(entry.type.shape), name=name)


@contextmanager
def writing(writer: Writer) -> Iterator[Writer]:
    """Emit into `writer` inside the block."""
    token = CURRENT.set(writer)
    try:
        yield writer
    finally:
        CURRENT.reset(token)


@contextmanager
def nested() -> Iterator[Scope]:
    """Emit into a fresh inner scope: the body of a branch or a loop, which may read values of the outer ones."""
    writer = CURRENT.get()
    outer, node = writer.scope, writer.node
    writer.scope = Scope(outer)
    try:
        yield writer.scope
    finally:
        writer.scope, writer.node = outer, node


def emit(op_type: str, *operands: ir.Value | None, **attributes: Any) -> ir.Value:
    """Emit a node with one output; attributes that are None are left out."""
    return emit_many(op_type, 1, *operands, **attributes)[0]


def emit_many(op_type: str, count: int, *operands: ir.Value | None, **attributes: Any) -> Sequence[ir.Value]:
    """Emit a node with `count` outputs."""
    given = list(operands)
    while given and given[-1] is None:
        given.pop()
    present = {name: _attribute(name, value) for name, value in attributes.items() if value is not None}
    node = ir.Node("", op_type, given, list(present.values()), num_outputs=count)
    CURRENT.get().scope.nodes.append(node)
    return node.outputs


def _attribute(name: str, value: Any) -> ir.Attr:
    if isinstance(value, (bool, int)):
        return ir.AttrInt64(name, int(value))
    if isinstance(value, float):
        return ir.AttrFloat32(name, value)
    if isinstance(value, str):
        return ir.AttrString(name, value)
    if isinstance(value, ir.Graph):
        return ir.AttrGraph(name, value)
    if isinstance(value, ir.TensorProtocol):
        return ir.AttrTensor(name, value)
    kinds = {int: ir.AttrInt64s, float: ir.AttrFloat32s, str: ir.AttrStrings}
    return kinds[type(value[0]) if value else int](name, list(value))


def constant(values: Any, dtype: DType = DType.INT64) -> ir.Value:
    """The initializer of an array or of nested lists."""
    return CURRENT.get().constant(np.asarray(values, dtype=dtype.numpy))


def type_of(value: ir.Value) -> TensorType:
    """Element type and shape of an operand of the rule, with its dims."""
    return value.meta[TYPE]


def set_type(value: ir.Value, type: TensorType) -> None:
    """Give a value its type, for rules and for the file."""
    value.meta[TYPE] = type
    value.type = ir.TensorType(data_type(type.dtype))
    value.shape = onnx_shape(type.shape)


def result_type(index: int = 0) -> TensorType:
    """Type of an output of the canonical node that is being lowered."""
    return CURRENT.get().node.types[index]


def finish(node: Node, results: Sequence[ir.Value], first: int) -> None:
    """Name and type what the rule of `node` emitted, which are the scope's nodes from number `first` on."""
    writer = CURRENT.get()
    emitted = writer.scope.nodes[first:]
    ours = {id(item) for item in emitted}
    base = node.name or node.op
    for index, (value, type) in enumerate(zip(results, node.types, strict=True)):
        producer = value.producer()
        if producer is not None and id(producer) in ours and value.name is None:
            value.name = writer.unique(base if index == 0 else f"{base}.{index}")
            set_type(value, type)
    for item in emitted:
        describe(item, base, node.source)


def describe(item: ir.Node, base: str, source: Source | None = None) -> None:
    """Give a node and its outputs names where they have none, and the node its place in the source."""
    writer = CURRENT.get()
    if item.name is None:
        item.name = writer.unique(f"{base}/{item.op_type}")
        if source is not None and str(source):
            item.doc_string = str(source)
            if source.path:
                item.metadata_props["kxchange.path"] = source.path
    for value in item.outputs:
        if value.name is None:
            value.name = writer.unique(f"{base}.{item.op_type}")
