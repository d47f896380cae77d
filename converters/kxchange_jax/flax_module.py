"""What `model.to("flax")` gives: an `nnx.Module` that holds the parameters and runs the model's functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flax import nnx

from kxchange.model import Role
from kxchange_jax.build import is_param
from kxchange_jax.jax_model import Apply, JaxModel, Place, summary
from kxchange_jax.trees import Path, find, nest


class Frozen(nnx.Variable[Any]):
    """A parameter that the source did not train."""


class Buffer(nnx.Variable[Any]):
    """What is no parameter: running statistics, constants, integer tables."""


class State(nnx.Cache[Any]):
    """What a call reads and writes: caches, the state of recurrent layers."""


class FlaxModel(nnx.Module):
    """A model as Flax users have them.

    Its attributes are the parts of the source's names, dicts below the first: ``net.encoder["0"]["weight"]``. What
    training changes is an `nnx.Param`; the rest are `Frozen` parameters, `Buffer` and `State`. Tied parameters stand
    there once, under the first of their names. Where the source's function writes parameters (statistics in training,
    caches), a call does so too.

    Args:
        built: The functions, and the trees of arrays.
    """

    def __init__(self, built: JaxModel) -> None:
        self._functions = nnx.static(dict(built.functions))
        self._apply = nnx.static(built.apply)
        self._names = nnx.static(_attributes(built.apply.places))
        arrays = dict(_owned(built))
        tree = nest({path: _variable(built.apply.places[name], leaf) for name, (path, leaf) in arrays.items()})
        for key, part in tree.items():
            setattr(self, self._names[key], nnx.data(part))

    def __call__(self, *args: Any, function: str | None = None, **kwargs: Any) -> Any:
        """The outputs of a function (the main one by default) in the source's tree.

        Raises:
            InputError: An input is missing, unknown or of another type.
        """
        apply = self._apply if function is None else self._functions[function]
        outputs, written = apply.with_updates(self.arrays(), *args, **kwargs)
        for name, value in written.items():
            self.variable(name)[...] = value
        return outputs

    @property
    def apply(self) -> Apply:
        """The main function of the parameters, as `JaxModel` has it."""
        return self._apply

    def arrays(self) -> dict[str, Any]:
        """Nested dicts of the arrays that the module holds now: what `apply` takes as params."""
        places = self._apply.places.items()
        return nest({place.path: self.variable(name)[...] for name, place in places if place.entry.alias_of is None})

    def variable(self, name: str) -> nnx.Variable[Any]:
        """The variable of one of the model's parameters, by the model's name for it."""
        place = self._apply.places[name]
        first, *rest = self._apply.places[place.entry.alias_of or name].path
        return find(getattr(self, self._names[first]), tuple(rest))

    def __repr__(self) -> str:
        held: dict[str, list[Any]] = {"parameters": [], "frozen parameters": [], "buffers": [], "states": []}
        kinds = {nnx.Param: "parameters", Frozen: "frozen parameters", State: "states"}
        for name, place in self._apply.places.items():
            if place.entry.alias_of is None:
                variable = self.variable(name)
                held[kinds.get(type(variable), "buffers")].append(variable[...])
        return summary("FlaxModel", held, self._functions)

    __str__ = __repr__


def _owned(built: JaxModel) -> Iterator[tuple[str, tuple[Path, Any]]]:
    for name, place in built.apply.places.items():
        if place.entry.alias_of is None:
            tree = built.params if is_param(place.entry) else built.buffers
            yield name, (place.path, find(tree, place.path))


def _variable(place: Place, array: Any) -> nnx.Variable[Any]:
    if is_param(place.entry):
        return nnx.Param(array) if place.entry.trainable else Frozen(array)
    return State(array) if place.entry.role is Role.STATE else Buffer(array)


def _attributes(places: Mapping[str, Place]) -> dict[str, str]:
    """The attribute that holds each first part of the names: that part, unless a module means something else by it."""
    firsts = {place.path[0] for place in places.values() if place.entry.alias_of is None}
    found: dict[str, str] = {}
    for part in sorted(firsts):
        name = part.lstrip("_") or "unnamed"
        while name in found.values() or (name != part and name in firsts) or _is_taken(name):
            name += "_"
        found[part] = name
    return found


def _is_taken(name: str) -> bool:
    return hasattr(FlaxModel, name)
