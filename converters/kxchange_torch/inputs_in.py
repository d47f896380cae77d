"""The example inputs of a capture: leaves of the argument tree under the names of `forward`'s arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from kxchange.errors import CaptureError
from kxchange_torch.containers_in import register_containers
from kxchange_torch.private import flatten, leaves_with_path, unflatten


@dataclass(frozen=True, slots=True)
class Leaf:
    """One leaf of the argument tree.

    Attributes:
        name: Argument name, and the path inside it joined by dots (``past.1.0``).
        value: The example: a tensor, or configuration (a bool, a number, None ...).
    """

    name: str
    value: Any

    @property
    def is_tensor(self) -> bool:
        """Whether this leaf becomes an input of the model."""
        return isinstance(self.value, torch.Tensor)


@dataclass(frozen=True, slots=True)
class Examples:
    """One call of `forward`.

    Attributes:
        signature: The signature of `forward`.
        args: Positional arguments.
        kwargs: Named arguments, in the order of the signature.
        leaves: Every leaf, in the order in which `torch.export` flattens `(args, kwargs)`.
    """

    signature: inspect.Signature
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaves: tuple[Leaf, ...]

    def leaf(self, name: str) -> Leaf:
        """The leaf of this name."""
        return next(leaf for leaf in self.leaves if leaf.name == name)

    def with_tensors(self, tensors: Mapping[str, torch.Tensor]) -> Examples:
        """The same call on other example tensors, by leaf name."""
        fresh = [tensors.get(leaf.name, leaf.value) for leaf in self.leaves]
        args, kwargs = unflatten(fresh, flatten((self.args, self.kwargs))[1])
        leaves = tuple(Leaf(leaf.name, value) for leaf, value in zip(self.leaves, fresh, strict=True))
        return Examples(self.signature, args, kwargs, leaves)


def bind_examples(module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Examples:
    """Match example arguments with the signature of `forward`.

    Raises:
        CaptureError: They do not fit it.
    """
    signature = inspect.signature(module.forward)
    register_containers((tuple(args), dict(kwargs)))
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise CaptureError(
            f"capture cannot call {type(module).__name__}.forward{signature} with these example inputs: {error}. "
            "Pass one example per required argument."
        ) from None
    named = dict(bound.kwargs)
    ordered = {name: named.pop(name) for name in signature.parameters if name in named} | named
    roots = name_positional(signature, bound.args) | ordered
    return Examples(signature, bound.args, ordered, name_leaves(roots))


def name_positional(signature: inspect.Signature, args: Sequence[Any]) -> dict[str, Any]:
    """Positional arguments under their parameters' names; those of ``*args`` are numbered."""
    named: dict[str, Any] = {}
    rest = list(args)
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            return named | {f"{name}.{index}": item for index, item in enumerate(rest)}
        if not rest:
            break
        named[name] = rest.pop(0)
    return named


def name_leaves(roots: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """Every leaf of the trees, named by its root and its path."""
    return tuple(
        Leaf(".".join((root, *path)), value) for root, tree in roots.items() for path, value in leaves_with_path(tree)
    )


@dataclass(frozen=True, slots=True)
class Origin:
    """What was captured, kept beside the model: the module and one call of it.

    Attributes:
        module: The module.
        examples: The call.
        functions: The same by name, where several methods were captured.
    """

    module: torch.nn.Module
    examples: Examples
    functions: Mapping[str, Origin] = field(default_factory=dict[str, "Origin"])
