"""The layers and variables of a live model: which layers the table knows, and what each variable is called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from kxchange.errors import CaptureError, FormatError
from kxchange.model import Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.layer_tree import Layer, Problems, grow
from kxchange_keras.private import flat_layers, is_functional, own_variables, seed_states, sublayer
from kxchange_keras.registry import LAYERS, REFUSED, Weight
from kxchange_keras.signature import unique_name

HARMLESS = frozenset({"__init__", "get_config", "from_config", "compute_output_shape", "compute_output_spec"})
"""What a subclass of a layer of Keras may define and still be that layer."""


class LiveLayers:
    """What is known of the layers of one live model.

    Args:
        model: The model or layer that is captured.

    Attributes:
        parameters: Its parameters in its own order, named by the paths of its variables.
        variables: Parameter name by the identity of a variable.
        names: Parameter name by the name that the tree of a layer has for it.
    """

    def __init__(self, model: Any) -> None:
        self.parameters, self.variables = _named_parameters(model)
        self.names: dict[str, str] = {}
        self._known: dict[int, Layer | None] = {}

    def known(self, live: Any, path: tuple[str, ...]) -> Layer | None:
        """The tree of a layer of Keras that the table has a rule for; None for any other.

        Raises:
            CaptureError: It is a layer of Keras that cannot be taken.
        """
        if id(live) not in self._known:
            self._known[id(live)] = self._plant(live, path)
        return self._known[id(live)]

    def _plant(self, live: Any, path: tuple[str, ...]) -> Layer | None:
        kind = keras_class(live)
        if kind is None:
            return None
        if kind.__name__ in REFUSED and kind.__name__ != "Lambda":
            raise CaptureError(REFUSED[kind.__name__])
        if not (kind.__name__ in LAYERS or is_functional(live)):
            return None
        config = config_of(live, kind)
        if config is None:
            return None
        problems: Problems = {}
        try:
            tree = grow(replace(config, name=live.name, path=path), problems)
        except FormatError:  # a model whose config is that of its constructor, not its wiring
            return None
        return None if problems or not self._bind(tree, live) else tree

    def _bind(self, tree: Layer, live: Any) -> bool:
        """Name every variable of a layer in its tree; whether all of them are there."""
        found = list(pairs(tree, live))
        if any(item is None for item in found):
            return False
        bound: dict[str, str] = {}
        for item in found:
            assert item is not None
            layer, weight, variable = item
            if id(variable) not in self.variables:
                return False
            bound[layer.variable_name(weight)] = self.variables[id(variable)]
        if any(self.names.get(key, name) != name for key, name in bound.items()):
            _rename(tree, len(self._known))
            return self._bind(tree, live)
        self.names.update(bound)
        return True


def _rename(tree: Layer, number: int) -> None:
    """Another path for a tree whose layers are called like those of another."""
    place = len(tree.config.path) - 1
    for layer in tree.walk():
        path = list(layer.config.path)
        path[place] = f"{path[place]}_{number}"
        layer.config = replace(layer.config, path=tuple(path))


def keras_class(live: Any) -> type | None:
    """The class of Keras that a layer is, although perhaps by a subclass that changes nothing of what it computes."""
    if "call" in vars(live):
        return None
    for kind in type(live).__mro__:
        if kind.__module__.startswith(("keras.src.layers.", "keras.src.models.")):
            return kind
        own = {name for name, item in vars(kind).items() if callable(item) or isinstance(item, property)}
        if own - HARMLESS:
            return None
    return None


def config_of(live: Any, kind: type) -> LayerConfig | None:
    """The config of a live layer as a file would hold it; None where it cannot describe itself."""
    try:
        if type(live) is kind:
            entry = keras.saving.serialize_keras_object(live)
        else:
            entry = {"module": "keras.layers", "class_name": kind.__name__, "config": kind.get_config(live)}  # type: ignore[attr-defined]
            entry = keras.saving.serialize_keras_object(entry)
        return read_layer(json.loads(json.dumps(entry, default=_plain)), 3)
    except (NotImplementedError, TypeError, ValueError, AttributeError, RuntimeError, KeyError):
        return None


def _plain(item: Any) -> Any:
    if hasattr(item, "tolist"):
        return item.tolist()
    raise TypeError(f"{type(item).__name__} in a config")


def pairs(layer: Layer, live: Any) -> Iterator[tuple[Layer, Weight, Any] | None]:
    """Every variable of a layer with its place in the tree; None where tree and layer disagree."""
    variables = own_variables(live)
    if len(variables) != len(layer.weights):
        yield None
        return
    for weight, variable in zip(layer.weights, variables, strict=True):
        yield layer, weight, variable
    for _, child, below in live_children(layer, live):
        if below is None:
            yield None
        else:
            yield from pairs(child, below)


def live_children(layer: Layer, live: Any) -> Iterator[tuple[str, Layer, Any]]:
    """Name, description and live layer of each part that may hold variables; None for one that the live layer lacks."""
    inner = {item.name: item for item in live.layers} if layer.config.is_model else {}
    for name, child in layer.children.items():
        if child.config.kind == "operation" or (child.config.class_name == "InputLayer" and name not in inner):
            continue
        below = inner.get(name) if layer.config.is_model else sublayer(live, name)
        yield name, child, below


def _named_parameters(model: Any) -> tuple[dict[str, Parameter], dict[int, str]]:
    """Every variable of a model by the path of it, without the model's own name, in the model's order."""
    trains = {id(v): v for layer in flat_layers(model) for v in layer._trainable_variables}
    states = {id(seed) for seed in seed_states(model)}
    prefix = f"{model.name}/"
    found: dict[str, Parameter] = {}
    names: dict[int, str] = {}
    listed = [*model.variables, *(seed for seed in seed_states(model))]
    for variable in listed:
        if id(variable) in names:
            continue
        name = unique_name(variable.path.removeprefix(prefix), found)
        array = np.asarray(keras.ops.convert_to_numpy(variable))
        type = TensorType(DType.of(array.dtype), array.shape)
        role = Role.STATE if id(variable) in states else Role.PARAMETER if id(variable) in trains else Role.BUFFER
        trainable = role is Role.PARAMETER and bool(variable.trainable)
        found[name] = Parameter(name, array, type=type, role=role, trainable=trainable)
        names[id(variable)] = name
    return found, names
