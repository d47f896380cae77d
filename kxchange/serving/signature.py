"""A model's inputs and outputs as the protocol states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kxchange.dims import Dim
from kxchange.model import Function
from kxchange.serving.datatypes import datatype
from kxchange.types import DType, TensorType


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: As in the model.
        datatype: The protocol's name of the element type.
        dtype: The element type.
        numpy: The same for NumPy; little-endian, as it travels.
        shape: Sizes, -1 where the model takes any.
        dims: Sizes and expressions as the model has them, for people.
    """

    name: str
    datatype: str
    dtype: DType
    numpy: np.dtype[Any]
    shape: tuple[int, ...]
    dims: tuple[Dim, ...]

    @classmethod
    def of(cls, name: str, type: TensorType, where: str) -> TensorSpec:
        """The spec of a tensor type."""
        shape = tuple(dim if isinstance(dim, int) else -1 for dim in type.shape)
        return cls(name, datatype(type.dtype, f"{where} {name!r}"), type.dtype, type.dtype.numpy, shape, type.shape)

    def to_json(self) -> dict[str, Any]:
        """As in the protocol's metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True, slots=True)
class Signature:
    """All inputs and outputs of one function, by name, in order."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]

    @classmethod
    def of(cls, function: Function) -> Signature:
        """The signature of a function.

        Raises:
            InputError: The protocol has no datatype for an input or output.
        """
        return cls(
            {name: TensorSpec.of(name, type, "input") for name, type in function.input_types.items()},
            {name: TensorSpec.of(name, type, "output") for name, type in function.output_types.items()},
        )
