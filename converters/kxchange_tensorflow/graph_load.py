"""From a graph of TensorFlow to a model: inputs, constants, variables and functions by signature."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kxchange import ops  # noqa: F401 - declares the ops
from kxchange.dims import Dim, symbol
from kxchange.errors import Blocker, FormatError, InputError, UnsupportedOpError
from kxchange.fresh import numbering
from kxchange.graph import Graph, Value, parameter, placeholder
from kxchange.known import Knowledge
from kxchange.literals import literal
from kxchange.model import Array, Function, Model, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_tensorflow.graph_lifting import GraphLifter
from kxchange_tensorflow.graph_proto import GraphRecord, NodeRecord, OtherType, Shape, TensorData
from kxchange_tensorflow.graph_rules import lift
from kxchange_tensorflow.tflite_load import BATCH, as_dim, free_name, identifier

INLINE = 64
"""Elements up to which a constant that is no weight stands in the graph."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a signature: the caller's name, the tensor, its type."""

    name: str
    tensor: str
    dtype: DType | OtherType
    shape: Shape = Shape(None)


@dataclass(frozen=True, slots=True)
class Entry:
    """One signature."""

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass
class Building:
    """A graph on its way to a model.

    Attributes:
        record: The graph.
        source: Name of the file, for messages.
        variable: Name, reader and record of a variable by its node.
        frozen: Whether constants are the weights, because the graph has no variables.
        dynamic: Dims by input name, in place of the file's.
    """

    record: GraphRecord
    source: str
    variable: Callable[[NodeRecord], Parameter]
    frozen: bool = False
    dynamic: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Any])
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    _leaves: dict[tuple[str, str], Value] = field(default_factory=dict[tuple[str, str], Value])

    def functions(self, entries: Iterable[Entry]) -> dict[str, Function]:
        """Every signature, lifted.

        Raises:
            UnsupportedOpError: Operators cannot be lifted; all of them are listed.
        """
        found: dict[str, Function] = {}
        blockers: dict[tuple[str, str], Blocker] = {}
        with numbering():
            for entry in entries:
                lifter = GraphLifter(self.record, lift, Knowledge(self._array), self._constant, self._variable)
                function = self._function(entry, lifter)
                blockers |= {(b.op, b.reason): b for b in lifter.blockers()}
                if function is not None:
                    found[entry.name] = function
        if blockers:
            raise UnsupportedOpError("kxchange_tensorflow", list(blockers.values()), f"{self.source} was not loaded.")
        return found

    def _function(self, entry: Entry, lifter: GraphLifter) -> Function | None:
        inputs = [placeholder(port.name, self._type(port)) for port in entry.inputs]
        feeds = {port.tensor: value for port, value in zip(entry.inputs, inputs, strict=True)}
        outputs = lifter.run(feeds, [port.tensor for port in entry.outputs])
        if lifter.places:
            return None
        if wrong := [p.name for p, v in zip(entry.outputs, outputs, strict=True) if not isinstance(v, Value)]:
            raise FormatError(f"{self.source}: output {wrong[0]!r} is no tensor of numbers.")
        return Function(Graph(tuple(inputs), tuple(outputs)), tuple(port.name for port in entry.outputs))

    def _type(self, port: Port) -> TensorType:
        if isinstance(port.dtype, OtherType):
            raise FormatError(f"{self.source}: input {port.name!r} is a {port.dtype.name}, not a tensor of numbers.")
        given, dims = self.dynamic.get(port.name), port.shape.dims
        if dims is None:
            if given is None:
                advice = f"Give its dims: dynamic={{{port.name!r}: (...)}}"
                raise FormatError(f"{self.source}: input {port.name!r} declares no rank. {advice}.")
            return TensorType(port.dtype, tuple(as_dim(dim) for dim in given))
        shape: list[Dim] = [_dim(port.name, axis, size) for axis, size in enumerate(dims)]
        if given is not None:
            if len(given) != len(shape):
                raise InputError(f"input {port.name!r} has {len(shape)} axes, and {len(given)} dims were given.")
            shape = [old if new is None else as_dim(new) for new, old in zip(given, shape, strict=True)]
        return TensorType(port.dtype, tuple(shape))

    def _array(self, name: str) -> Array:
        return self.parameters[name].array

    def _constant(self, where: str, node: NodeRecord) -> Value:
        key = (where, node.name)
        if key not in self._leaves:
            data = node.attrs.get("value")
            if not isinstance(data, TensorData):
                raise FormatError(f"{self.source}: the constant {node.name[:200]!r} has no value.")
            self._leaves[key] = self._constant_leaf(node.name, data)
        return self._leaves[key]

    def _constant_leaf(self, name: str, data: TensorData) -> Value:
        array = data.array
        dtype = DType.of(array.dtype)
        weight = self.frozen and bool(array.ndim) and dtype.is_floating
        if not weight and array.size <= INLINE:
            return literal(array, dtype)
        role = Role.PARAMETER if weight else Role.CONSTANT
        return self._add(Parameter(free_name(name, self.parameters), array, role=role))

    def _variable(self, node: NodeRecord) -> Value:
        key = ("", node.name)
        if key not in self._leaves:
            self._leaves[key] = self._add(self.variable(node))
        return self._leaves[key]

    def _add(self, entry: Parameter) -> Value:
        self.parameters.setdefault(entry.name, entry)
        return parameter(entry.name, entry.type)

    def order(self, names: Iterable[str], unread: Iterable[Parameter] = ()) -> None:
        """Put the parameters into the source's order, those that nothing reads among them."""
        for entry in unread:
            self.parameters.setdefault(entry.name, entry)
        places = {name: place for place, name in reversed(list(enumerate(names)))}
        last = len(places)
        ordered = sorted(self.parameters.values(), key=lambda entry: places.get(entry.name, last))
        self.parameters = {entry.name: entry for entry in ordered}

    def model(self, functions: Mapping[str, Function], **about: Any) -> Model:
        """The model of these functions."""
        return Model(functions, self.parameters, **about)


def _dim(name: str, axis: int, size: int) -> Dim:
    if size >= 0:
        return size
    return symbol(BATCH if axis == 0 else f"{identifier(name)}_{axis}")
