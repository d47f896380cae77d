"""Padding of windows as Keras states it: by name where the numbers agree, else by a layer in front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kxchange.dims import Dim
from kxchange_keras.lift_geometry import same_padding
from kxchange_keras.shaping_out import padded_by_size

Tensor = Any
Ints = tuple[int, ...]
Pads = tuple[tuple[Any, Any], ...]


def named_padding(sizes: Sequence[Dim], window: Ints, strides: Ints, dilations: Ints, padding: Pads) -> str | None:
    """``valid`` or ``same``; None where the padding is neither."""
    if all(pair == (0, 0) for pair in padding):
        return "valid"
    reach = [dilation * (tap - 1) + 1 for tap, dilation in zip(window, dilations, strict=True)]
    same = tuple(same_padding(size, span, stride) for size, span, stride in zip(sizes, reach, strides, strict=True))
    return "same" if same == tuple(padding) else None


def framed(x: Tensor, padding: Pads, value: float = 0.0, dims: Sequence[Dim] = ()) -> Tensor:
    """X, channels last, with so much around its spatial axes; negative padding cuts.

    Args:
        x: The tensor.
        padding: Before and after each spatial axis.
        value: What stands there.
        dims: Sizes of x, where the padding may depend on them.
    """
    if all(pair == (0, 0) for pair in padding):
        return x
    if not all(isinstance(size, int) for pair in padding for size in pair):
        return padded_by_size(x, ((0, 0), *padding, (0, 0)), value, dims)
    if any(size < 0 for pair in padding for size in pair):
        cut = [slice(max(-before, 0), None if after >= 0 else after) for before, after in padding]
        x = keras.ops.get_item(x, (slice(None), *cut, slice(None)))
        padding = tuple((max(before, 0), max(after, 0)) for before, after in padding)
        if all(pair == (0, 0) for pair in padding):
            return x
    if value == 0.0 and len(padding) <= 3:
        layer: Any = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D)[
            len(padding) - 1
        ]
        stated = padding[0] if len(padding) == 1 else padding
        return layer(stated, data_format="channels_last" if len(padding) > 1 else None, dtype=x.dtype)(x)
    return keras.ops.pad(x, ((0, 0), *padding, (0, 0)), mode="constant", constant_values=value)
