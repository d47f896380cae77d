"""The captured object itself, run on arrays by input name: what conversions are measured against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kxchange.converter import Runner
from kxchange.errors import InputError
from kxchange.model import Array, Model
from kxchange_jax.float64 import Widened, widened
from kxchange_jax.numbers_in import Numbers
from kxchange_jax.private import wide_integers
from kxchange_jax.tracing import Call


def run_source(origin: Any, model: Model, *, function: str | None = None, float64: bool = False) -> Runner:
    """A runner of the captured object, at the highest precision of the device.

    Args:
        origin: `model.origin` as capture left it.
        model: For the names of the outputs.
        function: Entry point.
        float64: Run in float64 throughout: parameters, inputs, and explicit casts to narrower floats.

    Raises:
        InputError: The model was not captured in this process.
    """
    if not isinstance(origin, Call):
        raise InputError("jax can run a source only as `kx.capture` left it in `model.origin`.")
    names = model.function(function).output_names
    compiled = jax.jit(origin)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = [np.asarray(inputs[name]) for name in origin.examples.arrays]
        params = jax.tree_util.tree_leaves(origin.subject.params)
        with jax.default_matmul_precision("highest"):
            leaves = _wide_leaves(origin, params, arrays) if float64 else _leaves(compiled, params, arrays)
        kept = [leaf for leaf, keep in zip(leaves, origin.kept, strict=True) if keep]
        return {name: np.asarray(leaf) for name, leaf in zip(names, kept, strict=True)}

    return run


def _leaves(call: Callable[..., Any], params: list[Any], arrays: list[Array]) -> list[Any]:
    if not any(array.dtype.itemsize == 8 and array.dtype.kind in "iuf" for array in arrays):
        return jax.tree_util.tree_leaves(call(params, arrays))
    with wide_integers():
        return jax.tree_util.tree_leaves(call(params, arrays))


def _wide_leaves(call: Call, params: list[Any], arrays: list[Array]) -> list[Any]:
    """The call traced as it is, at these sizes, and its jaxpr run in float64."""
    given = [
        jax.ShapeDtypeStruct(array.shape, example.dtype)
        for array, example in zip(arrays, call.examples.arrays.values(), strict=True)
    ]
    jaxpr = jax.make_jaxpr(call)(params, given)
    with wide_integers():
        args = [widened(array) for array in [*params, *map(jnp.asarray, arrays)]]
        run = Widened(call.numbers or Numbers(None))
        return run.run(jaxpr.jaxpr, jaxpr.consts, args)


def to_tensor(array: Array) -> Any:
    """An example input."""
    with wide_integers():
        return jnp.asarray(array)
