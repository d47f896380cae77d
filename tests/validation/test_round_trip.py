"""There and back: what comes back is the same model, and what does not is said."""

from __future__ import annotations

import numpy as np
import pytest

from kxchange import ops
from kxchange.dims import symbol
from kxchange.errors import KxchangeError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation import round_trip as trips
from kxchange.validation.round_trip import nest_arguments, round_trip


def network():
    rng = np.random.default_rng(0)
    entries = [
        Parameter("block.weight", rng.normal(size=(6, 4)).astype(np.float32)),
        Parameter("block.bias", rng.normal(size=6).astype(np.float32)),
        Parameter("norm.scale", rng.normal(size=6).astype(np.float32)),
    ]
    weight, bias, scale = (parameter(entry.name, entry.type) for entry in entries)
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), symbol("seq"), 4)))
    hidden = ops.layer_norm(ops.gelu(ops.linear(x, weight, bias)), scale, axes=1, epsilon=1e-6)
    return Model({"main": Function(Graph((x,), (hidden,)), ("y",))}, entries)


@pytest.mark.parametrize(
    "backend", [pytest.param("torch", marks=pytest.mark.torch), pytest.param("onnx", marks=pytest.mark.onnx)]
)
def test_through_a_backend_and_back(backend):
    pytest.importorskip(backend)
    report = round_trip(network(), backends=[backend], cases=3)
    assert report.ok, report
    assert report.rows[0].backend == f"through {backend}"
    assert report.rows[0].weights == "SAME"


@pytest.mark.torch
def test_what_comes_back_changed_is_wrong(monkeypatch):
    pytest.importorskip("torch")
    right = trips.there_and_back

    def changed(model, backend):
        back = right(model, backend)
        bias = back.parameters["block.bias"]
        back.parameters["block.bias"] = bias.replace(data=bias.array + np.float32(1e-6))
        return back

    monkeypatch.setattr(trips, "there_and_back", changed)
    row = round_trip(network(), backends=["torch"], cases=2).rows[0]
    assert (row.weights, row.function) == ("WRONG", "WRONG")
    assert "'block.bias'" in " ".join(row.notes)


def test_a_backend_without_a_way_back_says_so():
    row = round_trip(network(), backends=["numpy"], cases=1).rows[0]
    assert row.verdict == "UNVERIFIED"
    assert "no way back" in " ".join(row.notes)


def test_arguments_nest():
    assert nest_arguments({"a": 1, "past.0.0": 2, "past.0.1": 3, "d.key": 4}) == {
        "a": 1,
        "past": ((2, 3),),
        "d": {"key": 4},
    }


def test_the_matrix_goes_on_through_every_second_backend(monkeypatch):
    """Each backend marks what passes through it; a second one that spoils the weights is found in its rows only."""

    def marked(model, backend):
        if backend.name == "torch":
            return model
        if backend.name == "jax":
            bias = model.parameters["block.bias"]
            return model.replace(parameters={**model.parameters, bias.name: bias.replace(data=bias.array + 1)})
        raise KxchangeError("no way")

    monkeypatch.setattr(trips, "there_and_back", marked)
    report = round_trip(network(), backends=["torch", "jax", "onnx"], cases=1, matrix=True)
    verdicts = {row.backend: row.weights for row in report.rows}
    assert len(verdicts) == 9
    assert verdicts["through torch"] == "SAME"
    assert verdicts["through torch, then jax"] == verdicts["through jax, then torch"] == "WRONG"
    assert verdicts["through onnx, then torch"] == verdicts["through torch, then onnx"] == "UNVERIFIED"
