"""`convert` reads back what it wrote, judges it, and leaves nothing behind that is wrong."""

from __future__ import annotations

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.dims import symbol
from kxchange.errors import KxchangeError, WriteError
from kxchange.graph import Graph, parameter, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.types import DType, TensorType
from kxchange.validation import convert as converting
from kxchange.validation.convert import convert


def network(name="x", out="y"):
    rng = np.random.default_rng(0)
    entries = [
        Parameter("block.weight", rng.normal(size=(6, 4)).astype(np.float32)),
        Parameter("block.bias", rng.normal(size=6).astype(np.float32)),
        Parameter("norm.scale", rng.normal(size=6).astype(np.float32)),
    ]
    weight, bias, scale = (parameter(entry.name, entry.type) for entry in entries)
    x = placeholder(name, TensorType(DType.FLOAT32, (symbol("batch"), symbol("seq"), 4)))
    hidden = ops.layer_norm(ops.silu(ops.linear(x, weight, bias)), scale, axes=1, epsilon=1e-6)
    return Model({"main": Function(Graph((x,), (hidden,)), (out,))}, entries)


TARGETS = [
    pytest.param("net.kx", None, id="kx"),
    pytest.param("net.onnx", None, marks=pytest.mark.onnx, id="onnx"),
    pytest.param("net.pt2", None, marks=pytest.mark.torch, id="pt2"),
    pytest.param("net.tflite", None, marks=pytest.mark.tensorflow, id="tflite"),
    pytest.param("net", "tensorflow", marks=pytest.mark.tensorflow, id="savedmodel"),
]


def missing(target, to):
    from kxchange.hub import saver

    return not target.endswith(".kx") and bool(saver(converting.Path(target), to).missing)


@pytest.fixture(autouse=True)
def few_backends(monkeypatch):
    """A `.kx` is validated everywhere; here NumPy is enough."""
    whole = converting.validate
    monkeypatch.setattr(
        converting,
        "validate",
        lambda model, backends, **rest: whole(
            model, backends=["numpy"] if backends == "all" else backends, processes=False, **rest
        ),
    )


@pytest.mark.parametrize(("target", "to"), TARGETS)
def test_every_format_is_read_back(tmp_path, target, to):
    if missing(target, to):
        pytest.skip("not installed")
    done = convert(network(), tmp_path / target, to=to, cases=4)
    assert done.report is not None
    row = done.report.rows[-1]
    assert row.backend == "file", done.report
    assert done.ok, done.report
    assert done.read_back
    assert (row.function, row.accuracy) == ("SAME", "SAME")
    assert row.weights == "SAME", row.notes
    assert all(path.exists() for path in done.files)
    assert [path.name for path in tmp_path.iterdir()] == [target]


@pytest.mark.parametrize(("target", "to"), TARGETS)
def test_a_writer_that_changes_a_weight_leaves_nothing(tmp_path, target, to, monkeypatch):
    if missing(target, to):
        pytest.skip("not installed")
    right = converting.save

    def wrong(model, path, **options):
        edited = model.array("block.weight").copy()
        edited[2, 1] *= np.float32(1.0001)
        entry = model.parameters["block.weight"].replace(data=edited)
        return right(model.replace(parameters={**model.parameters, entry.name: entry}), path, **options)

    monkeypatch.setattr(converting, "save", wrong)
    done = convert(network(), tmp_path / target, to=to, cases=3)
    assert not done.ok
    assert done.report is not None
    assert done.report.rows[-1].verdict == "WRONG"
    assert done.files == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.onnx
def test_a_writer_that_changes_an_op_leaves_the_old_file(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    target = tmp_path / "net.onnx"
    target.write_bytes(b"what was there")
    right = converting.save

    def wrong(model, path, **options):
        (x,) = model.main.graph.inputs
        other = Function(Graph((x,), (ops.multiply(model.main.graph.outputs[0], 1.001),)), ("y",))
        return right(model.replace(functions={"main": other}), path, **options)

    monkeypatch.setattr(converting, "save", wrong)
    assert not convert(network(), target, cases=2).ok
    assert target.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.onnx
def test_names_that_a_format_changes_are_matched(tmp_path):
    pytest.importorskip("onnxruntime")
    assert convert(network("in put.0", "out/1"), tmp_path / "net.onnx", cases=2).ok


@pytest.mark.onnx
def test_a_failing_writer_leaves_nothing(tmp_path, monkeypatch):
    def failing(model, path, **options):
        path.write_bytes(b"half")
        raise WriteError("the disk is full")

    monkeypatch.setattr(converting, "save", failing)
    with pytest.raises(WriteError, match="the disk is full"):
        convert(network(), tmp_path / "net.onnx", cases=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.onnx
def test_side_files_move_with_their_names(tmp_path):
    pytest.importorskip("onnxruntime")
    done = convert(network(), tmp_path / "net.onnx", cases=2, external_data=True)
    assert done.ok, done.report
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in done.files}
    assert kx.load(tmp_path / "net.onnx")(x=np.ones((2, 3, 4), np.float32))["y"].shape == (2, 3, 6)


@pytest.mark.tensorflow
def test_a_folder_that_is_no_model_is_not_replaced(tmp_path):
    pytest.importorskip("tensorflow")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "thesis.tex").write_text("years")
    with pytest.raises(KxchangeError, match="will not be replaced"):
        convert(network(), tmp_path / "net", to="tensorflow", cases=1)
    assert (tmp_path / "net" / "thesis.tex").read_text() == "years"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_format_without_a_reader_is_said(tmp_path):
    done = convert(network(), tmp_path / "weights.npz", cases=1)
    assert done.ok
    assert not done.read_back
