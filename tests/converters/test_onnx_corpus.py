"""Real ONNX files: what was recorded in ONNX Runtime comes out of every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kxchange as kx
from tests.corpus import corpus

pytestmark = pytest.mark.onnx
NAMES = (
    "burn_gru_bidirectional_onnx",
    "burn_mnist_onnx",
    "burn_opset12_onnx",
    "dev_burn_opset16_onnx",
    "dev_derived_mtcnn_pnet_op21_onnx",
    "dev_tract_keras_onnx",
)
TRAINABLE = {
    "burn_mnist_onnx": 14,
    "dev_derived_mtcnn_pnet_op21_onnx": 13,
    "dev_tract_keras_onnx": 4,
    "burn_gru_bidirectional_onnx": 3,
}
"""Parameters that are weights, counted in the files by hand."""


def error(found: Any, wanted: Any) -> float:
    """The greatest difference, in parts of the greatest value."""
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    return float(np.abs(a - b).max(initial=0) / (np.abs(b).max(initial=0) or 1))


@pytest.mark.parametrize("backend", ["numpy", "torch", "onnx"])
@pytest.mark.parametrize("name", NAMES)
def test_recorded_outputs_are_reproduced(name: str, backend: str) -> None:
    entry = corpus(name)
    model = kx.load(entry.path)
    for case in entry.cases():
        found = kx.run(model, case.inputs, backend=backend)
        assert list(found) == list(case.outputs)
        for output, wanted in case.outputs.items():
            assert error(found[output], wanted) < 2e-6, output


@pytest.mark.parametrize("name", TRAINABLE)
def test_weights_are_trainable(name: str) -> None:
    model = kx.load(corpus(name).path)
    assert sum(entry.trainable for entry in model.parameters.values()) == TRAINABLE[name]


def test_a_dynamic_batch_stays_dynamic() -> None:
    model = kx.load(corpus("dev_derived_mtcnn_pnet_op21_onnx").path)
    assert model.dims
    ((name, type),) = model.main.input_types.items()
    for batch in (1, 2, 3):
        shape = tuple(size if isinstance(size, int) else batch for size in type.shape)
        outputs = model(**{name: np.zeros(shape, np.float32)})
        assert {len(array) for array in outputs.values()} == {batch}
