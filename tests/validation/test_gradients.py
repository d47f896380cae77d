"""Vector-Jacobian products of backends: against hand-computed ones, against each other, and wrong ones found."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.converter import converter
from kxchange.dims import symbol
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter, Role
from kxchange.passes.retype import retype
from kxchange.types import DType, TensorType
from kxchange.validation.cases import make_cases
from kxchange.validation.gradients import compare_gradients, gradient_cases, judge_gradients
from kxchange.validation.job import GRADIENTS, Outcome, Result
from kxchange.validation.report import Row
from kxchange.validation.truth import Truth
from kxchange.validation.verdict import Verdict

BACKENDS = [pytest.param("torch", marks=pytest.mark.torch), pytest.param("jax", marks=pytest.mark.jax)]


def network():
    """``tanh(x w) (with a buffer added)`` and an integer output; a tied name; a parameter that nothing reads."""
    rng = np.random.default_rng(0)
    entries = [
        Parameter("a.w", rng.normal(size=(4, 3)).astype(np.float32)),
        Parameter("b", rng.normal(size=3).astype(np.float32), role=Role.BUFFER),
        Parameter("tied", np.zeros((4, 3), np.float32), alias_of="a.w"),
        Parameter("unread", np.ones(2, np.float32)),
    ]
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    y = ops.tanh(ops.add(ops.matmul(x, parameter("a.w", entries[0].type)), parameter("b", entries[1].type)))
    return Model({"main": Function(Graph((x,), (y, ops.argmax(y, axis=-1))), ("y", "label"))}, entries)


def by_hand(model, x, cotangent):
    w, b = (model.array(name).astype(np.float64) for name in ("a.w", "b"))
    inner = cotangent * (1 - np.tanh(x @ w + b) ** 2)
    return {"input x": inner @ w.T, "parameter a.w": x.T @ inner, "parameter unread": np.zeros(2)}


@pytest.mark.parametrize("backend", BACKENDS)
def test_products_are_those_computed_by_hand(backend):
    record = converter(backend)
    if record.missing:
        pytest.skip(f"needs {backend}")
    model = retype(network(), DType.FLOAT64)
    rng = np.random.default_rng(1)
    x, cotangent = rng.normal(size=(5, 4)), rng.normal(size=(5, 3))
    found = record.gradients(model)({"x": x}, {"y": cotangent})
    expected = by_hand(network(), x, cotangent)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.torch
@pytest.mark.jax
@pytest.mark.parametrize("processes", [False, True])
def test_validate_compares_gradients(processes):
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    report = kx.validate(network(), backends=["numpy", "torch", "jax"], cases=2, processes=processes, gradients=True)
    rows = {row.backend: row for row in report.rows}
    assert report.ok, report
    assert (rows["torch"].gradients, rows["jax"].gradients, rows["numpy"].gradients) == ("SAME", "SAME", None)
    assert "gradients" in str(report).splitlines()[0]


def judged(*gradients):
    model = network()
    truth = Truth(model, make_cases(model, count=1, seed=0))
    cases = gradient_cases(truth, 0)
    right = by_hand(model, cases[0]["x"], cases[0]["cotangent y"])
    rows = [Row(f"backend{number}") for number in range(len(gradients))]
    results = {
        row.backend: Result({GRADIENTS: Outcome([change(dict(right))])})
        for row, change in zip(rows, gradients, strict=True)
    }
    judge_gradients(rows, results, truth, cases)
    return rows


def scaled(name, factor):
    return lambda gradients: gradients | {name: gradients[name] * factor}


def test_differences_of_the_reference_say_who_is_wrong():
    right, wrong = judged(dict, scaled("parameter a.w", 1.01))
    assert (right.gradients, wrong.gradients) == (Verdict.SAME, Verdict.WRONG)
    assert "'parameter a.w'" in " ".join(wrong.notes)


def test_one_backend_alone_is_held_against_differences():
    assert judged(dict)[0].gradients is Verdict.SAME
    assert judged(scaled("input x", 0.999))[0].gradients is Verdict.WRONG


def test_limits():
    one = [{"a": np.array([1.0, 0.0]), "b": np.array([1e-12])}]
    assert compare_gradients(one, [{"a": np.array([1.0, 5e-11]), "b": np.array([0.0])}]) == ""
    assert "'a' differs by 2.0e-10" in compare_gradients(one, [{"a": np.array([1.0, 2e-10]), "b": np.array([0.0])}])
    assert "inf" in compare_gradients(one, [{"a": np.array([np.nan, 0.0]), "b": np.array([0.0])}])
    assert "other tensors: b" in compare_gradients(one, [{"a": np.array([1.0, 0.0])}])


def test_optimizers_by_hand():
    from kxchange.validation.training import adam, adamw, sgd

    x, g = np.array([1.0, -2.0]), np.array([0.5, 0.0])
    np.testing.assert_allclose(sgd(x, g, 1, {}), [0.995, -2.0])
    np.testing.assert_allclose(adam(x, g, 1, {}), [1 - 1e-2 * 0.5 / (0.5 + 1e-8), -2.0], rtol=1e-14)
    np.testing.assert_allclose(adamw(x, g, 1, {})[1], -2.0 * (1 - 1e-4), rtol=1e-14)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_the_rules_are_those_of_torch(name):
    torch = pytest.importorskip("torch")
    from kxchange.validation.training import OPTIMIZERS

    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5), rng.normal(size=(20, 5))
    tensor = torch.tensor(start, requires_grad=True)
    options = {"weight_decay": 1e-2} if name == "adamw" else {}
    own = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name](
        [tensor], lr=1e-2, **options
    )
    mine, state = start, {}
    for step, gradient in enumerate(gradients, 1):
        tensor.grad = torch.tensor(gradient)
        own.step()
        mine = OPTIMIZERS[name](mine, gradient, step, state)
    np.testing.assert_allclose(mine, tensor.detach().numpy(), rtol=1e-12)


@pytest.mark.torch
@pytest.mark.jax
def test_training_goes_the_same_way():
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    backends = ["numpy", "torch", "jax"]
    report = kx.validate(network(), backends=backends, cases=1, processes=False, train_steps=3, optimizer="adam")
    rows = {row.backend: row for row in report.rows}
    assert report.ok, report
    assert (rows["torch"].training, rows["jax"].training, rows["numpy"].training) == ("SAME", "SAME", None)
    assert "epsilon" in " ".join(rows["torch"].notes)


def test_a_backend_that_trains_elsewhere_is_found():
    from kxchange.validation.job import TRAINING
    from kxchange.validation.training import judge_training, train

    model = retype(network(), DType.FLOAT64)
    case = gradient_cases(Truth(model, make_cases(model, count=1, seed=0)), 0)[0]

    def right(current):
        return lambda inputs, given: by_hand(current, inputs["x"], given["y"])

    def stale(current):
        """Forgets that the weights have moved: its first step is right."""
        return lambda inputs, given: by_hand(model, inputs["x"], given["y"])

    results = {
        name: Result({TRAINING: Outcome([train(model, gradients, "sgd", 3)(case)])})
        for name, gradients in (("a", right), ("b", right), ("c", stale))
    }
    rows = [Row(name) for name in results]
    judge_training(rows, results, model, {"optimizer": "sgd"})
    assert [row.training for row in rows] == ["SAME", "SAME", "SUSPECT"]
    assert "ends elsewhere: 'parameter a.w'" in " ".join(rows[2].notes)
