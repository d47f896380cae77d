"""A matrix that is singular to working precision: named, neither WRONG nor silently SAME."""

from __future__ import annotations

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

SIZE = 6
RNG = np.random.default_rng(0)
FRAME = np.linalg.qr(RNG.normal(size=(SIZE, SIZE)))[0]
MATRICES = {
    "zeros": np.zeros((SIZE, SIZE)),
    "whole numbers": np.arange(SIZE * SIZE, dtype=float).reshape(SIZE, SIZE),
    "rank one": np.outer(RNG.normal(size=SIZE), RNG.normal(size=SIZE)),
}
SOLVES = {
    "inv": ops.inv,
    "solve": lambda x: ops.solve(x, ops.full(shape=(SIZE, 1), value=1.0, dtype=DType.FLOAT32)),
    "slogdet": lambda x: ops.slogdet(x)[1],
    "triangular": lambda x: ops.solve_triangular(ops.triu(x), ops.full(shape=(SIZE, 1), value=1.0, dtype=DType.FLOAT32), upper=True),
}  # fmt: skip


def truth_of(compute, *matrices):
    value = placeholder("x", TensorType(DType.FLOAT32, (SIZE, SIZE)))
    model = Model({"main": Function(Graph((value,), (compute(value),)), ("y",))})
    cases = make_cases(model, count=len(matrices), seed=0)
    for case, matrix in zip(cases, matrices, strict=True):
        case.inputs["x"] = matrix.astype(np.float32)
    return Truth(model, cases)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("matrix", MATRICES)
def test_what_a_backend_makes_of_a_singular_matrix_is_not_verified(solve, matrix):
    if (solve, matrix) == ("triangular", "rank one"):
        matrix = "zeros"
    truth = truth_of(SOLVES[solve], MATRICES[matrix])
    for garbage in (np.nan, np.inf, 1e30):
        wild = np.full(truth.outputs[0]["y"].shape, garbage)
        wild.flat[1:2] = -np.inf
        found = judge_accuracy(truth, [{"y": wild.astype(np.float32)}], truth.reference)[0]
        assert found.verdict is Verdict.UNVERIFIED
        assert "ill-conditioned: solve" in found.note or "singular to working precision" in found.note
    if matrix != "rank one":
        assert judge_function(truth, [{"y": wild}])[0].verdict is Verdict.UNVERIFIED


def test_a_regular_matrix_excuses_nothing():
    regular = FRAME @ np.diag([1, 2, 3, 4, 5, 1e-2]) @ FRAME.T
    truth = truth_of(ops.inv, regular)
    for edit in (np.nan, np.inf, 0.0):
        found = truth.outputs[0]["y"].copy()
        found[2, 3] = edit
        assert judge_function(truth, [{"y": found}])[0].verdict is Verdict.WRONG
        narrow = [{"y": found.astype(np.float32)}]
        assert judge_accuracy(truth, narrow, truth.reference)[0].verdict is Verdict.WRONG


def test_a_fault_in_another_case_still_counts():
    truth = truth_of(ops.inv, MATRICES["zeros"], FRAME)
    right = [case["y"] for case in truth.outputs]
    wild = np.full((SIZE, SIZE), np.inf)
    found = judge_function(truth, [{"y": wild}, {"y": right[1]}])[0]
    assert found.verdict is Verdict.SAME
    assert found.left_out == 1
    assert "singular" in found.note
    assert judge_function(truth, [{"y": wild}, {"y": right[1] * 1.01}])[0].verdict is Verdict.WRONG


def test_a_solution_of_few_right_digits_says_so():
    truth = truth_of(ops.inv, FRAME @ np.diag([1, 1, 1, 1, 1, 3e-5]) @ FRAME.T)
    native = truth.reference[0]["y"]
    found = judge_accuracy(truth, [{"y": native * np.float32(1 + 5e-4)}], [{"y": native * np.float32(1 - 1e-3)}])[0]
    assert found.verdict is Verdict.SAME
    found = judge_accuracy(truth, [{"y": native * np.float32(1.01)}], [{"y": native * np.float32(0.99)}])[0]
    assert found.verdict is Verdict.SAME
    assert "ill-conditioned" in found.note
