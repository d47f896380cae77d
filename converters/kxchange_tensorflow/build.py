"""From a model to a `tf.Module`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kxchange.dims import evaluate, symbols
from kxchange.errors import BuildError, InputError, KxchangeError
from kxchange.graph import Graph
from kxchange.model import Function, Model
from kxchange.passes.channels import channels_last
from kxchange.passes.legalize import Supports, legalize
from kxchange.validation.cases import feasible_sizes
from kxchange_tensorflow.dtypes import tf_dtype
from kxchange_tensorflow.lower import lower, supports
from kxchange_tensorflow.module import Entry, KxModule, make_variables


def build(model: Model, *, function: str | None = None, check: bool = True, supports: Supports = supports) -> KxModule:
    """A `tf.Module` with the model's variables, under its names, and one `tf.function` per function.

    Args:
        model: What to build.
        function: Build this function only; by default all of them.
        check: Verify before it is returned: the variables, and the shapes and dtypes that come out at two sizes.
        supports: Which nodes TensorFlow takes whole; the others are decomposed.

    Raises:
        UnsupportedOpError: TensorFlow lacks ops of the model; all of them are listed.
        BuildError: What was built is not the model.
    """
    chosen = {function: model.function(function)} if function else dict(model.functions)
    graphs = {name: legalize(channels_last(entry.graph), supports, "tensorflow") for name, entry in chosen.items()}
    variables = make_variables(model)
    entries = {name: _entry(model, entry, graphs[name], variables) for name, entry in chosen.items()}
    main = function or next(name for name, entry in chosen.items() if entry is model.main)
    built = KxModule(variables, entries, main)
    if check:
        _check_variables(model, built)
        for name, entry in entries.items():
            for sizes in feasible_sizes(model, entry.function)[:2]:
                _check_run(name, entry, sizes)
    return built


def legal(graph: Graph) -> Graph:
    """The graph as its functions compute it.

    Raises:
        UnsupportedOpError: TensorFlow lacks ops; all of them are listed.
    """
    return legalize(channels_last(graph), supports, "tensorflow")


def _entry(model: Model, function: Function, graph: Any, variables: dict[str, tf.Variable]) -> Entry:
    limits = (*model.constraints, *(constraint for _, constraint in function.node_constraints()))
    return Entry(function, graph, lower, variables, limits)


def _check_variables(model: Model, built: KxModule) -> None:
    held = built.parameters
    for name, entry in model.parameters.items():
        if tuple(held[name].shape) != entry.type.shape or held[name].dtype != tf_dtype(entry.type.dtype):
            raise BuildError(f"the variable {name!r} was built as {held[name].dtype}{held[name].shape}: {entry.type}.")


def _check_run(name: str, entry: Entry, sizes: dict[str, int]) -> None:
    """Run a function on zeros of these sizes: shapes and dtypes are those that were inferred."""
    inputs = {
        key: tf.zeros(tuple(evaluate(dim, sizes) for dim in type.shape), tf_dtype(type.dtype))
        for key, type in entry.function.input_types.items()
    }
    try:
        found = entry.compiled(*inputs.values())
    except (InputError, tf.errors.InvalidArgumentError):
        return  # sizes that the model's constraints exclude, or indices that zeros are not
    except KxchangeError:
        raise
    except Exception as error:
        raise BuildError(
            f"tensorflow cannot run the built function {name!r} at {sizes or 'its sizes'}: {error}"
        ) from error
    for output, type in entry.function.output_types.items():
        got = found[output]
        known = all(symbols(dim) <= sizes.keys() for dim in type.shape)
        shape = tuple(evaluate(dim, sizes) for dim in type.shape) if known else tuple(got.shape)
        if tuple(got.shape) != shape or got.dtype != tf_dtype(type.dtype):
            raise BuildError(f"the built function {name!r} gives {output!r} as {got.dtype}{got.shape}, not {type}.")


def held_weights(model: Model, **options: Any) -> dict[str, Any]:
    """The parameters as a built object holds them, under the model's names."""
    built = build(model, check=False, **options)
    return {name: np.asarray(variable) for name, variable in built.parameters.items()}
