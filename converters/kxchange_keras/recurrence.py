"""Recurrent layers as Keras runs them: batch first, any mask, backwards, with states in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kxchange import ops
from kxchange.graph import Graph, Value, placeholder
from kxchange.types import DType

Native = Callable[[Value, Sequence[Value | None], Value | None, bool], Sequence[Value]]
"""``(x, states, lengths, reverse) -> (outputs, *states)``, time first."""
Step = Callable[[Value, Sequence[Value], Sequence[Value]], Sequence[Value]]
"""``(input, states, constants) -> states``; the first state is the output."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a recurrent layer gave.

    Attributes:
        outputs: [time, batch, ...], each at the place of its input, whichever way the layer ran.
        last: The output of the last step it took.
        states: The states after that step.
    """

    outputs: Value
    last: Value
    states: tuple[Value, ...]


def run_native(
    native: Native, x: Value, states: Sequence[Value | None], mask: Value | None, *, reverse: bool, zero_output: bool
) -> Run:
    """One of the language's recurrent ops under a mask.

    The op knows lengths, not masks: the steps that count are moved to the front, and what comes out is taken back to
    where it belongs. A step that does not count repeats the output before it (trap T04), or gives 0.

    Args:
        native: The op on a sequence with the weights bound.
        x: [time, batch, features].
        states: Initial states; None for zeros.
        mask: [time, batch], bool.
        reverse: From the last step to the first.
        zero_output: Whether steps that do not count give 0.
    """
    if mask is None:
        outputs, *after = native(x, states, None, reverse)
        return Run(outputs, after[0], tuple(after))
    order = ops.argsort(ops.astype(ops.logical_not(mask), dtype=DType.INT32), axis=0)
    packed = ops.take_along_axis(x, ops.expand_dims(order, axis=(2,)), axis=0)
    counts = ops.astype(mask, dtype=DType.INT64)
    outputs, *after = native(packed, states, ops.sum(counts, axis=(0,)), reverse)
    spread = _spread_back(outputs, mask, counts, reverse=reverse)
    if not zero_output:
        last = after[0] if states[0] is None else ops.where(_any_step(mask, after[0]), after[0], 0.0)
        return Run(spread, last, tuple(after))
    zeroed = ops.where(ops.expand_dims(mask, axis=(2,)), spread, 0.0)
    end = 0 if reverse else x.shape[0] - 1
    last = ops.slice(zeroed, starts=(end,), stops=(end + 1,), steps=(1,), axes=(0,))
    return Run(zeroed, ops.squeeze(last, axis=(0,)), tuple(after))


def _any_step(mask: Value, x: Value) -> Value:
    """Whether any step of a sequence counts: before the first one that does, the output is 0, not the first state."""
    return _over(ops.any(mask, axis=(0,)), x)


def _spread_back(outputs: Value, mask: Value, counts: Value, *, reverse: bool) -> Value:
    """Outputs of packed steps at the steps they belong to; others take the output before them in running order."""
    if reverse:  # the first step at or after this one that counts; past the last one the op gives 0
        place = ops.cumulative_sum(counts, axis=0, exclusive=True)
        place = ops.minimum(place, mask.shape[0] - 1)
        return ops.take_along_axis(outputs, ops.expand_dims(place, axis=(2,)), axis=0)
    place = ops.expand_dims(ops.subtract(ops.cumulative_sum(counts, axis=0), 1), axis=(2,))
    taken = ops.take_along_axis(outputs, ops.maximum(place, 0), axis=0)
    return ops.where(ops.less(place, 0), 0.0, taken)


def run_scan(
    step: Step,
    x: Value,
    states: Sequence[Value],
    constants: Sequence[Value],
    mask: Value | None,
    *,
    reverse: bool,
    zero_output: bool,
) -> Run:
    """A recurrent layer as a loop, for cells that no op of the language is.

    Args:
        step: One step.
        x: [time, batch, ...].
        states: Initial states.
        constants: What every step reads: weights.
        mask: [time, batch], bool.
        reverse: From the last step to the first.
        zero_output: Whether steps that do not count give 0.
    """
    body = _body(step, x, states, constants, mask, zero_output=zero_output)
    masked = () if mask is None else (mask,)
    results = ops.scan(
        *constants,
        *states,
        x,
        *masked,
        body=body,
        num_consts=len(constants),
        num_carry=len(states),
        reverse=reverse,
        length=x.shape[0],
    )
    after, outputs = tuple(results[: len(states)]), results[len(states)]
    if mask is None:
        return Run(outputs, after[0], after)
    if not zero_output:
        counts = ops.cumulative_sum(ops.astype(mask, dtype=DType.INT32), axis=0, reverse=reverse)
        started = ops.expand_dims(ops.greater(counts, 0), axis=tuple(range(2, outputs.ndim)))
        last = ops.where(_any_step(mask, after[0]), after[0], 0.0)
        return Run(ops.where(started, outputs, 0.0), last, after)
    end = 0 if reverse else x.shape[0] - 1
    last = ops.slice(outputs, starts=(end,), stops=(end + 1,), steps=(1,), axes=(0,))
    return Run(outputs, ops.squeeze(last, axis=(0,)), after)


def _body(
    step: Step,
    x: Value,
    states: Sequence[Value],
    constants: Sequence[Value],
    mask: Value | None,
    *,
    zero_output: bool,
) -> Graph:
    """One step as a closed graph: (constants..., states..., input, [mask]) -> (states..., output)."""
    fixed = [placeholder(f"const_{i}", value.type) for i, value in enumerate(constants)]
    before = [placeholder(f"state_{i}", value.type) for i, value in enumerate(states)]
    now = placeholder("x", x.type.with_shape(x.shape[1:]))
    after = list(step(now, before, fixed))
    if mask is None:
        return Graph((*fixed, *before, now), (*after, after[0]))
    counts = placeholder("mask", mask.type.with_shape(mask.shape[1:]))
    kept = [ops.where(_over(counts, new), new, old) for new, old in zip(after, before, strict=True)]
    output = ops.where(_over(counts, after[0]), after[0], 0.0) if zero_output else kept[0]
    return Graph((*fixed, *before, now, counts), (*kept, output))


def _over(mask: Value, x: Value) -> Value:
    """A mask of the batch, with axes to broadcast over x."""
    return ops.expand_dims(mask, axis=tuple(range(1, x.ndim))) if x.ndim > 1 else mask
