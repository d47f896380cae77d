"""Every kind of output has its verdict: NaN, infinities, empty, scalar, integer, bool, complex, 16-bit floats."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from kxchange import ops
from kxchange.graph import Graph, placeholder
from kxchange.model import Function, Model
from kxchange.types import DType, TensorType
from kxchange.validation.cases import make_cases
from kxchange.validation.judge import judge_accuracy, judge_function
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict

NAN, INF = np.nan, np.inf
RAMP = np.linspace(-2, 2, 128)


def truth_of(compute, x, dtype=DType.FLOAT32):
    value = placeholder("x", TensorType(dtype, x.shape))
    model = Model({"main": Function(Graph((value,), (compute(value),)), ("y",))})
    cases = make_cases(model, count=1, seed=0)
    cases[0].inputs["x"] = x.astype(dtype.numpy)
    return Truth(model, cases)


def edited(array, index, value):
    array = array.copy()
    array[index] = value
    return array


KINDS = {
    "nan": (ops.log, RAMP, DType.FLOAT32, [(0, 1.0), (0, INF), (100, NAN)]),
    "infinity": (ops.exp, RAMP * 1e3, DType.FLOAT32, [(-1, 3e38), (-1, -INF), (-1, NAN), (0, INF)]),
    "integer": (lambda x: ops.astype(ops.multiply(x, 3.3), dtype=DType.INT32), RAMP, DType.FLOAT32, [(7, 55)]),
    "bool": (lambda x: ops.greater(x, 0.0), RAMP, DType.FLOAT32, [(7, True)]),
    "complex": (lambda x: ops.multiply(x, x), RAMP + 1j * RAMP[::-1], DType.COMPLEX64, [(7, 1 + 1j), (7, NAN)]),
    "zero": (lambda x: ops.multiply(x, 0.0), RAMP, DType.FLOAT32, [(7, 1e-3)]),
    "float16": (ops.tanh, RAMP, DType.FLOAT16, [(7, 0.5), (7, NAN)]),
    "bfloat16": (ops.tanh, RAMP, DType.BFLOAT16, [(7, 0.5), (7, NAN)]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_right_passes_and_one_wrong_element_does_not(kind):
    compute, x, dtype, faults = KINDS[kind]
    truth = truth_of(compute, x, dtype)
    native, wide = truth.reference[0]["y"], truth.outputs[0]["y"]
    assert judge_accuracy(truth, [{"y": native}], truth.reference)[0].verdict is Verdict.SAME
    assert judge_function(truth, [{"y": wide}])[0].verdict is Verdict.SAME
    for index, value in faults:
        if dtype is DType.FLOAT32 and kind == "infinity" and value == 3e38:
            continue  # float64 has no infinity there, and the source's own float32 has
        found = [{"y": edited(native, index, value)}]
        assert judge_accuracy(truth, found, truth.reference)[0].verdict is Verdict.WRONG, (index, value)
        found = [{"y": edited(wide, index, value)}]
        assert judge_function(truth, found)[0].verdict is Verdict.WRONG, (index, value)


@pytest.mark.parametrize("shape", [(0, 3), ()], ids=["empty", "scalar"])
def test_empty_and_scalar(shape):
    truth = truth_of(ops.tanh, np.full(shape, 0.7))
    native, wide = truth.reference[0]["y"], truth.outputs[0]["y"]
    assert judge_accuracy(truth, [{"y": native}], truth.reference)[0].verdict is Verdict.SAME
    assert judge_function(truth, [{"y": wide}])[0].verdict is Verdict.SAME
    for wrong in (np.zeros((1, *shape)), np.full(shape, 0.5)):
        if wrong.size == 0:
            continue
        assert judge_function(truth, [{"y": wrong}])[0].verdict is Verdict.WRONG
        found = judge_accuracy(truth, [{"y": wrong.astype(np.float32)}], truth.reference)[0]
        assert found.verdict is Verdict.WRONG


def test_a_missing_output_and_another_type_are_wrong():
    truth = truth_of(ops.tanh, RAMP)
    assert judge_function(truth, [{}])[0].verdict is Verdict.WRONG
    whole = [{"y": truth.outputs[0]["y"].astype(np.int64)}]
    assert judge_function(truth, whole)[0].verdict is Verdict.WRONG
    assert judge_accuracy(truth, whole, truth.reference)[0].verdict is Verdict.WRONG


def test_what_overflows_in_the_source_too_is_said_and_not_failed():
    truth = truth_of(ops.exp, RAMP * 100)
    native = truth.reference[0]["y"]
    assert np.isinf(native).any()
    assert np.isfinite(truth.outputs[0]["y"]).all()
    found = judge_accuracy(truth, [{"y": native}], truth.reference)[0]
    assert found.verdict is Verdict.SAME
    assert "source-unstable" in found.note
    assert judge_accuracy(truth, [{"y": np.minimum(native, 1e30)}], truth.reference)[0].verdict is Verdict.WRONG


def test_a_nan_never_passes_for_a_number_in_any_float():
    for dtype in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16):
        truth = truth_of(ops.tanh, RAMP, DType.of(np.dtype(dtype)))
        broken = [{"y": np.full(128, NAN, dtype)}]
        assert judge_accuracy(truth, broken, truth.reference)[0].verdict is Verdict.WRONG
