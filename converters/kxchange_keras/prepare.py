"""Run models with Keras, on the backend that it is set to, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kxchange.converter import Runner
from kxchange.errors import InputError, KxchangeError
from kxchange.inputs import InputBinder
from kxchange.model import Array, Model
from kxchange.types import DType
from kxchange_keras.build import build_parts
from kxchange_keras.wide import sixty_four_bits


def prepare(model: Model, *, function: str | None = None) -> Runner:
    """A runner of one function: arrays by input name in, arrays by output name out, in order.

    Inputs are checked first: names, dtypes, ranks, sizes and the model's constraints.

    Args:
        model: What to run.
        function: Which entry point; by default the main one.

    Raises:
        InputError: The backend would compute less exactly than the types say.
    """
    require_double_products(model, function)
    with sixty_four_bits():
        built = build_parts(model, function=function, check=False)
    bind = InputBinder(model, function)
    types = built.function.output_types

    def run(inputs: Mapping[str, Any]) -> dict[str, Array]:
        arrays, _ = bind(inputs)
        with sixty_four_bits():
            try:
                found = built.run([keras.ops.convert_to_tensor(array, dtype=array.dtype.name) for array in arrays])
            except KxchangeError:
                raise
            except Exception as error:
                raise InputError(f"keras refused these inputs: {str(error)[:500]}") from error
            outputs = {name: np.asarray(keras.ops.convert_to_numpy(found[name])) for name in types}
        for name, array in outputs.items():
            if array.dtype != types[name].dtype.numpy:
                raise InputError(f"keras gave {name!r} as {array.dtype}, not {types[name].dtype}, on this backend.")
        return outputs

    return run


def require_double_products(model: Model, function: str | None) -> None:
    """Refuse what Keras on torch computes in float32 although it is float64: products of matrices.

    Raises:
        InputError: The function has one.
    """
    if keras.backend.backend() != "torch":
        return
    nodes = model.function(function).graph.nodes()
    found = next((n for n in nodes if n.op in PRODUCTS and n.types[0].dtype is DType.FLOAT64), None)
    if found is not None:
        raise InputError(
            f"keras computes the float64 {found.op} {found.name!r} in float32 on torch. Use another backend."
        )


PRODUCTS = frozenset({"matmul", "linear", "einsum", "scaled_dot_product_attention", "lstm", "gru", "rnn"})
"""Ops that become matrix products."""
