"""Variants of backends as rows of their own, and processes within the memory there is."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

import kxchange as kx
from kxchange import converter as records
from kxchange import ops
from kxchange.converter import Converter, Variant
from kxchange.errors import InputError
from kxchange.graph import Graph, placeholder
from kxchange.model import Function, Model
from kxchange.types import DType, TensorType
from kxchange.validation.processes import workers_at_once
from kxchange.validation.targets import choose_targets


def model():
    x = placeholder("x", TensorType(DType.FLOAT32, (3, 8)))
    return Model({"main": Function(Graph((x,), (ops.tanh(x),)), ("y",))})


@pytest.fixture
def two_ways(monkeypatch):
    """NumPy in two ways: one wants a variable in the environment of its process."""
    record = records.converters()["numpy"]
    ways = (Variant(), Variant("tuned", options={"budget": 10**6}, environment={"KX_TEST_WAY": "tuned"}))
    fields = {name: getattr(record, name) for name in record.__slots__}
    monkeypatch.setitem(records.converters(), "numpy", Converter(**{**fields, "variants": ways}))


def test_a_name_is_the_first_variant_and_all_are_all(two_ways):
    assert [target.label for target in choose_targets("numpy")] == ["numpy"]
    assert [target.label for target in choose_targets(["numpy:tuned"])] == ["numpy:tuned"]
    assert [target.label for target in choose_targets("all")][0] == "numpy:tuned"
    assert [target.label for target in choose_targets("all", processes=False)][0] == "numpy"
    with pytest.raises(InputError, match="no variant 'fast'; it has numpy, numpy:tuned"):
        choose_targets("numpy:fast")


def test_a_variant_that_lacks_a_package_is_left_out(monkeypatch):
    record = records.converters()["numpy"]
    fields = {name: getattr(record, name) for name in record.__slots__}
    ways = (Variant(), Variant("other", requires=("no_such_package",)))
    monkeypatch.setitem(records.converters(), "numpy", Converter(**{**fields, "variants": ways}))
    assert "numpy:other" not in [target.label for target in choose_targets("all")]


def test_a_variant_gets_its_environment(two_ways, tmp_path):
    """The worker runs under an interpreter that refuses to start without the variable."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\n[ "$KX_TEST_WAY" = tuned ] || exit 3\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    pythons = {"numpy": str(script)}
    assert kx.validate(model(), backends=["numpy:tuned"], cases=1, pythons=pythons).ok
    plain = kx.validate(model(), backends=["numpy"], cases=1, pythons=pythons).rows[0]
    assert "exit code 3" in plain.notes[0]


def test_a_variant_with_an_environment_needs_a_process(two_ways, monkeypatch):
    report = kx.validate(model(), backends=["numpy", "numpy:tuned"], cases=1, processes=False)
    assert [row.verdict for row in report.rows] == ["SAME", "UNVERIFIED"]
    assert "process of its own" in report.rows[1].notes[0]
    monkeypatch.setitem(os.environ, "KX_TEST_WAY", "tuned")
    assert kx.validate(model(), backends=["numpy", "numpy:tuned"], cases=1, processes=False).ok


@pytest.mark.onnx
def test_onnx_runtime_runs_with_and_without_its_optimizations():
    pytest.importorskip("onnxruntime")
    report = kx.validate(model(), backends=["onnx", "onnx:unoptimized"], cases=2, processes=False)
    assert [row.backend for row in report.rows] == ["onnx", "onnx:unoptimized"]
    assert report.ok, report


def test_workers_side_by_side_fit_the_memory():
    cores = max(1, min(4, os.cpu_count() or 1))
    assert workers_at_once(0, None) == cores
    assert workers_at_once(0, 2**40) == cores
    assert workers_at_once(2**33, 2**34) == 1
    assert workers_at_once(0, 2**30) == 1


def test_an_interpreter_for_one_row_or_for_a_backend(two_ways):
    missing = {"numpy:tuned": "no-such-python"}
    report = kx.validate(model(), backends=["numpy", "numpy:tuned"], cases=1, pythons=missing)
    assert [row.verdict for row in report.rows] == ["SAME", "UNVERIFIED"]
    assert np.all(["cannot start" in note for note in report.rows[1].notes])


def test_keras_has_a_row_for_each_of_its_backends():
    ways = {variant.name: dict(variant.environment) for variant in records.converters()["keras"].variants}
    assert ways.pop("") == {}
    assert ways == {name: {"KERAS_BACKEND": name} for name in ("tensorflow", "jax", "torch")}
