"""Gradients of a model by the automatic differentiation of the backend that Keras runs on, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_keras.build import build_parts
from kxchange_keras.layers_out import Held, element_places
from kxchange_keras.pulling import pulled_back
from kxchange_keras.wide import sixty_four_bits

Gradients = Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]


def gradients(model: Model, *, function: str | None = None, **options: Any) -> Gradients:
    """Vector-Jacobian products of one function.

    Args:
        model: What to differentiate.
        function: Which entry point; by default the main one.
        options: Passed to `build_parts`.

    Returns:
        ``(inputs, cotangents) -> gradients``: for each floating input ``input NAME``, for each trained parameter (not
        for its tied names) ``parameter NAME``; zeros where an output does not depend on it.
    """
    with sixty_four_bits():
        built = build_parts(model, function=function, check=False, **options)
    bind = InputBinder(model, function)
    names = list(built.function.input_names)
    trained = [name for name, p in model.parameters.items() if p.trainable and p.alias_of is None]

    def compute(inputs: Mapping[str, Array], cotangents: Mapping[str, Array]) -> dict[str, Array]:
        arrays = bind(inputs)[0]
        with sixty_four_bits():
            by_input, by_variable = pulled_back(built, arrays, cotangents)
        found = {f"input {n}": g for n, g in zip(names, by_input, strict=True) if g is not None}
        own = {name: np.zeros_like(model.array(name)) for name in trained}
        for held in built.held:
            _spread(held, by_variable, own)
        for name, variable in built.hosted.items():
            if name in own and id(variable) in by_variable:
                own[name] = own[name] + by_variable[id(variable)].reshape(own[name].shape)
        return found | {f"parameter {name}": array for name, array in own.items()}

    return compute


def _spread(held: Held, gradients: Mapping[int, Array], own: dict[str, Array]) -> None:
    """Take the gradient of a layer's variable back to the parameters that it was made of.

    What it was made by moves elements and adds: it is linear, so the gradient of ``sum(g * transform(p))`` follows from
    where each element of a parameter went.
    """
    if id(held.variable) not in gradients:
        return
    gradient = gradients[id(held.variable)]
    for name in held.sources:
        if name not in own:
            continue
        size, moved = element_places(held.transform, name)
        flat = np.zeros(size + 1)
        np.add.at(flat, moved.ravel(), gradient.ravel())
        own[name] = own[name] + flat[1:].reshape(own[name].shape).astype(own[name].dtype)
