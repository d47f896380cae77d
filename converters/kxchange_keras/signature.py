"""Inputs and outputs of a lifted model: names, types and symbolic sizes."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, cast

from kxchange.dims import Dim, DimExpr, parse_dim, symbol
from kxchange.errors import InputError, TypeInferenceError
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import DType, TensorType
from kxchange_keras.call import Traced
from kxchange_keras.decoding import leaves
from kxchange_keras.layer_config import Reference
from kxchange_keras.layer_tree import Layer

BATCH = "batch"
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of a single input's unknown sizes, by their number."""


def input_placeholders(tree: Layer, dynamic: Mapping[str, Any] | None, names: Mapping[str, str]) -> dict[str, Traced]:
    """One graph input per input layer, in the model's order.

    Args:
        tree: The model.
        dynamic: Dims by input name, one entry per axis (None: as the file says), given by the user.
        names: Symbols that turned out to be others.

    Raises:
        InputError: `dynamic` does not fit the inputs.
    """
    topology = tree.topology
    order = [reference.layer for reference in leaves(topology.inputs if topology else None) if reference]
    if unknown := set(dynamic or ()) - set(order):
        raise InputError(f"the model has no input {sorted(unknown)[0]!r}; it has {order}.")
    found: dict[str, Traced] = {}
    for name in order:
        type = input_type(tree.children[name], (dynamic or {}).get(name), alone=len(order) == 1)
        renamed = tuple(_renamed(dim, names) for dim in type.shape)
        found[name] = Traced(placeholder(name, type.with_shape(renamed)))
    return found


def _renamed(dim: Dim, names: Mapping[str, str]) -> Dim:
    atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
    return symbol(names[atom]) if isinstance(atom, str) and atom in names else dim


def input_type(layer: Layer, dynamic: Any, *, alone: bool) -> TensorType:
    """Type of an input layer.

    Raises:
        TypeInferenceError: The file does not say its shape, or it is no dense tensor of numbers.
    """
    options = layer.config.options
    shape = options.get("batch_shape", options.get("batch_input_shape"))
    if shape is None and options.get("shape") is not None:
        shape = [None, *options["shape"]]
    if not isinstance(shape, list | tuple):
        raise TypeInferenceError(f"the file does not say the shape of the input {layer.config.name!r}.")
    if options.get("sparse") or options.get("ragged"):
        raise TypeInferenceError(f"the input {layer.config.name!r} is sparse or ragged.")
    dtype = options.get("dtype") or "float32"
    if isinstance(dtype, Mapping):
        dtype = layer.policy.compute.value
    if dtype not in DType.__members__.values():
        raise TypeInferenceError(f"the input {layer.config.name!r} is of {str(dtype)[:40]!r}.")
    if not all(size is None or (type(size) is int and size >= 0) for size in cast("list[object]", shape)):
        raise TypeInferenceError(f"the input {layer.config.name!r} has the shape {str(shape)[:80]!r}.")
    dims = tuple(None if size is None else int(size) for size in shape)
    return TensorType(
        DType(dtype), _named_dims(layer.config.name, dims, _given(layer.config.name, dynamic, dims), alone)
    )


def _given(name: str, dynamic: Any, shape: tuple[int | None, ...]) -> tuple[Any, ...]:
    if dynamic is None:
        return (None,) * len(shape)
    entries = tuple(dynamic.get(axis) for axis in range(len(shape))) if isinstance(dynamic, Mapping) else tuple(dynamic)
    if len(entries) != len(shape):
        raise InputError(f"input {name!r} has {len(shape)} axes, and {len(entries)} dims are given for it.")
    return entries


def _named_dims(name: str, shape: tuple[int | None, ...], given: tuple[Any, ...], alone: bool) -> tuple[Dim, ...]:
    unknown = [axis for axis, size in enumerate(shape) if size is None and axis > 0]
    words = AXES.get(len(unknown), ())
    prefix = "" if alone else re.sub(r"[^A-Za-z0-9_]", "_", name) + "_"
    dims: list[Dim] = []
    for axis, size in enumerate(shape):
        if given[axis] is not None:
            dims.append(parse_dim(str(given[axis])))
        elif size is not None:
            dims.append(size)
        elif axis == 0:
            dims.append(symbol(BATCH))
        else:
            word = words[unknown.index(axis)] if words else f"axis{axis}"
            dims.append(symbol(f"{prefix}{word}" if not prefix[:1].isdigit() else f"input_{prefix}{word}"))
    return tuple(dims)


def merged_symbols(graph: Graph) -> dict[str, str]:
    """Symbols that the model needs to be equal: each with the one that stands for it."""
    order = {name: None for value in graph.inputs for dim in value.shape for name in _lone(dim)}
    stands = {name: name for name in order}

    def root(name: str) -> str:
        while stands[name] != name:
            name = stands[name]
        return name

    for node in graph.nodes():
        for constraint in node.constraints:
            left, right = _lone(constraint.left), _lone(constraint.right)
            if constraint.kind == "equal" and left and right and left[0] in stands and right[0] in stands:
                first, second = sorted((root(left[0]), root(right[0])), key=list(order).index)
                stands[second] = first
    return {name: root(name) for name in stands if root(name) != name}


def _lone(dim: Dim) -> list[str]:
    atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
    return [atom] if isinstance(atom, str) else []


def name_outputs(references: Any, results: Any) -> tuple[tuple[str, ...], tuple[Value, ...], Any]:
    """Output names and values in order, and the output tree where it is more than a list."""
    names: list[str] = []
    values: list[Value] = []

    def walk(reference: Any, result: Any, path: tuple[str, ...]) -> Any:
        if isinstance(reference, dict):
            return {key: walk(item, result[key], (*path, str(key))) for key, item in reference.items()}
        if isinstance(reference, list | tuple):
            return [walk(r, v, path) for r, v in zip(reference, result, strict=True)]
        assert isinstance(reference, Reference)
        name = unique_name(".".join(path) or reference.layer, names)
        names.append(name)
        values.append(result.value)
        return {"output": name}

    structure = walk(references, results, ())
    return tuple(names), tuple(values), structure if isinstance(references, dict) else None


def unique_name(name: str, taken: Container[str]) -> str:
    """`name`, with the first free number behind it where it is taken."""
    number = 1
    found = name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
