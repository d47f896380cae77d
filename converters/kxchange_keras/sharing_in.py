"""A layer that stands in two models of one file: Keras stores its weights once, where it meets the layer first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kxchange.model import Parameter
from kxchange_keras.layer_tree import Layer

PASSING = frozenset({"shared_object_id", "build_config", "compile_config"})
"""Parts of a config that differ between two places of one layer."""


def shared_layers(tree: Layer, bare: Sequence[Layer]) -> dict[int, Layer]:
    """The layer that holds the weights of each one without any, by identity; only where one alone says the same.

    Args:
        tree: The model.
        bare: Layers whose class makes variables and for which the file stores none.
    """
    without = {id(layer) for layer in bare}
    holders: dict[str, list[Layer]] = {}
    for layer in tree.walk() if bare else ():
        if layer.weights and id(layer) not in without:
            holders.setdefault(_label(layer), []).append(layer)
    fitting = {id(layer): _alone(layer, holders.get(_label(layer), [])) for layer in bare}
    return {layer: holder for layer, holder in fitting.items() if holder is not None}


def _alone(layer: Layer, holders: Sequence[Layer]) -> Layer | None:
    """The one that holds a layer's weights: where several could, the one in a layer of the same name."""
    if len(holders) > 1:
        holders = [holder for holder in holders if holder.config.path[-2:] == layer.config.path[-2:]]
    return holders[0] if len(holders) == 1 else None


def _label(layer: Layer) -> str:
    """What two places of one layer share: class, name, options."""
    config = layer.config
    said = [config.kind, config.class_name, config.name, _lasting(config.options)]
    return json.dumps(said, sort_keys=True, default=repr)


def _lasting(item: Any) -> Any:
    if isinstance(item, Mapping):
        return {str(key): _lasting(inner) for key, inner in item.items() if key not in PASSING}
    return [_lasting(inner) for inner in item] if isinstance(item, list | tuple) else item


def tied_in_order(tree: Layer, found: Sequence[Parameter], shared: Mapping[int, Layer]) -> list[Parameter]:
    """The parameters in the model's order, those of a shared layer under the name of each place, tied."""
    if not shared:
        return list(found)
    held = {parameter.name: parameter for parameter in found}
    firsts: dict[str, str] = {}
    ordered: list[Parameter] = []
    for layer in tree.walk():
        owner = shared.get(id(layer), layer)
        for weight in layer.weights:
            if weight.repeats:
                continue
            name, stored = layer.variable_name(weight), owner.variable_name(weight)
            first = firsts.setdefault(stored, name)
            tie = None if first == name else first
            ordered.append(held[stored].replace(name=name, alias_of=tie))
    return ordered
