"""Which nodes become native layers, and which parameters those layers hold.

A parameter belongs to one variable. Where two nodes read it in different ways (a tied embedding), or one that is no
layer does, it becomes a variable of its own and the nodes are written as operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from kxchange.errors import BuildError
from kxchange.graph import Graph, Node, Value, topological_order
from kxchange.passes.fold_parameters import find_foldable
from kxchange.passes.retype import retype_graph
from kxchange.reference import evaluate
from kxchange.spec import as_tuple
from kxchange.types import DType
from kxchange_keras.names_out import Names, stem

Emit = Callable[[Any, Any, Node, list[Any]], Any]
Planner = Callable[[Node, "Statics"], "Plan | None"]
PLANNERS: dict[str, Planner] = {}


class Delayed:
    """The operands of a node that the layer of a later node computes."""

    __slots__ = ("operands",)

    def __init__(self, operands: list[Any]) -> None:
        self.operands = operands


@dataclass(frozen=True, slots=True)
class Plan:
    """A layer for a node.

    Attributes:
        layer: Class in `keras.layers`.
        config: Its arguments.
        weights: What its variables hold, by their names in the layer.
        call: ``(lowering, layer, node, operands) -> results``.
        absorbed: Nodes that the layer computes too.
    """

    layer: str
    config: Mapping[str, Any]
    weights: tuple[tuple[str, Value], ...]
    call: Emit
    absorbed: tuple[Node, ...] = ()

    @property
    def key(self) -> Any:
        """What two uses of one layer share."""
        return self.layer, repr(sorted(self.config.items())), tuple((n, signature(v)) for n, v in self.weights)

    @property
    def sources(self) -> tuple[str, ...]:
        """Parameters that the layer holds."""
        found = [name for _, value in self.weights for name in sources(value)]
        return tuple(dict.fromkeys(found))

    def emit(self, lowering: Any, node: Node, operands: list[Any]) -> tuple[Any, ...]:
        """The node's results by the layer."""
        layer = lowering.plans.layer(self, node)
        results = as_tuple(self.call(lowering, layer, node, operands))
        lowering.plans.fill(self, layer)
        return results


MOVES = frozenset({"permute_dims", "reshape", "expand_dims", "squeeze", "flip"})


def is_whole(value: Value) -> bool:
    """Whether a value is a parameter with its elements moved: a variable may hold it instead."""
    node = value.node
    while node.op in MOVES and node.inputs[0] is not None:
        node = node.inputs[0].node
    return node.op == "parameter"


def loses(plan: Plan) -> bool:
    """Whether a layer would not hold every element of the parameters that its variables are made of."""
    if all(is_whole(value) for _, value in plan.weights):
        return False
    for source in plan.sources:
        found: set[int] = set()
        for _, value in plan.weights:
            size, places = element_places(value, source)
            found |= set(places.ravel().tolist())
        if len(found - {0}) < size:
            return True
    return False


def element_places(value: Value, source: str) -> tuple[int, np.ndarray]:
    """How many elements a parameter has, and which one, from 1, stands at each place of an expression that moves them.

    Elements of other parameters count as 0, so that sums of parameters are told apart too.
    """
    leaves = {node for node in topological_order((value,)) if node.op == "parameter"}
    shapes = {str(node.attrs["name"]): tuple(int(str(size)) for size in node.types[0].shape) for node in leaves}
    size = int(np.prod(shapes.get(source, (0,))))
    given = {name: np.zeros(shape) for name, shape in shapes.items()}
    if source in given:
        given[source] = np.arange(1, size + 1, dtype=np.float64).reshape(shapes[source])
    wide = retype_graph(Graph((), (value,)), DType.FLOAT64)
    return size, evaluate(wide, (), given)[0].astype(np.int64)


class Statics:
    """What of a graph depends on parameters only.

    Attributes:
        users: Nodes by what they read.
    """

    def __init__(self, graph: Graph) -> None:
        self.nodes = find_foldable(graph)
        self.users: dict[Value, list[Node]] = {}
        for node in graph.nodes():
            for value in node.inputs:
                if value is not None:
                    self.users.setdefault(value, []).append(node)
        self.outputs = set(graph.outputs)

    def holds(self, *values: Value | None) -> bool:
        """Whether each is absent or a whole parameter, its elements moved."""
        return all(value is None or is_whole(value) for value in values)

    def reads(self, *values: Value | None) -> bool:
        """Whether each is absent or an expression on parameters."""
        return all(value is None or value.node in self.nodes for value in values)

    def alone(self, value: Value) -> bool:
        """Whether one node reads a value, and no output is it."""
        return len(self.users.get(value, ())) == 1 and value not in self.outputs


@dataclass(slots=True)
class Held:
    """A variable of a built model.

    Attributes:
        variable: It.
        transform: The expression on the model's parameters that it holds.
        sources: Parameters in the expression.
    """

    variable: Any
    transform: Value
    sources: tuple[str, ...]


