"""Random graphs over the op table agree on every backend: a few in every run, a hundred behind `slow`."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import kxchange as kx
from kxchange.converter import converter
from kxchange.spec import REGISTRY
from kxchange.testing.random_models import random_model, usable
from kxchange.testing.samples import all_samples

STEPS = 8
BACKENDS = [
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("onnx", marks=pytest.mark.onnx),
    pytest.param("jax", marks=pytest.mark.jax),
    pytest.param("tensorflow", marks=pytest.mark.tensorflow),
]


@cache
def samples(backend):
    record = converter(backend)
    if record.missing:
        pytest.skip(f"{backend} is not installed")
    takes = [(backend, record.verb("supports_verb"))]
    return [sample for family in all_samples().values() for sample in family if usable(sample, takes)]


def agrees(backend, data):
    model, applied = random_model(lambda n: data.draw(st.integers(0, n - 1)), samples(backend), STEPS)
    report = kx.validate(model, backends=[backend], processes=False, cases=3)
    assert report.rows[0].verdict in ("SAME", "UNVERIFIED"), f"{applied}\n{report}"


def run(backend, examples):
    checks = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    checks(given(data=st.data())(lambda data: agrees(backend, data)))()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_few_random_models_agree(backend):
    run(backend, 3)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hundred_random_models_agree(backend):
    run(backend, 100)


@pytest.mark.torch
def test_the_generator_reaches_the_op_table():
    ops = {sample.op for sample in samples("torch")}
    assert len(ops) > 0.85 * len(REGISTRY)
