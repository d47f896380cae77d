"""Recurrent cells: the language's own ops where one fits, a loop otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kxchange import ops
from kxchange.errors import CaptureError
from kxchange.graph import Value
from kxchange_keras.call import Call
from kxchange_keras.keras1 import GATES, gate_names, joined
from kxchange_keras.layer_config import LayerConfig, read_layer
from kxchange_keras.layer_tree import Layer
from kxchange_keras.lift_activation import activate, gate_activation
from kxchange_keras.lift_core import BIAS
from kxchange_keras.lift_geometry import channel_axis, moved_kernel, padding_of, same_padding, spatial
from kxchange_keras.recurrence import Run, run_native, run_scan
from kxchange_keras.registry import Weight, layer

KERNELS = (Weight("kernel"), Weight("recurrent_kernel"), BIAS)
CellRule = Callable[..., Run]
CELLS: dict[str, tuple[CellRule, int]] = {}
"""``(call on the cell, x, states, mask, reverse=, zero_output=) -> Run``, and how many states, by class of cell."""


def cell(name: str, states: int) -> Callable[[CellRule], CellRule]:
    """Register a cell: what it is as a layer over time."""

    def register(rule: CellRule) -> CellRule:
        CELLS[name] = rule, states
        return rule

    return register


def run_cell(
    call: Call, inner: Layer, x: Value, states: Sequence[Value | None], mask: Value | None, **how: bool
) -> Run:
    """A cell over time-major x."""
    if inner.config.class_name not in CELLS:
        call.refuse(f"its cell {inner.config.class_name!r} has no rule")
    return CELLS[inner.config.class_name][0](Call(call.lifter, inner, (), {}), x, states, mask, **how)


def state_count(inner: Layer) -> int:
    """How many states a cell has."""
    if inner.config.class_name == "StackedRNNCells":
        return sum(state_count(child) for child in inner.children.values())
    return CELLS[inner.config.class_name][1] if inner.config.class_name in CELLS else 1


def state_shapes(inner: Layer, x: Value) -> list[tuple[Any, ...]]:
    """The shapes of a cell's states for batch-first x."""
    if inner.config.class_name == "StackedRNNCells":
        return [shape for child in inner.children.values() for shape in state_shapes(child, x)]
    units = inner.config.options.get("units")
    if not isinstance(units, int):
        raise CaptureError("it keeps a state whose size is not known")
    return [(x.shape[0], units)] * CELLS[inner.config.class_name][1]


def _not_a_layer(call: Call, *args: Any) -> Any:
    call.refuse("it is a cell used outside of a recurrent layer")


def _cell_weights(config: LayerConfig) -> Sequence[Weight]:
    if config.dialect > 1 or config.class_name not in GATES:
        return KERNELS
    return [Weight(name) for name in gate_names(config.class_name)]


def _weights(call: Call) -> tuple[Value, Value, Value | None]:
    """Kernel, recurrent kernel and bias of all gates."""
    name = call.config.class_name
    if call.dialect > 1 or name not in GATES:
        return call.weight("kernel"), call.weight("recurrent_kernel"), call.optional("bias")
    kernel, recurrent, bias = (
        joined(call.weight, name, kind, ops.concat) for kind in ("kernel", "recurrent_kernel", "bias")
    )
    return kernel, recurrent, bias


for _name in ("LSTMCell", "GRUCell", "SimpleRNNCell"):
    layer(_name, weights=_cell_weights)(_not_a_layer)
layer("ConvLSTMCell", weights=KERNELS)(_not_a_layer)


def _numbered(config: LayerConfig) -> dict[str, LayerConfig]:
    cells = [read_layer(entry, config.dialect) for entry in config.options.get("cells", ())]
    return {f"cells/{index}": inner for index, inner in enumerate(cells)}


layer("StackedRNNCells", children=_numbered)(_not_a_layer)


def _initial(call: Call, states: Sequence[Value | None], x: Value, size: Any) -> list[Value]:
    zeros = ops.full(shape=(x.shape[1], size), value=0.0, dtype=x.dtype)  # pyright: ignore[reportCallIssue]
    return [zeros if state is None else state for state in states]


