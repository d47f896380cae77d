"""Gradients of a model by JAX's automatic differentiation, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange_jax.build import build
from kxchange_jax.checking import data_sized
from kxchange_jax.jax_model import Apply
from kxchange_jax.private import wide_integers
from kxchange_jax.trees import find, nest

Gradients = Callable[[Mapping[str, Array], Mapping[str, Array]], dict[str, Array]]


def gradients(model: Model, *, function: str | None = None) -> Gradients:
    """Vector-Jacobian products of one function.

    Args:
        model: What to differentiate.
        function: Which entry point; by default the main one.

    Returns:
        ``(inputs, cotangents) -> gradients``: for each floating input ``input NAME``, for each floating parameter
        (not for its tied names) ``parameter NAME``; zeros where an output does not depend on it.
    """
    name = function or next(key for key, value in model.functions.items() if value is model.main)
    built = build(model, function=name, check=False)
    apply, bind = built.apply, InputBinder(model, function)
    # Leaves by path, not the tree: integers and complex numbers in `params` have no gradient to return here.
    leaves = {
        key: find(built.params, place.path) for key, place in apply.places.items() if trained(place, built.params)
    }
    product = vector_jacobian(apply)
    compute_product = product if data_sized(apply.function) else jax.jit(product)

    def compute(inputs: Mapping[str, Array], cotangents: Mapping[str, Array]) -> dict[str, Array]:
        given = dict(zip(apply.function.input_names, bind(inputs)[0], strict=True))
        floating = {key: array for key, array in given.items() if jnp.issubdtype(array.dtype, jnp.floating)}
        rest = {key: array for key, array in given.items() if key not in floating}
        with wide_integers(), jax.default_matmul_precision("highest"):
            of_inputs, of_leaves = compute_product(floating, leaves, rest, dict(cotangents))
        found = {f"input {key}": array for key, array in of_inputs.items()}
        return {k: np.asarray(a) for k, a in (found | {f"parameter {key}": a for key, a in of_leaves.items()}).items()}

    return compute


def trained(place: Any, params: Any) -> bool:
    """Whether a parameter stands in `params` under its own name and is floating."""
    return place.entry.alias_of is None and place.entry.type.dtype.is_floating and find(params, place.path) is not None


def vector_jacobian(apply: Apply) -> Callable[..., Any]:
    """``(floating inputs, parameters, other inputs, cotangents) -> gradients of the first two``."""

    def product(floating: Any, leaves: Any, rest: Any, cotangents: Any) -> Any:
        def outputs(floating: Any, leaves: Any) -> Any:
            params = nest({apply.places[key].path: leaf for key, leaf in leaves.items()})
            inputs = [floating[n] if n in floating else rest[n] for n in apply.function.input_names]
            named = dict(zip(apply.function.output_names, apply.outputs(params, inputs), strict=True))
            return {key: named[key] for key in cotangents}

        return jax.vjp(outputs, floating, leaves)[1](cotangents)

    return product
