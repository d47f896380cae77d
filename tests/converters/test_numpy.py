"""The NumPy converter: the reference runner behind the common interface, and weights as `.npz`."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from kxchange import ops
from kxchange.converter import converter
from kxchange.errors import InputError, LimitError, WriteError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange_numpy.prepare import prepare
from kxchange_numpy.save import save


def scaled() -> Model:
    x = placeholder("x", TensorType.parse("float32[batch, 2*n]"))
    halves = ops.reshape(x, shape=(*x.shape[:1], 2, TensorType.parse("float32[n]").shape[0]))
    weight = parameter("layer.scale", TensorType.parse("float32[]"))
    outputs = (ops.multiply(ops.sum(halves, axis=(1,)), weight), x)
    return Model(
        {"main": Function(Graph((x,), outputs), ("sums", "same"))}, [Parameter("layer.scale", np.float32(0.1))]
    )


def test_runs_by_name_in_output_order() -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    result = prepare(scaled())({"x": x})
    assert list(result) == ["sums", "same"]
    np.testing.assert_array_equal(result["sums"], np.float32(0.1) * np.array([[2, 4], [10, 12]], np.float32))
    assert result["sums"].dtype == np.float32


def test_the_converter_record_leads_here() -> None:
    x = np.ones((1, 2), np.float32)
    assert converter("numpy").prepare(scaled())({"x": x})["sums"].shape == (1, 1)


@pytest.mark.parametrize("dtype", [DType.FLOAT64, "float16", "bfloat16"])
def test_another_floating_dtype(dtype: DType | str) -> None:
    kind = DType(dtype).numpy
    result = prepare(scaled(), dtype=dtype)({"x": np.ones((1, 2), kind)})
    assert result["sums"].dtype == kind
    # The weight is the float32 nearest to 0.1, not 0.1.
    assert result["sums"].item() == kind.type(2 * kind.type(np.float32(0.1)))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"misses \['x'\]"),
        ({"x": np.ones((1, 2), np.float32), "y": 1}, r"does not know \['y'\]"),
        ({"x": np.ones((1, 2))}, "float32, not as float64"),
        ({"x": np.array([["a"]])}, "float32, not as <U1"),
        ({"x": np.ones(2, np.float32)}, "rank 1"),
        ({"x": np.ones((1, 3), np.float32)}, "axis 1 has size 3"),
    ],
)
def test_inputs_that_do_not_fit(inputs: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(scaled())(inputs)


def test_constraints_are_checked() -> None:
    x = placeholder("x", TensorType.parse("float32[a]"))
    y = placeholder("y", TensorType.parse("float32[b]"))
    run = prepare(Model({"main": Function(Graph((x, y), (ops.add(x, y),)), ("z",))}))
    assert run({"x": np.ones(2, np.float32), "y": np.ones(2, np.float32)})["z"].tolist() == [2, 2]
    with pytest.raises(InputError, match="function 'main' cannot run with a=2, b=3"):
        run({"x": np.ones(2, np.float32), "y": np.ones(3, np.float32)})


def test_the_output_budget() -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    wide = ops.broadcast_to(x, shape=(1 << 20, *x.shape))
    model = Model({"main": Function(Graph((x,), (wide,)), ("wide",))})
    with pytest.raises(LimitError, match="budget"):
        prepare(model, budget=1 << 20)({"x": np.ones(4, np.float32)})


def test_weights_as_npz(tmp_path: Path) -> None:
    arrays = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1],
        "file": np.array(7, np.int64),
        "half": np.array([1.5, -2.0], ml_dtypes.bfloat16),
        "layer/kernel:0": np.array([True, False]),
    }
    entries = [Parameter(name, array) for name, array in arrays.items()]
    entries.append(Parameter("tied", arrays["file"], alias_of="file"))
    x = placeholder("x", TensorType.parse("float32[n]"))
    model = Model({"main": Function(Graph((x,), (x,)), ("x",))}, entries)
    path = tmp_path / "weights.npz"
    assert save(model, path) == [path]
    with np.load(path, allow_pickle=False) as loaded:
        assert set(loaded) == {*arrays, "tied", "kx.dtypes"}
        for name in ("a.weight", "file", "layer/kernel:0"):
            np.testing.assert_array_equal(loaded[name], arrays[name])
            assert loaded[name].dtype == arrays[name].dtype
        assert loaded["kx.dtypes"].item() == '{"half": "bfloat16"}'
        assert loaded["half"].view(ml_dtypes.bfloat16).tolist() == [1.5, -2.0]
        assert loaded["tied"].item() == 7
    first = path.read_bytes()
    save(model, path)
    assert path.read_bytes() == first


@pytest.mark.parametrize("name", ["../up", "/root", "a/../../b", "", "line\nbreak"])
def test_names_that_would_leave_the_archive(tmp_path: Path, name: str) -> None:
    x = placeholder("x", TensorType.parse("float32[n]"))
    model = Model({"main": Function(Graph((x,), (x,)), ("x",))}, [Parameter(name, np.ones(1))])
    with pytest.raises(WriteError, match="unsafe"):
        save(model, tmp_path / "weights.npz")
    assert list(tmp_path.iterdir()) == []