@cell("LSTMCell", 2)
def _(call: Call, x: Value, states: Sequence[Value | None], mask: Value | None, **how: bool) -> Run:
    kernel, recurrent, bias = _weights(call)
    names = call.option("activation", "tanh"), call.option("recurrent_activation", _default_gate(call))
    outer, gate = (gate_activation(call, name) for name in names)
    if outer is None or gate is None:
        step = _lstm_step(call, names)
        return run_scan(
            step, x, _initial(call, states, x, recurrent.shape[0]), _held(kernel, recurrent, bias), mask, **how
        )
    weights = ops.permute_dims(kernel, axes=(1, 0)), ops.permute_dims(recurrent, axes=(1, 0))

    def native(x: Value, states: Sequence[Value | None], lengths: Value | None, reverse: bool) -> Sequence[Value]:
        attrs: dict[str, Any] = {"activation": outer, "recurrent_activation": gate}
        return ops.lstm(x, *weights, bias, None, *states, lengths, reverse=reverse, gate_order="ifgo", **attrs)  # pyright: ignore[reportCallIssue]

    return run_native(native, x, states, mask, **how)


def _default_gate(call: Call) -> str:
    return "sigmoid" if call.dialect >= 3 else "hard_sigmoid"


def _held(*weights: Value | None) -> list[Value]:
    return [weight for weight in weights if weight is not None]


def _lstm_step(call: Call, names: tuple[Any, Any]) -> Any:
    def step(x: Value, states: Sequence[Value], held: Sequence[Value]) -> Sequence[Value]:
        size = held[1].shape[0]
        total = ops.add(ops.matmul(x, held[0]), ops.matmul(states[0], held[1]))
        total = ops.add(total, held[2]) if len(held) > 2 else total
        i, f, g, o = ops.split(total, sizes=(size,) * 4, axis=1)
        i, f, o = (activate(call, gate, names[1]) for gate in (i, f, o))
        memory = ops.add(ops.multiply(f, states[1]), ops.multiply(i, activate(call, g, names[0])))
        return ops.multiply(o, activate(call, memory, names[0])), memory

    return step  # pyright: ignore[reportCallIssue]


@cell("GRUCell", 1)
def _(call: Call, x: Value, states: Sequence[Value | None], mask: Value | None, **how: bool) -> Run:
    kernel, recurrent, bias = _weights(call)
    after = bool(call.option("reset_after", call.dialect >= 3))
    biases = _gru_biases(bias, after=after)
    names = call.option("activation", "tanh"), call.option("recurrent_activation", _default_gate(call))
    outer, gate = (gate_activation(call, name) for name in names)
    if outer is None or gate is None:
        held = _held(kernel, recurrent, *biases)
        step = _gru_step(call, names, after=after)
        return run_scan(step, x, _initial(call, states, x, recurrent.shape[0]), held, mask, **how)
    weights = ops.permute_dims(kernel, axes=(1, 0)), ops.permute_dims(recurrent, axes=(1, 0))

    def native(x: Value, states: Sequence[Value | None], lengths: Value | None, reverse: bool) -> Sequence[Value]:
        attrs: dict[str, Any] = {"activation": outer, "recurrent_activation": gate, "reset_after": after}
        return ops.gru(x, *weights, *biases, *states, lengths, reverse=reverse, gate_order="zrn", **attrs)  # pyright: ignore[reportCallIssue]

    return run_native(native, x, states, mask, **how)


def _gru_biases(bias: Value | None, *, after: bool) -> tuple[Value | None, Value | None]:
    """The input's and the recurrent bias; stored as two rows where the reset gate acts after the product (trap T02)."""
    if bias is None or not after or bias.ndim == 1:
        return bias, None
    rows = [ops.slice(bias, starts=(row,), stops=(row + 1,), steps=(1,), axes=(0,)) for row in (0, 1)]
    return ops.squeeze(rows[0], axis=(0,)), ops.squeeze(rows[1], axis=(0,))


def _gru_step(call: Call, names: tuple[Any, Any], *, after: bool) -> Any:
    def step(x: Value, states: Sequence[Value], held: Sequence[Value]) -> Sequence[Value]:
        hidden, recurrent = states[0], held[1]
        size = recurrent.shape[0]
        total = ops.matmul(x, held[0])
        total = ops.add(total, held[2]) if len(held) > 2 else total
        xz, xr, xn = ops.split(total, sizes=(size,) * 3, axis=1)
        product = ops.matmul(hidden, recurrent)
        product = ops.add(product, held[3]) if len(held) > 3 else product
        hz, hr, hn = ops.split(product, sizes=(size,) * 3, axis=1)
        z, r = (activate(call, ops.add(a, b), names[1]) for a, b in ((xz, hz), (xr, hr)))
        if after:
            inner = ops.multiply(r, hn)
        else:
            last = ops.split(recurrent, sizes=(size,) * 3, axis=1)[2]
            inner = ops.matmul(ops.multiply(r, hidden), last)
        new = activate(call, ops.add(xn, inner), names[0])
        return (ops.add(ops.multiply(ops.subtract(1.0, z), new), ops.multiply(z, hidden)),)

    return step


