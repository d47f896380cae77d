"""Objects that hold tensors, of classes that torch does not know: caches, dataclasses, states.

torch traces through trees of lists, tuples and dicts. An object becomes a node of such a tree: its children are the
attributes with tensors in them, everything else about it is carried along as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from kxchange.errors import CaptureError
from kxchange_torch.private import flatten, is_registered, register_container

DEPTH = 8
STAMP = "_kx_children"
"""Where an object that was put together keeps the names of its children: torch also puts in what is no tensor."""


@dataclass(frozen=True, eq=False)
class Rest:
    """What an object is beside its tensors.

    Attributes:
        kind: Its class.
        names: Attributes that are children, in order.
        others: All other attributes.
    """

    kind: type
    names: tuple[str, ...]
    others: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rest) and (self.kind, self.names) == (other.kind, other.names)

    def __hash__(self) -> int:
        return hash((self.kind, self.names))


def register_containers(tree: Any) -> bool:
    """Let torch see the tensors inside every object of `tree`; whether there was a class that it did not know."""
    found = False
    while unknown := {type(leaf) for leaf in flatten(tree)[0] if _is_container(leaf)}:
        for kind in unknown:
            register_container(kind, _take_apart, _put_together)
        found = True
    return found


def require_no_baked_sizes(roots: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
    """Refuse objects that keep a symbolic size as a plain number: the model would hold the example's for ever.

    Raises:
        CaptureError: An attribute beside the tensors is the size of a symbolic dim.
    """
    by_size = {size: name for name, size in sizes.items() if size > 1}
    for root, tree in roots.items():
        for path, number in _numbers(tree, root, DEPTH):
            if number in by_size:
                raise CaptureError(
                    f"capture (torch) takes {path} for a constant, and it is {number}, the example's size of "
                    f"{by_size[number]!r}. Make the size static, give examples of other sizes, or pass the tensors "
                    "without the object that counts them."
                )


def _is_container(leaf: Any) -> bool:
    """Whether a leaf is an object with tensors inside, which torch would take for a constant."""
    if isinstance(leaf, torch.Tensor | nn.Module | type | str | bytes | int | float | None) or callable(leaf):
        return False
    return not is_registered(type(leaf)) and _holds_tensor(leaf, DEPTH)


def _attributes(item: Any) -> dict[str, Any]:
    """The attributes of an object that are its own."""
    slots = [name for kind in type(item).__mro__ for name in _names(getattr(kind, "__slots__", ()))]
    held = {name: getattr(item, name) for name in slots if not name.startswith("__") and hasattr(item, name)}
    return held | dict(getattr(item, "__dict__", {}))


def _names(slots: str | Iterable[str]) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _holds_tensor(item: Any, depth: int) -> bool:
    if isinstance(item, torch.Tensor):
        return True
    return depth > 0 and any(_holds_tensor(part, depth - 1) for part in _parts(item))


def _parts(item: Any) -> Iterator[Any]:
    if isinstance(item, Mapping):
        yield from item.values()
    elif isinstance(item, list | tuple):
        yield from item
    elif not isinstance(item, nn.Module | type | str | bytes | int | float | None) and not callable(item):
        yield from _attributes(item).values()


def _take_apart(item: Any) -> tuple[list[tuple[str, Any]], Rest]:
    """Named children, and the rest."""
    held = _attributes(item)
    known = held.pop(STAMP, ())
    inside = {name: value for name, value in held.items() if name in known or _holds_tensor(value, DEPTH)}
    others = {name: value for name, value in held.items() if name not in inside}
    return list(inside.items()), Rest(type(item), tuple(inside), others)


def _put_together(children: Iterable[Any], rest: Rest) -> Any:
    """The object again; what it changes of itself later does not reach the one it was taken from."""
    made = object.__new__(rest.kind)
    for name, value in rest.others.items():
        object.__setattr__(made, name, copy.copy(value) if isinstance(value, dict | list | set) else value)
    for name, value in zip(rest.names, children, strict=True):
        object.__setattr__(made, name, value)
    if hasattr(made, "__dict__"):
        object.__setattr__(made, STAMP, rest.names)
    return made


def _numbers(item: Any, path: str, depth: int) -> Iterator[tuple[str, int]]:
    """Plain integers among the attributes of objects, with the path to each."""
    if isinstance(item, torch.Tensor | str | bytes | int | float | None) or depth == 0:
        return
    if isinstance(item, Mapping):
        parts = {str(key): value for key, value in item.items()}
    elif isinstance(item, list | tuple):
        parts = {str(index): value for index, value in enumerate(item)}
    elif is_registered(type(item)) and not isinstance(item, type) and not callable(item):
        parts = _attributes(item)
        for name, value in parts.items():
            if type(value) is int:
                yield f"{path}.{name}", value
    else:
        return
    for name, value in parts.items():
        yield from _numbers(value, f"{path}.{name}", depth - 1)
