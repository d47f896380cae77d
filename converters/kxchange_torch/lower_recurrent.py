"""Lowering of recurrent layers to torch's fused ones; other activations and ragged sequences are decomposed."""

from __future__ import annotations

from typing import Any

import torch

from kxchange.graph import Node
from kxchange_torch.lowering import training
from kxchange_torch.rules import Rules

Tensor = Any
State = Tensor | None

lower = Rules()


def _plain(node: Node) -> bool:
    a, lengths = node.attrs, node.inputs[-1]
    gates = a.get("recurrent_activation", "sigmoid") == "sigmoid" and a.get("reset_after", True)
    known = ("tanh", "relu") if node.op == "rnn" else ("tanh",)
    return lengths is None and gates and a["activation"] in known and node.types[0].shape[0] != 0


def _reordered(weight: State, order: str, wanted: str) -> State:
    """Blocks of gates in torch's order."""
    if weight is None or order == wanted:
        return weight
    blocks = torch.chunk(weight, len(order), 0)
    return torch.cat([blocks[order.index(gate)] for gate in wanted], 0)


def _parameters(weights: list[Tensor], biases: list[State], order: str, wanted: str) -> list[Tensor]:
    """The flat list that torch's layers take: both weights, then both biases or none."""
    present = next((bias for bias in biases if bias is not None), None)
    full = [torch.zeros_like(present) if bias is None else bias for bias in biases] if present is not None else []
    return [_reordered(tensor, order, wanted) for tensor in (*weights, *full)]


def _initial(state: State, x: Tensor, weight_hidden: Tensor) -> Tensor:
    """[1, batch, hidden], zeros where absent."""
    if state is not None:
        return state.unsqueeze(0)
    return x.new_zeros((1, x.size(1), weight_hidden.size(1)))


def _turned(x: Tensor, reverse: bool) -> Tensor:
    return torch.flip(x, (0,)) if reverse else x


@lower.rule("lstm", when=_plain)
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: State,
    bias_hidden: State,
    initial_hidden: State,
    initial_cell: State,
    sequence_lengths: State,
    *,
    reverse: bool,
    gate_order: str,
    **_: Any,
) -> tuple[Tensor, ...]:
    states = [_initial(state, x, weight_hidden) for state in (initial_hidden, initial_cell)]
    weights = _parameters([weight_input, weight_hidden], [bias_input, bias_hidden], gate_order, "ifgo")
    biased = len(weights) == 4
    found = torch.lstm(_turned(x, reverse), states, weights, biased, 1, 0.0, training(), False, False)
    return _turned(found[0], reverse), found[1].squeeze(0), found[2].squeeze(0)


@lower.rule("gru", when=_plain)
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: State,
    bias_hidden: State,
    initial_hidden: State,
    sequence_lengths: State,
    *,
    reverse: bool,
    gate_order: str,
    **_: Any,
) -> tuple[Tensor, ...]:
    state = _initial(initial_hidden, x, weight_hidden)
    weights = _parameters([weight_input, weight_hidden], [bias_input, bias_hidden], gate_order, "rzn")
    found = torch.gru(_turned(x, reverse), state, weights, len(weights) == 4, 1, 0.0, training(), False, False)
    return _turned(found[0], reverse), found[1].squeeze(0)


@lower.rule("rnn", when=_plain)
def _(
    x: Tensor,
    weight_input: Tensor,
    weight_hidden: Tensor,
    bias_input: State,
    bias_hidden: State,
    initial_hidden: State,
    sequence_lengths: State,
    *,
    reverse: bool,
    activation: str,
) -> tuple[Tensor, ...]:
    layer = torch.rnn_tanh if activation == "tanh" else torch.rnn_relu
    state = _initial(initial_hidden, x, weight_hidden)
    weights = _parameters([weight_input, weight_hidden], [bias_input, bias_hidden], "h", "h")
    found = layer(_turned(x, reverse), state, weights, len(weights) == 4, 1, 0.0, training(), False, False)
    return _turned(found[0], reverse), found[1].squeeze(0)
