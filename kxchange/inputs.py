"""From a caller's inputs by name to checked arrays in order, and the sizes of the model's dims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kxchange.binding import bind_dims, check_constraints
from kxchange.errors import InputError, TypeInferenceError
from kxchange.model import Array, Model
from kxchange.types import DType, TensorType


class InputBinder:
    """Checks one function's inputs: names, dtypes, ranks, sizes and the model's constraints.

    What a runner of any backend does before it calls the backend; made once, called for every run.
    """

    def __init__(self, model: Model, function: str | None = None) -> None:
        chosen = model.function(function)
        self.types: dict[str, TensorType] = chosen.input_types
        self.expected = [(name, type.shape) for name, type in self.types.items()]
        label = next(name for name, candidate in model.functions.items() if candidate is chosen)
        self.where = f"function {label!r}"
        self.constraints = [*model.constraints, *(constraint for _, constraint in chosen.node_constraints())]

    def __call__(self, inputs: Mapping[str, Any]) -> tuple[list[Array], dict[str, int]]:
        """The arrays in the function's order, and the size of every symbol.

        Raises:
            InputError: a name is missing or unknown; a dtype, rank or size does not fit; a constraint does not hold.
        """
        self._check_names(inputs)
        arrays = [self._array(name, inputs[name]) for name in self.types]
        dims = bind_dims(self.expected, [array.shape for array in arrays])
        check_constraints(self.constraints, dims, self.where)
        return arrays, dims

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        missing = [name for name in self.types if name not in inputs]
        unknown = [name for name in inputs if name not in self.types]
        if missing or unknown:
            found = [f"misses {missing}"] * bool(missing) + [f"does not know {unknown}"] * bool(unknown)
            raise InputError(f"{self.where} {' and '.join(found)}. Pass exactly these inputs: {list(self.types)}.")

    def _array(self, name: str, given: Any) -> Array:
        array = np.asarray(given)
        wanted = self.types[name].dtype
        if array.dtype != wanted.numpy:
            raise InputError(
                f"{self.where} takes input {name!r} as {wanted}, not as {_dtype_name(array)}. "
                f"Cast it first: array.astype({wanted.value!r})."
            )
        return array


def _dtype_name(array: Array) -> str:
    try:
        return DType.of(array.dtype).value
    except TypeInferenceError:
        return str(array.dtype)
