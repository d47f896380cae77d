"""Recurrent layers, one layer in one direction, time first: lstm, gru, rnn.

A layer that runs both ways is two nodes. Steps at or past a sequence's length give 0 and keep the state (trap T04), so
a reversed sequence starts at its own last element. Outputs stand at the positions of their inputs, reversed or not.

Activations are names of unary ops, or a name with (attribute, value) pairs: ``("hard_sigmoid", ("alpha", 0.2))``.
"""

from __future__ import annotations

from kxchange.ops.gate_activation import Activation, check_activation
from kxchange.ops.linalg import linear
from kxchange.ops.recurrence import check_order, decompose_loop, evaluate_loop, layer_types
from kxchange.ops.recurrent_cells import ArrayCell, ValueCell, dense
from kxchange.spec import Tensor, op
from kxchange.types import TensorType

FLOATS = ("x", "weight_input", "weight_hidden", "bias_input", "bias_hidden", "initial_hidden", "initial_cell")


@op(alike=FLOATS)
def lstm(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None = None,
    bias_hidden: Tensor | None = None,
    initial_hidden: Tensor | None = None,
    initial_cell: Tensor | None = None,
    sequence_lengths: Tensor | None = None,
    /,
    *,
    reverse: bool = False,
    gate_order: str = "ifgo",
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
) -> tuple[Tensor, ...]:
    """Long short-term memory.

    ``i, f, o = recurrent_activation(...)`` and ``g = activation(...)`` of ``W_input x + b_input + W_hidden h +
    b_hidden``; ``c' = f * c + i * g``; ``h' = o * activation(c')``.

    Args:
        x: [time, batch, features].
        weight_input: [4 * hidden, features].
        weight_hidden: [4 * hidden, hidden].
        bias_input: [4 * hidden].
        bias_hidden: [4 * hidden].
        initial_hidden: [batch, hidden]; zeros where absent.
        initial_cell: [batch, hidden]; zeros where absent.
        sequence_lengths: Integers [batch]; every sequence is `time` long where absent.
        reverse: From the last step to the first.
        gate_order: How the blocks of the weights stand (trap T01): i input, f forget, g cell, o output.
        activation: Of the cell input and of the cell.
        recurrent_activation: Of the gates.

    Returns:
        outputs [time, batch, hidden], and the last hidden and cell state [batch, hidden].
    """
    cell = ArrayCell(weight_hidden, bias_hidden, gate_order, activation, recurrent_activation)
    projected, states = dense(x, weight_input, bias_input), (initial_hidden, initial_cell)
    return evaluate_loop(projected, weight_hidden.shape[1], states, sequence_lengths, reverse, cell.lstm)


