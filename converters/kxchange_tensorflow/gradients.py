"""Gradients of a model by TensorFlow's automatic differentiation, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_tensorflow.build import build

Gradients = Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]


def gradients(model: Model, *, function: str | None = None, **options: Any) -> Gradients:
    """Vector-Jacobian products of one function.

    Args:
        model: What to differentiate.
        function: Which entry point; by default the main one.
        options: Passed to `build`.

    Returns:
        ``(inputs, cotangents) -> gradients``: for each floating input ``input NAME``, for each trained parameter (not
        for its tied names) ``parameter NAME``; zeros where an output does not depend on it.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    with tf.device("cpu:0"):
        built = build(model, function=name, check=False, **options)
    entry, bind = built.functions[name], InputBinder(model, function)
    own = {key: built.parameters[key] for key, p in model.parameters.items() if p.alias_of is None}
    trained = {f"parameter {key}": variable for key, variable in own.items() if variable.trainable}

    def compute(inputs: Mapping[str, Array], cotangents: Mapping[str, Array]) -> dict[str, Array]:
        with tf.device("cpu:0"):
            tensors = dict(zip(entry.function.input_names, map(tf.constant, bind(inputs)[0]), strict=True))
            leaves = {f"input {key}": value for key, value in tensors.items() if value.dtype.is_floating} | trained
            with tf.GradientTape() as tape:
                tape.watch([leaves[key] for key in leaves if key.startswith("input ")])
                found = entry.compiled(*tensors.values())
                wanted = [found[key] for key in cotangents]
            grads = tape.gradient(wanted, leaves, [tf.constant(array) for array in cotangents.values()], "zero")  # pyright: ignore[reportArgumentType, reportCallIssue]
            return {key: np.asarray(tf.convert_to_tensor(grad)) for key, grad in grads.items()}

    return compute
