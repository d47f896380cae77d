"""The LSTM step by step: with peepholes, coupled gates or two activations, which the op `lstm` does not have."""

from __future__ import annotations

from typing import Any

from kxchange import ops
from kxchange.graph import Graph, Value, placeholder
from kxchange.ops.gate_activation import apply_activation
from kxchange_onnx.lift import refuse

PEEPHOLES = "iof"
"""How the peepholes stand in their operand."""


def stepped(
    x: Value,
    operands: tuple[Value | None, ...],
    order: str,
    activations: tuple[Any, ...],
    *,
    peepholes: Value | None,
    coupled: bool,
    reverse: bool,
) -> tuple[Value, ...]:
    """One direction as a `scan`: outputs [time, batch, hidden] and the final states.

    Args:
        x: [time, batch, features].
        operands: Weights, recurrent weights, their biases, initial hidden and cell states.
        order: How the gates stand in the weights.
        activations: Of the gates, of the cell input and of the cell.
        peepholes: [3 * hidden], or None.
        coupled: Whether the forget gate is what the input gate leaves.
        reverse: Whether time runs backwards.
    """
    weight, recurrent, input_bias, bias, hidden, cell = operands
    if weight is None or recurrent is None:
        return refuse("it has no weights")
    size = recurrent.shape[1]
    zero = ops.full(shape=(x.shape[1], size), value=0.0, dtype=x.dtype)
    carry = [zero if state is None else state for state in (hidden, cell)]
    consts = [recurrent, *(extra for extra in (bias, peepholes) if extra is not None)]
    projected = ops.linear(x, weight, input_bias)
    fixed = [placeholder(f"const_{index}", value.type) for index, value in enumerate(consts)]
    states = [placeholder(f"carried_{index}", value.type) for index, value in enumerate(carry)]
    element = placeholder("element_0", projected.type.with_shape(projected.shape[1:]))
    added = ops.add(element, ops.linear(states[0], fixed[0], None if bias is None else fixed[1]))
    gates = dict(zip(order, ops.split(added, sizes=(size,) * 4, axis=1), strict=True))
    peeks = (
        None
        if peepholes is None
        else dict(zip(PEEPHOLES, ops.split(fixed[-1], sizes=(size,) * 3, axis=0), strict=True))
    )
    new = _step(gates, peeks, states[1], activations, coupled)
    body = Graph((*fixed, *states, element), (*new, new[0]))
    hidden, cell, outputs = ops.scan(
        *consts, *carry, projected, body=body, num_consts=len(consts), num_carry=2, reverse=reverse, length=x.shape[0]
    )
    return outputs, hidden, cell


def _step(
    gates: dict[str, Value], peeks: dict[str, Value] | None, cell: Value, activations: tuple[Any, ...], coupled: bool
) -> tuple[Value, Value]:
    """The next hidden and cell state; the output gate looks at the new cell."""
    gate, inner, outer = activations

    def opened(name: str, seen: Value) -> Value:
        total = gates[name] if peeks is None else ops.add(gates[name], ops.multiply(peeks[name], seen))
        return apply_activation(gate, total)

    i = opened("i", cell)
    f = ops.subtract(1.0, i) if coupled else opened("f", cell)
    after = ops.add(ops.multiply(f, cell), ops.multiply(i, apply_activation(inner, gates["g"])))
    return ops.multiply(opened("o", after), apply_activation(outer, after)), after