@lstm.infer
def _(
    x: TensorType,
    weight_input: TensorType,
    weight_hidden: TensorType,
    bias_input: TensorType | None,
    bias_hidden: TensorType | None,
    initial_hidden: TensorType | None,
    initial_cell: TensorType | None,
    sequence_lengths: TensorType | None,
    /,
    *,
    reverse: bool,
    gate_order: str,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[TensorType, ...]:
    check_order(gate_order, "ifgo")
    check_activation(activation)
    check_activation(recurrent_activation)
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    return layer_types(x, weights, biases, (initial_hidden, initial_cell), sequence_lengths, 4)


@lstm.decompose
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None,
    bias_hidden: Tensor | None,
    initial_hidden: Tensor | None,
    initial_cell: Tensor | None,
    sequence_lengths: Tensor | None,
    /,
    *,
    reverse: bool,
    gate_order: str,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[Tensor, ...]:
    size = weight_hidden.shape[1]
    step = ValueCell(gate_order, size, activation, recurrent_activation).lstm
    projected, states = linear(x, weight_input, bias_input), (initial_hidden, initial_cell)
    consts = (weight_hidden, bias_hidden)
    return decompose_loop(projected, size, states, consts, sequence_lengths, reverse, step)


@op(alike=FLOATS[:-1])
def gru(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None = None,
    bias_hidden: Tensor | None = None,
    initial_hidden: Tensor | None = None,
    sequence_lengths: Tensor | None = None,
    /,
    *,
    reverse: bool = False,
    gate_order: str = "rzn",
    reset_after: bool = True,
    activation: Activation = "tanh",
    recurrent_activation: Activation = "sigmoid",
) -> tuple[Tensor, ...]:
    """Gated recurrent unit.

    ``r, z = recurrent_activation(W_input x + b_input + W_hidden h + b_hidden)``; ``n = activation(W_input x + b_input +
    r * (W_hidden h + b_hidden))``; ``h' = (1 - z) * n + z * h``. Without `reset_after`, n has ``W_hidden (r * h) +
    b_hidden`` instead: another function, not another layout (trap T02).

    Args:
        x: [time, batch, features].
        weight_input: [3 * hidden, features].
        weight_hidden: [3 * hidden, hidden].
        bias_input: [3 * hidden].
        bias_hidden: [3 * hidden].
        initial_hidden: [batch, hidden]; zeros where absent.
        sequence_lengths: Integers [batch]; every sequence is `time` long where absent.
        reverse: From the last step to the first.
        gate_order: How the blocks of the weights stand: r reset, z update, n new.
        reset_after: Whether the reset gate is applied after the product with the hidden weight.
        activation: Of the new state.
        recurrent_activation: Of the gates.

    Returns:
        outputs [time, batch, hidden] and the last state [batch, hidden].
    """
    cell = ArrayCell(weight_hidden, bias_hidden, gate_order, activation, recurrent_activation)
    step = cell.gru_reset_after if reset_after else cell.gru_reset_before
    projected, states = dense(x, weight_input, bias_input), (initial_hidden,)
    return evaluate_loop(projected, weight_hidden.shape[1], states, sequence_lengths, reverse, step)


@gru.infer
def _(
    x: TensorType,
    weight_input: TensorType,
    weight_hidden: TensorType,
    bias_input: TensorType | None,
    bias_hidden: TensorType | None,
    initial_hidden: TensorType | None,
    sequence_lengths: TensorType | None,
    /,
    *,
    reverse: bool,
    gate_order: str,
    reset_after: bool,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[TensorType, ...]:
    check_order(gate_order, "rzn")
    check_activation(activation)
    check_activation(recurrent_activation)
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    return layer_types(x, weights, biases, (initial_hidden,), sequence_lengths, 3)


@gru.decompose
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None,
    bias_hidden: Tensor | None,
    initial_hidden: Tensor | None,
    sequence_lengths: Tensor | None,
    /,
    *,
    reverse: bool,
    gate_order: str,
    reset_after: bool,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[Tensor, ...]:
    size = weight_hidden.shape[1]
    cell = ValueCell(gate_order, size, activation, recurrent_activation)
    step = cell.gru_reset_after if reset_after else cell.gru_reset_before
    consts = (weight_hidden, bias_hidden) if reset_after else cell.blocks(weight_hidden, bias_hidden)
    projected, states = linear(x, weight_input, bias_input), (initial_hidden,)
    return decompose_loop(projected, size, states, consts, sequence_lengths, reverse, step)


@op(alike=FLOATS[:-1])
def rnn(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None = None,
    bias_hidden: Tensor | None = None,
    initial_hidden: Tensor | None = None,
    sequence_lengths: Tensor | None = None,
    /,
    *,
    reverse: bool = False,
    activation: Activation = "tanh",
) -> tuple[Tensor, ...]:
    """Elman recurrence: ``h' = activation(W_input x + b_input + W_hidden h + b_hidden)``.

    Args:
        x: [time, batch, features].
        weight_input: [hidden, features].
        weight_hidden: [hidden, hidden].
        bias_input: [hidden].
        bias_hidden: [hidden].
        initial_hidden: [batch, hidden]; zeros where absent.
        sequence_lengths: Integers [batch]; every sequence is `time` long where absent.
        reverse: From the last step to the first.
        activation: Of the new state.

    Returns:
        outputs [time, batch, hidden] and the last state [batch, hidden].
    """
    step = ArrayCell(weight_hidden, bias_hidden, "h", activation).rnn
    projected, states = dense(x, weight_input, bias_input), (initial_hidden,)
    return evaluate_loop(projected, weight_hidden.shape[1], states, sequence_lengths, reverse, step)


@rnn.infer
def _(
    x: TensorType,
    weight_input: TensorType,
    weight_hidden: TensorType,
    bias_input: TensorType | None,
    bias_hidden: TensorType | None,
    initial_hidden: TensorType | None,
    sequence_lengths: TensorType | None,
    /,
    *,
    reverse: bool,
    activation: Activation,
) -> tuple[TensorType, ...]:
    check_activation(activation)
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    return layer_types(x, weights, biases, (initial_hidden,), sequence_lengths, 1)


@rnn.decompose
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: Tensor | None,
    bias_hidden: Tensor | None,
    initial_hidden: Tensor | None,
    sequence_lengths: Tensor | None,
    /,
    *,
    reverse: bool,
    activation: Activation,
) -> tuple[Tensor, ...]:
    size = weight_hidden.shape[1]
    step = ValueCell("h", size, activation).rnn
    projected, states = linear(x, weight_input, bias_input), (initial_hidden,)
    return decompose_loop(projected, size, states, (weight_hidden, bias_hidden), sequence_lengths, reverse, step)
