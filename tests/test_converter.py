import subprocess
import sys

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.converter import Converter, Variant, converter, converters
from kxchange.dims import symbol
from kxchange.errors import (
    CaptureError,
    InputError,
    MissingBackendError,
    UnknownConverterError,
    UnknownFormatError,
    UnsupportedOpError,
)
from kxchange.graph import Graph, placeholder
from kxchange.model import Function, Model, Parameter
from kxchange.printing import lines
from kxchange.types import DType, TensorType


def model():
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 3)))
    return Model({"main": Function(Graph((x,), (ops.tanh(x),)), ("y",))})


def test_unknown_names_are_met_with_a_suggestion():
    with pytest.raises(UnknownConverterError, match="Did you mean 'numpy'"):
        converter("numpi")


def test_a_missing_package_names_the_extra():
    record = Converter("ghost", requires=("no_such_package",), extra="ghost", build_verb="nowhere:build")
    with pytest.raises(MissingBackendError, match=r'pip install "kxchange\[ghost\]"'):
        record.build(model())


def test_a_verb_that_a_converter_lacks_is_named():
    with pytest.raises(UnknownConverterError, match="numpy cannot capture models"):
        converter("numpy").capture(object())


def test_listing_converters_imports_no_framework():
    code = (
        "import sys, kxchange; kxchange.converters();"
        "print([m for m in ('torch', 'jax', 'tensorflow', 'keras', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_installed_converter_has_a_record_of_its_name():
    assert all(name == record.name for name, record in converters().items())


def test_objects_nobody_captures_are_refused_by_type():
    with pytest.raises(CaptureError, match="captures a builtins.int"):
        kx.capture(3)


def test_files_nobody_reads_or_writes(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        kx.load(tmp_path / "none.kx")
    with pytest.raises(UnknownFormatError, match=r"writes '.docx'"):
        kx.save(model(), tmp_path / "net.docx")
    assert list(tmp_path.iterdir()) == []


def test_a_model_runs_describes_itself_and_checks_its_inputs():
    built = model()
    assert built.input_names == ("x",)
    assert built.output_names == ("y",)
    assert built.dims == ("batch",)
    assert "float32[batch, 3]" in repr(built)
    np.testing.assert_allclose(built(x=np.ones((2, 3), np.float32))["y"], np.tanh(1), rtol=1e-6)
    for wrong, words in [
        ({"x": np.ones((2, 4), np.float32)}, "'x' axis 1"),
        ({"x": np.ones((2, 3))}, "float64"),
        ({}, "misses"),
        ({"x": np.ones((2, 3), np.float32), "z": 1}, "does not know"),
    ]:
        with pytest.raises(InputError, match=words):
            built(**wrong)


def test_all_blockers_come_at_once():
    from kxchange.passes.legalize import legalize

    x = placeholder("x", TensorType(DType.FLOAT32, (2,)))
    graph = Graph((x,), (ops.tanh(ops.exp(ops.tanh(x))), ops.log(x)))
    with pytest.raises(UnsupportedOpError) as caught:
        legalize(graph, lambda node: node.op == "log", "toy")
    assert {blocker.op: len(blocker.places) for blocker in caught.value.blockers} == {"tanh": 2, "exp": 1}
    assert "toy cannot take 2 ops" in str(caught.value)


def test_replacing_weights_drops_the_proof():
    proven = model().replace(evidence=[{"rows": []}])
    assert proven.replace(metadata={"a": "b"}).evidence
    assert not proven.replace(parameters=[Parameter("w", np.zeros(1, np.float32))]).evidence


def test_a_hundred_thousand_nodes_print():
    x = placeholder("x", TensorType(DType.FLOAT32, (symbol("n"),)))
    value = x
    for _ in range(100_000):
        value = ops.add(value, x)
    printed = lines(Graph((x,), (value,)))
    assert len(printed) == 100_001
    assert printed[1] == "%1: float32[n] = add(%0, x)"


def test_a_framework_set_to_a_backend_that_is_absent(tmp_path, monkeypatch):
    (tmp_path / "absent_backend_verb.py").write_text("import no_such_backend\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    variants = (
        Variant("one", environment={"SOME_BACKEND": "one"}, requires=("no_such_backend",)),
        Variant("two", environment={"SOME_BACKEND": "two"}, requires=("numpy",)),
    )
    record = Converter(name="framework", build_verb="absent_backend_verb:build", variants=variants)
    with pytest.raises(MissingBackendError, match=r"set to, no_such_backend, is not installed.*SOME_BACKEND=two"):
        record.verb("build_verb")
    with pytest.raises(ModuleNotFoundError):
        Converter(name="framework", build_verb="absent_backend_verb:build").verb("build_verb")
