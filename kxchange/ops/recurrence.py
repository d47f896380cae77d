"""What recurrent layers share: their types, the loop on arrays, and the same loop as a `scan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.dims import Dim
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph, Value, placeholder
from kxchange.ops.comparison import less, where
from kxchange.ops.control import scan
from kxchange.ops.creation import arange, full
from kxchange.ops.manipulation import expand_dims
from kxchange.ops.operands import require_floating, require_integer, require_rank, same_dtype
from kxchange.shapes import require_equal
from kxchange.types import TensorType

Array = NDArray[Any]
ArrayStep = Callable[..., tuple[Array, ...]]
"""(projected input of one step, *states) -> new states; the first one is the output."""
ValueStep = Callable[[Value, tuple[Value, ...], tuple[Value | None, ...]], tuple[Value, ...]]
"""(projected input of one step, states, constants) -> new states; the first one is the output."""


def layer_types(
    x: TensorType,
    weights: tuple[TensorType, TensorType],
    biases: Sequence[TensorType | None],
    states: Sequence[TensorType | None],
    lengths: TensorType | None,
    gates: int,
) -> tuple[TensorType, ...]:
    """Types of the outputs and of the last states, after a check of every operand.

    Raises:
        TypeInferenceError: One does not fit.
    """
    same_dtype(x, *weights, *biases, *states)
    require_floating(x, "x")
    require_rank(x, "x", 3)
    for weight, name in zip(weights, ("weight_input", "weight_hidden"), strict=True):
        require_rank(weight, name, 2)
    time, batch, features = x.shape
    hidden = weights[1].shape[1]
    _check_shape(weights[0], (gates * hidden, features), "weight_input")
    _check_shape(weights[1], (gates * hidden, hidden), "weight_hidden")
    for bias, name in zip(biases, ("bias_input", "bias_hidden"), strict=True):
        _check_shape(bias, (gates * hidden,), name)
    for state in states:
        _check_shape(state, (batch, hidden), "an initial state")
    if lengths is not None:
        require_integer(lengths, "sequence_lengths")
        _check_shape(lengths, (batch,), "sequence_lengths")
    return x.with_shape((time, batch, hidden)), *(x.with_shape((batch, hidden)) for _ in states)


def _check_shape(type: TensorType | None, shape: tuple[Dim, ...], name: str) -> None:
    if type is None:
        return
    require_rank(type, name, len(shape))
    for axis, (size, wanted) in enumerate(zip(type.shape, shape, strict=True)):
        require_equal(size, wanted, f"{name} does not fit on axis {axis}")


def check_order(order: str, gates: str) -> None:
    """Demand that `order` names every gate once.

    Raises:
        TypeInferenceError: It does not.
    """
    if sorted(order) != sorted(gates):
        raise TypeInferenceError(f"gate_order {order!r} is no order of the gates {gates!r}.")


def evaluate_loop(
    projected: Array, size: int, states: tuple[Array | None, ...], lengths: Array | None, reverse: bool, step: ArrayStep
) -> tuple[Array, ...]:
    """Outputs of every step, then the last states; a state that is not given starts at zeros of `size`."""
    time, batch, _ = projected.shape
    zeros = np.zeros((batch, size), projected.dtype)
    now = tuple(zeros if state is None else state for state in states)
    outputs = np.zeros((time, batch, size), projected.dtype)
    for position in reversed(range(time)) if reverse else range(time):
        running = np.True_ if lengths is None else (position < lengths)[:, None]
        after = step(projected[position], *now)
        now = tuple(np.where(running, new, old) for new, old in zip(after, now, strict=True))
        outputs[position] = np.where(running, after[0], 0)
    return outputs, *now


def decompose_loop(
    projected: Value,
    size: Dim,
    states: tuple[Value | None, ...],
    consts: tuple[Value | None, ...],
    lengths: Value | None,
    reverse: bool,
    step: ValueStep,
) -> tuple[Value, ...]:
    """The loop as a `scan`: outputs of every step, then the last states."""
    time, batch, _ = projected.shape
    zeros = full(shape=(batch, size), value=0.0, dtype=projected.dtype)
    start = tuple(zeros if state is None else state for state in states)
    given = (*(const for const in consts if const is not None), *(() if lengths is None else (lengths,)))
    count = () if lengths is None else (arange(start=0, stop=time, step=1, dtype=lengths.dtype),)
    body = _body(projected, start, consts, lengths, step)
    counts: dict[str, Any] = {"num_consts": len(given), "num_carry": len(start), "reverse": reverse, "length": time}
    results = scan(*given, *start, projected, *count, body=body, **counts)
    return results[len(start)], *results[: len(start)]


def _body(
    projected: Value,
    states: tuple[Value, ...],
    consts: tuple[Value | None, ...],
    lengths: Value | None,
    step: ValueStep,
) -> Graph:
    """One step as a closed graph: (constants..., [lengths], states..., input, [position]) -> (states..., output)."""
    inner = tuple(None if const is None else placeholder(f"const_{i}", const.type) for i, const in enumerate(consts))
    before = tuple(placeholder(f"state_{i}", state.type) for i, state in enumerate(states))
    x = placeholder("x", projected.type.with_shape(projected.shape[1:]))
    leading = tuple(const for const in inner if const is not None)
    after = step(x, before, inner)
    if lengths is None:
        return Graph((*leading, *before, x), (*after, after[0]))
    limits = placeholder("lengths", lengths.type)
    position = placeholder("position", lengths.type.with_shape(()))
    running = expand_dims(less(position, limits), axis=(1,))
    kept = tuple(where(running, new, old) for new, old in zip(after, before, strict=True))
    return Graph((*leading, limits, *before, x, position), (*kept, where(running, after[0], 0)))
