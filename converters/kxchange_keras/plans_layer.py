"""Plans of dense layers, embeddings, norms and recurrent layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from kxchange import ops
from kxchange.dims import Dim
from kxchange.graph import Node, Value
from kxchange_keras.layers_out import Emit, Plan, Statics, planner

SAME_NAME = ("tanh", "sigmoid", "linear", "relu", "relu6", "elu", "selu", "silu", "softsign", "gelu", "celu", "mish")
ACTIVATIONS = {
    **{name: name for name in SAME_NAME},
    **{name: name for name in ("log_sigmoid", "hard_sigmoid", "hard_tanh", "tanh_shrink")},
    "hard_swish": "hard_silu",
    "exp": "exponential",
    ("softplus", ("threshold", math.inf)): "softplus",
}
"""Activations of recurrent layers that Keras has under the same definition."""


def _applied(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
    return layer(lowering.tensor(operands[0]))


@planner("linear")
def _(node: Node, statics: Statics) -> Plan | None:
    x, weight, bias = node.inputs
    if x is None or weight is None or x.ndim < 2 or not statics.holds(weight, bias) or not x.dtype.is_floating:
        return None
    weights = [("kernel", ops.permute_dims(weight, axes=(1, 0)))]
    weights += [] if bias is None else [("bias", bias)]
    config = {"units": int(weight.shape[0]), "use_bias": bias is not None}
    return Plan("Dense", config, tuple(weights), _applied)


@planner("embedding")
def _(node: Node, statics: Statics) -> Plan | None:
    weight, indices = node.inputs
    return None if weight is None or indices is None else _rows(node, weight, indices, statics, 1)


@planner("take")
def _(node: Node, statics: Statics) -> Plan | None:
    table, indices = node.inputs
    if table is None or indices is None or node.attrs["mode"] != "error" or node.attrs["axis"] % table.ndim:
        return None
    return _rows(node, table, indices, statics, 1)


def _rows(node: Node, weight: Value, indices: Value, statics: Statics, place: int) -> Plan | None:
    if weight.ndim != 2 or not statics.holds(weight) or statics.reads(indices) or not weight.dtype.is_floating:
        return None
    if _is_fixed(indices) or not isinstance(weight.shape[0], int):
        return None
    config = {"input_dim": int(weight.shape[0]), "output_dim": int(weight.shape[1])}
    return Plan("Embedding", config, (("embeddings", weight),), picking(place))


def picking(place: int) -> Emit:
    """A layer called on one of the operands."""

    def call(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
        return layer(lowering.tensor(operands[place]))

    return call


def _is_fixed(value: Value) -> bool:
    """Whether a value depends on nothing that a call gives."""
    from kxchange.graph import topological_order
    from kxchange.spec import dims_of

    nodes = topological_order((value,))
    return all(node.op != "input" and not any(map(dims_of, node.attrs.values())) for node in nodes)


def _vectors(names: Sequence[str], values: Sequence[Value | None]) -> tuple[tuple[str, Value], ...]:
    return tuple((name, value) for name, value in zip(names, values, strict=True) if value is not None)


@planner("batch_norm")
def _(node: Node, statics: Statics) -> Plan | None:
    x, mean, variance, scale, bias = node.inputs
    if x is None or x.ndim < 2 or not statics.holds(mean, variance, scale, bias):
        return None
    names = ("moving_mean", "moving_variance", "gamma", "beta")
    config = {
        "axis": node.attrs["channel_axis"],
        "epsilon": node.attrs["epsilon"],
        "scale": scale is not None,
        "center": bias is not None,
    }
    return Plan("BatchNormalization", config, _vectors(names, (mean, variance, scale, bias)), _applied)


@planner("layer_norm")
def _(node: Node, statics: Statics) -> Plan | None:
    x, scale, bias = node.inputs
    axes = node.attrs["axes"]
    if x is None or not statics.holds(scale, bias) or x.ndim <= axes or not _sized(x, axes):
        return None
    config = {
        "axis": list(range(x.ndim - axes, x.ndim)) if axes > 1 else -1,
        "epsilon": node.attrs["epsilon"],
        "scale": scale is not None,
        "center": bias is not None,
    }
    return Plan("LayerNormalization", config, _vectors(("gamma", "beta"), (scale, bias)), _applied)


def _sized(x: Value, axes: int) -> bool:
    return all(isinstance(size, int) for size in x.shape[x.ndim - axes :])


@planner("rms_norm")
def _(node: Node, statics: Statics) -> Plan | None:
    x, scale = node.inputs
    axes = node.attrs["axes"]
    if x is None or scale is None or not statics.holds(scale) or x.ndim <= axes or not _sized(x, axes):
        return None
    config = {"axis": list(range(x.ndim - axes, x.ndim)) if axes > 1 else -1, "epsilon": node.attrs["epsilon"]}
    return Plan("RMSNormalization", config, (("scale", scale),), _applied)


@planner("group_norm", "instance_norm")
def _(node: Node, statics: Statics) -> Plan | None:
    x, scale, bias = node.inputs
    if x is None or x.ndim < 3 or not statics.holds(scale, bias) or not _sized(x, x.ndim - 1):
        return None
    if node.attrs["channel_axis"] % x.ndim != x.ndim - 1:
        return None
    config = {
        "groups": node.attrs.get("groups", -1),
        "axis": -1,
        "epsilon": node.attrs["epsilon"],
        "scale": scale is not None,
        "center": bias is not None,
    }
    return Plan("GroupNormalization", config, _vectors(("gamma", "beta"), (scale, bias)), _applied)


@planner("prelu")
def _(node: Node, statics: Statics) -> Plan | None:
    x, slope = node.inputs
    if x is None or slope is None or x.ndim < 2 or not statics.holds(slope):
        return None
    shape = (1,) * (x.ndim - slope.ndim) + tuple(slope.shape)
    if len(shape) != x.ndim or shape[0] != 1:
        return None
    if any(size not in (1, wanted) for size, wanted in zip(shape[1:], x.shape[1:], strict=True)):
        return None
    shared = [axis for axis in range(1, x.ndim) if shape[axis] == 1]
    alpha = ops.reshape(slope, shape=shape[1:])
    return Plan("PReLU", {"shared_axes": shared or None}, (("alpha", alpha),), _applied)


@planner("dropout")
def _(node: Node, statics: Statics) -> Plan | None:
    x = node.inputs[0]
    if x is None or _is_fixed(x):
        return None
    return Plan("Dropout", {"rate": float(node.attrs["rate"])}, (), _applied)


def _reordered(weight: Value, given: str, wanted: str) -> Value:
    """The blocks of a recurrent layer's weight in another order of gates."""
    if given == wanted:
        return weight
    size = weight.shape[0] // len(given)
    parts = ops.split(weight, sizes=(size,) * len(given), axis=0)
    return ops.concat(*(parts[given.index(gate)] for gate in wanted), axis=0)


