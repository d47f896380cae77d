"""What a pattern has found, turned back into values to build the composite op on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kxchange.dims import Dim
from kxchange.errors import KxchangeError
from kxchange.graph import Value
from kxchange.ops.creation import full
from kxchange.ops.elementwise import multiply
from kxchange.ops.manipulation import broadcast_to, permute_dims, reshape
from kxchange.passes.recompose_normal import Normal
from kxchange.passes.recompose_terms import Term, axis_map
from kxchange.types import TensorType


class Unrealizable(KxchangeError):
    """A match that no value of the graph, or no operand of the composite op, corresponds to. Never leaves the pass."""


class Found:
    """One match: the value it ends in, and what the names of the pattern stand for.

    Attributes:
        root: The value.
        shape: Shape of the term that matched; the root may be a view or a permutation of it.
        names: Sigil and name -> what it stands for.
        normal: The graph in normal form.
    """

    __slots__ = ("_is_view", "names", "normal", "root", "shape")

    def __init__(self, root: Value, form: Term, names: Mapping[str, Any], normal: Normal) -> None:
        self.root = root
        self.shape = form.shape
        self.names = names
        self.normal = normal
        outer = normal.term(root)
        self._is_view = outer.head == "view" and outer.args[0] is form

    def term(self, name: str) -> Term:
        """The term bound to ``?name``."""
        return self.names[f"?{name}"]

    def has(self, name: str) -> bool:
        """Whether the pattern bound ``?name``."""
        return f"?{name}" in self.names

    def number(self, name: str, otherwise: float | None = None) -> float:
        """The number bound to ``#name``, or another where the pattern has no such name."""
        return float(self.names.get(f"#{name}", otherwise))

    def value(self, name: str) -> Value:
        """The value bound to ``?name``."""
        return realise(self.term(name))

    def like_root(self, name: str) -> Value:
        """The value bound to ``?name``, which has the type of what matched.

        Raises:
            Unrealizable: It has another.
        """
        value = realise(self.term(name))
        if value.type != TensorType(self.root.dtype, self.shape):
            raise Unrealizable(f"{name} is {value.type}, the result has the shape {self.shape}.")
        return value

    def element(self, name: str) -> Value:
        """`like_root`, in the root's own shape where the graph has it, for ops that look at `axes` at most."""
        term = self.term(name)
        return term.alternate if self._as_root(term) and term.alternate is not None else self.like_root(name)

    def axes(self, name: str) -> tuple[int, ...]:
        """The axes bound to ``@axes``, in the shape of what `element` gives.

        Raises:
            Unrealizable: One of them has no place there.
        """
        axes: tuple[int, ...] = self.names["@axes"]
        if not self._as_root(self.term(name)):
            return axes
        places = axis_map(self.shape, self.root.shape)
        if not all(axis in places for axis in axes):
            raise Unrealizable(f"axes {axes} have no place in {self.root.shape}.")
        return tuple(sorted(places[axis] for axis in axes))

    def operand(self, name: str) -> tuple[Value, tuple[int, ...]]:
        """`element` and `axes`, also where the term stands in a view: in the shape of what matched.

        Raises:
            Unrealizable: It has other sizes.
        """
        term = self.term(name)
        if term.shape == self.shape or self._as_root(term):
            return self.element(name), self.axes(name)
        value, places = with_shape(term, self.shape), axis_map(term.shape, self.shape)
        return value, tuple(sorted(places.get(axis, -1) for axis in self.names["@axes"]))

    def reduced(self, name: str) -> tuple[Value, tuple[int, ...]]:
        """The value bound to ``?name`` in the shape that the graph has it in, and the axes bound to ``@axes`` there."""
        term, axes = self.term(name), self.names["@axes"]
        if term.value is None and term.alternate is not None:
            places = axis_map(term.shape, term.alternate.shape)
            if all(axis in places for axis in axes):
                return term.alternate, tuple(sorted(places[axis] for axis in axes))
        return realise(term), axes

    def _as_root(self, term: Term) -> bool:
        return self._is_view and term.alternate is not None and term.alternate.type == self.root.type

    def shaped(self, name: str, shape: tuple[Dim, ...]) -> Value | None:
        """The value bound to ``?name`` in a shape that differs by axes of size 1; None if the name is not bound."""
        return with_shape(self.term(name), shape) if self.has(name) else None

    def rest(self, name: str) -> Term | None:
        """The one term bound to ``*name``, if any.

        Raises:
            Unrealizable: There are several.
        """
        terms: tuple[Term, ...] = self.names.get(f"*{name}", ())
        if len(terms) > 1:
            raise Unrealizable(f"{name} is {len(terms)} factors.")
        return terms[0] if terms else None

    def is_static(self, term: Term) -> bool:
        """Whether a term is made of parameters and constants."""
        if term.value is not None:
            return term.value.node in self.normal.static
        return term.head == "const" or (bool(term.args) and all(self.is_static(arg) for arg in term.args))


def realise(term: Term) -> Value:
    """A value of the graph that is `term`, or cheap nodes on one.

    Raises:
        Unrealizable: The normal form made the term up.
    """
    if term.value is not None:
        return term.value
    if term.alternate is not None:
        return reshape(term.alternate, shape=term.shape)
    if term.head == "const":
        return full(shape=term.shape, value=term.data[0], dtype=term.dtype)
    if term.head in ("view", "reshape"):
        return reshape(realise(term.args[0]), shape=term.shape)
    if term.head == "broadcast_to":
        return broadcast_to(realise(term.args[0]), shape=term.shape)
    if term.head == "permute_dims":
        return permute_dims(realise(term.args[0]), axes=term.data[0])
    if term.head == "scaled":
        return multiply(realise(term.args[0]), term.data[0])
    raise Unrealizable(f"{term.head} is no value of the graph.")


def realise_broadcast(term: Term, rank: int) -> Value:
    """A value that broadcasts as `term` does to a tensor of `rank`: axes of size 1 in front do not matter.

    Raises:
        Unrealizable: The normal form made the term up.
    """
    inner = term.args[0] if term.head == "view" else term
    if term.value is None and inner.value is not None and len(inner.shape) <= rank:
        without = [_without_front(t.shape) for t in (term, inner)]
        if without[0] == without[1]:
            return inner.value
    return realise(term)


def _without_front(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    start = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return shape[start:]


def with_shape(term: Term, shape: tuple[Dim, ...]) -> Value:
    """A value of exactly `shape` that differs from `term` by axes of size 1 at most.

    Raises:
        Unrealizable: The term has other sizes.
    """
    if term.value is None and term.alternate is not None and term.alternate.shape == shape:
        return term.alternate
    while term.shape != shape and term.head in ("view", "broadcast_to"):
        inner = term.args[0]
        if term.head == "broadcast_to" and [d for d in inner.shape if d != 1] != [d for d in shape if d != 1]:
            break
        term = inner
    if term.shape == shape:
        return realise(term)
    if [dim for dim in term.shape if dim != 1] != [dim for dim in shape if dim != 1]:
        raise Unrealizable(f"{term.shape} is not {shape}.")
    return reshape(realise(term), shape=shape)
