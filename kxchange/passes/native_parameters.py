"""Store parameters as the ops that read them take them: a target's own layout, with the way back known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from kxchange.graph import Graph, Node, Value, parameter, rewrite
from kxchange.model import Array, Model, Parameter
from kxchange.ops.manipulation import permute_dims, reshape
from kxchange.passes.bodies import bodies_of, map_bodies
from kxchange.passes.cancel_transposes import inverse
from kxchange.spec import REGISTRY, keep
from kxchange.types import TensorType

Shape = tuple[int, ...]
Step = tuple[str, Shape, Shape]
"""A change of layout that loses nothing: ``(op, axes or new shape, shape before)``; `permute_dims` or `reshape`."""
Reader = tuple[str, str]
"""Op and operand that read a parameter."""
Naming = Callable[[str, frozenset[Reader]], str]
"""``(name in the model, what reads it) -> name in the target``."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a target holds one parameter of the model.

    Attributes:
        name: Its name there.
        steps: From the model's array to the target's.
    """

    name: str
    steps: tuple[Step, ...] = ()

    def forth(self, array: Array) -> Array:
        """The target's array, from the model's."""
        for op, argument, _ in self.steps:
            array = np.transpose(array, argument) if op == "permute_dims" else array.reshape(argument)
        return np.ascontiguousarray(array) if self.steps else array

    def back(self, array: Array) -> Array:
        """The model's array, from the target's; gradients go the same way."""
        for op, argument, before in reversed(self.steps):
            array = np.transpose(array, inverse(argument)) if op == "permute_dims" else array.reshape(before)
        return np.ascontiguousarray(array) if self.steps else array

    def emit(self, value: Value) -> Value:
        """The steps as nodes, on a value of the model's layout."""
        for op, argument, _ in self.steps:
            value = permute_dims(value, axes=argument) if op == "permute_dims" else reshape(value, shape=argument)
        return value

    def type_there(self, type: TensorType) -> TensorType:
        """The target's type, from the model's."""
        shape = cast("Shape", type.shape)
        for op, argument, _ in self.steps:
            shape = tuple(shape[axis] for axis in argument) if op == "permute_dims" else argument
        return TensorType(type.dtype, shape)

    def type_here(self, type: TensorType) -> TensorType:
        """The model's type, from the target's."""
        return TensorType(type.dtype, self.steps[0][2]) if self.steps else type


def native_parameters(model: Model, naming: Naming) -> tuple[Model, dict[str, Layout]]:
    """The model with every parameter in the layout in which its readers take it.

    A parameter moves if all that reads it, in every function, does so through the same steps; tied ones stay. Values
    and the count of parameters stay: steps only permute elements.

    Args:
        model: What to change; legalized, so that the readers are the target's.
        naming: Gives each parameter its name in the target; where that is taken, the model's name stays.

    Returns:
        The model in the target's layout, and how it holds each parameter, by name in `model`.
    """
    uses = _Uses(model)
    layouts: dict[str, Layout] = {}
    taken = set(model.parameters)
    for name in model.parameters:
        wanted = naming(name, frozenset(uses.readers.get(name, ())))
        wanted = name if wanted in taken else wanted
        taken.add(wanted)
        layouts[name] = Layout(wanted, uses.steps(name))
    entries = [_there(entry, layouts) for entry in model.parameters.values()]
    moved = model.replace(parameters=entries).map_graphs(lambda graph: _read_there(graph, layouts, uses))
    return moved, layouts


def restored_parameters(model: Model, layouts: Mapping[str, Layout]) -> Model:
    """The way back: a model read from a target, with its parameters as `layouts` knows them, in that order."""
    known = {layout.name: (name, layout) for name, layout in layouts.items()}
    order = {name: place for place, name in enumerate(layouts)}
    entries = [_here(entry, known) for entry in model.parameters.values()]
    entries.sort(key=lambda entry: order.get(entry.name, len(order)))

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        if node.op != "parameter" or node.attrs["name"] not in known:
            return keep(map_bodies(node, lambda body: rewrite(body, change)), operands)
        name, layout = known[node.attrs["name"]]
        return (layout.emit(parameter(name, layout.type_here(node.types[0]))),)

    return model.replace(parameters=entries).map_graphs(lambda graph: rewrite(graph, change))


