"""From a model to a `JaxModel`."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from kxchange.model import Array, Function, Model, Parameter, Role
from kxchange.passes.legalize import Supports, legalize
from kxchange_jax.checking import check_functions, check_weights
from kxchange_jax.jax_model import Apply, JaxModel, Place
from kxchange_jax.lower import lower, supports
from kxchange_jax.private import wide_integers
from kxchange_jax.trees import nest, paths


def build(
    model: Model,
    *,
    function: str | None = None,
    check: bool = True,
    supports: Supports = supports,
) -> JaxModel:
    """A params pytree and pure functions of it; see `JaxModel`.

    Args:
        model: What to build.
        function: Build this function only; by default all of them, the main one as `apply`.
        check: Verify before it is returned: the parameters, and the shapes and dtypes that come out at two sizes.
        supports: Which nodes JAX takes whole; the others are decomposed. Narrow it to compare the two.

    Raises:
        UnsupportedOpError: JAX lacks ops of the model; all of them are listed.
        BuildError: What was built is not the model.
    """
    functions = {function: model.function(function)} if function else dict(model.functions)
    places = place_parameters(model)
    params, buffers, trainable = _trees(model, places)
    applies = {name: _apply(model, entry, places, buffers, supports) for name, entry in functions.items()}
    main = function or next(name for name, entry in functions.items() if entry is model.main)
    built = JaxModel(params, applies[main], buffers, trainable, applies, model.home)
    if check:
        check_weights(model, built)
        check_functions(model, built)
    return built


def place_parameters(model: Model) -> dict[str, Place]:
    """Where each parameter of the model stands in the trees."""
    where = paths(model.parameters)
    return {name: Place(entry, where[name], _fits_32_bits(entry)) for name, entry in model.parameters.items()}


def _fits_32_bits(entry: Parameter) -> bool:
    dtype = entry.type.dtype
    if not dtype.is_integer or dtype.bits < 64 or entry.alias_of:
        return True
    array, limits = entry.array, np.iinfo(np.int32 if dtype.is_signed else np.uint32)
    return bool(array.size == 0 or (array.min() >= limits.min and array.max() <= limits.max))


def is_param(entry: Parameter) -> bool:
    """Whether a parameter stands in `params`: one of the source's parameters, and of a type with gradients."""
    return entry.role is Role.PARAMETER and (entry.type.dtype.is_floating or entry.type.dtype.is_complex)


def _trees(model: Model, places: dict[str, Place]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    own = {name: place for name, place in places.items() if place.entry.alias_of is None}
    arrays = {name: to_jax(place.entry.array) for name, place in own.items()}
    kept = {name: place for name, place in own.items() if is_param(place.entry)}
    params = nest({place.path: arrays[name] for name, place in kept.items()})
    buffers = nest({place.path: arrays[name] for name, place in own.items() if name not in kept})
    trainable = nest({place.path: place.entry.trainable for place in kept.values()})
    return params, buffers, trainable


def to_jax(array: Array) -> jax.Array:
    """An array on JAX's default device, sharing the memory where that device and the alignment allow."""
    with wide_integers():
        return jax.device_put(array, may_alias=True)


def _apply(
    model: Model, function: Function, places: dict[str, Place], buffers: dict[str, Any], supports: Supports
) -> Apply:
    constraints = (*model.constraints, *(constraint for _, constraint in function.node_constraints()))
    return Apply(function, legalize(function.graph, supports, "jax"), lower, places, buffers, constraints)
