"""Verification of what was built before it is handed out: its parameters, and what it gives at two sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from kxchange.dims import evaluate, symbols
from kxchange.errors import BuildError, InputError, KxchangeError
from kxchange.model import Function, Model
from kxchange.types import TensorType
from kxchange.validation.cases import feasible_sizes
from kxchange_jax.private import wide_integers
from kxchange_jax.trees import leaves_of

if TYPE_CHECKING:
    from kxchange_jax.jax_model import Apply, JaxModel

DATA_SIZED = frozenset({"nonzero", "unique"})
"""Ops whose results have a size that only the data decides: they run, but cannot be traced."""


def check_weights(model: Model, built: JaxModel) -> None:
    """The trees hold the model's parameters, all of them, with their types, and nothing else.

    Raises:
        BuildError: They do not.
    """
    wanted = {
        place.path: (place.entry.type.shape, place.entry.type.dtype.numpy)
        for place in built.apply.places.values()
        if place.entry.alias_of is None
    }
    held = {
        path: (leaf.shape, np.dtype(leaf.dtype))
        for tree in (built.params, built.buffers)
        for path, leaf in leaves_of(tree)
    }
    if held != wanted:
        differing = sorted(".".join(p) for p in held.keys() | wanted.keys() if held.get(p) != wanted.get(p))
        raise BuildError(f"the built params differ from the model's parameters at {differing[:5]}.")


def check_functions(model: Model, built: JaxModel) -> None:
    """Every function gives the inferred shapes and dtypes at two sizes.

    Raises:
        BuildError: One does not, or cannot be run.
    """
    for name, apply in built.functions.items():
        for sizes in feasible_sizes(model, apply.function)[:2]:
            _check_types(built, name, apply, sizes)


def _check_types(built: JaxModel, name: str, apply: Apply, sizes: Mapping[str, int]) -> None:
    try:
        outputs = _run(built, apply, sizes)
    except InputError:
        return  # sizes that the model's constraints exclude
    except KxchangeError:
        raise
    except Exception as error:
        raise BuildError(
            f"jax cannot run the built function {name!r} at {dict(sizes) or 'its fixed sizes'}: {error}"
        ) from error
    for (output, type), array in zip(apply.function.output_types.items(), outputs, strict=True):
        _compare(name, output, type, array, sizes)


def _run(built: JaxModel, apply: Apply, sizes: Mapping[str, int]) -> tuple[Any, ...]:
    """The outputs' shapes and dtypes; by a run on zeros where the data decides them."""
    shapes = [tuple(evaluate(dim, sizes) for dim in type.shape) for type in apply.function.input_types.values()]
    dtypes = [type.dtype.numpy for type in apply.function.input_types.values()]
    with wide_integers():
        if data_sized(apply.function):
            return apply.outputs(built.params, [np.zeros(s, d) for s, d in zip(shapes, dtypes, strict=True)])
        inputs = [jax.ShapeDtypeStruct(s, d) for s, d in zip(shapes, dtypes, strict=True)]
        return jax.eval_shape(apply.outputs, built.params, inputs)


def data_sized(function: Function) -> bool:
    """Whether some size inside depends on the data."""
    return any(node.op in DATA_SIZED for node in function.graph.nodes())


def _compare(name: str, output: str, type: TensorType, array: Any, sizes: Mapping[str, int]) -> None:
    known = all(symbols(dim) <= sizes.keys() for dim in type.shape)
    shape = tuple(evaluate(dim, sizes) for dim in type.shape) if known else tuple(array.shape)
    if tuple(array.shape) != shape or np.dtype(array.dtype) != type.dtype.numpy:
        raise BuildError(
            f"the built function {name!r} gives output {output!r} as {array.dtype}{list(array.shape)} at "
            f"{dict(sizes)}, where {type} is inferred. This is an error in kxchange_jax; please report it."
        )


def held_weights(model: Model, **options: Any) -> dict[str, Any]:
    """The parameters as a built object holds them, under the model's names."""
    from kxchange_jax.build import build

    built = build(model, check=False, **options)
    found = dict(_named(built))
    return {name: np.asarray(found[entry.alias_of or name]) for name, entry in model.parameters.items()}


def _named(built: JaxModel) -> Iterator[tuple[str, Any]]:
    arrays = {path: leaf for tree in (built.params, built.buffers) for path, leaf in leaves_of(tree)}
    for name, place in built.apply.places.items():
        if place.entry.alias_of is None:
            yield name, arrays[place.path]
