"""Turn expressions on parameters into parameters of the target's own layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kxchange.graph import Graph, Node, Value, parameter, rewrite, topological_order
from kxchange.model import Array, Parameter
from kxchange.reference import evaluate
from kxchange.spec import dims_of, keep


@dataclass(frozen=True, slots=True)
class Derived:
    """A parameter computed from the model's own by a declared transform.

    Attributes:
        name: Name of the folded parameter in the target.
        transform: The expression, a graph without inputs over `parameter` leaves.
        sources: Names of the model's parameters that it reads.
    """

    name: str
    transform: Graph
    sources: tuple[str, ...]

    def compute(self, arrays: Mapping[str, Array]) -> Array:
        """The values, from the values of the sources."""
        return evaluate(self.transform, (), arrays)[0]


def fold_parameters(graph: Graph, parameters: Mapping[str, Parameter]) -> tuple[Graph, dict[str, Derived]]:
    """Replace every maximal expression that reads only parameters and constants by one parameter.

    ``permute_dims(parameter("kernel"), (3, 2, 0, 1))`` becomes ``parameter("kernel:1")`` with the transform kept,
    so that the target stores its own layout and the way back is known.

    Returns:
        The graph, and what was derived by name. The model's own parameters are not changed.
    """
    foldable = find_foldable(graph)
    consumed = {value for node in graph.nodes() if node not in foldable for value in node.inputs if value is not None}
    tops = consumed | set(graph.outputs)
    derived: dict[str, Derived] = {}

    def change(node: Node, operands: tuple[Value | None, ...]) -> Sequence[Value]:
        if node not in foldable or node.op == "parameter" or not tops & set(node.outputs):
            return keep(node, operands)
        return tuple(derive(value, derived, parameters) if value in tops else value for value in node.outputs)

    return rewrite(graph, change), derived


def find_foldable(graph: Graph) -> set[Node]:
    """Nodes that depend on at least one parameter and on nothing but parameters and constants."""
    static: set[Node] = set()
    reads: set[Node] = set()
    for node in graph.nodes():
        producers = [value.node for value in node.inputs if value is not None]
        symbolic = any(dims_of(value) for value in node.attrs.values())
        if node.op == "parameter" or (not symbolic and all(producer in static for producer in producers)):
            static.add(node)
            if node.op == "parameter" or any(producer in reads for producer in producers):
                reads.add(node)
    return reads


def derive(value: Value, derived: dict[str, Derived], parameters: Mapping[str, Parameter]) -> Value:
    """A new parameter leaf that stands for the expression `value`."""
    nodes = list(topological_order((value,)))
    sources = tuple(dict.fromkeys(str(node.attrs["name"]) for node in nodes if node.op == "parameter"))
    name = fresh_name(sources[0], derived, parameters)
    derived[name] = Derived(name, Graph((), (value,)), sources)
    return parameter(name, value.type)


def fresh_name(base: str, derived: Mapping[str, Derived], parameters: Mapping[str, Parameter]) -> str:
    """`base` with the first free number behind it."""
    number = 1
    while f"{base}:{number}" in derived or f"{base}:{number}" in parameters:
        number += 1
    return f"{base}:{number}"
