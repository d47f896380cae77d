import json

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.constraints import Constraint
from kxchange.dims import symbol
from kxchange.errors import InputError, KxchangeError, MismatchError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation.against import validate_against
from kxchange.validation.cases import feasible_sizes, make_cases
from kxchange.validation.verdict import Verdict

rng = np.random.default_rng(3)


def classifier(*, epsilon=1e-5, weight=None, constraints=()):
    batch, seq = symbol("batch"), symbol("seq")
    weight = rng.normal(size=(16, 16)).astype(np.float32) if weight is None else weight
    table = np.linspace(-2, 2, 11 * 16, dtype=np.float32).reshape(11, 16)
    entries = [Parameter("table", table), Parameter("weight", weight)]
    ids = placeholder("ids", TensorType(DType.INT64, (batch, seq)))
    hidden = ops.embedding(parameter("table", entries[0].type), ids)
    hidden = ops.layer_norm(hidden, axes=1, epsilon=epsilon)
    logits = ops.linear(hidden, parameter("weight", entries[1].type))
    graph = Graph((ids,), (logits, ops.argmax(logits, axis=-1)))
    return Model({"main": Function(graph, ("logits", "label"))}, entries, constraints=constraints)


WEIGHT = rng.normal(size=(16, 16)).astype(np.float32)


def test_a_model_is_itself():
    report = validate_against(classifier(weight=WEIGHT), classifier(weight=WEIGHT))
    assert report.ok, report


@pytest.mark.parametrize("epsilon", [1e-5 + 1e-10, 1e-6, 1e-3])
def test_any_other_epsilon_is_wrong(epsilon):
    report = validate_against(classifier(weight=WEIGHT), classifier(weight=WEIGHT, epsilon=epsilon))
    assert report.rows[0].function is Verdict.WRONG
    assert report.rows[0].weights is Verdict.SAME
    with pytest.raises(MismatchError, match="WRONG"):
        report.raise_if_failed()


def test_a_weight_that_no_output_shows_is_found():
    unseen = classifier(weight=WEIGHT)
    unseen.parameters["extra"] = Parameter("extra", np.zeros(3, np.float32))
    edited = classifier(weight=WEIGHT)
    edited.parameters["extra"] = Parameter("extra", np.array([0, 0, 1e-30], np.float32))
    row = validate_against(unseen, edited).rows[0]
    assert (row.weights, row.function, row.accuracy) == (Verdict.WRONG, Verdict.SAME, Verdict.SAME)
    assert "extra" in row.notes[0]


def test_token_ids_stay_inside_the_vocabulary():
    cases = make_cases(classifier(), count=8, seed=0)
    ids = np.concatenate([case.inputs["ids"].reshape(-1) for case in cases])
    assert ids.min() >= 0
    assert 2 < ids.max() <= 10


def test_sizes_vary_and_keep_the_constraints():
    sizes = feasible_sizes(classifier(), classifier().main)
    assert {s["batch"] for s in sizes} == {1, 2, 3, 7}
    bounded = classifier(constraints=[Constraint("at_least", 5, symbol("seq"), "positions")])
    assert all(size["seq"] <= 5 for size in feasible_sizes(bounded, bounded.main))


def test_same_seed_same_report():
    model = classifier(weight=WEIGHT)
    first = kx.validate(model, backends=["numpy"], processes=False, seed=4).to_json(timings=False)
    second = kx.validate(model, backends=["numpy"], processes=False, seed=4).to_json(timings=False)
    assert first == second
    assert json.loads(first)["rows"][0]["verdict"] == "SAME"


def test_a_worker_process_gives_the_same_verdict():
    report = kx.validate(classifier(weight=WEIGHT), backends=["numpy"], cases=2)
    assert report.ok, report


def test_a_missing_environment_costs_one_row():
    report = kx.validate(classifier(), backends=["numpy"], cases=1, pythons={"numpy": "no-such-python-anywhere"})
    assert report.verdicts == {"numpy": Verdict.UNVERIFIED}
    assert not report.ok
    assert "cannot start" in report.rows[0].notes[0]


def test_unknown_backends_are_named():
    with pytest.raises(KxchangeError, match="unknown converter 'nunpy'.*Did you mean 'numpy'"):
        kx.validate(classifier(), backends=["nunpy"])


def test_other_inputs_cannot_be_compared():
    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    other = Model({"main": Function(Graph((x,), (ops.exp(x),)), ("y",))})
    with pytest.raises(InputError, match="one takes ids, the other x"):
        validate_against(classifier(), other)


def test_argmax_ties_within_noise_pass_and_real_flips_do_not():
    from kxchange.validation.judge import judge_accuracy
    from kxchange.validation.truth import Truth

    x = placeholder("x", TensorType(DType.FLOAT32, (1, 3)))
    model = Model({"main": Function(Graph((x,), (ops.argmax(x, axis=-1),)), ("label",))})
    cases = make_cases(model, count=1, seed=0)
    cases[0].inputs["x"] = np.array([[1.0, 1.0 + 1e-7, -1.0]], np.float32)
    truth = Truth(model, cases)
    judged = {label: judge_accuracy(truth, [{"label": np.array([label])}], truth.reference)[0] for label in (0, 1, 2)}
    assert judged[0].verdict is Verdict.SAME
    assert "tie-within-noise" in judged[0].note
    assert judged[1].note == ""
    assert judged[2].verdict is Verdict.WRONG
