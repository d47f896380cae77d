"""From a model to an `nnx.Module`."""

from __future__ import annotations

from kxchange.model import Model
from kxchange.passes.legalize import Supports
from kxchange_jax.build import build as build_jax
from kxchange_jax.flax_module import FlaxModel
from kxchange_jax.lower import supports


def build(model: Model, *, function: str | None = None, check: bool = True, supports: Supports = supports) -> FlaxModel:
    """An `nnx.Module` with the model's tree of parameters; see `FlaxModel`.

    Args:
        model: What to build.
        function: Build this function only; by default all of them, the main one as `__call__`.
        check: Verify before it is returned: the parameters, and the shapes and dtypes that come out at two sizes.
        supports: Which nodes JAX takes whole; the others are decomposed.

    Raises:
        UnsupportedOpError: JAX lacks ops of the model; all of them are listed.
        BuildError: What was built is not the model.
    """
    return FlaxModel(build_jax(model, function=function, check=check, supports=supports))
