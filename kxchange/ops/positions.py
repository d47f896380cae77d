"""The positions along an axis, as data."""

from __future__ import annotations

from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange.ops.creation import arange
from kxchange.ops.manipulation import reshape
from kxchange.types import DType


def positions(length: Dim) -> Value:
    """The int64 numbers from 0 up to `length`, [length].

    `arange` cannot know that a symbolic length such as ``n - 2`` is not negative; as the size of an axis it is not.
    """
    numbers = arange(start=0, stop=length, dtype=DType.INT64)
    return numbers if numbers.shape == (length,) else reshape(numbers, shape=(length,))