def _merged(first: Value | None, second: Value | None) -> Value | None:
    return second if first is None else first if second is None else ops.add(first, second)


@planner("lstm", "gru", "rnn")
def _(node: Node, statics: Statics) -> Plan | None:
    _, kernel, recurrent, *biases = node.inputs[:5]
    if kernel is None or recurrent is None or not statics.reads(kernel, recurrent, *biases):
        return None
    names = [node.attrs[key] for key in ("activation", "recurrent_activation") if key in node.attrs]
    if any(name not in ACTIVATIONS for name in names):
        return None
    given, wanted = node.attrs.get("gate_order", "h"), {"lstm": "ifgo", "gru": "zrn", "rnn": "h"}[node.op]
    blocks = [None if b is None else _reordered(b, given, wanted) for b in biases]
    turned = [ops.permute_dims(_reordered(w, given, wanted), axes=(1, 0)) for w in (kernel, recurrent)]
    double = node.op == "gru" and node.attrs["reset_after"]
    bias = _stacked(*blocks) if double else _merged(*blocks)
    config: dict[str, Any] = {
        "units": int(recurrent.shape[1]),
        "use_bias": bias is not None,
        "return_sequences": True,
        "return_state": True,
        "go_backwards": bool(node.attrs["reverse"]),
        **{key: ACTIVATIONS[node.attrs[key]] for key in ("activation", "recurrent_activation") if key in node.attrs},
        **({"reset_after": node.attrs["reset_after"]} if node.op == "gru" else {}),
        **({"zero_output_for_mask": True} if node.inputs[-1] is not None else {}),
    }
    weights = _vectors(("kernel", "recurrent_kernel", "bias"), (*turned, bias))
    return Plan({"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}[node.op], config, weights, _run_recurrent)


def _stacked(first: Value | None, second: Value | None) -> Value | None:
    """The two biases of a GRU that resets behind its product."""
    given = first if first is not None else second
    if given is None:
        return None
    zeros = ops.full(shape=given.shape, value=0.0, dtype=given.dtype)
    return ops.stack(first if first is not None else zeros, second if second is not None else zeros, axis=0)


def _length(node: Node) -> Dim:
    """The number of steps of a recurrent layer."""
    sequence = node.inputs[0]
    assert sequence is not None
    return sequence.shape[0]


def _run_recurrent(lowering: Any, layer: Any, node: Node, operands: list[Any]) -> Any:
    """The layer on a batch-first sequence; its outputs stand at the places of its inputs."""
    from kxchange_keras.lowering import Turned

    turned = lowering.turned(operands[0], (1, 0, 2))
    x = lowering.tensor(turned)
    *states, lengths = operands[5:]
    kwargs: dict[str, Any] = {}
    if any(state is not None for state in states):
        column = keras.ops.expand_dims(keras.ops.sum(keras.ops.zeros_like(x), axis=(1, 2)), 1)
        empty = keras.ops.repeat(column, layer.units, axis=1)
        given = [empty if state is None else lowering.tensor(state) for state in states]
        kwargs["initial_state"] = given if len(given) > 1 else given[0]
    if lengths is not None:
        steps = lowering.sizes.count(_length(node))
        column = keras.ops.expand_dims(keras.ops.cast(lowering.tensor(lengths), "int32"), 1)
        kwargs["mask"] = keras.ops.less(keras.ops.expand_dims(steps, 0), column)
    outputs, *after = layer(x, **kwargs)
    if node.attrs["reverse"]:
        outputs = keras.ops.flip(outputs, axis=1)
    return (Turned(outputs, (1, 0, 2)), *after)
