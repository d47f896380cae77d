"""Samples of the recurrent layers."""

from __future__ import annotations

from typing import Any

from kxchange.testing.samples import Operand, normal, samples, values
from kxchange.types import DType

time, batch, FEATURES, HIDDEN = ("time", 4), ("batch", 3), 2, 3
lengths = values([4, 2, 1], DType.INT32, sizes=[batch])


def layer(gates: int, states: int, *, bias: bool = True, given: bool = True) -> list[Operand | None]:
    """Operands of a layer, the sequence lengths absent."""
    rows = gates * HIDDEN
    x, weights = normal(time, batch, FEATURES), [normal(rows, FEATURES), normal(rows, HIDDEN)]
    biases = [normal(rows), normal(rows)] if bias else [None, None]
    initial: list[Operand | None] = [normal(batch, HIDDEN) if given else None] * states
    return [x, *weights, *biases, *initial, None]


for name, gates, states, order in [("lstm", 4, 2, "iofg"), ("gru", 3, 1, "zrn"), ("rnn", 1, 1, "")]:
    reorder: dict[str, Any] = {"gate_order": order} if order else {}
    samples(name, layer(gates, states))
    samples(name, layer(gates, states, bias=False, given=False))
    samples(name, layer(gates, states), {"reverse": True}, note="reverse")
    samples(name, [*layer(gates, states)[:-1], lengths], note="T04")
    samples(name, [*layer(gates, states, given=False)[:-1], lengths], {"reverse": True}, note="T04-reverse")
    samples(name, [normal(0, batch, FEATURES), *layer(gates, states)[1:]], note="no-time", differentiable=False)
    if order:
        samples(name, layer(gates, states), reorder, note="T01" if name == "lstm" else "T02")
        old: dict[str, Any] = {"recurrent_activation": ("hard_sigmoid", ("alpha", 0.2))}
        samples(name, layer(gates, states), old, note="T06", differentiable=False)
only_input = layer(3, 1)
only_input[4] = None
samples("gru", layer(3, 1), {"reset_after": False}, note="T02-reset-before")
samples("gru", only_input, {"reset_after": False, "gate_order": "zrn"}, note="one-bias")
samples("gru", [*layer(3, 1)[:-1], lengths], {"reset_after": False, "reverse": True}, note="reset-before-reverse")
samples("rnn", layer(1, 1), {"activation": "relu"}, note="relu", differentiable=False)
samples("rnn", layer(1, 1), {"activation": "linear"}, note="linear")
