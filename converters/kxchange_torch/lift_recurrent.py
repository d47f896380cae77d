"""LSTM, GRU and plain recurrent networks: layers and directions spelled out, each one op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Graph, Value, placeholder
from kxchange_torch.lift import SCOPE, lift, refuse
from kxchange_torch.lift_manipulation import split, swap
from kxchange_torch.lift_slicing import pick

Weights = tuple[Value, Value, Value | None, Value | None, Value | None]
"""Kernels of inputs and of hidden states, their biases, and the projection of the hidden state."""
Step = Callable[[Value, Weights, int, bool], tuple[Value, ...]]


def _weights(params: Sequence[Value], index: int, has_biases: bool, projected: bool) -> Weights:
    """What one direction of one layer has."""
    count = _count(has_biases, projected)
    held = list(params[count * index : count * (index + 1)])
    projection = held.pop() if projected else None
    w_x, w_h, b_x, b_h = held if has_biases else (*held, None, None)
    return w_x, w_h, b_x, b_h, projection  # pyright: ignore[reportReturnType]


def _count(has_biases: bool, projected: bool) -> int:
    return (4 if has_biases else 2) + projected


def run_layers(
    x: Value,
    params: Sequence[Value],
    step: Step,
    has_biases: bool,
    layers: int,
    rate: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Value, ...]:
    """Outputs of the last layer, and each kind of final state stacked over layers and directions."""
    directions = 2 if bidirectional else 1
    projected = len(params) != layers * directions * _count(has_biases, False)
    if train and rate > 0 and layers > 1:
        return refuse("dropout between the layers is live (training=True); call eval()")
    x = swap(x, 0, 1) if batch_first else x
    states: list[tuple[Value, ...]] = []
    for layer in range(layers):
        found: list[Value] = []
        for direction in range(directions):
            index = layer * directions + direction
            outputs, *state = step(x, _weights(params, index, has_biases, projected), index, direction == 1)
            found.append(outputs)
            states.append(tuple(state))
        x = found[0] if len(found) == 1 else ops.concat(*found, axis=-1)
        if SCOPE.training and rate > 0 and layer + 1 < layers:
            x = ops.dropout(x, rate=rate)
    finals = tuple(ops.stack(*kind, axis=0) for kind in zip(*states, strict=True))
    return (swap(x, 0, 1) if batch_first else x, *finals)


@lift.rule("aten.lstm.input")
def _(x: Value, hx: Sequence[Value], params: Sequence[Value], *options: Any) -> tuple[Value, ...]:
    hidden, cell = hx

    def step(y: Value, weights: Weights, index: int, reverse: bool) -> tuple[Value, ...]:
        states = pick(hidden, 0, index), pick(cell, 0, index)
        if weights[-1] is not None:
            return _projected(y, weights, *states, reverse)
        return ops.lstm(y, *weights[:-1], *states, reverse=reverse)

    return run_layers(x, params, step, *options)


def _projected(y: Value, weights: Weights, hidden: Value, cell: Value, reverse: bool) -> tuple[Value, ...]:
    """An LSTM whose hidden state is a projection of the cell's output (`proj_size`), as a loop over the sequence."""
    w_x, w_h, b_x, b_h, projection = weights
    consts = [value for value in (w_h, projection, b_h) if value is not None]
    operands = (*consts, hidden, cell, ops.linear(y, w_x, b_x))
    inner = [placeholder(f"x{i}", value.type) for i, value in enumerate(operands)]
    inner[-1] = placeholder("gates", operands[-1].type.with_shape(operands[-1].shape[1:]))
    *known, h, c, gates = inner
    gates = ops.add(gates, ops.linear(h, known[0], known[2] if b_h is not None else None))
    out, c = _cell_of(gates, c)
    h = ops.linear(out, known[1], None)
    body = Graph(tuple(inner), (h, c, h))
    hidden, cell, outputs = ops.scan(
        *operands, body=body, num_consts=len(consts), num_carry=2, reverse=reverse, length=y.shape[0]
    )
    return outputs, hidden, cell


@lift.rule("aten.gru.input")
def _(x: Value, hidden: Value, params: Sequence[Value], *options: Any) -> tuple[Value, ...]:
    def step(y: Value, weights: Weights, index: int, reverse: bool) -> tuple[Value, ...]:
        return ops.gru(y, *weights[:-1], pick(hidden, 0, index), reverse=reverse)

    return run_layers(x, params, step, *options)


