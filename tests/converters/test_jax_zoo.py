"""Models as JAX users write them: captured, the same in float64 as JAX, the same on every backend, composites whole."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")
pytest.importorskip("equinox")

import kxchange as kx  # noqa: E402
from tests.converters.jax_zoo import ZOO  # noqa: E402

pytestmark = pytest.mark.jax
QUICK = ("linen-resnet", "linen-decoder-with-cache", "nnx-transformer", "equinox-attention", "plain-gpt2", "plain-bert")
"""The models that CI builds; the others are slow in all."""
GAPS: dict[str, str] = {}
"""Known to fail, with the reason; they must."""


def marks(name: str) -> list[pytest.MarkDecorator]:
    known = [pytest.mark.xfail(reason=GAPS[name], strict=True)] if name in GAPS else []
    return known + ([] if name in QUICK else [pytest.mark.slow])


ALL = [pytest.param(name, marks=marks(name)) for name in ZOO]


def relative_rmse(got: np.ndarray, wanted: np.ndarray) -> float:
    scale = float(np.sqrt(np.mean(np.square(wanted, dtype=np.float64)))) if wanted.size else 0.0
    return float(np.sqrt(np.mean(np.square(got - wanted, dtype=np.float64)))) / (scale or 1.0) if wanted.size else 0.0


def wide(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: x.astype(np.float64) if x.dtype.kind == "f" else x for name, x in inputs.items()}


@pytest.mark.parametrize("name", ALL)
def test_a_model_is_the_same_everywhere(name: str) -> None:
    recipe = ZOO[name]()
    example = recipe.inputs(**recipe.sizes[0])
    model = kx.capture(recipe.source, *recipe.params, *example.values(), **recipe.options)
    found = Counter(node.op for node in model.main.graph.nodes())
    assert {op: found[op] for op in recipe.counts} == recipe.counts
    source = kx.converters()["jax"].source(model.origin, model)
    truth = kx.converters()["jax"].source(model.origin, model, float64=True)
    for sizes in recipe.sizes[-2:]:
        inputs = dict(zip(model.input_names, map(np.asarray, recipe.inputs(**sizes).values()), strict=True))
        exact = truth(wide(inputs))
        for output, result in kx.run(model, wide(inputs), dtype="float64").items():
            assert relative_rmse(result, exact[output]) <= 1e-12, output
    own = source(inputs)
    for backend in ("numpy", "jax", "torch", "onnx"):
        for output, result in kx.run(model, inputs, backend=backend).items():
            assert (result.shape, result.dtype) == (own[output].shape, own[output].dtype)
            assert relative_rmse(result, own[output]) <= 1e-5, (backend, output)
