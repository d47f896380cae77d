"""An `.onnx` file that points into a `.kx`: small, read by ONNX Runtime and by us, and never wrong about the bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.errors import WriteError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType

pytestmark = pytest.mark.onnx
ort = pytest.importorskip("onnxruntime")
SIZE = 64


def model(seed: int = 0) -> Model:
    generator = np.random.default_rng(seed)
    entries = [Parameter(name, generator.standard_normal((SIZE, SIZE)).astype(np.float32)) for name in ("a.w", "b.w")]
    entries.append(Parameter("bias", generator.standard_normal(SIZE).astype(np.float32)))
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), SIZE)))
    first, second, bias = (parameter(entry.name, entry.type) for entry in entries)
    value = ops.linear(ops.relu(ops.linear(x, first, None)), second, bias)
    return Model({"main": Function(Graph((x,), (value,)), ("y",))}, entries)


def test_it_copies_no_weight_and_onnx_runtime_loads_it(tmp_path: Path) -> None:
    made = model()
    kx.save(made, tmp_path / "net.kx")
    files = kx.save(made, tmp_path / "net.onnx", weights=tmp_path / "net.kx")
    del files
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.kx", "net.onnx"]
    assert (tmp_path / "net.onnx").stat().st_size < made.parameters["a.w"].nbytes / 2
    inputs = {"x": np.random.default_rng(1).standard_normal((3, SIZE)).astype(np.float32)}
    (found,) = ort.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"]).run(None, inputs)
    np.testing.assert_allclose(found, made(**inputs)["y"], rtol=1e-4, atol=1e-3)
    again = kx.load(tmp_path / "net.onnx")
    for name, entry in made.parameters.items():
        assert again.parameters[name].array.tobytes() == entry.array.tobytes()


def test_weights_that_changed_are_not_pointed_to(tmp_path: Path) -> None:
    """Of another training of the same model, only nothing is the same."""
    kx.save(model(1), tmp_path / "other.kx")
    with pytest.raises(WriteError, match="none of the model's weights"):
        kx.save(model(), tmp_path / "net.onnx", weights=tmp_path / "other.kx")
    assert not (tmp_path / "net.onnx").exists()
    changed = dict(model().parameters)
    changed["b.w"] = model(1).parameters["b.w"]
    kx.save(model().replace(parameters=list(changed.values())), tmp_path / "half.kx")
    kx.save(model(), tmp_path / "net.onnx", weights=tmp_path / "half.kx")
    again = kx.load(tmp_path / "net.onnx")
    assert again.parameters["b.w"].array.tobytes() == model().parameters["b.w"].array.tobytes()


def test_weights_in_another_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    kx.save(model(), tmp_path / "net.kx")
    with pytest.raises(WriteError, match="folder"):
        kx.save(model(), tmp_path / "inner" / "net.onnx", weights=tmp_path / "net.kx")
