"""lstm, gru, rnn: canonical op -> ONNX. Gates are put into ONNX's order by nodes on the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from kxchange.graph import Node
from kxchange.spec import REGISTRY
from kxchange.table import Condition, Table
from kxchange.types import DType
from kxchange_onnx.kernels import takes
from kxchange_onnx.lower_control import filled, if_any_step
from kxchange_onnx.types_out import data_type
from kxchange_onnx.writing import constant, emit, emit_many, result_type, type_of

TABLE = Table("onnx")
Activation = Any

ACTIVATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tanh": ("Tanh", ()),
    "sigmoid": ("Sigmoid", ()),
    "relu": ("Relu", ()),
    "softsign": ("Softsign", ()),
    "hard_sigmoid": ("HardSigmoid", ("alpha", "beta")),
    "leaky_relu": ("LeakyRelu", ("negative_slope",)),
    "elu": ("Elu", ("alpha",)),
    "thresholded_relu": ("ThresholdedRelu", ("alpha",)),
}
"""ONNX's name of an activation, and which of our attributes are its alpha and beta."""


def _activations(*chosen: Activation) -> dict[str, Any]:
    """The attributes of a recurrent node that say its activations; those without parameters take none."""
    names: list[str] = []
    alphas: list[float] = []
    betas: list[float] = []
    for activation in chosen:
        name, pairs = (activation, ()) if isinstance(activation, str) else (activation[0], activation[1:])
        onnx_name, attributes = ACTIVATIONS[name]
        values = {**REGISTRY[name].attrs, **dict(pairs)}
        names.append(onnx_name)
        alphas += [float(values[attribute]) for attribute in attributes[:1]]
        betas += [float(values[attribute]) for attribute in attributes[1:]]
    return {
        "activations": tuple(names),
        "activation_alpha": tuple(alphas) or None,
        "activation_beta": tuple(betas) or None,
    }


def _runs(op_type: str) -> Condition:
    def condition(node: Node) -> bool:
        chosen = [node.attrs[name] for name in ("activation", "recurrent_activation") if name in node.attrs]
        names = [activation if isinstance(activation, str) else activation[0] for activation in chosen]
        weight = node.inputs[2]
        known = weight is not None and all(isinstance(dim, int) for dim in weight.shape)
        return known and all(name in ACTIVATIONS for name in names) and takes(op_type)(node)

    return condition


def _ordered(x: ir.Value, order: str, wanted: str) -> ir.Value:
    """The equal blocks of axis 0, which stand as `order` says, as `wanted` says; with an axis for the direction."""
    if order != wanted:
        rows: Any = type_of(x).shape[0]
        blocks = emit_many("Split", len(order), x, constant([rows // len(order)] * len(order)), axis=0)
        x = emit("Concat", *(blocks[order.index(gate)] for gate in wanted), axis=0)
    return emit("Unsqueeze", x, constant([0]))


def _biases(weight: ir.Value, biases: Sequence[ir.Value | None], order: str, wanted: str) -> ir.Value | None:
    if all(bias is None for bias in biases):
        return None
    rows: Any = type_of(weight).shape[0]
    zeros = constant(np.zeros(rows), type_of(weight).dtype)
    both = [emit("Unsqueeze", zeros, constant([0])) if b is None else _ordered(b, order, wanted) for b in biases]
    return emit("Concat", *both, axis=1)


def _with_direction(state: ir.Value | None) -> ir.Value | None:
    return None if state is None else emit("Unsqueeze", state, constant([0]))


def _lengths(lengths: ir.Value | None) -> ir.Value | None:
    if lengths is None or type_of(lengths).dtype is DType.INT32:
        return lengths
    return emit("Cast", lengths, to=data_type(DType.INT32))


def _layer(
    op_type: str,
    x: ir.Value,
    weights: tuple[ir.Value, ir.Value],
    biases: tuple[ir.Value | None, ir.Value | None],
    lengths: ir.Value | None,
    states: Sequence[ir.Value | None],
    orders: tuple[str, str],
    reverse: bool,
    **attributes: Any,
) -> tuple[ir.Value, ...]:
    """The node and its results without their axis for the direction; over no steps, the states as they came."""
    operands = [x, *(_ordered(weight, *orders) for weight in weights), _biases(weights[0], biases, *orders)]
    operands += [_lengths(lengths), *(_with_direction(state) for state in states)]
    attributes = {"hidden_size": type_of(weights[1]).shape[1], "direction": _direction(reverse), **attributes}
    types = [result_type(index) for index in range(1 + len(states))]

    def steps() -> Sequence[ir.Value]:
        results = emit_many(op_type, len(types), *operands, **attributes)
        return [emit("Squeeze", y, constant([1 if i == 0 else 0])) for i, y in enumerate(results)]

    def none() -> Sequence[ir.Value]:
        kept = [filled(types[1], types[1].shape) if state is None else state for state in states]
        return [filled(types[0], (0, *types[0].shape[1:])), *kept]

    return if_any_step(type_of(x).shape[0], steps, none, types)


def _direction(reverse: bool) -> str:
    return "reverse" if reverse else "forward"


@TABLE.rule("lstm", when=_runs("LSTM"))
def _(
    x: ir.Value,
    weight_input: ir.Value,
    weight_hidden: ir.Value,
    bias_input: ir.Value | None,
    bias_hidden: ir.Value | None,
    initial_hidden: ir.Value | None,
    initial_cell: ir.Value | None,
    sequence_lengths: ir.Value | None,
    *,
    reverse: bool,
    gate_order: str,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[ir.Value, ...]:
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    states = (initial_hidden, initial_cell)
    chosen = _activations(recurrent_activation, activation, activation)
    return _layer("LSTM", x, weights, biases, sequence_lengths, states, (gate_order, "iofg"), reverse, **chosen)


@TABLE.rule("gru", when=_runs("GRU"))
def _(
    x: ir.Value,
    weight_input: ir.Value,
    weight_hidden: ir.Value,
    bias_input: ir.Value | None,
    bias_hidden: ir.Value | None,
    initial_hidden: ir.Value | None,
    sequence_lengths: ir.Value | None,
    *,
    reverse: bool,
    gate_order: str,
    reset_after: bool,
    activation: Activation,
    recurrent_activation: Activation,
) -> tuple[ir.Value, ...]:
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    chosen = {**_activations(recurrent_activation, activation), "linear_before_reset": int(reset_after)}
    return _layer(
        "GRU", x, weights, biases, sequence_lengths, (initial_hidden,), (gate_order, "zrn"), reverse, **chosen
    )


@TABLE.rule("rnn", when=_runs("RNN"))
def _(
    x: ir.Value,
    weight_input: ir.Value,
    weight_hidden: ir.Value,
    bias_input: ir.Value | None,
    bias_hidden: ir.Value | None,
    initial_hidden: ir.Value | None,
    sequence_lengths: ir.Value | None,
    *,
    reverse: bool,
    activation: Activation,
) -> tuple[ir.Value, ...]:
    weights, biases = (weight_input, weight_hidden), (bias_input, bias_hidden)
    chosen = _activations(activation)
    return _layer("RNN", x, weights, biases, sequence_lengths, (initial_hidden,), ("h", "h"), reverse, **chosen)