@dataclass(slots=True)
class Plans:
    """The layers of a model: made on first use, shared between functions' nodes that say the same.

    Attributes:
        native: Plan by node.
        absorbed: Nodes whose work another node's layer does.
        held: What the layers' variables hold.
    """

    parameters: Mapping[str, Any]
    arrays: Callable[[str], Any]
    names: Names
    native: dict[Node, Plan] = field(default_factory=dict[Node, Plan])
    absorbed: set[Node] = field(default_factory=set[Node])
    held: list[Held] = field(default_factory=list[Held])
    _layers: dict[Any, Any] = field(default_factory=dict[Any, Any])
    _filled: set[Any] = field(default_factory=set[Any])

    def layer(self, plan: Plan, node: Node) -> Any:
        """The layer of a plan."""
        if not plan.weights:
            return getattr(keras.layers, plan.layer)(**plan.config, dtype=node.types[0].dtype.value)
        if plan.key not in self._layers:
            name = self.names.layer(stem(plan.sources))
            dtype = node.types[0].dtype.value
            layer = getattr(keras.layers, plan.layer)(**plan.config, name=name, dtype=dtype)
            entries = [self.parameters[source] for source in plan.sources]
            layer.trainable = any(entry.trainable for entry in entries)
            self._layers[plan.key] = layer
        return self._layers[plan.key]

    def fill(self, plan: Plan, layer: Any) -> None:
        """Give the layer's variables their values, once.

        Raises:
            BuildError: The layer has other variables.
        """
        if not plan.weights or plan.key in self._filled:
            return
        self._filled.add(plan.key)
        variables = {variable.name: variable for variable in layer.weights if variable.dtype != "uint32"}
        if set(variables) != {name for name, _ in plan.weights}:
            raise BuildError(f"{plan.layer} made the variables {sorted(variables)}, not those of {plan.sources}.")
        for name, value in plan.weights:
            array, variable = computed(value, self.arrays), variables[name]
            if tuple(variable.shape) != array.shape:
                raise BuildError(f"{plan.layer} made {name} with the shape {tuple(variable.shape)}, not {array.shape}.")
            variable.assign(array)
            self.held.append(Held(variable, value, sources(value)))


def signature(value: Value) -> Any:
    """What two expressions on parameters that say the same share."""
    known: dict[Node, Any] = {}
    for node in topological_order((value,)):
        below = tuple(None if v is None else (known[v.node], v.index) for v in node.inputs)
        known[node] = node.op, repr(sorted(node.attrs.items())), below
    return known[value.node], value.index


def sources(value: Value) -> tuple[str, ...]:
    """Parameters that an expression reads, in order."""
    nodes = topological_order((value,))
    return tuple(dict.fromkeys(str(node.attrs["name"]) for node in nodes if node.op == "parameter"))


def computed(value: Value, arrays: Callable[[str], Any]) -> np.ndarray:
    """The values of an expression on parameters."""
    given = {name: np.asarray(arrays(name)) for name in sources(value)}
    return evaluate(Graph((), (value,)), (), given)[0]


def plan_graph(
    graph: Graph, canonical: Callable[[str], str], reserved: Iterable[str] = ()
) -> tuple[dict[Node, Plan], set[str]]:
    """The nodes that become native layers, and the parameters that must be variables of their own.

    Args:
        graph: What is lowered.
        canonical: The first name of a tied parameter.
        reserved: Parameters that must be variables of their own in any case.
    """
    statics = Statics(graph)
    plans: dict[Node, Plan] = {}
    blocked = set(reserved)
    for node in graph.nodes():
        planner = PLANNERS.get(node.op)
        if planner is None or node in statics.nodes:
            continue
        plan = planner(node, statics)
        if plan is not None and not loses(plan):
            plans[node] = plan
            for inner in plan.absorbed:
                plans.pop(inner, None)
        elif plan is not None:
            blocked |= {canonical(name) for name in plan.sources}
    while True:
        blocked |= _shared(graph, plans, statics, canonical)
        bad = [node for node, plan in plans.items() if {canonical(name) for name in plan.sources} & blocked]
        if not bad:
            return plans, blocked
        for node in bad:
            _without(plans.pop(node), plans, statics)


def _without(plan: Plan, plans: dict[Node, Plan], statics: Statics) -> None:
    """What was absorbed may be a layer by itself."""
    for inner in plan.absorbed:
        again = PLANNERS[inner.op](inner, statics)
        if again is not None:
            plans[inner] = again


def _shared(graph: Graph, plans: Mapping[Node, Plan], statics: Statics, canonical: Callable[[str], str]) -> set[str]:
    """Parameters with more than one reader."""
    claims: dict[str, set[Any]] = {}
    for plan in plans.values():
        for name, value in plan.weights:
            for source in sources(value):
                claims.setdefault(canonical(source), set()).add((plan.key, name))
    covered = {node: set(_weight_operands(node, plan)) for node, plan in plans.items()}
    for plan in plans.values():
        for inner in plan.absorbed:
            covered[inner] = {value for value in inner.inputs if value is not None and value.node in statics.nodes}
    for node in graph.nodes():
        if node in statics.nodes:
            continue
        for value in node.inputs:
            if value is not None and value.node in statics.nodes and value not in covered.get(node, ()):
                for source in sources(value):
                    claims.setdefault(canonical(source), set()).add("raw")
    for value in graph.outputs:
        for source in sources(value) if value.node in statics.nodes else ():
            claims.setdefault(canonical(source), set()).add("raw")
    return {name for name, uses in claims.items() if len(uses) > 1 or "raw" in uses}


def _weight_operands(node: Node, plan: Plan) -> Sequence[Value]:
    """The operands of a node that its layer holds."""
    held = {name for _, value in plan.weights for name in sources(value)}
    return [v for v in node.inputs if v is not None and set(sources_of_static(v)) and set(sources_of_static(v)) <= held]


def sources_of_static(value: Value) -> tuple[str, ...]:
    """Parameters below a value; none where it depends on an input."""
    nodes = list(topological_order((value,)))
    if any(node.op == "input" for node in nodes):
        return ()
    return sources(value)


def planner(*names: str) -> Callable[[Planner], Planner]:
    """Register what makes a plan for an op."""

    def register(rule: Planner) -> Planner:
        for name in names:
            PLANNERS[name] = rule
        return rule

    return register
