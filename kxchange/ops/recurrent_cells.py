"""One step of lstm, gru and rnn: on arrays for the references, on values for the decompositions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kxchange.graph import Value
from kxchange.ops.arithmetic import add, multiply, subtract
from kxchange.ops.gate_activation import Activation, apply_activation, evaluate_activation
from kxchange.ops.joining import split
from kxchange.ops.linalg import linear

Array = NDArray[Any]


def dense(x: Array, weight: Array, bias: Array | None) -> Array:
    """``x @ weight.T + bias``."""
    product = x @ weight.T
    return product if bias is None else product + bias


@dataclass(frozen=True, slots=True)
class ArrayCell:
    """The recurrent half of a layer, on arrays; its steps take the input half already projected.

    Attributes:
        weight: [gates * hidden, hidden].
        bias: [gates * hidden].
        order: How the gates stand in weight, bias and projected input.
        activation: Of the new state.
        gate_activation: Of the gates.
    """

    weight: Array
    bias: Array | None
    order: str
    activation: Activation
    gate_activation: Activation = "linear"

    def _parts(self, x: Array) -> dict[str, Array]:
        return dict(zip(self.order, np.split(x, len(self.order), axis=-1), strict=True))

    def rnn(self, projected: Array, hidden: Array) -> tuple[Array, ...]:
        """The next state."""
        return (evaluate_activation(self.activation, projected + dense(hidden, self.weight, self.bias)),)

    def lstm(self, projected: Array, hidden: Array, cell: Array) -> tuple[Array, ...]:
        """The next hidden and cell state."""
        parts = self._parts(projected + dense(hidden, self.weight, self.bias))
        i, f, o = (evaluate_activation(self.gate_activation, parts[name]) for name in "ifo")
        cell = f * cell + i * evaluate_activation(self.activation, parts["g"])
        return o * evaluate_activation(self.activation, cell), cell

    def gru_reset_after(self, projected: Array, hidden: Array) -> tuple[Array, ...]:
        """The next state, the reset gate applied to the product."""
        x, h = self._parts(projected), self._parts(dense(hidden, self.weight, self.bias))
        r, z = (evaluate_activation(self.gate_activation, x[name] + h[name]) for name in "rz")
        n = evaluate_activation(self.activation, x["n"] + r * h["n"])
        return ((1.0 - z) * n + z * hidden,)

    def gru_reset_before(self, projected: Array, hidden: Array) -> tuple[Array, ...]:
        """The next state, the reset gate applied to the state before the product."""
        x, h = self._parts(projected), self._parts(dense(hidden, self.weight, self.bias))
        r, z = (evaluate_activation(self.gate_activation, x[name] + h[name]) for name in "rz")
        reset = self._parts(dense(r * hidden, self.weight, self.bias))
        n = evaluate_activation(self.activation, x["n"] + reset["n"])
        return ((1.0 - z) * n + z * hidden,)


@dataclass(frozen=True, slots=True)
class ValueCell:
    """The recurrent half of a layer, on values; constants are what the loop body holds of weight and bias.

    Attributes:
        order: How the gates stand in weight, bias and projected input.
        size: Number of hidden units.
        activation: Of the new state.
        gate_activation: Of the gates.
    """

    order: str
    size: Any
    activation: Activation
    gate_activation: Activation = "linear"

    def _parts(self, x: Value, axis: int) -> dict[str, Value]:
        return dict(zip(self.order, split(x, sizes=(self.size,) * len(self.order), axis=axis), strict=True))

    def rnn(self, projected: Value, states: tuple[Value, ...], consts: tuple[Value | None, ...]) -> tuple[Value, ...]:
        """The next state; the constants are weight and bias."""
        return (apply_activation(self.activation, add(projected, linear(states[0], *consts))),)

    def lstm(self, projected: Value, states: tuple[Value, ...], consts: tuple[Value | None, ...]) -> tuple[Value, ...]:
        """The next hidden and cell state; the constants are weight and bias."""
        hidden, cell = states
        parts = self._parts(add(projected, linear(hidden, *consts)), axis=1)
        i, f, o = (apply_activation(self.gate_activation, parts[name]) for name in "ifo")
        cell = add(multiply(f, cell), multiply(i, apply_activation(self.activation, parts["g"])))
        return multiply(o, apply_activation(self.activation, cell)), cell

    def gru_reset_after(
        self, projected: Value, states: tuple[Value, ...], consts: tuple[Value | None, ...]
    ) -> tuple[Value, ...]:
        """The next state; the constants are weight and bias."""
        x, h = self._parts(projected, axis=1), self._parts(linear(states[0], *consts), axis=1)
        r, z = (apply_activation(self.gate_activation, add(x[name], h[name])) for name in "rz")
        n = apply_activation(self.activation, add(x["n"], multiply(r, h["n"])))
        return (_mix(z, n, states[0]),)

    def gru_reset_before(
        self, projected: Value, states: tuple[Value, ...], consts: tuple[Value | None, ...]
    ) -> tuple[Value, ...]:
        """The next state; the constants are the blocks of weight, then those of bias, as `blocks` gives them."""
        x = self._parts(projected, axis=1)
        weights, biases = (dict(zip(self.order, half, strict=True)) for half in (consts[:3], consts[3:]))
        hidden = states[0]
        r, z = (
            apply_activation(self.gate_activation, add(x[name], linear(hidden, weights[name], biases[name])))
            for name in "rz"
        )
        new = linear(multiply(r, hidden), weights["n"], biases["n"])
        return (_mix(z, apply_activation(self.activation, add(x["n"], new)), hidden),)

    def blocks(self, weight: Value, bias: Value | None) -> tuple[Value | None, ...]:
        """The blocks of weight and bias apart, each gate having its own product."""
        biases = (None,) * len(self.order) if bias is None else self._parts(bias, axis=0).values()
        return *self._parts(weight, axis=0).values(), *biases


def _mix(z: Value, new: Value, old: Value) -> Value:
    return add(multiply(subtract(1, z), new), multiply(z, old))
