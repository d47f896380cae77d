"""The same seed gives the same report, byte for byte apart from timings, on every backend."""

from __future__ import annotations

import pytest
from validation import defects

import kxchange as kx

BACKENDS = [
    pytest.param("numpy"),
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("onnx", marks=pytest.mark.onnx),
    pytest.param("jax", marks=pytest.mark.jax),
    pytest.param("tensorflow", marks=pytest.mark.tensorflow),
    pytest.param("keras", marks=pytest.mark.keras),
]


def report(backend, seed):
    model = defects.network("average pool counts its padding", faulty=False)
    return kx.validate(model, backends=[backend], seed=seed, cases=3, processes=False)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_gives_the_same_report(backend):
    first, again = (report(backend, 4) for _ in range(2))
    assert first.rows[0].ran, first
    assert first.to_json(timings=False) == again.to_json(timings=False)
    assert str(first) == str(again)
    assert first.to_json(timings=False) != report(backend, 5).to_json(timings=False)


def test_a_report_with_a_place_is_repeated_too():
    from kxchange.validation.against import validate_against

    right, wrong = (defects.network("gelu erf -> tanh", faulty=faulty) for faulty in (False, True))
    first, again = (validate_against(right, wrong, cases=3, seed=2) for _ in range(2))
    assert first.rows[0].place is not None
    assert first.to_json(timings=False) == again.to_json(timings=False)
