"""Every sample of every op, lowered to JAX: against the NumPy reference, with symbolic sizes, and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402
from jax import export  # noqa: E402

import kxchange_jax  # noqa: E402
from kxchange import ops  # noqa: E402, F401
from kxchange.model import Model  # noqa: E402
from kxchange.spec import REGISTRY  # noqa: E402
from kxchange.testing.backends import (  # noqa: E402
    Case,
    cases,
    check_backend_case,
    gap,
    load_gaps,
    sample_inputs,
    sample_model,
)
from kxchange.testing.conformance import compare, reference_results  # noqa: E402
from kxchange.testing.gradients import Loss, check_gradient, differentiable  # noqa: E402
from kxchange.types import DType  # noqa: E402
from kxchange_jax.build import build  # noqa: E402
from kxchange_jax.checking import data_sized  # noqa: E402
from kxchange_jax.dims_out import symbolic_inputs  # noqa: E402
from kxchange_jax.lower import supports  # noqa: E402
from kxchange_jax.prepare import prepare  # noqa: E402
from kxchange_jax.private import wide_integers  # noqa: E402

pytestmark = pytest.mark.jax

GAPS = load_gaps(Path(kxchange_jax.__file__).parent / "gaps.toml")
FLOATS = (DType.FLOAT64, DType.FLOAT32)


def marked(case: Case) -> object:
    reason = gap(GAPS, case)
    return pytest.param(case, marks=pytest.mark.xfail(reason=reason, strict=True)) if reason else case


@pytest.mark.parametrize("case", [marked(case) for case in cases(FLOATS)], ids=str)
def test_sample(case: Case) -> None:
    check_backend_case(prepare, case)


def test_every_gap_names_a_case() -> None:
    names = [str(case) for case in cases(FLOATS)]
    unused = [pattern for pattern in GAPS if not any(gap({pattern: "why"}, case) for case in cases(FLOATS))]
    assert names and not unused


SYMBOLIC = [case for case in cases((DType.FLOAT64,)) if case.symbolic]


@pytest.mark.parametrize("case", SYMBOLIC, ids=str)
def test_exported_once_for_all_sizes(case: Case) -> None:
    model = sample_model(case.sample, symbolic=True)
    if data_sized(model.main):
        pytest.skip("the size of the result depends on the data")
    built = build(model, check=False)
    with wide_integers():
        exported = export.export(jax.jit(built.apply))(built.params, **symbolic_inputs(model, model.main))
        results = exported.call(built.params, **sample_inputs(case.sample, model))
    flat = list(results.values()) if isinstance(results, dict) else [results]
    compare(str(case), [np.asarray(r) for r in flat], reference_results(case.sample), 1e-6 if narrow(case) else 1e-12)


def narrow(case: Case) -> bool:
    """Whether a sample fixes a type narrower than float64."""
    return any(DType.of(a.dtype).real.bits < 64 for a in reference_results(case.sample) if a.dtype.kind in "fcV")


def by_jax(model: Model, inputs: Mapping[str, Any], weights: list[Any], names: list[str], whole: bool = True) -> Any:
    """Gradients by JAX, with the op lowered natively or decomposed."""
    op = model.main.graph.outputs[0].node.op
    built = build(model, check=False, supports=supports if whole else lambda node: node.op != op and supports(node))

    def loss(floating: dict[str, Any]) -> Any:
        outputs = built.apply.outputs({}, [floating.get(name, array) for name, array in inputs.items()])
        return sum((y * w).sum() for y, w in zip(outputs, weights, strict=True) if w is not None)

    with wide_integers():
        found = jax.jit(jax.grad(loss))({name: jnp.asarray(inputs[name]) for name in names})
    return {name: np.asarray(gradient) for name, gradient in found.items()}


DIFFERENTIABLE = list(differentiable())
TWINS = {case.sample.id for case in DIFFERENTIABLE if not case.symbolic}
GRADIENTS = [case for case in DIFFERENTIABLE if not case.symbolic or case.sample.id not in TWINS]
NO_GRADIENT = {"scatter_nd-5-float64": "JAX has gradients of scatter_mul for unique indices only"}


@pytest.mark.parametrize("case", GRADIENTS, ids=str)
def test_gradient(case: Case, request: pytest.FixtureRequest) -> None:
    if reason := NO_GRADIENT.get(str(case)):
        request.applymarker(pytest.mark.xfail(reason=reason, raises=NotImplementedError, strict=True))
    check_gradient(case, by_jax)


COMPOSITE = [case for case in GRADIENTS if not REGISTRY[case.sample.op].primitive]


@pytest.mark.slow
@pytest.mark.parametrize("case", COMPOSITE, ids=str)
def test_gradient_of_decomposition(case: Case) -> None:
    loss = Loss(case)
    if loss.empty:
        pytest.skip("nothing floating goes in")
    native, decomposed = (by_jax(loss.model, loss.inputs, loss.weights, loss.names, whole) for whole in (True, False))
    for name in loss.names:
        np.testing.assert_allclose(native[name], decomposed[name], rtol=1e-9, atol=1e-10)
