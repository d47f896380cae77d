"""The check of every build: its parameters are the model's, and it runs at two sizes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from kxchange.binding import check_constraints
from kxchange.dims import evaluate, symbols
from kxchange.errors import BuildError, InputError, UnsupportedOpError
from kxchange.inputs import InputBinder
from kxchange.model import Array, Function, Model
from kxchange.types import TensorType
from kxchange_onnx.session import Session, open_session
from kxchange_onnx.types_out import data_type
from kxchange_onnx.weights import skeleton

SIZES = (2, 3, 4, 5, 8, 16, 1, 32, 64, 7, 128, 224, 256)
"""Sizes tried for a symbol, those first that no op takes for a special case."""
TRIALS = 4000


def verify(model: Model, lowered: ir.Model, function: str | None) -> None:
    """Run onnx's checker, compare the parameters with the model's and run the result twice.

    A model that ONNX Runtime has no kernels for is not run.

    Raises:
        BuildError: The checker refuses the model, a parameter is missing or of another type, or an output has another
            type than inferred.
    """
    chosen = model.function(function)
    _verify_parameters(model, lowered, chosen)
    try:
        onnx.checker.check_model(skeleton(lowered), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BuildError(f"onnx's checker refuses the model that was built: {error}. Please report it.") from error
    try:
        session = open_session(lowered, optimize=False, fed=True)
    except UnsupportedOpError:
        return
    for sizes in itertools.islice(possible_sizes(model, function), 2):
        _verify_run(chosen, lowered, session, sizes)


def _verify_parameters(model: Model, lowered: ir.Model, function: Function) -> None:
    """Every parameter that a node reads is there once, as it is in the model."""
    read = {str(node.attrs["name"]) for node in function.graph.nodes() if node.op == "parameter"}
    renamed = json.loads(lowered.metadata_props.get("kxchange.renamed", "{}"))
    unread = {str(node.outputs[0].name) for function in lowered.functions.values() for node in function}
    for name in sorted({model.parameters[name].alias_of or name for name in read} - unread):
        type = model.parameters[name].type
        value = lowered.graph.initializers.get(renamed.get(name, name))
        tensor: Any = None if value is None else value.const_value
        if tensor is None or tensor.dtype is not data_type(type.dtype) or tuple(tensor.shape) != type.shape:
            raise BuildError(f"onnx holds parameter {name!r} as {tensor}, not as {type}. Please report it.")


def possible_sizes(model: Model, function: str | None) -> Iterator[dict[str, int]]:
    """Sizes of the inputs' symbols that fulfil every constraint, the most telling first."""
    chosen = model.function(function)
    names = chosen.dims
    constraints = InputBinder(model, function).constraints
    for count, values in enumerate(_assignments(len(names))):
        sizes = dict(zip(names, values, strict=True))
        try:
            check_constraints(constraints, sizes, "")
            if all(evaluate(dim, sizes) >= 0 for t in chosen.input_types.values() for dim in t.shape):
                yield sizes
        except InputError:
            pass
        if count > TRIALS or not names:
            return


def _assignments(count: int) -> Iterator[tuple[int, ...]]:
    """Distinct sizes first, then equal ones, then all."""
    for shift in range(len(SIZES)):
        yield tuple(SIZES[(shift + index) % len(SIZES)] for index in range(count))
    for size in SIZES:
        yield (size,) * count
    yield from itertools.product(SIZES, repeat=count)


def _verify_run(function: Function, lowered: ir.Model, session: Session, sizes: Mapping[str, int]) -> None:
    names = [str(value.name) for value in lowered.graph.inputs]
    feeds = dict(zip(names, (sample(t, sizes) for t in function.input_types.values()), strict=True))
    types = list(function.output_types.items())
    try:
        results = session.run(feeds, [type.dtype for _, type in types])
    except Exception as error:  # ONNX Runtime's own exceptions share no public base class
        raise BuildError(f"ONNX Runtime cannot run the model at {dict(sizes)}: {str(error)[:1000]}") from error
    for (name, type), array in zip(types, results, strict=True):
        _verify_output(name, type, array, sizes)


def _verify_output(name: str, type: TensorType, array: Array, sizes: Mapping[str, int]) -> None:
    known = all(symbols(dim) <= sizes.keys() for dim in type.shape)
    shape = tuple(evaluate(dim, sizes) for dim in type.shape) if known else array.shape
    if array.dtype != type.dtype.numpy or array.shape != shape:
        given = f"{array.dtype}[{', '.join(map(str, array.shape))}]"
        raise BuildError(
            f"ONNX Runtime gives output {name!r} as {given} at {dict(sizes)}, not as {type}. Please report it."
        )


def sample(type: TensorType, sizes: Mapping[str, int]) -> Array:
    """Values that any model takes: small floats, zeros for integers (a position that always exists)."""
    shape = tuple(evaluate(dim, sizes) for dim in type.shape)
    if type.dtype.is_floating:
        return np.linspace(-1, 1, int(np.prod(shape))).reshape(shape).astype(type.dtype.numpy)
    return np.zeros(shape, dtype=type.dtype.numpy)
