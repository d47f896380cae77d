"""Variables of a Keras model that are no native layer's: an embedding of one row that gives the whole tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kxchange.errors import BuildError
from kxchange.model import Parameter
from kxchange.types import DType, TensorType
from kxchange_keras.names_out import Names
from kxchange_keras.sizes_out import Sizes

INLINE = 4096
"""Elements of a constant up to which it stands in the model's description; larger ones are variables."""
WHOLE = {"float32": 2**24, "float64": 2**53}
"""Up to where a floating type holds every integer."""


class Hosts:
    """What hosts the parameters that no layer takes.

    Attributes:
        held: Name of a parameter -> the variable that holds it.
    """

    def __init__(self, parameters: Mapping[str, Parameter], arrays: Any, names: Names) -> None:
        self._parameters = parameters
        self._array = arrays
        self._names = names
        self._constants: dict[bytes, Any] = {}
        self.held: dict[str, Any] = {}

    def parameter(self, name: str, type: TensorType, sizes: Sizes) -> Any:
        """The tensor of a parameter, from a variable of its own."""
        entry = self._parameters[name]
        array = np.asarray(self._array(name))
        tensor, self.held[name] = self._hosted(self._names.layer(name), array, sizes, trainable=entry.trainable)
        return tensor

    def constant(self, array: np.ndarray, sizes: Sizes) -> Any:
        """An array as it is, or as a variable that is not trained where it is large."""
        if array.size <= INLINE:
            return array
        key = b"%s %r" % (array.dtype.str.encode(), array.shape) + array.tobytes()
        if key not in self._constants:
            if array.size and (array == array.flat[0]).all():
                line = sizes.anchored(array.reshape(-1)[:1].reshape((1,) * array.ndim))
                self._constants[key] = keras.ops.broadcast_to(line, array.shape)
            else:
                name = self._names.layer("constant")
                self._constants[key], _ = self._hosted(name, array, sizes, trainable=False)
        return self._constants[key]

    def _hosted(self, name: str, array: np.ndarray, sizes: Sizes, *, trainable: bool) -> tuple[Any, Any]:
        dtype = DType.of(array.dtype)
        stored = dtype.value if dtype.is_floating else carrier(name, array)
        flat = np.asarray(array).reshape(1, -1).astype(DType(stored).numpy)
        layer: Any = keras.layers.Embedding(
            1, max(flat.size, 1), name=name, dtype=stored, embeddings_initializer="zeros", trainable=trainable
        )
        row = layer(keras.ops.expand_dims(sizes.zero, 0))
        layer.trainable = trainable and dtype.is_floating
        if flat.size:
            layer.embeddings.assign(flat)
        tensor = keras.ops.reshape(row, array.shape)
        return keras.ops.cast(tensor, dtype.value) if stored != dtype.value else tensor, layer.embeddings


def carrier(name: str, array: np.ndarray) -> str:
    """The floating type that holds an array of whole numbers: Keras has no variables of integers in its layers.

    Raises:
        BuildError: No type does.
    """
    if array.dtype.kind not in "iub":
        raise BuildError(f"keras cannot hold {name!r}, of {array.dtype}, in a layer.")
    largest = max(abs(int(array.max())), abs(int(array.min()))) if array.size else 0
    for dtype, limit in WHOLE.items():
        if largest <= limit:
            return dtype
    raise BuildError(f"keras cannot hold {name!r} in a layer: {largest} is beyond what a float64 holds exactly.")
