"""A small array inside a graph that is not a parameter of the model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kxchange.types import DType, TensorType


class Constant:
    """A read-only array compared by dtype, shape and bytes; the attribute of a `constant` node."""

    __slots__ = ("_hash", "array")

    def __init__(self, array: object) -> None:
        copied = np.array(array, order="C")
        copied.setflags(write=False)
        self.array: NDArray[np.generic] = copied
        self._hash = hash((copied.dtype.str, copied.shape, copied.tobytes()))

    @property
    def type(self) -> TensorType:
        """Element type and shape of the array."""
        return TensorType(DType.of(self.array.dtype), self.array.shape)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Constant)
            and other.array.dtype == self.array.dtype
            and other.array.shape == self.array.shape
            and other.array.tobytes() == self.array.tobytes()
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Constant({self.type})"