def _there(entry: Parameter, layouts: Mapping[str, Layout]) -> Parameter:
    layout = layouts[entry.name]
    tied = layouts[entry.alias_of].name if entry.alias_of else None
    type = layout.type_there(entry.type)
    return entry.replace(name=layout.name, alias_of=tied, type=type, data=lambda: layout.forth(entry.array))


def _here(entry: Parameter, known: Mapping[str, tuple[str, Layout]]) -> Parameter:
    name, layout = known.get(entry.name, (entry.name, Layout(entry.name)))
    tied = known.get(entry.alias_of, (entry.alias_of, None))[0] if entry.alias_of else None
    type = layout.type_here(entry.type)
    return entry.replace(name=name, alias_of=tied, type=type, data=lambda: layout.back(entry.array))


def _read_there(graph: Graph, layouts: Mapping[str, Layout], uses: _Uses) -> Graph:
    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        found = uses.trails.get(node)
        if found is not None and layouts[found[0]].steps == found[1]:
            layout = layouts[found[0]]
            return (parameter(layout.name, node.types[0]),)
        return keep(map_bodies(node, lambda body: rewrite(body, change)), operands)

    return rewrite(graph, change)


class _Uses:
    """What reads each parameter of a model, and through which steps.

    Attributes:
        trails: For a node that is a parameter or a step from one: the parameter and the steps so far.
        readers: Who reads each parameter, its steps apart.
    """

    def __init__(self, model: Model) -> None:
        tied = [entry for entry in model.parameters.values() if entry.alias_of]
        self.tied = {name for entry in tied for name in (entry.name, str(entry.alias_of))}
        self.trails: dict[Node, tuple[str, tuple[Step, ...]]] = {}
        self.readers: dict[str, set[Reader]] = {}
        self.ends: dict[str, set[tuple[Step, ...]]] = {}
        for function in model.functions.values():
            self._walk(function.graph)

    def steps(self, name: str) -> tuple[Step, ...]:
        """The steps that all readers of a parameter share; none if they differ."""
        ends = self.ends.get(name, set())
        return next(iter(ends)) if len(ends) == 1 and name not in self.tied else ()

    def _walk(self, graph: Graph) -> None:
        for node in graph.nodes():
            for body in bodies_of(node):
                self._walk(body)
            if node.op == "parameter":
                self.trails[node] = (str(node.attrs["name"]), ())
            elif (step := _step(node)) is not None and (before := self._trail(node.inputs[0])) is not None:
                self.trails[node] = (before[0], (*before[1], step))
            else:
                for operand, value in _operands(node):
                    self._read(value, (node.op, operand))
        for value in graph.outputs:
            self._read(value, ("output", ""))

    def _trail(self, value: Value | None) -> tuple[str, tuple[Step, ...]] | None:
        return None if value is None else self.trails.get(value.node)

    def _read(self, value: Value, reader: Reader) -> None:
        if (trail := self._trail(value)) is not None:
            self.ends.setdefault(trail[0], set()).add(trail[1])
            self.readers.setdefault(trail[0], set()).add(reader)


def _operands(node: Node) -> Iterator[tuple[str, Value]]:
    spec = REGISTRY.get(node.op)
    names = spec.operands if spec is not None else ()
    for place, value in enumerate(node.inputs):
        if value is not None:
            yield (names[min(place, len(names) - 1)] if names else ""), value


def _step(node: Node) -> Step | None:
    """The node as a step, if it only moves the elements of something of a fixed shape."""
    x = node.inputs[0] if len(node.inputs) == 1 else None
    if x is None or not all(isinstance(size, int) for size in (*x.shape, *node.types[0].shape)):
        return None
    before, after = cast("Shape", x.shape), cast("Shape", node.types[0].shape)
    if node.op == "permute_dims":
        return node.op, tuple(axis % x.ndim for axis in node.attrs["axes"]), before
    return ("reshape", after, before) if node.op in ("reshape", "expand_dims", "squeeze") else None
