"""Every sample of every op, lowered to Keras: against the NumPy reference, with symbolic sizes, and its gradients."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import pytest

pytest.importorskip("keras")

import kxchange_keras  # noqa: E402
from kxchange import ops  # noqa: E402, F401
from kxchange.model import Model  # noqa: E402
from kxchange.testing.backends import Case, cases, check_backend_case, gap, load_gaps, varying_gaps  # noqa: E402
from kxchange.testing.gradients import check_gradient, differentiable  # noqa: E402
from kxchange.types import DType  # noqa: E402
from kxchange_keras.gradients import gradients  # noqa: E402
from kxchange_keras.prepare import prepare  # noqa: E402

pytestmark = pytest.mark.keras

FILE = Path(kxchange_keras.__file__).parent / "gaps.toml"
GAPS = load_gaps(FILE)
VARYING = varying_gaps(FILE)
FLOATS = (DType.FLOAT64, DType.FLOAT32)


def marked(case: Case) -> object:
    reason = gap(GAPS, case)
    strict = str(case) not in VARYING
    return pytest.param(case, marks=pytest.mark.xfail(reason=reason, strict=strict)) if reason else case


@pytest.mark.parametrize("case", [marked(case) for case in cases(FLOATS)], ids=str)
def test_sample(case: Case) -> None:
    check_backend_case(prepare, case)


def test_every_gap_names_a_case() -> None:
    unused = [pattern for pattern in GAPS if not any(gap({pattern: "why"}, case) for case in cases(FLOATS))]
    assert not unused


def by_keras(model: Model, inputs: Mapping[str, Any], weights: list[Any], names: list[str]) -> Any:
    """Gradients by Keras."""
    labels = zip(model.output_names, weights, strict=True)
    found = gradients(model)(inputs, {name: w for name, w in labels if w is not None})
    return {name: found[f"input {name}"] for name in names}


@pytest.mark.slow
@pytest.mark.parametrize("case", list(differentiable()), ids=str)
def test_gradient(case: Case, request: pytest.FixtureRequest) -> None:
    if reason := gap(GAPS, case):  # some cases have no gradient to ask for, and pass
        request.applymarker(pytest.mark.xfail(reason=reason, strict=False))
    check_gradient(case, by_keras)
