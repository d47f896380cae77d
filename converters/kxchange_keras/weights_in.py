"""Weights as Keras 3 stores them: one HDF5 group per layer, variables numbered in the order they were made."""

from __future__ import annotations

import re
from collections.abc import Iterator

import h5py

from kxchange.errors import FormatError, WeightError
from kxchange.model import Array, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_keras.hdf5 import member, read_array, subgroup, text_attribute
from kxchange_keras.layer_tree import Layer
from kxchange_keras.registry import Weight
from kxchange_keras.sharing_in import shared_layers, tied_in_order

LAYER_GROUPS = ("layers", "_layer_checkpoint_dependencies", "_self_tracked_trackables")
"""Where a model's layers stand; Keras 3 first, then what TensorFlow's Keras wrote into the same format."""


def stored_parameters(tree: Layer, root: h5py.Group) -> list[Parameter]:
    """Every variable of a model, in its own order, from the group that holds it.

    Raises:
        WeightError: A layer's variables are missing, or there are more than its class makes.
    """
    found: list[Parameter] = []
    bare: list[Layer] = []
    problems: list[str] = []
    _collect(tree, root, found, problems, bare)
    shared = shared_layers(tree, bare)
    problems += [_miscounted(layer, 0) for layer in bare if id(layer) not in shared]
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems[:20])
        raise WeightError(f"the weights do not fit the architecture in {len(problems)} places:\n{listed}")
    return tied_in_order(tree, found, shared)


def _collect(
    layer: Layer, group: h5py.Group | None, found: list[Parameter], problems: list[str], bare: list[Layer]
) -> None:
    stored = list(_variables(group)) if group is not None else []
    if layer.weights and not stored:
        bare.append(layer)
    elif len(stored) != len(layer.weights):
        problems.append(_miscounted(layer, len(stored)))
    else:
        pairs = zip(layer.weights, stored, strict=True)
        found += [make_parameter(layer, weight, array) for weight, array in pairs if not weight.repeats]
    if layer.config.is_model:
        groups = _model_groups(layer, group)
    else:
        groups = {name: _child_group(group, name, child) for name, child in layer.children.items()}
    for name, child in layer.children.items():
        _collect(child, groups.get(name), found, problems, bare)


def _miscounted(layer: Layer, stored: int) -> str:
    names = ", ".join(weight.name for weight in layer.weights) or "none"
    return f"{layer.config.place}: {stored} stored, its class makes {len(layer.weights)} ({names})"


def make_parameter(layer: Layer, weight: Weight, array: Array) -> Parameter:
    """A parameter of the model: its role and whether it trains follow from the layer."""
    role = Role.PARAMETER if weight.trainable else Role.BUFFER
    type = TensorType(DType.of(array.dtype), array.shape)
    trainable = weight.trainable and layer.trainable
    return Parameter(layer.variable_name(weight), array, type=type, role=role, trainable=trainable)


def _variables(group: h5py.Group) -> Iterator[Array]:
    """The arrays of a layer's own variables, in order."""
    own = subgroup(group, "vars")
    number = 0
    while own is not None and (item := member(own, str(number))) is not None:
        yield read_array(item, f"{own.name}/{number}")
        number += 1
    if own is not None and len(own) != number:
        raise FormatError(f"HDF5: {own.name} holds {len(own)} entries, of which only {number} are numbered.")


def _child_group(group: h5py.Group | None, name: str, child: Layer) -> h5py.Group | None:
    """The group of a layer inside another: under its attribute's name, public or not."""
    if group is None:
        return None
    container, _, index = name.partition("/")
    if index:
        return None if (holder := subgroup(group, container)) is None else _numbered_group(holder, child)
    for spelling in (name, f"_{name}", name.lstrip("_")):
        if (found := subgroup(group, spelling)) is not None:
            return found
    return None


def _numbered_group(holder: h5py.Group, child: Layer) -> h5py.Group | None:
    """The group of a layer in a list: by class, and how many of it stand before."""
    base, before = snake_case(child.config.class_name), child.namesakes_before
    return subgroup(holder, f"{base}_{before}" if before else base)


def _model_groups(layer: Layer, group: h5py.Group | None) -> dict[str, h5py.Group]:
    """The group of each layer of a model: by the name it states, else by class and count."""
    holder = next((found for name in LAYER_GROUPS if group and (found := subgroup(group, name)) is not None), None)
    if holder is None:
        return {}
    members = [(key, subgroup(holder, key)) for key in holder]  # pyright: ignore[reportArgumentType]
    stated: dict[str, list[h5py.Group]] = {}
    for _, found in members:
        own = subgroup(found, "vars") if found is not None else None
        name = text_attribute(own, "name") if own is not None else None
        if name is not None and found is not None:
            stated.setdefault(name, []).append(found)
    counted = _counted_groups(layer, holder)
    return {
        name: stated[name][0] if len(stated.get(name, ())) == 1 else counted[name]
        for name in layer.children
        if name in stated or name in counted
    }


def _counted_groups(layer: Layer, holder: h5py.Group) -> dict[str, h5py.Group]:
    found: dict[str, h5py.Group] = {}
    counts: dict[str, int] = {}
    for name, child in layer.children.items():
        if child.config.kind == "operation":
            continue
        if layer.config.class_name == "Sequential" and child.config.class_name == "InputLayer":
            continue
        base = snake_case(child.config.class_name)
        number = counts.get(base, 0)
        counts[base] = number + 1
        own = subgroup(holder, f"{base}_{number}" if number else base)
        if own is not None:
            found[name] = own
    return found


def snake_case(name: str) -> str:
    """``PReLU`` is ``p_re_lu``: Keras's own way to split."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
