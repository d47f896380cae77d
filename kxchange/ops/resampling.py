"""`resize` along an axis of symbolic size: positions are computed in the graph, in integers, without rounding."""

from __future__ import annotations

from kxchange.dims import Dim, dim_max, dim_min
from kxchange.errors import TypeInferenceError
from kxchange.graph import Value
from kxchange.ops.elementwise import add, astype, clip, divide, floor_divide, multiply, negative, remainder, subtract
from kxchange.ops.indexing import take
from kxchange.ops.interpolation import Sampling
from kxchange.ops.manipulation import reshape
from kxchange.ops.positions import positions


def resample(x: Value, axis: int, count: Dim, sampling: Sampling) -> Value:
    """Nearest or linear `resize` of one axis; positions follow from the sizes.

    Raises:
        TypeInferenceError: The mode needs weights that only known sizes give.
    """
    size = x.shape[axis]
    if sampling.mode == "cubic" or sampling.antialias:
        form = f"{sampling.mode} resizing{' with antialias' if sampling.antialias else ''}"
        raise TypeInferenceError(f"{form} from {size} to {count} has weights that only known sizes give.")
    numerator, denominator = _coordinates(size, count, sampling.coordinate_mode)
    if sampling.mode == "nearest":
        return _read(x, _nearest(numerator, denominator, sampling.nearest_mode), axis)
    low = floor_divide(numerator, denominator)
    fraction = divide(astype(remainder(numerator, denominator), dtype=x.dtype), denominator)
    weight = reshape(fraction, shape=tuple(count if i == axis else 1 for i in range(axis, x.ndim)))
    first = _read(x, low, axis)
    return add(first, multiply(subtract(_read(x, add(low, 1), axis), first), weight))


def _coordinates(size: Dim, count: Dim, coordinate_mode: str) -> tuple[Value, Dim]:
    """The coordinate that each output element reads, as numerators [count] over one denominator."""
    i = positions(count)
    if coordinate_mode == "asymmetric":
        return multiply(i, size), count
    if coordinate_mode == "align_corners":
        return multiply(i, size - 1), dim_max(count - 1, 1)
    numerator = add(multiply(i, 2 * size), size - count)
    if coordinate_mode == "pytorch_half_pixel":
        numerator = multiply(numerator, dim_min(count - 1, 1))
    return numerator, 2 * count


def _nearest(numerator: Value, denominator: Dim, nearest_mode: str) -> Value:
    if nearest_mode == "floor":
        return floor_divide(numerator, denominator)
    if nearest_mode == "ceil":
        return negative(floor_divide(negative(numerator), denominator))
    if nearest_mode == "round_prefer_ceil":
        return floor_divide(add(multiply(numerator, 2), denominator), 2 * denominator)
    return negative(floor_divide(subtract(denominator, multiply(numerator, 2)), 2 * denominator))


def _read(x: Value, places: Value, axis: int) -> Value:
    return take(x, clip(places, 0, x.shape[axis] - 1), axis=axis)
