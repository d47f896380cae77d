"""Recurrent layers and wrappers around layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_keras.call import Call, Traced, cast
from kxchange_keras.decoding import leaves
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.layer_tree import Layer
from kxchange_keras.lift_cells import run_cell, state_count, state_shapes
from kxchange_keras.recurrence import Run
from kxchange_keras.registry import layer

OWN_CELLS = {"LSTM": "lstm_cell", "GRU": "gru_cell", "SimpleRNN": "simple_rnn_cell"}
CONVOLUTIONAL = {f"ConvLSTM{rank}D": "conv_lstm_cell" for rank in (1, 2, 3)}
CELL_CLASS = {"LSTM": "LSTMCell", "GRU": "GRUCell", "SimpleRNN": "SimpleRNNCell"}


def _own_cell(config: LayerConfig) -> dict[str, LayerConfig]:
    """The cell that a layer makes from its own options."""
    name = OWN_CELLS.get(config.class_name) or CONVOLUTIONAL[config.class_name]
    cell = CELL_CLASS.get(config.class_name, "ConvLSTMCell")
    options = {key: value for key, value in config.options.items() if key not in ("name", "dtype")}
    return {"cell": LayerConfig("layer", cell, name, options, config.dialect)}


def _stated_cell(config: LayerConfig) -> dict[str, LayerConfig]:
    stated = config.options.get("cell")
    if isinstance(stated, list):
        stated = {"class_name": "StackedRNNCells", "config": {"name": "stacked_rnn_cells", "cells": stated}}
    return {"cell": read_layer(stated, config.dialect)}


def sequence_mask(call: Call) -> Any:
    """The mask goes on where every step gives an output."""
    found = [*leaves(call.carried_mask), None]
    return found[0] if call.option("return_sequences", False) else None


def recurrent(call: Call, inner: Layer, x: Value, initial: Sequence[Value] | None, mask: Value | None) -> Run:
    """A recurrent layer over batch-first x; outputs time first, each at the place of its input."""
    options = inner.config.options
    states: list[Value | None] = list(initial or ()) or [None] * state_count(inner.children["cell"])
    if options.get("stateful") and not initial:
        states = list(call.lifter.states(inner, x, state_shapes(inner.children["cell"], x)))
    turned = ops.permute_dims(x, axes=(1, 0, *range(2, x.ndim)))
    steps = None if mask is None else ops.permute_dims(_boolean(mask), axes=(1, 0))
    how = {"reverse": bool(options.get("go_backwards")), "zero_output": bool(options.get("zero_output_for_mask"))}
    run = run_cell(call, inner.children["cell"], turned, states, steps, **how)
    if options.get("stateful"):
        call.lifter.keep_states(inner, run.states)
    return run


def _boolean(mask: Value) -> Value:
    return mask if mask.dtype is DType.BOOL else ops.astype(mask, dtype=DType.BOOL)


def batch_first(outputs: Value, *, backwards: bool) -> Value:
    """Outputs in the order in which the layer gave them."""
    outputs = ops.flip(outputs, axis=(0,)) if backwards else outputs
    return ops.permute_dims(outputs, axes=(1, 0, *range(2, outputs.ndim)))


def _recurrent_rule(call: Call, x: Any, initial_state: Any = None) -> Any:
    x, states = _split_inputs(call, x, initial_state)
    mask = [*leaves(call.mask), None][0]
    run = recurrent(call, call.layer, x, states, mask)
    backwards = bool(call.option("go_backwards", False))
    sequences = bool(call.option("return_sequences", False))
    output = batch_first(run.outputs, backwards=backwards) if sequences else run.last
    return (output, *run.states) if call.option("return_state", False) else output


def _split_inputs(call: Call, x: Any, initial: Any) -> tuple[Value, list[Value] | None]:
    """The sequence and the initial states; Keras 2 passes them as one list."""
    if isinstance(x, list | tuple):
        x, *rest = x
        initial = rest or initial
    if initial is None:
        return x, None
    states = [value for value in leaves(initial) if isinstance(value, Value)]
    return x, [cast(state, call.dtype) for state in states]


for _name in OWN_CELLS:
    layer(_name, children=_own_cell, mask=sequence_mask)(_recurrent_rule)
for _name in CONVOLUTIONAL:
    layer(_name, children=_own_cell, mask=sequence_mask)(_recurrent_rule)
layer("RNN", children=_stated_cell, mask=sequence_mask)(_recurrent_rule)


def _two_directions(config: LayerConfig) -> dict[str, LayerConfig]:
    forward = read_layer(config.options.get("layer"), config.dialect)
    stated = config.options.get("backward_layer")
    plain = forward.name.removeprefix("forward_")
    if stated is not None:
        backward = read_layer(stated, config.dialect)
    else:
        turned = not forward.options.get("go_backwards", False)
        backward = forward.changed(go_backwards=turned).named(f"backward_{plain}")
    forward = forward.named(f"forward_{plain}")
    zero = bool(forward.options.get("return_sequences")) and config.dialect > 1
    return {
        "forward_layer": forward.changed(zero_output_for_mask=zero),
        "backward_layer": backward.changed(zero_output_for_mask=zero),
    }


def _two_masks(call: Call) -> Any:
    found = [*leaves(call.carried_mask), None][0]
    if not call.child("forward_layer").config.options.get("return_sequences"):
        return None
    return [found, found] if call.option("merge_mode", "concat") is None else found


@layer("Bidirectional", children=_two_directions, mask=_two_masks)
def _(call: Call, x: Any, initial_state: Any = None) -> Any:
    x, states = _split_inputs(call, x, initial_state)
    half = len(states) // 2 if states else 0
    given = (states[:half], states[half:]) if states else (None, None)
    layers = call.child("forward_layer"), call.child("backward_layer")
    mask = [*leaves(call.mask), None][0]
    runs = [recurrent(call, inner, x, own, mask) for inner, own in zip(layers, given, strict=True)]
    first, second = runs
    if layers[0].config.options.get("return_sequences"):
        # The second layer's outputs are turned back by the wrapper: they stand at their inputs already.
        forward = bool(layers[0].config.options.get("go_backwards"))
        pair = [batch_first(first.outputs, backwards=forward), batch_first(second.outputs, backwards=forward)]
    else:
        pair = [first.last, second.last]
    merged = _merged(call, *pair)
    if not layers[0].config.options.get("return_state"):
        return merged
    outputs = merged if isinstance(merged, tuple) else (merged,)
    return (*outputs, *first.states, *second.states)


def _merged(call: Call, first: Value, second: Value) -> Any:
    mode = call.option("merge_mode", "concat")
    if mode == "concat":
        return ops.concat(first, second, axis=-1)
    if mode == "sum":
        return ops.add(first, second)
    if mode == "mul":
        return ops.multiply(first, second)
    if mode == "ave":
        return ops.multiply(ops.add(first, second), 0.5)
    if mode is not None:
        call.refuse(f"its merge mode {str(mode)[:40]!r} is unknown")
    return first, second


def _wrapped(config: LayerConfig) -> dict[str, LayerConfig]:
    return {"layer": read_layer(config.options.get("layer"), config.dialect)}


POINTWISE = frozenset(
    {"Dense", "TimeDistributedDense", "Activation", "Dropout", "LeakyReLU", "ELU", "ReLU", "Embedding"}
)
"""Layers that treat every axis but the last as batch."""


@layer("TimeDistributed", children=_wrapped, mask="keep")
def _(call: Call, x: Value) -> Any:
    inner = call.child("layer")
    if inner.config.class_name in POINTWISE:
        return _value(call.inside("layer", Traced(x)))
    folded = ops.reshape(x, shape=(x.shape[0] * x.shape[1], *x.shape[2:]))
    mask = call.mask
    if isinstance(mask, Value) and mask.ndim > 2:
        mask = ops.reshape(mask, shape=(mask.shape[0] * mask.shape[1], *mask.shape[2:]))
    else:
        mask = None
    y = _value(call.inside("layer", Traced(folded, mask)))
    if not isinstance(y, Value):
        return y
    return ops.reshape(y, shape=(x.shape[0], x.shape[1], *y.shape[1:]))


def _value(result: Any) -> Any:
    return result.value if isinstance(result, Traced) else result


@layer("TimeDistributedDense", weights=("kernel", "bias"), mask="keep")
def _(call: Call, x: Value) -> Value:
    return ops.linear(x, ops.permute_dims(call.weight("kernel"), axes=(1, 0)), call.weight("bias"))
