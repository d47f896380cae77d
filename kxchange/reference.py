"""The NumPy runner: graphs evaluated with the ops' references, every value checked against its inferred type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kxchange.binding import bind_dims, check_constraints
from kxchange.dims import DimExpr, substitute, symbols
from kxchange.dims import evaluate as evaluate_dim
from kxchange.errors import InputError, KxchangeError, LimitError, WeightError
from kxchange.graph import Graph, Node, interpret
from kxchange.spec import REGISTRY
from kxchange.types import TensorType

Array = NDArray[Any]

BUDGET = 2**34
"""Bytes that the outputs of one node may take unless the caller allows more."""


def evaluate(
    graph: Graph,
    inputs: Sequence[Array],
    parameters: Mapping[str, Array] | None = None,
    dims: Mapping[str, int] | None = None,
    *,
    budget: int = BUDGET,
) -> tuple[Array, ...]:
    """Run `graph` on arrays; memory stays at the values still needed.

    Args:
        graph: What to run; a sub-graph of a control-flow op, too.
        inputs: One array per graph input, of exactly its dtype.
        parameters: Arrays by parameter name.
        dims: Sizes already known, such as those of the graph around a sub-graph.
        budget: Bytes that the outputs of one node may take.

    Returns:
        One array per graph output.

    Raises:
        InputError: Inputs do not fit the graph's signature, or a constraint of a node does not hold for their sizes.
        LimitError: A node's outputs would exceed the budget; nothing was allocated for them.
        KxchangeError: A reference failed, or broke its own type rule.
    """
    known = bind_inputs(graph, inputs, dims or {})
    weights = parameters or {}

    def apply(node: Node, operands: list[Any]) -> tuple[Array, ...]:
        if node.op == "parameter":
            return (_parameter(node, weights),)
        return evaluate_node(node, operands, known, budget=budget)

    return interpret(graph, inputs, apply, release=True)


class BoundGraph:
    """A sub-graph among a control-flow op's attributes with the sizes around it: something to call on arrays.

    Attributes:
        graph: The sub-graph.
        dims: Sizes by symbol of the graph around it.
    """

    __slots__ = ("dims", "graph")

    def __init__(self, graph: Graph, dims: Mapping[str, int]) -> None:
        self.graph = graph
        self.dims = dims

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        """Run the sub-graph; the same errors as `evaluate`."""
        return evaluate(self.graph, arrays, dims=self.dims)

    def output_types(self, *arrays: Array) -> list[tuple[np.dtype, tuple[int, ...]]]:
        """Dtype and shape of each output for inputs like these, without running anything."""
        known = bind_inputs(self.graph, arrays, self.dims)
        types = [value.type for value in self.graph.outputs]
        return [(type.dtype.numpy, tuple(evaluate_dim(dim, known) for dim in type.shape)) for type in types]


def bind_inputs(graph: Graph, inputs: Sequence[Array], dims: Mapping[str, int]) -> dict[str, int]:
    """Sizes of all symbols of the inputs' types and of `dims`, with dtypes and shapes checked.

    Raises:
        InputError: An input does not fit.
    """
    names = [str(value.node.attrs["name"]) for value in graph.inputs]
    shapes = [tuple(substitute(dim, dims) for dim in value.shape) for value in graph.inputs]
    known = {**dims, **bind_dims(list(zip(names, shapes, strict=True)), [np.shape(array) for array in inputs])}
    for name, value, array in zip(names, graph.inputs, inputs, strict=True):
        if array.dtype != value.type.dtype.numpy:
            raise InputError(
                f"input {name!r} has dtype {array.dtype.name}, but {value.type} is expected. Convert the array first."
            )
    return known


def evaluate_node(
    node: Node,
    operands: Sequence[Array | None],
    dims: Mapping[str, int],
    *,
    budget: int = BUDGET,
    bound: type[BoundGraph] = BoundGraph,
) -> tuple[Array, ...]:
    """Evaluate one node on its operands' arrays.

    Args:
        node: Any node but an input or a parameter.
        operands: One array per operand, None for an absent one.
        dims: Sizes by symbol; a dict is extended by those that only this node's data decides.
        budget: Bytes that the outputs may take.
        bound: What its sub-graphs become, to be called on arrays.

    Raises:
        InputError: A constraint of the node does not hold for these sizes.
        LimitError: The outputs would exceed the budget.
        KxchangeError: The reference failed, or broke its type rule.
    """
    check_constraints(node.constraints, dims, node.where)
    for type in node.types:
        _check_budget(node, type, dims, budget)
    arrays = _run(node, operands, resolve_attrs(node.attrs, dims, bound))
    if len(arrays) != len(node.types):
        raise KxchangeError(f"The reference of {node.where} gave {len(arrays)} results, not {len(node.types)}.")
    for type, array in zip(node.types, arrays, strict=True):
        if isinstance(dims, dict):
            _bind_fresh(type, array, dims)
        _check_type(node, type, array, dims)
    return arrays


def _run(node: Node, operands: Sequence[Array | None], attrs: Mapping[str, Any]) -> tuple[Array, ...]:
    spec = REGISTRY.get(node.op)
    if spec is None:
        raise KxchangeError(f"There is no reference for {node.where}: kxchange has no op {node.op!r}.")
    try:
        with np.errstate(all="ignore"):
            return spec.evaluate(operands, attrs)
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        raise KxchangeError(f"The reference of {node.op} failed on {node.where}, {node!r}: {error}") from error


def resolve_attrs(
    attrs: Mapping[str, Any], dims: Mapping[str, int], bound: type[BoundGraph] = BoundGraph
) -> Mapping[str, Any]:
    """Attributes with every dim in them, however deep in tuples, replaced by its size; sub-graphs become `bound`."""
    return {name: _resolve(value, dims, bound) for name, value in attrs.items()}


def _resolve(value: Any, dims: Mapping[str, int], bound: type[BoundGraph]) -> Any:
    if isinstance(value, DimExpr):
        return evaluate_dim(value, dims)
    if isinstance(value, Graph):
        return bound(value, dims)
    if type(value) is not tuple:
        return value
    return tuple(_resolve(item, dims, bound) for item in cast("tuple[Any, ...]", value))


def _check_budget(node: Node, type: TensorType, dims: Mapping[str, int], budget: int) -> None:
    if any(not symbols(dim) <= dims.keys() for dim in type.shape):
        return
    size = type.dtype.numpy.itemsize
    for dim in type.shape:
        size *= evaluate_dim(dim, dims)
    if size > budget:
        raise LimitError(
            f"The reference will not evaluate {node.where}: {type} takes {size:,} bytes, more than the budget of "
            f"{budget:,}. Pass smaller inputs or a larger budget."
        )


def _bind_fresh(type: TensorType, array: Array, dims: dict[str, int]) -> None:
    """Give a symbol that stands for a data-dependent size the size that came out."""
    for dim, size in zip(type.shape, array.shape, strict=False):
        if isinstance(dim, DimExpr) and isinstance(name := dim.lone_atom(), str):
            dims.setdefault(name, size)


def _check_type(node: Node, type: TensorType, array: Array, dims: Mapping[str, int]) -> None:
    shape = tuple(evaluate_dim(dim, dims) for dim in type.shape)
    if array.dtype != type.dtype.numpy or array.shape != shape:
        given = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
        raise KxchangeError(
            f"The reference of {node.op} and its type rule disagree on {node.where}: {given} came out, {type} "
            f"(shape {shape}) was inferred. This is an error in kxchange; please report it."
        )


def _parameter(node: Node, parameters: Mapping[str, Array]) -> Array:
    name, type = str(node.attrs["name"]), node.types[0]
    array = parameters.get(name)
    if array is None:
        raise WeightError(f"The graph reads the parameter {name!r}, which was not given. Pass it by that name.")
    if array.dtype != type.dtype.numpy or array.shape != type.shape:
        given = f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"
        raise WeightError(f"Parameter {name!r} is {given}, but the graph reads {type}. Pass it in that type.")
    return array
