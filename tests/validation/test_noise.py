"""Underflow and magnified rounding are no errors; what is one stays one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from kxchange import ops
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation.cases import make_cases
from kxchange.validation.judge import judge_accuracy, judge_function
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict


def model_of(compute, shape=(128,), dtype=DType.FLOAT32):
    x = placeholder("x", TensorType(dtype, shape))
    return Model({"main": Function(Graph((x,), (compute(x),)), ("y",))})


def truth_of(model, x):
    cases = make_cases(model, count=1, seed=0)
    cases[0].inputs["x"] = x
    return Truth(model, cases)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.BFLOAT16])
def test_a_backend_that_flushes_denormals_is_the_same(dtype):
    truth = truth_of(model_of(ops.sigmoid, dtype=dtype), np.full(128, -96.0, dtype.numpy))
    exact = truth.outputs[0]["y"]
    assert 0 < exact.max() < 2.0**-126
    assert judge_accuracy(truth, [{"y": np.zeros_like(exact)}], truth.reference)[0].verdict is Verdict.SAME


def test_a_small_normal_number_that_is_lost_is_wrong():
    truth = truth_of(model_of(ops.exp), np.full(128, -80.0, np.float32))
    assert judge_accuracy(truth, [{"y": np.zeros(128, np.float32)}], truth.reference)[0].verdict is Verdict.WRONG


def test_probabilities_in_float16_are_not_excused():
    """1/30000 is below float16's smallest normal number, and is no underflow."""
    truth = truth_of(model_of(lambda x: ops.multiply(x, 1 / 30000), dtype=DType.FLOAT16), np.ones(128, np.float16))
    assert judge_accuracy(truth, [{"y": np.zeros(128, np.float16)}], truth.reference)[0].verdict is Verdict.WRONG


def test_float64_denormals_are_no_fault():
    truth = truth_of(model_of(ops.sigmoid, dtype=DType.FLOAT64), np.full(128, -720.0))
    assert judge_function(truth, [{"y": np.zeros(128)}])[0].verdict is Verdict.SAME


def test_rounding_that_a_subtraction_magnifies_is_noise_and_more_is_not():
    """Whoever computes ``(x + 1000) - 1000`` in float32 is off by up to 3e-5, the lucky source or not."""
    truth = truth_of(
        model_of(lambda x: ops.subtract(ops.add(x, 1000.0), 1000.0)), np.linspace(0.1, 0.9, 128).astype(np.float32)
    )
    exact = truth.outputs[0]
    lucky = [{"y": exact["y"].astype(np.float32)}]
    off = [{"y": exact["y"] + 3e-5 * np.resize([1, -1], 128)}]
    worse = [{"y": exact["y"] + 1e-3 * np.resize([1, -1], 128)}]
    assert judge_accuracy(truth, off, lucky)[0].verdict is Verdict.SAME
    assert judge_accuracy(truth, worse, lucky)[0].verdict is Verdict.WRONG


def test_an_output_that_is_nothing_but_noise_is_so_in_float64_too():
    """The sum of centred values is zero but for rounding: relative to itself everything is off."""
    centred = model_of(lambda x: ops.sum(ops.subtract(x, ops.mean(x, axis=(0,), keepdims=True)), axis=(0,)))
    truth = truth_of(centred, np.random.default_rng(0).normal(size=128).astype(np.float32))
    noise = float(truth.outputs[0]["y"]) + 3e-14
    found = judge_function(truth, [{"y": np.float64(noise)[()].reshape(())}])[0]
    assert found.verdict is Verdict.SAME
    wrong = judge_function(truth, [{"y": np.asarray(float(truth.outputs[0]["y"]) + 1e-9)}])[0]
    assert wrong.verdict is Verdict.WRONG


def test_whole_numbers_between_do_not_move():
    """A position that is computed in floats stays on its element: the floor is not the distance to the next one."""

    def pick(x):
        position = ops.floor(ops.multiply(ops.sum(ops.multiply(x, 0.0), axis=(0,), keepdims=True), 1.0))
        place = ops.astype(ops.add(position, 5.0), dtype=DType.INT64)
        return ops.take(x, place, axis=0)

    truth = truth_of(model_of(pick), np.linspace(1, 2, 128).astype(np.float32))
    assert truth.floor(0)["y"][0] < 1e-6


