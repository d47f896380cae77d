"""Values in Keras's JSON: numbers, tuples, slices, arrays and tensors of the graph; nothing that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kxchange.errors import FormatError, TypeInferenceError
from kxchange.types import DType
from kxchange_keras.layer_config import Reference

MAX_DEPTH = 64
MAX_INLINE = 2**20
"""Elements of an array written as JSON."""


class Unreadable:
    """A value that no table knows: a lambda, a function, a class; whoever needs it says so."""

    __slots__ = ("what",)

    def __init__(self, what: str) -> None:
        self.what = what

    def __repr__(self) -> str:
        return self.what


def decode(value: Any, depth: int = 0) -> Any:
    """A JSON value as Python data: tuples, slices, arrays, dtypes, `Reference`s; containers of those.

    Raises:
        FormatError: It is nested too deeply or has not the form it claims.
    """
    if depth > MAX_DEPTH:
        raise FormatError(f"a Keras config is nested more than {MAX_DEPTH} levels.")
    if isinstance(value, list):
        return [decode(item, depth + 1) for item in value]
    if not isinstance(value, Mapping):
        return value
    kind, inner = value.get("class_name"), value.get("config")
    if kind in _DECODERS and isinstance(inner, Mapping):
        try:
            return _DECODERS[kind](inner, depth)
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"a Keras config has a damaged {kind}: {error}.") from None
    if isinstance(kind, str) and "config" in value:
        return Unreadable(f"{kind} {str(inner)[:40]}" if kind == "function" else kind)
    return {key: decode(item, depth + 1) for key, item in value.items()}


def _tensor(inner: Mapping[str, Any], depth: int) -> Reference:
    layer, node, tensor = inner["keras_history"]
    return Reference(str(layer), int(node), int(tensor))


def _array(inner: Mapping[str, Any], depth: int) -> Any:
    array = np.asarray(inner["value"], dtype=array_dtype(inner.get("dtype")))
    if array.size > MAX_INLINE:
        raise FormatError(f"a Keras config holds an array of {array.size:,} elements.")
    return array


def array_dtype(name: Any) -> np.dtype | None:
    """The NumPy dtype of a name in a file.

    Raises:
        FormatError: It is no numeric type.
    """
    if name is None:
        return None
    try:
        return DType(str(name)).numpy
    except ValueError:
        raise FormatError(f"a Keras config has an array of {str(name)[:40]!r}.") from None


def _slice(inner: Mapping[str, Any], depth: int) -> slice:
    return slice(*(decode(inner.get(part), depth + 1) for part in ("start", "stop", "step")))


def _tuple(inner: Mapping[str, Any], depth: int) -> tuple[Any, ...]:
    items = inner["items"] if "items" in inner else inner["value"]
    return tuple(decode(item, depth + 1) for item in items)


_DECODERS: dict[Any, Callable[[Mapping[str, Any], int], Any]] = {
    "__keras_tensor__": _tensor,
    "__numpy__": _array,
    "__tensor__": _array,
    "__tuple__": _tuple,
    "__slice__": _slice,
    "__ellipsis__": lambda inner, depth: Ellipsis,
}


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of every leaf of nested lists, tuples, dicts and slices."""
    if isinstance(tree, dict):
        return {key: map_tree(function, item) for key, item in tree.items()}
    if isinstance(tree, list | tuple):
        items = [map_tree(function, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
    if isinstance(tree, slice):
        return slice(*(map_tree(function, part) for part in (tree.start, tree.stop, tree.step)))
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """Every leaf, in order."""
    found: list[Any] = []
    map_tree(found.append, tree)
    return found


def integers(value: Any, count: int, what: str) -> tuple[int, ...]:
    """One int per axis from an int or a list of them.

    Raises:
        TypeInferenceError: It is something else.
    """
    items = [value] * count if isinstance(value, int) else list(value) if isinstance(value, list | tuple) else []
    if len(items) != count or not all(isinstance(item, int) for item in items):
        raise TypeInferenceError(f"{what} must be {count} whole numbers, not {value!r}.")
    return tuple(items)
