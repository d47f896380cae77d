"""LSTM, GRU and RNN: each direction is one op, gate orders are attributes (traps T01 to T05)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kxchange import ops
from kxchange.graph import Value
from kxchange.types import DType
from kxchange_onnx.gates_in import halves, own_order
from kxchange_onnx.lift import lift, refuse
from kxchange_onnx.lift_indexing import picked
from kxchange_onnx.lift_lstm_steps import stepped

GATES = {"LSTM": "iofg", "GRU": "zrn", "RNN": "h"}
"""How the gates stand in the weights; ONNX calls the cell input c and the new state h."""
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
PLAIN = {
    "Tanh": "tanh",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Softsign": "softsign",
    "Softplus": "softplus",
    "Affine": "linear",
}
SCALED: dict[str, tuple[str, dict[str, tuple[str, float]]]] = {
    "LeakyRelu": ("leaky_relu", {"alpha": ("negative_slope", 0.01)}),
    "ThresholdedRelu": ("thresholded_relu", {"alpha": ("alpha", 1.0)}),
    "HardSigmoid": ("hard_sigmoid", {"alpha": ("alpha", 0.2), "beta": ("beta", 0.5)}),
    "Elu": ("elu", {"alpha": ("alpha", 1.0)}),
}
"""Activations with numbers: name of the op, and for each number its attribute and ONNX's default."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What the three operators share.

    Attributes:
        op: Name of the operator.
        x: [time, batch, features].
        operands: Weights, recurrent weights, biases, initial states: with a leading axis of directions.
        lengths: Lengths of the sequences.
        activations: Names with their numbers, one group per direction.
    """

    op: str
    x: Value
    weight: Value
    recurrent: Value
    bias: Value | None
    lengths: Value | None
    states: tuple[Value | None, ...]
    activations: tuple[tuple[Any, ...], ...]

    def parts(self, direction: int) -> tuple[tuple[Value | None, ...], str]:
        """The operands of one direction, biases in two halves, and how the gates stand in them."""
        operands = [picked(self.weight, direction, 0), picked(self.recurrent, direction, 0), *self._biases(direction)]
        found, order = own_order(operands, GATES[self.op])
        states = tuple(None if s is None else picked(s, direction, 0) for s in self.states)
        return (*found, *states), order

    def _biases(self, direction: int) -> list[Value | None]:
        if self.bias is None:
            return [None, None]
        apart = halves(self.bias)
        if apart is not None:
            return [None if half is None else picked(half, direction, 0) for half in apart]
        both = picked(self.bias, direction, 0)
        return list(ops.split(both, sizes=(both.shape[0] // 2,) * 2, axis=0))


def _run(layer: Layer, direction: str, layout: int, step: Callable[..., tuple[Value, ...]]) -> tuple[Value, ...]:
    """All directions: outputs [time, directions, batch, hidden] and the final states [directions, batch, hidden]."""
    ways = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}.get(direction)
    if ways is None:
        return refuse(f"its direction {direction!r} is unknown")
    results = [step(layer, index, reverse) for index, reverse in enumerate(ways)]
    kinds = list(zip(*results, strict=True))
    outputs = ops.stack(*kinds[0], axis=1) if len(ways) > 1 else ops.expand_dims(kinds[0][0], axis=(1,))
    finals = [ops.stack(*k, axis=0) if len(ways) > 1 else ops.expand_dims(k[0], axis=(0,)) for k in kinds[1:]]
    if not layout:
        return (outputs, *finals)
    return (ops.permute_dims(outputs, axes=(2, 0, 1, 3)), *(ops.permute_dims(f, axes=(1, 0, 2)) for f in finals))


def _layer(
    op: str,
    operands: tuple[Value, Value, Value, Value | None, Value | None],
    states: tuple[Value | None, ...],
    options: dict[str, Any],
) -> Layer:
    x, weight, recurrent, bias, lengths = operands
    if options["clip"] is not None:
        return refuse("clipping of its gates has no lift")
    if options["layout"]:
        x = ops.permute_dims(x, axes=(1, 0, 2))
        states = tuple(None if s is None else ops.permute_dims(s, axes=(1, 0, 2)) for s in states)
    if lengths is not None and lengths.dtype not in (DType.INT32, DType.INT64):
        lengths = ops.astype(lengths, dtype=DType.INT64)
    count = 2 if options["direction"] == "bidirectional" else 1
    names = options["activations"] or DEFAULTS[op] * count
    if tuple(names) == DEFAULTS[op] * 2:
        names = DEFAULTS[op] * count  # the schema's default for RNN is that of two directions
    if len(names) != len(DEFAULTS[op]) * count:
        return refuse(f"it names {len(names)} activations for {count} directions")
    chosen = _activations(names, options["activation_alpha"] or (), options["activation_beta"] or ())
    size = len(DEFAULTS[op])
    groups = tuple(chosen[i * size : (i + 1) * size] for i in range(count))
    return Layer(op, x, weight, recurrent, bias, lengths, states, groups)


def _activations(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> tuple[Any, ...]:
    """Activations as the recurrent ops take them; numbers are consumed in order by those that have any."""
    numbers = {"alpha": list(alphas), "beta": list(betas)}
    found: list[Any] = []
    for name in names:
        key = next((known for known in (*PLAIN, *SCALED) if known.lower() == name.lower()), None)
        if key is None or (key == "Affine" and (alphas or betas)):
            return refuse(f"its activation {name!r} has no lift")
        if key in PLAIN:
            found.append(PLAIN[key])
            continue
        op, wanted = SCALED[key]
        pairs = ((attr, numbers[n].pop(0) if numbers[n] else default) for n, (attr, default) in wanted.items())
        found.append((op, *pairs))
    return tuple(found)


def _lstm_step(
    layer: Layer, direction: int, reverse: bool, *, peepholes: Value | None, coupled: bool
) -> tuple[Value, ...]:
    gates, inner, outer = layer.activations[direction]
    operands, order = layer.parts(direction)
    if peepholes is not None or coupled or inner != outer:
        if layer.lengths is not None:
            return refuse("lengths beside peepholes, coupled gates or a second activation have no lift")
        looks = None if peepholes is None else picked(peepholes, direction, 0)
        chosen = layer.activations[direction]
        return stepped(layer.x, operands, order, chosen, peepholes=looks, coupled=coupled, reverse=reverse)
    return ops.lstm(
        layer.x,
        *operands,  # pyright: ignore[reportArgumentType, reportCallIssue]
        layer.lengths,  # pyright: ignore[reportCallIssue]
        reverse=reverse,
        gate_order=order,
        activation=inner,
        recurrent_activation=gates,
    )


@lift.rule("LSTM")
def _(
    x: Value,
    weight: Value,
    recurrent: Value,
    bias: Value | None,
    lengths: Value | None,
    hidden: Value | None,
    cell: Value | None,
    peepholes: Value | None,
    *,
    activations: Sequence[str] | None,
    activation_alpha: Sequence[float] | None,
    activation_beta: Sequence[float] | None,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    input_forget: int,
    layout: int | None,
) -> tuple[Value, ...]:
    options = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "layout": layout,
    }
    layer = _layer("LSTM", (x, weight, recurrent, bias, lengths), (hidden, cell), options)
    step = partial(_lstm_step, peepholes=peepholes, coupled=bool(input_forget))
    return _run(layer, direction, layout or 0, step)


def _gru_step(layer: Layer, index: int, reverse: bool, *, reset_after: bool) -> tuple[Value, ...]:
    gates, inner = layer.activations[index]
    operands, order = layer.parts(index)
    return ops.gru(
        layer.x,
        *operands,  # pyright: ignore[reportArgumentType, reportCallIssue]
        layer.lengths,  # pyright: ignore[reportCallIssue]
        reverse=reverse,
        gate_order=order,
        reset_after=reset_after,
        activation=inner,
        recurrent_activation=gates,
    )


@lift.rule("GRU")
def _(
    x: Value,
    weight: Value,
    recurrent: Value,
    bias: Value | None,
    lengths: Value | None,
    hidden: Value | None,
    *,
    activations: Sequence[str] | None,
    activation_alpha: Sequence[float] | None,
    activation_beta: Sequence[float] | None,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    linear_before_reset: int,
    layout: int | None,
) -> tuple[Value, ...]:
    options = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "layout": layout,
    }
    layer = _layer("GRU", (x, weight, recurrent, bias, lengths), (hidden,), options)
    return _run(layer, direction, layout or 0, partial(_gru_step, reset_after=bool(linear_before_reset)))


def _rnn_step(layer: Layer, direction: int, reverse: bool) -> tuple[Value, ...]:
    (inner,) = layer.activations[direction]
    return ops.rnn(
        layer.x,
        *layer.parts(direction)[0],  # pyright: ignore[reportArgumentType, reportCallIssue]
        layer.lengths,  # pyright: ignore[reportCallIssue]
        reverse=reverse,
        activation=inner,
    )


@lift.rule("RNN")
def _(
    x: Value,
    weight: Value,
    recurrent: Value,
    bias: Value | None,
    lengths: Value | None,
    hidden: Value | None,
    *,
    activations: Sequence[str] | None,
    activation_alpha: Sequence[float] | None,
    activation_beta: Sequence[float] | None,
    clip: float | None,
    direction: str,
    hidden_size: int | None,
    layout: int | None,
) -> tuple[Value, ...]:
    options = {
        "activations": activations,
        "activation_alpha": activation_alpha,
        "activation_beta": activation_beta,
        "clip": clip,
        "direction": direction,
        "layout": layout,
    }
    layer = _layer("RNN", (x, weight, recurrent, bias, lengths), (hidden,), options)
    return _run(layer, direction, layout or 0, _rnn_step)