def test_a_comparison_on_the_edge_may_fall_either_way_and_another_may_not():
    model = model_of(lambda x: ops.greater(ops.tanh(x), ops.tanh(ops.multiply(x, 1.0))))
    truth = truth_of(model, np.linspace(-2, 2, 128).astype(np.float32))
    right = truth.outputs[0]["y"]
    edge, far = right.copy(), right.copy()
    edge[3] = ~edge[3]
    assert "hang on rounding" in judge_accuracy(truth, [{"y": edge}], truth.reference)[0].note
    wide = model_of(lambda x: ops.greater(ops.tanh(x), 0.25))
    truth = truth_of(wide, np.linspace(-2, 2, 128).astype(np.float32))
    far = truth.outputs[0]["y"].copy()
    far[3] = ~far[3]
    assert judge_accuracy(truth, [{"y": far}], truth.reference)[0].verdict is Verdict.WRONG


def test_halves_that_are_rounded_do_not_move():
    """Which way a half goes is a matter of the op, not of noise."""
    model = model_of(lambda x: ops.round(ops.multiply(ops.floor(ops.multiply(x, 3.7)), 0.5)))
    truth = truth_of(model, np.linspace(-2, 2, 128).astype(np.float32))
    assert truth.floor(0)["y"] == truth.floor(0, float64=True)["y"] == (0.0, 0.0)


def test_which_numbers_are_short():
    from kxchange.validation.noise import is_short

    assert list(is_short(np.array([0.0, 3.0, 0.5, -96.0, 0.1, 2.0**-30, 1 + 2.0**-30]), 12)) == [1, 1, 1, 1, 0, 1, 0]
    assert list(is_short(np.array([1 + 2.0**-12, 1 + 2.0**-11, np.inf]), 12)) == [0, 1, 1]


def textbook_gelu(x, dtype, approximate):
    """As most kernels compute it: what is subtracted from 1 rounds at 1."""
    x, one = x.astype(dtype), dtype(1)
    if approximate == "none":
        gate = one + np.vectorize(math.erf)(x * math.sqrt(0.5)).astype(dtype)
    else:
        gate = one + np.tanh(dtype(math.sqrt(2 / math.pi)) * (x + dtype(0.044715) * x**3))
    return x * dtype(0.5) * gate


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("size", [2, 128])
@pytest.mark.parametrize("at", [-3.0, -5.0, -8.0, -12.0, -30.0])
def test_the_far_tail_of_a_kernel_is_no_fault_and_another_formula_is(approximate, size, at):
    x = (at * np.linspace(1.0, 1.05, size)).astype(np.float32)
    truth = truth_of(model_of(lambda x: ops.gelu(x, approximate=approximate), (size,)), x)
    narrow, wide = ([{"y": textbook_gelu(x, dtype, approximate)}] for dtype in (np.float32, np.float64))
    assert judge_accuracy(truth, narrow, truth.reference)[0].verdict is Verdict.SAME
    assert judge_function(truth, wide)[0].verdict is Verdict.SAME
    if at == -5.0:
        assert "round it off" in judge_accuracy(truth, narrow, truth.reference)[0].note
        other = textbook_gelu(x, np.float64, "tanh" if approximate == "none" else "none")
        assert judge_function(truth, [{"y": other}])[0].verdict is Verdict.WRONG
        assert judge_accuracy(truth, [{"y": other * 1.5 + 1e-5}], truth.reference)[0].verdict is Verdict.WRONG


def test_the_tails_inside_of_a_loop_count():
    """Gates of an LSTM that are almost shut: 1e-9 and what a kernel makes of it."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((8, 3), (8, 2))]
    bias = np.repeat(np.array([0.5, 0.5, 0.5, -20.0], np.float32), 2)
    entries = [Parameter(name, array) for name, array in zip("abc", (*weights, bias), strict=True)]
    x = placeholder("x", TensorType(DType.FLOAT32, (2, 5, 3)))
    y = ops.lstm(x, *(parameter(entry.name, entry.type) for entry in entries), gate_order="ifgo")[0]
    model = Model({"main": Function(Graph((x,), (y,)), ("y",))}, entries)
    truth = truth_of(model, rng.normal(size=(2, 5, 3)).astype(np.float32))
    exact = truth.outputs[0]["y"]
    assert 0 < np.abs(exact).max() < 1e-6
    near, far = exact + 2e-17, exact + 1e-11
    found = judge_function(truth, [{"y": near}])[0]
    assert found.verdict is Verdict.SAME and "round it off" in found.note
    assert judge_function(truth, [{"y": far}])[0].verdict is Verdict.WRONG
