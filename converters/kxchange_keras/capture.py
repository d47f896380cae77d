"""Live Keras models in, on any Keras backend: through the same table of layers as files, and through their code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kxchange.errors import CaptureError, UnsupportedOpError
from kxchange.model import Model, Parameter, Role
from kxchange.types import DType, TensorType
from kxchange_keras.assembling import assemble, plant
from kxchange_keras.examples_in import Examples, examples_of, examples_of_inputs, is_array, plain_array
from kxchange_keras.graphing import capture_graph
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.layer_tree import Layer
from kxchange_keras.live_layers import keras_class, live_children
from kxchange_keras.private import is_functional, own_variables, seed_states
from kxchange_keras.registry import REFUSED
from kxchange_keras.signature import unique_name
from kxchange_keras.subclassed import capture_code
from kxchange_keras.weights_in import make_parameter


@dataclass(frozen=True, slots=True)
class Origin:
    """What was captured.

    Attributes:
        model: The Keras model.
        examples: How its inputs are packed into its arguments, where its wiring is code.
    """

    model: Any
    examples: Examples | None = None


def capture(source: Any, *args: Any, dynamic: Mapping[str, Any] | None = None, **kwargs: Any) -> Model:
    """Lift a Keras model or layer.

    A Sequential or Functional model of Keras's own layers is lifted from its config and variables; nothing is run. A
    model whose wiring is code (a subclass of `keras.Model`, custom layers) is run once on the example inputs and then
    called on symbolic tensors, twice: layers of Keras are lifted whole, and the rest as the operations of `keras.ops`
    that their `call` makes, on any backend. Code that calls TensorFlow itself is taken as the graph that TensorFlow
    traces, where Keras runs on it. Its parameters are called by the paths of its variables.

    Args:
        source: The model or layer.
        args: Example inputs, for a layer or a model that is code.
        dynamic: Names for dims by input name: one entry per axis, None where Keras's size stays. Axis 0 of an input of
            a model that is code is symbolic by default (``batch``); ``dynamic=False`` makes all its sizes static.
        kwargs: Example inputs by name.

    Raises:
        CaptureError: The model cannot be traced; the message names the layer and the line.
        UnsupportedOpError: Layers and operations that cannot be taken, all of them.
    """
    if not isinstance(source, keras.Layer):
        raise CaptureError(f"keras captures models and layers, not a {type(source).__name__}.")
    try:
        if (model := wired(source, args, kwargs)) is None:
            return _capture_code(source, examples_of(source, _needed(source, args, kwargs), kwargs), dynamic)
        tree = plant(config_of(model))
        lifted = assemble(tree, live_parameters(tree, model), dynamic=dynamic, provenance=_describe(source))
    except (UnsupportedOpError, CaptureError) as error:
        blockers = error.blockers if isinstance(error, UnsupportedOpError) else ()
        hopeless = any(blocker.op in REFUSED and blocker.op != "Lambda" for blocker in blockers)
        if hopeless or not (isinstance(source, keras.Model) and is_functional(source)):
            raise
        return _capture_wired(source, args, kwargs, dynamic)
    lifted.origin = Origin(model)
    return lifted


def wired(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The model of layers that a source is, or can be made of it; None where its wiring is code.

    Raises:
        CaptureError: It is not built.
    """
    if isinstance(source, keras.Model):
        if is_functional(source) and not source.built:
            if not args:
                raise CaptureError("the Keras model is not built: call it on example inputs, or pass them to capture.")
            source(*args, **kwargs)
        return source if is_functional(source) else None
    if not args and not kwargs:
        raise CaptureError("a Keras layer is captured from example inputs: kx.capture(layer, x).")
    if kwargs or not all(map(is_array, args)) or keras_class(source) is None:
        return None
    inputs = [keras.Input(batch_shape=(None, *x.shape[1:]), dtype=str(x.dtype)) for x in map(plain_array, args)]
    try:
        return keras.Model(inputs, source(*inputs))
    except (TypeError, ValueError) as error:
        raise CaptureError(f"keras cannot call {type(source).__name__} on these inputs: {str(error)[:300]}") from None


def _needed(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    if args or kwargs:
        return args
    raise CaptureError(
        f"{type(source).__qualname__} is code, not a graph of layers: capture needs example inputs, "
        "kx.capture(model, x)."
    )


def _capture_code(source: Any, examples: Examples, dynamic: Any) -> Model:
    try:
        lifted = capture_code(source, examples, dynamic, _describe(source))
    except (CaptureError, UnsupportedOpError) as error:
        lifted = capture_graph(source, examples, dynamic, _describe(source), error)
    lifted.origin = Origin(source, examples)
    return lifted


def _capture_wired(source: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], dynamic: Any) -> Model:
    """A graph of layers of which some are code."""
    if args or kwargs:
        return _capture_code(source, examples_of(source, args, kwargs), dynamic)
    examples, named = examples_of_inputs(source)
    return _capture_code(source, examples, dynamic if dynamic is False else {**named, **(dynamic or {})})


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
    for name, child, below in live_children(layer, live):
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
