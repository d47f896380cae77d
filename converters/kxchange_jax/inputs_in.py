"""The example inputs of a capture: leaves of the argument tree under the names of the function's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from kxchange.errors import CaptureError
from kxchange_jax.private import is_key, key_of, key_text, key_words, physical


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of the argument tree.

    Attributes:
        name: Argument name, and the path inside it joined by dots (``past.1.0``).
        value: The example: an array, or configuration (a bool, a string, a Python number, None ...).
    """

    name: str
    value: Any

    @property
    def is_array(self) -> bool:
        """Whether this leaf becomes an input of the model."""
        return is_array(self.value)

    @property
    def is_key(self) -> bool:
        """Whether it is an array of random keys: its input is the words of their states, behind their own axes."""
        return self.is_array and is_key(self.value.dtype)

    @property
    def array(self) -> Any:
        """The example of the input."""
        if not self.is_key:
            return self.value
        return physical(self.value) if isinstance(self.value, jax.ShapeDtypeStruct) else jax.random.key_data(self.value)

    def argument(self, arrays: Mapping[str, Any]) -> Any:
        """What the function is given, of these inputs."""
        given = arrays.get(self.name)
        if given is None:
            return self.value
        return key_of(given, self.value.dtype) if self.is_key else given


def is_array(value: Any) -> bool:
    """Whether a value is an array, of NumPy or JAX, or stands for one."""
    return isinstance(value, np.ndarray | np.generic | jax.Array | jax.ShapeDtypeStruct)


@dataclass(frozen=True)
class Examples:
    """One call of the captured function, without its parameters.

    Attributes:
        leaves: Every leaf of the arguments, in order.
        tree: How they go back into ``(args, kwargs)``.
    """

    leaves: tuple[Leaf, ...]
    tree: Any

    @property
    def arrays(self) -> dict[str, Any]:
        """The leaves that are inputs, by name."""
        return {leaf.name: leaf.array for leaf in self.leaves if leaf.is_array}

    @property
    def shaped(self) -> dict[str, Any]:
        """The same with the axes that the user sees: without those of the words of random keys."""
        return {leaf.name: leaf.value for leaf in self.leaves if leaf.is_array}

    @property
    def words(self) -> dict[str, tuple[int, ...]]:
        """The further axes of inputs that are random keys."""
        return {leaf.name: key_words(leaf.value.dtype) for leaf in self.leaves if leaf.is_key}

    def call(self, arrays: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """``(args, kwargs)`` with other arrays in the place of the examples."""
        return jax.tree_util.tree_unflatten(self.tree, [leaf.argument(arrays) for leaf in self.leaves])


def bind_examples(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Examples:
    """Name the example arguments after the parameters of `function`; by position where it has no signature.

    Raises:
        CaptureError: They do not fit the signature, or two leaves get one name.
    """
    names, rest = _argument_names(function, args, kwargs)
    pairs, tree = jax.tree_util.tree_flatten_with_path((tuple(args), rest), is_leaf=lambda leaf: leaf is None)
    leaves = tuple(Leaf(_leaf_name(path, names), value) for path, value in pairs)
    known = [leaf.name for leaf in leaves]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise CaptureError(f"two inputs would be called {twice[0]!r}. Rename the argument or the keys inside it.")
    return Examples(leaves, tree)


def _argument_names(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return [f"input_{index}" for index in range(len(args))], dict(kwargs)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise CaptureError(
            f"capture cannot call {name}{signature} with these example inputs: {error}. "
            "Pass one example per required argument."
        ) from None
    names: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}.{index}" for index in range(len(args) - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    return names, dict(kwargs)


def _leaf_name(path: Sequence[Any], names: Sequence[str]) -> str:
    where, first, *rest = path
    root = names[first.idx] if where.idx == 0 else str(first.key)
    return ".".join([str(root), *map(key_text, rest)])
