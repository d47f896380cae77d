"""Inputs by role, inputs of the user's own, and what a set of inputs cannot show."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.errors import InputError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation.cases import make_cases, read_samples
from kxchange.validation.coverage import measure_coverage
from kxchange.validation.truth import Truth


def network(**dtypes):
    """``tanh(x w) * 0 + const``-like parts: one weight matters, one is multiplied by zero, one is never read."""
    rng = np.random.default_rng(0)
    entries = [
        Parameter(name, rng.normal(size=(4, 3)).astype(np.float32)) for name in ("matters", "silenced", "unread")
    ]
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    seen, silent = (ops.tanh(ops.matmul(x, parameter(e.name, e.type))) for e in entries[:2])
    outputs = (ops.add(seen, ops.multiply(silent, 0.0)), ops.multiply(silent, 0.0))
    return Model({"main": Function(Graph((x,), outputs), ("y", "nothing"))}, entries)


def test_parameters_and_outputs_that_nothing_shows_are_named():
    model = network()
    found = measure_coverage(Truth(model, make_cases(model, count=3, seed=0)))
    assert found.unseen == ["silenced", "unread"]
    assert found.parameters == pytest.approx(1 / 3)
    assert found.constant_outputs == ["nothing"]
    assert 0 < found.ops < 1
    report = kx.validate(model, backends=["numpy"], processes=False, cases=2)
    assert "33% of the parameters" in str(report)
    assert "'silenced', 'unread'" in str(report)
    assert "'nothing'" in str(report)


def test_samples_of_the_users_own(tmp_path):
    model = network()
    rng = np.random.default_rng(5)
    np.savez(tmp_path / "one.npz", x=rng.normal(size=(5, 4)).astype(np.float32))
    np.savez(tmp_path / "two.npz", **{f"{n}/x": np.full((n + 1, 4), n, np.float32) for n in (0, 1, 10)})
    one, several = read_samples(tmp_path / "one.npz"), read_samples(tmp_path / "two.npz")
    assert [case["x"].shape for case in one + several] == [(5, 4), (1, 4), (2, 4), (11, 4)]
    report = kx.validate(model, backends=["numpy"], processes=False, cases=1, inputs=one + several)
    assert report.cases[:4] == [f"given sample {n}" for n in range(4)]
    assert report.ok


def test_samples_that_do_not_fit_are_refused(tmp_path):
    for bad, words in (({"z": np.zeros(3)}, "no input 'x'"), ({"x": np.zeros((2, 4))}, "as float64")):
        with pytest.raises(InputError, match=words):
            kx.validate(network(), backends=["numpy"], processes=False, inputs=[bad])
    (tmp_path / "bad.npz").write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="cannot read"):
        read_samples(tmp_path / "bad.npz")
    np.savez(tmp_path / "object.npz", x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="cannot read"):
        read_samples(tmp_path / "object.npz")


def test_masks_are_mostly_on_and_bytes_of_images_use_their_range():
    shape = (symbol("batch"), 16, 16, 3)
    image = placeholder("image", TensorType(DType.UINT8, shape))
    mask = placeholder("mask", TensorType(DType.INT64, (symbol("batch"), 16)))
    outputs = (
        ops.multiply(ops.astype(image, dtype=DType.FLOAT32), 1 / 255),
        ops.multiply(ops.astype(mask, dtype=DType.FLOAT32), -1e4),
    )
    model = Model({"main": Function(Graph((image, mask), outputs), ("a", "b"))})
    cases = make_cases(model, count=4, seed=0)
    pixels = np.concatenate([case.inputs["image"].reshape(-1) for case in cases])
    flags = np.concatenate([case.inputs["mask"].reshape(-1) for case in cases])
    assert pixels.max() > 250
    assert pixels.min() < 5
    assert set(flags) == {0, 1}
    assert 0.6 < flags.mean() < 0.95


def test_a_dim_that_is_empty_at_every_size_does_not_stop_the_cases() -> None:
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 4)))
    chunks = ops.full(shape=(symbol("batch") // 10**6, 4), value=1, dtype=DType.FLOAT32)
    graph = Graph((x,), (ops.concat(x, chunks, axis=0),))
    model = Model({"main": Function(graph, ("y",))})
    assert all(case.inputs["x"].shape == (case.dims["batch"], 4) for case in make_cases(model, count=2, seed=0))
