"""Live Keras models in, on any Keras backend, through the same table of layers as files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kxchange.errors import CaptureError
from kxchange.model import Model, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_keras.assembling import assemble, plant
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.layer_tree import Layer
from kxchange_keras.private import is_functional, own_variables, seed_states, sublayer
from kxchange_keras.signature import unique_name
from kxchange_keras.weights_in import make_parameter


@dataclass(frozen=True, slots=True)
class Origin:
    """What was captured.

    Attributes:
        model: The Keras model.
    """

    model: Any


def capture(source: Any, *args: Any, dynamic: Mapping[str, Any] | None = None, **kwargs: Any) -> Model:
    """Lift a Sequential or Functional model, or a built layer, from its config and variables; nothing is run.

    Args:
        source: The model. A single layer is captured as a model of it, from the shapes of the example inputs.
        args: Example inputs, for a layer or a model that has not been built.
        dynamic: Names for dims by input name: one entry per axis, None where Keras's size stays.
        kwargs: Example inputs by name.

    Raises:
        CaptureError: The model is not built, or is code rather than a graph of layers.
        UnsupportedOpError: Layers that cannot be taken, all of them.
    """
    model = as_model(source, args, kwargs)
    tree = plant(config_of(model))
    lifted = assemble(tree, live_parameters(tree, model), dynamic=dynamic, provenance=_describe(source))
    lifted.origin = Origin(model)
    return lifted


def as_model(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The model to capture.

    Raises:
        CaptureError: It is none, or its wiring is code.
    """
    if isinstance(source, keras.Model):
        if not source.built and args:
            source(*args, **kwargs)
        if not source.built:
            raise CaptureError("the Keras model is not built: call it on example inputs, or pass them to capture.")
        if is_functional(source):
            return source
        raise CaptureError(
            f"keras cannot capture {type(source).__qualname__}: its wiring is in its `call`, which is Python. Build it "
            "as a Functional model (call its layers on keras.Input), or capture it with the backend that Keras runs on."
        )
    if not isinstance(source, keras.Layer):
        raise CaptureError(f"keras captures models and layers, not a {type(source).__name__}.")
    inputs = [keras.Input(batch_shape=(None, *x.shape[1:]), dtype=str(x.dtype)) for x in args]
    if not inputs:
        raise CaptureError("a Keras layer is captured from example inputs: kx.capture(layer, x).")
    return keras.Model(inputs, source(*inputs))


def config_of(model: Any) -> LayerConfig:
    """The config of a live model, as a file would hold it.

    Raises:
        CaptureError: A layer cannot describe itself.
    """
    try:
        text = json.dumps(keras.saving.serialize_keras_object(model), default=_plain)
    except (NotImplementedError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CaptureError(f"the Keras model cannot describe itself: {str(error)[:400]}") from error
    return read_layer(json.loads(text), 3)


def _plain(item: Any) -> Any:
    if hasattr(item, "tolist"):
        return item.tolist()
    raise TypeError(f"{type(item).__name__} in a config")


def live_parameters(tree: Layer, model: Any) -> list[Parameter]:
    """Every variable of a live model, in its own order, with the states of its random generators behind.

    Raises:
        CaptureError: A layer has other variables than its class makes.
    """
    found: dict[str, Parameter] = {}
    owners: dict[int, str] = {}
    _collect(tree, model, found, owners)
    seeds = seed_states(model)
    known = set(owners) | {id(seed) for seed in seeds}
    if lost := [variable.path for variable in model.variables if id(variable) not in known]:
        raise CaptureError(f"the Keras model has variables that its layers do not account for: {lost[:5]}.")
    for seed in seeds:
        array = np.asarray(keras.ops.convert_to_numpy(seed))
        type = TensorType(DType.of(array.dtype), array.shape)
        name = unique_name(seed.path, found)
        found[name] = Parameter(name, array, type=type, role=Role.STATE, trainable=False)
    return list(found.values())


def _collect(layer: Layer, live: Any, found: dict[str, Parameter], owners: dict[int, str]) -> None:
    variables = own_variables(live)
    if len(variables) != len(layer.weights):
        names = ", ".join(variable.name for variable in variables)
        raise CaptureError(
            f"{layer.config.place} has {len(variables)} variables ({names}); its class makes {len(layer.weights)}."
        )
    for weight, variable in zip(layer.weights, variables, strict=True):
        if weight.repeats:
            continue
        entry = make_parameter(layer, weight, np.asarray(keras.ops.convert_to_numpy(variable)))
        if id(variable) in owners:  # a layer in two models
            entry = entry.replace(alias_of=owners[id(variable)])
        else:
            owners[id(variable)] = entry.name
        found[entry.name] = entry
    inner = {item.name: item for item in live.layers} if layer.config.is_model else {}
    for name, child in layer.children.items():
        if child.config.kind == "operation" or (child.config.class_name == "InputLayer" and name not in inner):
            continue
        below = inner.get(name) if layer.config.is_model else sublayer(live, name)
        if below is None:
            raise CaptureError(f"{layer.config.place} has no layer {name!r} although its config says so.")
        _collect(child, below, found, owners)


def _describe(source: Any) -> dict[str, Any]:
    kind = type(source)
    return {
        "backend": "keras",
        "object": f"{kind.__module__}.{kind.__qualname__}",
        "versions": {"keras": keras.__version__, "keras_backend": keras.backend.backend()},
    }
