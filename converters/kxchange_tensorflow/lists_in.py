"""What stands in a TensorFlow graph for things that are no tensors: variables, and lists of tensors."""

from __future__ import annotations

from dataclasses import dataclass

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.types import DType, TensorType
from kxchange_tensorflow.lift import refuse


@dataclass(frozen=True, slots=True)
class Resource:
    """A variable that is only read."""

    value: Value


@dataclass(frozen=True, slots=True)
class ListValue:
    """Tensors of one shape, stacked along a first axis; None as long as nothing says of which shape.

    Attributes:
        length: How many.
        dtype: Of what type.
        stacked: All of them.
    """

    length: Dim
    dtype: DType
    stacked: Value | None = None

    def value(self) -> Value:
        """All of them.

        Raises:
            CaptureError: Their shape is not known.
        """
        return refuse("it reads a list whose elements have no known shape") if self.stacked is None else self.stacked

    def of(self, shape: tuple[Dim, ...]) -> ListValue:
        """The list with its elements known to have this shape."""
        if self.stacked is not None:
            return self
        zero = False if self.dtype.is_bool else 0
        return self.with_value(ops.full(shape=(self.length, *shape), value=zero, dtype=self.dtype))

    def with_value(self, stacked: Value) -> ListValue:
        """The same list with other content."""
        return ListValue(self.length, self.dtype, stacked)

    @property
    def type(self) -> TensorType:
        """Type of the stacked tensor."""
        return self.value().type
