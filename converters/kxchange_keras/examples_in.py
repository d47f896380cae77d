"""The example inputs of a captured call: their names, and which of their sizes are symbolic."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kxchange.dims import Dim, DimExpr, evaluate, parse_dim, symbol, symbols
from kxchange.errors import CaptureError, DimError

BATCH = "batch"
OPEN = (2, 8)
"""Sizes of examples for the batch and for other axes of unknown size."""


@dataclass(frozen=True, slots=True)
class Examples:
    """One call of a model.

    Attributes:
        args: Positional arguments, whose tensors are names.
        kwargs: Keyword arguments, likewise.
        arrays: The example arrays by name.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    arrays: dict[str, Any]

    def packed(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with tensors in their places."""
        put = lambda leaf: tensors[leaf.name] if isinstance(leaf, Name) else leaf  # noqa: E731
        return _map(put, self.args), _map(put, self.kwargs)

    def filled(self, make: Callable[[Any], Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with the example arrays in their places."""
        return self.packed({name: make(array) for name, array in self.arrays.items()})


@dataclass(frozen=True, slots=True)
class Name:
    """The place of an input in the arguments."""

    name: str


def _map(function: Callable[[Any], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _map(function, item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [_map(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    return function(tree)


def examples_of(source: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Examples:
    """Name the example inputs: a lone container by its keys, others by argument and path.

    Raises:
        CaptureError: They do not fit the signature of `call`, or two have one name.
    """
    signature = inspect.signature(source.call)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise CaptureError(f"keras cannot call {type(source).__qualname__}{signature} so: {error}.") from None
    names = list(signature.parameters)
    roots = [names[place] if place < len(names) else f"input_{place}" for place in range(len(args))]
    tensors = [item for item in (*args, *kwargs.values()) if any(map(is_array, _leaves(item)))]
    lone = len(tensors) == 1 and not is_array(tensors[0])
    arrays: dict[str, Any] = {}

    def walk(item: Any, path: tuple[str, ...]) -> Any:
        if isinstance(item, Mapping):
            return {key: walk(inner, (*path, str(key))) for key, inner in item.items()}
        if isinstance(item, list | tuple):
            items = [walk(inner, (*path, str(place))) for place, inner in enumerate(item)]
            return type(item)(*items) if hasattr(item, "_fields") else type(item)(items)
        if not is_array(item):
            return item
        inner = path[1:] if lone else path
        name = ".".join(inner) if not (lone and len(inner) == 1 and inner[0].isdigit()) else f"input_{inner[0]}"
        if name in arrays:
            raise CaptureError(f"two inputs would be called {name!r}.")
        arrays[name] = plain_array(item)
        return Name(name)

    positional = tuple(walk(item, (root,)) for item, root in zip(args, roots, strict=True))
    return Examples(positional, {key: walk(item, (key,)) for key, item in kwargs.items()}, arrays)


def plain_array(item: Any) -> Any:
    """An example as a NumPy array, in the dtype that Keras gives it."""
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(item)))


def is_array(item: Any) -> bool:
    """Whether an example is a tensor: of NumPy or of the backend that Keras runs on."""
    return isinstance(item, np.ndarray | np.generic) or bool(keras.ops.is_tensor(item))


def _leaves(tree: Any) -> list[Any]:
    found: list[Any] = []
    _map(found.append, tree)
    return found


def plan_shapes(examples: Examples, dynamic: Any) -> tuple[dict[str, tuple[Dim, ...]], dict[str, int]]:
    """The dims of every input, and the size of each symbol in the examples.

    Args:
        examples: The inputs.
        dynamic: By input name one entry per axis, or a dict by axis: a name or an expression, or None for a size that
            stays. Inputs that are not named have a symbolic axis 0; False makes every size static.

    Raises:
        CaptureError: It names an input or an axis that is not there, or sizes contradict each other.
    """
    given = {} if dynamic is None or isinstance(dynamic, bool) else dict(dynamic)
    if unknown := [name for name in given if name not in examples.arrays]:
        raise CaptureError(f"dynamic names the input {unknown[0]!r}; the inputs are: {', '.join(examples.arrays)}.")
    shapes: dict[str, tuple[Dim, ...]] = {}
    sizes: dict[str, int] = {}
    for name, spec in given.items():
        shapes[name] = _stated(name, spec, examples.arrays[name].shape)
        for dim, size in zip(shapes[name], examples.arrays[name].shape, strict=True):
            atom = dim.lone_atom() if isinstance(dim, DimExpr) else None
            if isinstance(atom, str):
                sizes.setdefault(atom, int(size))
    _agree(shapes, sizes, examples)
    first = next((str(shapes[n][0]) for n in shapes if shapes[n] and str(shapes[n][0]) in sizes), BATCH)
    for name, array in examples.arrays.items():
        if name in shapes:
            continue
        shapes[name] = tuple(array.shape)
        if dynamic is not False and array.ndim:
            chosen = (
                first if sizes.get(first, array.shape[0]) == array.shape[0] else f"{BATCH}_{name}".replace(".", "_")
            )
            sizes[chosen] = int(array.shape[0])
            shapes[name] = (symbol(chosen), *shapes[name][1:])
    return {name: shapes[name] for name in examples.arrays}, sizes


def _stated(name: str, spec: Any, shape: tuple[int, ...]) -> tuple[Dim, ...]:
    if spec is None:
        return tuple(shape)
    by_axis = dict(spec) if isinstance(spec, Mapping) else dict(enumerate(spec))
    if (not isinstance(spec, Mapping) and len(spec) != len(shape)) or any(
        not -len(shape) <= axis < len(shape) for axis in by_axis
    ):
        raise CaptureError(f"dynamic says {spec!r} of input {name!r}, whose example has the shape {tuple(shape)}.")
    named = {axis % len(shape): entry for axis, entry in by_axis.items()}
    return tuple(_dim(named.get(axis), name, size) for axis, size in enumerate(shape))


def _dim(entry: Any, name: str, size: int) -> Dim:
    if entry is None or entry == size:
        return int(size)
    if not isinstance(entry, str):
        raise CaptureError(f"dynamic says {entry!r} of an axis of input {name!r}; the example has {size}.")
    try:
        return parse_dim(entry)
    except DimError as error:
        raise CaptureError(f"dynamic says {entry!r} of an axis of input {name!r}: {error}") from None


def _agree(shapes: Mapping[str, tuple[Dim, ...]], sizes: Mapping[str, int], examples: Examples) -> None:
    for name, dims in shapes.items():
        for dim, size in zip(dims, examples.arrays[name].shape, strict=True):
            if unknown := sorted(symbols(dim) - sizes.keys()):
                raise CaptureError(
                    f"the dim {str(dim)!r} of input {name!r} cannot tell the size of {unknown[0]!r}. Declare an axis "
                    f"that is {unknown[0]!r} itself."
                )
            if evaluate(dim, sizes) != size:
                raise CaptureError(
                    f"an axis of the example for {name!r} is {size}, but {str(dim)!r} is {evaluate(dim, sizes)} on "
                    "other axes. One name is one size."
                )


def examples_of_inputs(model: Any) -> tuple[Examples, dict[str, tuple[str | None, ...]]]:
    """Zeros of any size for a model that says what its inputs are, and names for the sizes that it leaves open."""
    arrays: dict[str, Any] = {}
    named: dict[str, tuple[str | None, ...]] = {}
    for tensor in model.inputs:
        sizes = {axis: OPEN[axis > 0] for axis, size in enumerate(tensor.shape) if size is None}
        shape: tuple[Any, ...] = tuple(sizes.get(axis, size) for axis, size in enumerate(tensor.shape))
        arrays[tensor.name] = np.zeros(shape, dtype=keras.backend.standardize_dtype(tensor.dtype))
        prefix = f"{tensor.name}_".replace(".", "_")
        named[tensor.name] = tuple(
            None if axis not in sizes else BATCH if axis == 0 else f"{prefix}axis{axis}"
            for axis in range(len(tensor.shape))
        )
    names = [Name(tensor.name) for tensor in model.inputs]
    struct: Any = names[0]
    if hasattr(model, "_inputs_struct"):
        struct = keras.tree.pack_sequence_as(model._inputs_struct, names)
    lone = isinstance(struct, list) and len(struct) == 1
    return Examples((struct[0] if lone else struct,), {}, arrays), named