# pyright: ignore[reportCallIssue]
@cell("SimpleRNNCell", 1)
def _(call: Call, x: Value, states: Sequence[Value | None], mask: Value | None, **how: bool) -> Run:
    kernel, recurrent, bias = _weights(call)
    name = call.option("activation", "tanh")
    outer = gate_activation(call, name)
    if outer is None:

        def step(x: Value, states: Sequence[Value], held: Sequence[Value]) -> Sequence[Value]:
            total = ops.add(ops.matmul(x, held[0]), ops.matmul(states[0], held[1]))
            return (activate(call, ops.add(total, held[2]) if len(held) > 2 else total, name),)

        held = _held(kernel, recurrent, bias)
        return run_scan(step, x, _initial(call, states, x, recurrent.shape[0]), held, mask, **how)
    weights = ops.permute_dims(kernel, axes=(1, 0)), ops.permute_dims(recurrent, axes=(1, 0))

    def native(x: Value, states: Sequence[Value | None], lengths: Value | None, reverse: bool) -> Sequence[Value]:
        return ops.rnn(x, *weights, bias, None, *states, lengths, reverse=reverse, activation=outer)  # pyright: ignore[reportCallIssue]

    return run_native(native, x, states, mask, **how)


@cell("StackedRNNCells", 0)
def _(
    call: Call, x: Value, states: Sequence[Value | None], mask: Value | None, *, reverse: bool, zero_output: bool
) -> Run:
    """Cells one above another are layers one above another: masked steps stand still in all of them."""
    rest, after = list(states), list[Value]()
    run: Run | None = None
    last = list(call.layer.children.values())[-1]
    for inner in call.layer.children.values():
        own, rest = rest[: state_count(inner)], rest[state_count(inner) :]
        zero = zero_output and inner is last
        run = run_cell(call, inner, x if run is None else run.outputs, own, mask, reverse=reverse, zero_output=zero)
        after += run.states
    assert run is not None
    return Run(run.outputs, run.last, tuple(after))


@cell("ConvLSTMCell", 2)
def _(call: Call, x: Value, states: Sequence[Value | None], mask: Value | None, **how: bool) -> Run:
    axis = channel_axis(call)
    kernel, recurrent = moved_kernel(call.weight("kernel")), moved_kernel(call.weight("recurrent_kernel"))
    held = _held(kernel, recurrent, call.optional("bias"))
    shape = _conv_state(call, x, kernel, axis)
    zeros = ops.full(shape=shape, value=0.0, dtype=x.dtype)
    start = [zeros if state is None else state for state in states]
    return run_scan(_conv_lstm_step(call, axis), x, start, held, mask, **how)


def _input_conv(call: Call, x: Value, kernel: Value, bias: Value | None, axis: int) -> Value:
    rank, window = kernel.ndim - 2, tuple(kernel.shape[2:])
    strides, dilations = call.axes("strides", rank, 1), call.axes("dilation_rate", rank, 1)
    padding = padding_of(call, spatial(x, axis), window, strides, dilations)
    return ops.conv(x, kernel, bias, strides=strides, padding=padding, dilations=dilations, channel_axis=axis)


def _conv_state(call: Call, x: Value, kernel: Value, axis: int) -> tuple[Any, ...]:
    from kxchange.graph import placeholder

    one = _input_conv(call, placeholder("x", x.type.with_shape(x.shape[1:])), kernel, None, axis)
    sizes = list(one.shape)
    sizes[axis] = kernel.shape[0] // 4
    return tuple(sizes)


def _conv_lstm_step(call: Call, axis: int) -> Any:
    names = call.option("activation", "tanh"), call.option("recurrent_activation", _default_gate(call))

    def step(x: Value, states: Sequence[Value], held: Sequence[Value]) -> Sequence[Value]:
        hidden, memory = states
        size = held[1].shape[1]
        window = tuple(held[1].shape[2:])
        ones = (1,) * len(window)
        around = tuple(same_padding(n, k, 1) for n, k in zip(spatial(hidden, axis), window, strict=True))
        inner = ops.conv(hidden, held[1], strides=ones, padding=around, dilations=ones, channel_axis=axis)
        outer = _input_conv(call, x, held[0], held[2] if len(held) > 2 else None, axis)
        i, f, g, o = ops.split(ops.add(outer, inner), sizes=(size,) * 4, axis=axis)
        i, f, o = (activate(call, gate, names[1]) for gate in (i, f, o))
        memory = ops.add(ops.multiply(f, memory), ops.multiply(i, activate(call, g, names[0])))
        return ops.multiply(o, activate(call, memory, names[0])), memory

    return step
