"""Shape arithmetic that type inference is made of; what it cannot prove becomes a `Constraint`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kxchange.constraints import (
    Constraint,
    collecting,
    require_at_least,
    require_divides,
    require_equal,
)
from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.reshaping import product, reshape_shape
from kxchange.slicing import slice_length

__all__ = [
    "Constraint",
    "broadcast_shapes",
    "collecting",
    "conv_transpose_output",
    "normalize_axes",
    "normalize_axis",
    "product",
    "require_at_least",
    "require_divides",
    "require_equal",
    "reshape_shape",
    "slice_length",
    "window_output",
]


def broadcast_shapes(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The common shape by NumPy's rules: aligned at the right, size 1 stretches.

    A symbol is never taken for 1: against another size, equality is required.

    Raises:
        TypeInferenceError: Two sizes of one axis differ.
    """
    first = tuple(shapes[0]) if shapes else ()
    if all(tuple(shape) == first for shape in shapes[1:]):
        return first
    result: list[Dim] = [1] * max(map(len, shapes))
    for shape in shapes:
        for axis in range(-1, -len(shape) - 1, -1):
            size, known = shape[axis], result[axis]
            if known == 1:
                result[axis] = size
            elif size not in (1, known):
                listed = " and ".join(f"({', '.join(map(str, s))})" for s in shapes)
                result[axis] = require_equal(known, size, f"broadcast of {listed} at axis {axis}")
    return tuple(result)


def normalize_axis(axis: int, rank: int) -> int:
    """The axis counted from the front.

    Raises:
        TypeInferenceError: It is outside ``-rank <= axis < rank``.
    """
    if not -rank <= axis < rank:
        raise TypeInferenceError(f"axis {axis} is out of range for a tensor of rank {rank}.")
    return axis + rank if axis < 0 else axis


def normalize_axes(axes: Iterable[int], rank: int) -> tuple[int, ...]:
    """Each axis counted from the front, in the given order.

    Raises:
        TypeInferenceError: One is out of range or appears twice.
    """
    given = tuple(axes)
    result = tuple(normalize_axis(axis, rank) for axis in given)
    if len(set(result)) < len(result):
        raise TypeInferenceError(f"axes {given} name one axis twice in a tensor of rank {rank}.")
    return result


def window_output(
    size: Dim, kernel: int, stride: int, dilation: int, pad_before: int, pad_after: int, ceil_mode: bool = False
) -> Dim:
    """Number of positions of a convolution or pooling window along one axis.

    ``(size + pad_before + pad_after - dilation*(kernel-1) - 1)//stride + 1``. With `ceil_mode` the division rounds up,
    but the last window must start inside the input or the padding before it (PyTorch).

    Raises:
        TypeInferenceError: The window is larger than the padded input.
    """
    _check_window(kernel, stride, dilation)
    beyond = pad_before + pad_after - dilation * (kernel - 1) - 1
    if ceil_mode:
        # Two floors by the stride whose numerators differ by a constant: the smaller one is known here.
        beyond = min(beyond + stride - 1, pad_before - 1)
    reason = f"window of {kernel}, dilation {dilation}, on an axis padded by ({pad_before}, {pad_after})"
    require_at_least(size, -beyond, reason)
    return (size + beyond) // stride + 1


def conv_transpose_output(
    size: Dim, kernel: int, stride: int, dilation: int, pad_before: int, pad_after: int, output_padding: int
) -> Dim:
    """Size after a transposed convolution along one axis.

    ``(size-1)*stride - pad_before - pad_after + dilation*(kernel-1) + output_padding + 1``

    Raises:
        TypeInferenceError: Nothing is left after cutting the padding.
    """
    _check_window(kernel, stride, dilation)
    result = (size - 1) * stride + (dilation * (kernel - 1) + output_padding + 1 - pad_before - pad_after)
    return require_at_least(
        result, 1, f"transposed window of {kernel} with padding ({pad_before}, {pad_after}) cut off"
    )


def _check_window(kernel: int, stride: int, dilation: int) -> None:
    if min(kernel, stride, dilation) < 1:
        raise TypeInferenceError(f"kernel {kernel}, stride {stride} and dilation {dilation} must all be at least 1.")
