"""What kxchange uses of Keras that is not part of its public interface; each symbol has a test that names it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras


def own_variables(layer: Any) -> list[Any]:
    """A layer's own variables in the order in which it stores them: those that train first.

    Raises:
        AttributeError: Keras no longer keeps them there.
    """
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def seed_states(model: Any) -> list[Any]:
    """The states of every random generator in a model, each once."""
    found: dict[int, Any] = {}
    for layer in model._flatten_layers():
        for generator in getattr(layer, "_seed_generators", ()):
            found.setdefault(id(generator.state), generator.state)
    return list(found.values())


def sublayer(layer: Any, attribute: str) -> Any:
    """A layer inside another, by the attribute holding it (``cells/1``: an item of a list); None if there is none."""
    name, _, index = attribute.partition("/")
    for spelling in (name, f"_{name}", name.lstrip("_")):
        found = getattr(layer, spelling, None)
        if found is not None:
            return found[int(index)] if index else found
    return None


def is_functional(model: Any) -> bool:
    """Whether a model's wiring is data: a Sequential or Functional one, not a subclass with a `call` of its own."""
    if isinstance(model, keras.Sequential):
        return type(model).call is keras.Sequential.call
    functional = importlib.import_module("keras.src.models.functional").Functional
    return isinstance(model, functional) and type(model).call is functional.call


def operation_names(tensors: list[Any]) -> set[str]:
    """Names of the operations, not layers, that symbolic tensors come from: they share one space with layers'."""
    found: set[str] = set()
    seen: set[int] = set()
    pending = list(tensors)
    while pending:
        operation = pending.pop()._keras_history.operation
        if id(operation) in seen:
            continue
        seen.add(id(operation))
        if not isinstance(operation, keras.Layer):
            found.add(operation.name)
        for node in operation._inbound_nodes:
            pending += node.input_tensors
    return found


_MODULES: dict[str, Callable[[], Any]] = {
    "backend": lambda: importlib.import_module("keras.src.backend"),
    "variables": lambda: importlib.import_module("keras.src.backend.common.variables"),
    "state": lambda: importlib.import_module("keras.src.backend.common.global_state"),
    "layer": lambda: importlib.import_module("keras.src.layers.layer"),
    "operation": lambda: importlib.import_module("keras.src.ops.operation"),
}
"""Modules of Keras's own source."""


def source_module(name: str) -> Any:
    """One of the modules of Keras's own source that kxchange uses."""
    return _MODULES[name]()


BACKEND_FAMILIES = {"numpy": "", "nn": "nn", "core": "", "math": "", "linalg": "linalg", "image": "image"}
"""Modules of a Keras backend, each with the namespace of `keras.ops` that holds its functions' public twins."""
RECURRENT = ("rnn", "lstm", "gru")


def backend_functions() -> Iterator[tuple[Any, str, str]]:
    """Every function of the backend that Keras runs on: module, name, family (``""``: the backend's own top level)."""
    backend = source_module("backend")
    for family in (*BACKEND_FAMILIES, "random"):
        module = getattr(backend, family)
        for name, item in list(vars(module).items()):
            if inspect.isfunction(item) and item.__module__ == module.__name__ and not name.startswith("_"):
                yield module, name, family
    for name, item in list(vars(backend).items()):
        if inspect.isfunction(item) and f"keras.src.backend.{keras.backend.backend()}." in f"{item.__module__}.":
            yield backend, name, ""


def symbol_tests() -> Iterator[tuple[Any, str]]:
    """Every place in which Keras looks whether an argument is symbolic."""
    for name, module in list(sys.modules.items()):
        if name.startswith("keras.src.") and "any_symbolic_tensors" in vars(module):
            yield module, "any_symbolic_tensors"


def variable_classes() -> list[type]:
    """The classes of variables, the backend's own among them, that say what a variable's value is."""
    base = source_module("variables").Variable
    own = source_module("backend").Variable
    return [kind for kind in dict.fromkeys((own, *own.__mro__)) if issubclass(kind, base)]


def node_makers() -> Iterator[tuple[Any, str]]:
    """Every place in which Keras records that a layer or an operation was called on symbolic tensors."""
    for name in ("layer", "operation"):
        yield source_module(name), "Node"


def shape_readers() -> list[Any]:
    """Every module that keeps `standardize_shape`."""
    return [source_module("backend"), source_module("variables")]


def tensor_class() -> type:
    """The class of the backend's arrays."""
    return type(keras.ops.convert_to_tensor(0.0))


def call_training() -> bool | None:
    """Whether the layer around the current call is being trained."""
    context = source_module("state").get_global_attribute("current_call_ctx")
    return None if context is None else context.get_value("training")


def run_wiring(model: Any, inputs: Any) -> Any:
    """Call the layers of a Functional or Sequential model, whatever its own `call` does before and after."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            inputs = layer(inputs)
        return inputs
    return model._run_through_graph(inputs, operation_fn=lambda operation: operation)


def flat_layers(model: Any) -> list[Any]:
    """A layer and all inside it."""
    return list(model._flatten_layers())


def backend_variables(model: Any, names: Mapping[int, str]) -> list[tuple[Any, str]]:
    """The variables of the backend behind those of a model, each with the name of the latter."""
    listed = [*model.variables, *seed_states(model)]
    return [(variable._value, names[id(variable)]) for variable in listed if id(variable) in names]
