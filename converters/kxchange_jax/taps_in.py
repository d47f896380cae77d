"""Windows taken apart: one strided slice of a padded tensor per position in the window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Value
from kxchange_jax.lift import refuse
from kxchange_jax.lift_shape import padded_with

Ints = tuple[int, ...]
MOST = 256
"""Positions in a window up to which it is taken apart."""


@dataclass(frozen=True, slots=True)
class Taps:
    """How windows lie over a tensor.

    Attributes:
        window: Positions along each axis.
        strides: Steps between windows.
        padding: Elements before and behind each axis.
        spreads: Steps between neighbouring elements of the tensor, which is filled up between them.
        dilations: Steps between positions of a window.
        counts: Windows along each axis.
    """

    window: Ints
    strides: Ints
    padding: tuple[tuple[Dim, Dim], ...]
    spreads: Ints
    dilations: Ints
    counts: tuple[Dim, ...]

    def padded(self, x: Value, filler: Value) -> Value:
        """The tensor that windows are read from."""
        config = tuple((low, high, spread - 1) for (low, high), spread in zip(self.padding, self.spreads, strict=True))
        return padded_with(x, filler, config)

    def starts(self) -> Iterator[Ints]:
        """Where the first window has each of its positions.

        Raises:
            CaptureError: There are too many.
        """
        if prod(self.window) > MOST:
            refuse(f"a window of {prod(self.window)} elements is too large to be taken apart, and has no op")
        for tap in product(*map(range, self.window)):
            yield tuple(index * dilation for index, dilation in zip(tap, self.dilations, strict=True))

    def extents(self) -> tuple[Dim, ...]:
        """Elements from the first to the last window's start along each axis."""
        return tuple((count - 1) * stride + 1 for count, stride in zip(self.counts, self.strides, strict=True))

    def parts(self, x: Value, filler: Value) -> Iterator[Value]:
        """For each position in the window what all windows have there."""
        wide = self.padded(x, filler)
        axes = tuple(range(x.ndim))
        for start in self.starts():
            stops = tuple(first + extent for first, extent in zip(start, self.extents(), strict=True))
            yield ops.slice(wide, starts=start, stops=stops, steps=self.strides, axes=axes)