def _rnn(activation: str) -> Callable[..., tuple[Value, ...]]:
    def rule(x: Value, hidden: Value, params: Sequence[Value], *options: Any) -> tuple[Value, ...]:
        def step(y: Value, weights: Weights, index: int, reverse: bool) -> tuple[Value, ...]:
            return ops.rnn(y, *weights[:-1], pick(hidden, 0, index), reverse=reverse, activation=activation)

        return run_layers(x, params, step, *options)

    return rule


lift.rule("aten.rnn_tanh.input")(_rnn("tanh"))
lift.rule("aten.rnn_relu.input")(_rnn("relu"))


def _over_lengths(layer: Callable[..., tuple[Value, ...]], **attributes: Any) -> Callable[..., tuple[Value, ...]]:
    """A layer over padded sequences of these lengths, as `packed_in` traces packed ones."""

    def rule(
        x: Value, lengths: Value, states: Any, params: Sequence[Value], biases: bool, *options: Any
    ) -> tuple[Value, ...]:
        if x.ndim != 3:
            return refuse("packed sequences have no lift; pass padded tensors")

        def step(y: Value, weights: Weights, index: int, reverse: bool) -> tuple[Value, ...]:
            if weights[-1] is not None:
                return refuse("packed sequences have no lift for an LSTM with proj_size; pass padded tensors")
            starts = [pick(state, 0, index) for state in (states if isinstance(states, tuple) else (states,))]
            return layer(y, *weights[:-1], *starts, lengths, reverse=reverse, **attributes)

        layers, rate, train, bidirectional = options
        return run_layers(x, params, step, biases, layers, rate, train, bidirectional, False)

    return rule


lift.rule("aten.lstm.data")(_over_lengths(ops.lstm))
lift.rule("aten.gru.data")(_over_lengths(ops.gru))
lift.rule("aten.rnn_tanh.data")(_over_lengths(ops.rnn, activation="tanh"))
lift.rule("aten.rnn_relu.data")(_over_lengths(ops.rnn, activation="relu"))


@lift.rule("aten.lstm_cell.default")
def _(x: Value, hx: Sequence[Value], w_x: Value, w_h: Value, b_x: Value | None, b_h: Value | None) -> tuple[Value, ...]:
    hidden, cell = hx
    return _cell_of(ops.add(ops.linear(x, w_x, b_x), ops.linear(hidden, w_h, b_h)), cell)


def _cell_of(gates: Value, cell: Value) -> tuple[Value, Value]:
    """One step of an LSTM from the sums before its activations: what it gives, and the next cell."""
    i, f, g, o = split(gates, [cell.shape[-1]] * 4, -1)
    cell = ops.add(ops.multiply(ops.sigmoid(f), cell), ops.multiply(ops.sigmoid(i), ops.tanh(g)))
    return ops.multiply(ops.sigmoid(o), ops.tanh(cell)), cell


@lift.rule("aten.gru_cell.default")
def _(x: Value, hidden: Value, w_x: Value, w_h: Value, b_x: Value | None, b_h: Value | None) -> Value:
    size = hidden.shape[-1]
    r_x, z_x, n_x = split(ops.linear(x, w_x, b_x), [size] * 3, -1)
    r_h, z_h, n_h = split(ops.linear(hidden, w_h, b_h), [size] * 3, -1)
    reset, update = ops.sigmoid(ops.add(r_x, r_h)), ops.sigmoid(ops.add(z_x, z_h))
    new = ops.tanh(ops.add(n_x, ops.multiply(reset, n_h)))
    return ops.add(new, ops.multiply(update, ops.subtract(hidden, new)))


def _cell(activation: str) -> Callable[..., Value]:
    def rule(x: Value, hidden: Value, w_x: Value, w_h: Value, b_x: Value | None, b_h: Value | None) -> Value:
        return getattr(ops, activation)(ops.add(ops.linear(x, w_x, b_x), ops.linear(hidden, w_h, b_h)))

    return rule


lift.rule("aten.rnn_tanh_cell.default")(_cell("tanh"))
lift.rule("aten.rnn_relu_cell.default")(_cell("relu"))
