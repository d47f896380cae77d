"""The size that a scale gives, as ONNX's Resize computes it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from kxchange.dims import Dim


def scaled_size(size: Dim, scale: float) -> Dim:
    """``floor(size * scale)`` in float32, as runtimes compute it; of a symbol, by the decimal fraction that it is."""
    if isinstance(size, int):
        return int(np.floor(np.float32(size) * np.float32(scale)))
    exact = Fraction(str(np.float32(scale)))
    return size * exact.numerator // exact.denominator
