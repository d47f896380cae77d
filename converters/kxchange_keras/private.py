"""What kxchange uses of Keras that is not part of its public interface; each symbol has a test that names it."""

from __future__ import annotations

import importlib
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
