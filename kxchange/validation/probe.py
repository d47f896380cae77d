"""Looking inside a model: intermediate values made outputs, and single nodes made models."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from kxchange.converter import Runner
from kxchange.dims import DimExpr, evaluate, substitute, symbols
from kxchange.errors import KxchangeError
from kxchange.graph import LEAVES, Graph, Node, Value, interpret, placeholder
from kxchange.graph import parameter as parameter_leaf
from kxchange.model import Array, Function, Model, Parameter
from kxchange.reference import bind_inputs
from kxchange.reference import evaluate as evaluate_graph
from kxchange.spec import apply_op
from kxchange.types import DType, TensorType

Prepare = Callable[[Model], Runner]
BUDGET = 2**28
"""Bytes of intermediate values fetched in one run."""


def observable(graph: Graph) -> list[Value]:
    """Every computed value of a plain type, in topological order."""
    return [
        value
        for node in graph.nodes()
        if node.op not in LEAVES
        for value in node.outputs
        if value.type.dtype is DType.BOOL or value.type.dtype.bits >= 8 * (2 if value.type.dtype.is_floating else 1)
    ]


def sizes_of(graph: Graph, inputs: Sequence[Array]) -> dict[str, int]:
    """The size of every symbol of the inputs."""
    return bind_inputs(graph, inputs, {})


def chunks(values: Iterable[Value], dims: Mapping[str, int], budget: int = BUDGET) -> Iterator[list[Value]]:
    """The values in order, in groups of at most `budget` bytes."""
    group: list[Value] = []
    held = 0
    for value in values:
        size = byte_size(value.type, dims)
        if group and held + size > budget:
            yield group
            group, held = [], 0
        group.append(value)
        held += size
    if group:
        yield group


def byte_size(type: TensorType, dims: Mapping[str, int]) -> int:
    """Bytes of a value; sizes that only the data decides count as 1."""
    sizes = [int(evaluate(dim, dims)) if symbols(dim) <= dims.keys() else 1 for dim in type.shape]
    return math.prod(sizes) * type.dtype.numpy.itemsize


def mark(model: Model, function: str | None, values: Sequence[Value]) -> Model:
    """The model with other outputs: `values`, called ``v0``, ``v1`` and so on."""
    graph = Graph(model.function(function).graph.inputs, tuple(values))
    names = tuple(f"v{number}" for number in range(len(values)))
    return model.replace(functions={function or "main": Function(graph, names)}, samples=())


def read_values(
    model: Model, function: str | None, values: Sequence[Value], inputs: Mapping[str, Array]
) -> list[Array | None]:
    """The values on the NumPy reference."""
    entry = model.function(function)
    held = {name: model.array(name) for name in model.parameters}
    graph = Graph(entry.graph.inputs, tuple(values))
    return list(evaluate_graph(graph, [inputs[name] for name in entry.input_names], held))


def fetch_values(
    prepare: Prepare, model: Model, function: str | None, values: Sequence[Value], inputs: Mapping[str, Array]
) -> list[Array | None]:
    """The values on a backend; None for one that the backend cannot give."""
    try:
        found = prepare(mark(model, function, values))(inputs)
        return [found[f"v{number}"] for number in range(len(values))]
    except Exception:  # a backend may raise anything; which value it was is found by halving
        if len(values) == 1:
            return [None]
    half = len(values) // 2
    return [
        *fetch_values(prepare, model, function, values[:half], inputs),
        *fetch_values(prepare, model, function, values[half:], inputs),
    ]


def lone_node(model: Model, node: Node, operands: Sequence[Array | None], dims: Mapping[str, int]) -> Model | None:
    """A model of one node at fixed sizes: operands are inputs ``x0``, ``x1`` ..., parameters stay parameters.

    Args:
        model: Whose parameters.
        node: The node.
        operands: One array per operand; used for the sizes.
        dims: Size of every symbol.

    Returns:
        The model; None where the op cannot be stated at fixed sizes.
    """
    known = dict(dims)
    for value, array in zip(node.inputs, operands, strict=True):
        if value is not None and array is not None:
            bind_lone(value.type, array, known)
    leaves = [lone_operand(number, value, operands[number]) for number, value in enumerate(node.inputs)]
    attrs = {name: fix_sizes(value, known) for name, value in node.attrs.items()}
    try:
        outputs = apply_op(Node(node.op, (), attrs, node.types, node.name, node.source), leaves)
    except KxchangeError:
        return None
    inputs = tuple(leaf for leaf in leaves if leaf is not None and leaf.node.op == "input")
    names = [str(leaf.node.attrs["name"]) for leaf in leaves if leaf is not None and leaf.node.op == "parameter"]
    entries = [Parameter(name, model.array(name)) for name in dict.fromkeys(names)]
    return Model({"main": Function(Graph(inputs, outputs), tuple(f"y{n}" for n in range(len(outputs))))}, entries)


def bind_lone(type: TensorType, array: Array, known: dict[str, int]) -> None:
    """Give the symbols that are axes of an operand its sizes, where nothing else gave them."""
    for dim, size in zip(type.shape, array.shape, strict=True):
        atom = None if isinstance(dim, int) else dim.lone_atom()
        if isinstance(atom, str):
            known.setdefault(atom, size)


def lone_operand(number: int, value: Value | None, array: Array | None) -> Value | None:
    """The leaf that stands for an operand."""
    if value is None or array is None:
        return None
    if value.node.op == "parameter":
        return parameter_leaf(str(value.node.attrs["name"]), value.type)
    return placeholder(f"x{number}", TensorType(value.type.dtype, array.shape))


def lone_inputs(node: Node, operands: Sequence[Array | None]) -> dict[str, Array]:
    """The operands' arrays under the names that `lone_node` gives them, in the operands' dtypes."""
    return {
        f"x{number}": np.asarray(array).astype(value.type.dtype.numpy)
        for number, (value, array) in enumerate(zip(node.inputs, operands, strict=True))
        if value is not None and array is not None and value.node.op != "parameter"
    }


def fix_sizes(value: Any, dims: Mapping[str, int]) -> Any:
    """An attribute value with sizes in place of symbols, in sub-graphs too."""
    if isinstance(value, DimExpr):
        return substitute(value, dims)
    if isinstance(value, Graph):
        return fix_graph(value, dims)
    return tuple(fix_sizes(item, dims) for item in cast("tuple[Any, ...]", value)) if type(value) is tuple else value


def fix_graph(graph: Graph, dims: Mapping[str, int]) -> Graph:
    """A sub-graph with sizes in place of the symbols around it."""

    def fixed(type: TensorType) -> TensorType:
        return TensorType(type.dtype, tuple(substitute(dim, dims) for dim in type.shape))

    def apply(node: Node, operands: list[Value | None]) -> tuple[Value, ...]:
        if node.op in LEAVES:
            return node.outputs
        attrs = {name: fix_sizes(value, dims) for name, value in node.attrs.items()}
        return apply_op(Node(node.op, (), attrs, node.types, node.name, node.source), operands)

    inputs = tuple(placeholder(str(value.node.attrs["name"]), fixed(value.type)) for value in graph.inputs)
    return Graph(inputs, interpret(graph, inputs, apply))
