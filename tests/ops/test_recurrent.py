"""Recurrent layers against torch, against a plain loop written here, and on hand-made edge cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange.ops as ops
from kxchange.errors import TypeInferenceError
from kxchange.graph import Graph, placeholder
from kxchange.passes.legalize import legalize
from kxchange.reference import evaluate
from kxchange.spec import REGISTRY, Op
from kxchange.types import DType, TensorType

TIME, BATCH, FEATURES, HIDDEN = 5, 3, 4, 2
GATES = {"lstm": 4, "gru": 3, "rnn": 1}
Array = np.ndarray[Any, Any]


def operands(name: str, *, bias: bool = True, states: bool = True) -> list[Array | None]:
    """Random operands up to the initial states."""
    generator = np.random.default_rng(len(name))
    rows = GATES[name] * HIDDEN
    shapes = [(TIME, BATCH, FEATURES), (rows, FEATURES), (rows, HIDDEN)]
    optional = [(rows,), (rows,)], [(BATCH, HIDDEN)] * (2 if name == "lstm" else 1)
    drawn: list[Array | None] = [generator.normal(size=shape) for shape in shapes]
    for group, present in zip(optional, (bias, states), strict=True):
        drawn += [generator.normal(size=shape) if present else None for shape in group]
    return drawn


def both(spec: Op[...], *arrays: Array | None, **attrs: object) -> list[tuple[Array, ...]]:
    """All results by the reference and by the decomposition, run on symbolic time and batch."""
    given = [*arrays, *[None] * (spec.fixed - len(arrays))]
    sizes = {TIME: "time", BATCH: "batch"}
    inputs: list[Any] = []
    for position, array in enumerate(given):
        if array is None:
            inputs.append(None)
            continue
        named = position == 0 or position >= 5
        dims = ", ".join(sizes.get(n, str(n)) if named else str(n) for n in array.shape)
        inputs.append(placeholder(f"x{position}", TensorType.parse(f"{DType.of(array.dtype)}[{dims}]")))
    bound = spec.bind_attrs(attrs)
    assert spec.decompose_rule is not None
    graph = Graph(tuple(v for v in inputs if v is not None), spec.decompose_rule(*inputs, **bound))
    return [spec.evaluate(given, bound), evaluate(graph, [a for a in given if a is not None])]


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("states", [True, False], ids=["states", "no-states"])
def test_torch_t01_t02(name: str, bias: bool, states: bool) -> None:
    torch = pytest.importorskip("torch")
    drawn = operands(name, bias=bias, states=states)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[name](
        FEATURES, HIDDEN, bias=bias
    ).double()
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    layer.load_state_dict({n: torch.from_numpy(a) for n, a in zip(names, drawn[1:5], strict=True) if a is not None})
    initial = [torch.from_numpy(a)[None] for a in drawn[5:] if a is not None]
    with torch.no_grad():
        outputs, last = layer(
            torch.from_numpy(drawn[0]), (tuple(initial) if name == "lstm" else initial[0]) if initial else None
        )
    expected = [outputs, *(state[0] for state in (last if name == "lstm" else [last]))]
    for results in both(REGISTRY[name], *drawn):
        for got, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.torch
def test_torch_packed_sequences_t04() -> None:
    torch = pytest.importorskip("torch")
    lengths = np.array([5, 2, 3])
    drawn = operands("lstm")
    layer = torch.nn.LSTM(FEATURES, HIDDEN, bidirectional=True).double()
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    state = {n + end: torch.from_numpy(a) for n, a in zip(names, drawn[1:5], strict=True) for end in ("", "_reverse")}
    layer.load_state_dict(state)
    initial = tuple(torch.from_numpy(np.stack([a, a])) for a in drawn[5:])
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(drawn[0]), lengths, enforce_sorted=False)
    with torch.no_grad():
        outputs, (hidden, cell) = layer(packed, initial)
    padded = torch.nn.utils.rnn.pad_packed_sequence(outputs)[0].numpy()
    for reverse, columns in [(False, slice(0, HIDDEN)), (True, slice(HIDDEN, None))]:
        expected = padded[..., columns], hidden[int(reverse)].numpy(), cell[int(reverse)].numpy()
        for results in both(ops.lstm, *drawn, lengths, reverse=reverse):
            for got, wanted in zip(results, expected, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_a_target_without_recurrence_gets_a_scan_of_primitives(name: str) -> None:
    drawn = operands(name)
    inputs = [placeholder("x", TensorType(DType.FLOAT64, a.shape)) for a in drawn if a is not None]
    layer = Graph(tuple(inputs), REGISTRY[name].emit(inputs, {}).outputs)
    legal = legalize(layer, lambda node: REGISTRY[node.op].primitive, "test")
    (loop,) = [node for node in legal.nodes() if node.op == "scan"]
    assert all(REGISTRY[node.op].primitive for graph in (legal, loop.attrs["body"]) for node in graph.nodes())
    expected = REGISTRY[name].reference(*drawn)
    for got, wanted in zip(evaluate(legal, [a for a in drawn if a is not None]), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_gate_order_is_a_permutation_of_blocks_t01_t02(name: str) -> None:
    canonical = {"lstm": "ifgo", "gru": "rzn"}[name]
    order = {"lstm": "iofg", "gru": "zrn"}[name]
    drawn = operands(name)
    rows = np.concatenate([np.arange(HIDDEN) + canonical.index(gate) * HIDDEN for gate in order])
    reordered = [drawn[0], *(array[rows] for array in drawn[1:5] if array is not None), *drawn[5:]]
    expected = REGISTRY[name].evaluate([*drawn, None], REGISTRY[name].bind_attrs({}))
    for results in both(REGISTRY[name], *reordered, gate_order=order):
        for got, wanted in zip(results, expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12)
    for bad in (order[:-1], order[:-1] + order[0], order + "x"):
        with pytest.raises(TypeInferenceError, match="gate_order"):
            REGISTRY[name].result_types(
                [None if a is None else TensorType(DType.FLOAT64, a.shape) for a in (*drawn, None)],
                REGISTRY[name].bind_attrs({"gate_order": bad}),
            )


def test_gru_reset_before_is_another_function_t02() -> None:
    x, w, u, b, c, h = operands("gru")
    states = h
    assert w is not None and u is not None and b is not None and c is not None and x is not None
    outputs = []
    for step in x:
        (x_r, x_z, x_n), (u_r, u_z, u_n) = np.split(step @ w.T + b, 3, axis=1), np.split(u, 3)
        c_r, c_z, c_n = np.split(c, 3)
        r, z = sigmoid(x_r + states @ u_r.T + c_r), sigmoid(x_z + states @ u_z.T + c_z)
        n = np.tanh(x_n + (r * states) @ u_n.T + c_n)
        states = (1 - z) * n + z * states
        outputs.append(states)
    for got, last in both(ops.gru, x, w, u, b, c, h, reset_after=False):
        np.testing.assert_allclose(got, outputs, rtol=1e-12)
        np.testing.assert_allclose(last, states, rtol=1e-12)
    after = ops.gru(x, w, u, b, c, h)[0]
    assert np.abs(after - outputs).max() > 0.01


def test_masked_steps_give_zero_and_keep_the_state_t04() -> None:
    # h' = h + x: the state counts, so every number below is a sum of ones.
    one = np.ones((1, 1))
    x = np.ones((3, 2, 1))
    lengths = np.array([3, 1], np.int32)
    for got, last in both(ops.rnn, x, one, one, None, None, None, lengths, activation="linear"):
        assert got[:, :, 0].T.tolist() == [[1, 2, 3], [1, 0, 0]] and last[:, 0].tolist() == [3, 1]
    for got, last in both(ops.rnn, x, one, one, None, None, None, lengths, activation="linear", reverse=True):
        assert got[:, :, 0].T.tolist() == [[3, 2, 1], [1, 0, 0]] and last[:, 0].tolist() == [3, 1]
    none = np.array([0, 0])
    for got, last in both(ops.rnn, x, one, one, None, None, np.full((2, 1), 7.0), none, activation="linear"):
        assert not got.any() and last[:, 0].tolist() == [7, 7]


def test_old_keras_hard_sigmoid_t06() -> None:
    # One unit, zero weights: every gate sees its bias. hard_sigmoid(1) = 0.2 * 1 + 0.5 = 0.7, not 1/6 + 0.5.
    x, w, u = np.zeros((1, 1, 1)), np.zeros((4, 1)), np.zeros((4, 1))
    bias, old = np.ones(4), ("hard_sigmoid", ("alpha", 0.2))
    expected = 0.7 * np.tanh(0.7 * np.tanh(1.0))
    for results in both(ops.lstm, x, w, u, bias, recurrent_activation=old):
        np.testing.assert_allclose(results[0].item(), expected, rtol=1e-12)


def test_activations_are_named_from_a_list() -> None:
    types = [TensorType.parse(text) for text in ("float32[t, b, 2]", "float32[3, 2]", "float32[3, 3]")]
    for bad in ("reshape", "os.system", ("tanh", ("alpha", 1.0)), ("leaky_relu",), (), ("tanh", "alpha")):
        with pytest.raises(TypeInferenceError):
            ops.rnn.result_types([*types, *[None] * 4], ops.rnn.bind_attrs({"activation": bad}))


def test_types_are_symbolic_in_time_and_batch() -> None:
    texts = [
        "float32[t, b, 4]",
        "float32[8, 4]",
        "float32[8, 2]",
        "float32[8]",
        None,
        "float32[b, 2]",
        None,
        "int32[b]",
    ]
    types = [None if text is None else TensorType.parse(text) for text in texts]
    results = ops.lstm.result_types(types, ops.lstm.bind_attrs({}))
    assert [str(result) for result in results] == ["float32[t, b, 2]", "float32[b, 2]", "float32[b, 2]"]
    for place, wrong in [(1, "float32[8, 5]"), (2, "float32[6, 2]"), (3, "float32[2]"), (5, "float32[b, 3]")]:
        changed = [TensorType.parse(wrong) if i == place else type for i, type in enumerate(types)]
        with pytest.raises(TypeInferenceError):
            ops.lstm.result_types(changed, ops.lstm.bind_attrs({}))
    with pytest.raises(TypeInferenceError, match="integers"):
        ops.lstm.result_types([*types[:7], TensorType.parse("float32[b]")], ops.lstm.bind_attrs({}))
