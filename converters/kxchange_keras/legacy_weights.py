"""Weights as Keras 1, 2 and the `.h5` of 3 store them: a list of named arrays per top-level layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import h5py

from kxchange.errors import FormatError, WeightError
from kxchange.model import Array, Parameter
from kxchange_keras.hdf5 import descend, names_attribute, read_array, subgroup
from kxchange_keras.layer_tree import Layer
from kxchange_keras.registry import Weight
from kxchange_keras.weights_in import make_parameter

Slot = tuple[Layer, Weight]
Named = tuple[str, Array]


def listed_parameters(tree: Layer, root: h5py.Group) -> list[Parameter]:
    """Every variable of a model, in its own order.

    Raises:
        FormatError: The lists of names are missing.
        WeightError: A layer's arrays do not fit what its class makes.
    """
    layer_names = names_attribute(root, "layer_names")
    if layer_names is None:
        raise FormatError("HDF5: there is no list of layer names; this is no file of Keras weights.")
    problems: list[str] = []
    values: dict[str, Array] = {}
    tops = tree.children if tree.config.is_model else {tree.config.name: tree}
    for name, layer in tops.items():
        group = subgroup(root, name) if name in layer_names else None
        arrays = [] if group is None else _arrays(group)
        _assign(layer, arrays, values, problems)
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:20])
        raise WeightError(f"the weights do not fit the architecture in {len(problems)} places:\n{listed}")
    slots = [(layer, weight) for layer in tree.walk() for weight in layer.weights if not weight.repeats]
    return [make_parameter(layer, weight, values[layer.variable_name(weight)]) for layer, weight in slots]


def _arrays(group: h5py.Group) -> list[Named]:
    names = names_attribute(group, "weight_names")
    if names is None:
        raise FormatError(f"HDF5: {group.name} has no list of weight names.")
    return [(name, read_array(descend(group, name), f"{group.name}/{name}")) for name in names]


def _assign(layer: Layer, arrays: Sequence[Named], values: dict[str, Array], problems: list[str]) -> None:
    slots = _slots(layer)
    if len(slots) != len(arrays):
        place = layer.config.place
        problems.append(f"{place}: {len(arrays)} stored, its class makes {len(slots)}")
        return
    found = arrays if _in_order(slots, arrays) else _by_name(slots, arrays)
    if found is None:
        stored = ", ".join(name for name, _ in arrays[:8])
        problems.append(f"{layer.config.place}: cannot tell which is which of {stored}")
        return
    for (owner, weight), (_, array) in zip(slots, found, strict=True):
        values[owner.variable_name(weight)] = array


def _slots(layer: Layer) -> list[Slot]:
    """The variables in the order of the file: those that train first."""
    every = [(owner, weight) for owner in layer.walk() for weight in owner.weights if not weight.repeats]
    trains = [slot for slot in every if slot[1].trainable and slot[0].trainable]
    return trains + [slot for slot in every if not (slot[1].trainable and slot[0].trainable)]


def _in_order(slots: Sequence[Slot], arrays: Sequence[Named]) -> bool:
    """Whether the names, as far as they say anything, agree with the order."""
    if all(owner.config.dialect == 1 for owner, _ in slots):
        return True
    return all(
        _last(name) == weight.name and _owned(owner, name)
        for (owner, weight), (name, _) in zip(slots, arrays, strict=True)
    )


def _by_name(slots: Sequence[Slot], arrays: Sequence[Named]) -> list[Named] | None:
    """The arrays in the order of the slots, where names tell them apart."""
    found: list[Named] = []
    for owner, weight in slots:
        fitting = [named for named in arrays if _last(named[0]) == weight.name and _is_own(owner, named[0])]
        if len(fitting) != 1:
            return None
        found += fitting
    return found if len({name for name, _ in found}) == len(arrays) else None


def _last(name: str) -> str:
    return re.sub(r"(:\d+|_\d+)$", "", name.rpartition("/")[2].removesuffix(":0"))


def _owned(owner: Layer, name: str) -> bool:
    """Whether the name holds that of the layer or of one around it; a layer made twice has a number behind it."""
    parts = name.split("/")[:-1]
    return not parts or any(part == own or part.startswith(f"{own}_") for part in parts for own in owner.config.path)


def _is_own(owner: Layer, name: str) -> bool:
    parts = name.split("/")[:-1]
    return any(part == owner.config.name or part.startswith(f"{owner.config.name}_") for part in parts)
