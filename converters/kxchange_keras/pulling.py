"""Vector-Jacobian products of a built Keras model, by the backend that Keras runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kxchange.errors import InputError
from kxchange.model import Array
from kxchange_keras.build import Built

Pulled = tuple[list[Array | None], dict[int, Array]]
"""Gradients of the inputs in order, None for those that are not floating; and of variables by identity."""


def pulled_back(built: Built, arrays: Sequence[Array], cotangents: Mapping[str, Array]) -> Pulled:
    """Gradients of ``sum(output * cotangent)`` with respect to floating inputs and variables.

    Raises:
        InputError: The backend is not one that Keras computes gradients with here.
    """
    backend = keras.backend.backend()
    rule = {"tensorflow": _by_tensorflow, "torch": _by_torch, "jax": _by_jax}.get(backend)
    if rule is None:
        raise InputError(f"keras on {backend} computes no gradients here. Set KERAS_BACKEND to tensorflow.")
    variables = list({id(v): v for v in built.net.weights if "float" in v.dtype}.values())
    floating = [array.dtype.kind == "f" or array.dtype.name == "bfloat16" for array in arrays]
    by_input, by_variable = rule(built, arrays, floating, variables, cotangents)
    found = iter(by_input)
    inputs = [np.asarray(next(found)) if flag else None for flag in floating]
    return inputs, {id(v): np.asarray(g) for v, g in zip(variables, by_variable, strict=True)}


def _by_tensorflow(built: Built, arrays: Any, floating: Any, variables: Any, cotangents: Any) -> Any:
    import tensorflow as tf

    with tf.device("cpu:0"):
        tensors = [tf.constant(array) for array in arrays]
        leaves = [t for t, flag in zip(tensors, floating, strict=True) if flag]
        values = [v.value for v in variables]
        with tf.GradientTape() as tape:
            tape.watch(leaves + values)
            found = built.run(tensors)
            wanted = [found[name] for name in cotangents]
        given = [tf.constant(array) for array in cotangents.values()]
        grads = tape.gradient(wanted, leaves + values, given, tf.UnconnectedGradients.ZERO)
        dense = [tf.convert_to_tensor(grad) for grad in grads]
    return dense[: len(leaves)], dense[len(leaves) :]


def _by_torch(built: Built, arrays: Any, floating: Any, variables: Any, cotangents: Any) -> Any:
    import torch

    tensors = [torch.tensor(array) for array in arrays]
    leaves = [t.requires_grad_() for t, flag in zip(tensors, floating, strict=True) if flag]
    values = [v.value.requires_grad_() for v in variables]
    found = built.run(tensors)
    pairs = [(found[name], torch.tensor(array)) for name, array in cotangents.items()]
    pairs = [pair for pair in pairs if pair[0].requires_grad]
    grads: Sequence[Any] = [None] * len(leaves + values)
    if pairs and leaves + values:
        grads = torch.autograd.grad([y for y, _ in pairs], leaves + values, [c for _, c in pairs], allow_unused=True)
    dense = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves + values, grads, strict=True)]
    numbers = [g.detach().cpu().numpy() for g in dense]
    return numbers[: len(leaves)], numbers[len(leaves) :]


def _by_jax(built: Built, arrays: Any, floating: Any, variables: Any, cotangents: Any) -> Any:
    import jax

    own = {id(v): at for at, v in enumerate(variables)}
    leaves = [array for array, flag in zip(arrays, floating, strict=True) if flag]

    def compute(given: list[Any], values: list[Any]) -> list[Any]:
        rest = iter(given)
        tensors = [next(rest) if flag else array for array, flag in zip(arrays, floating, strict=True)]
        mapping = [(v, values[own[id(v)]] if id(v) in own else v.value) for v in built.net.variables]
        with keras.StatelessScope(state_mapping=mapping):
            found = built.run([keras.ops.convert_to_tensor(t) for t in tensors])
        return [found[name] for name in cotangents]

    _, pull = jax.vjp(compute, leaves, [v.value for v in variables])
    return pull([jax.numpy.asarray(array) for array in cotangents.values()])
