"""The place of a defect: the right node is named, by itself wrong, with what it says on both sides."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import kxchange as kx
from kxchange import ops
from kxchange.converter import converter
from kxchange.dims import symbol
from kxchange.errors import KxchangeError
from kxchange.graph import Graph, Node, Source, emitting, parameter, placeholder, rewrite
from kxchange.model import Function, Model, Parameter
from kxchange.passes.retype import retype
from kxchange.spec import apply_op, keep
from kxchange.types import DType, TensorType
from kxchange.validation.against import validate_against
from kxchange.validation.bisect import find_place
from kxchange.validation.remote import remote_prepare
from kxchange.validation.repro import write_repro
from kxchange.validation.search import Search

PREPARE = converter("numpy").prepare


def network(depth=3, epsilon=1e-5, weights=None):
    """Blocks of linear, gelu and layer norm, each with a path and a line."""
    rng = np.random.default_rng(0)
    entries = [Parameter(f"{n}.weight", rng.normal(size=(8, 8)).astype(np.float32)) for n in range(depth)]
    if weights is not None:
        entries[weights] = Parameter(f"{weights}.weight", entries[weights].array * np.float32(1.5))
    x = hidden = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), 8)))
    for n in range(depth):
        with emitting(f"linear_{n}", Source("net.py", 10 + n, f"blocks.{n}.linear")):
            hidden = ops.linear(hidden, parameter(f"{n}.weight", entries[n].type))
        with emitting(f"gelu_{n}", Source("net.py", 20 + n, f"blocks.{n}.act")):
            hidden = ops.gelu(hidden)
        with emitting(f"norm_{n}", Source("net.py", 30 + n, f"blocks.{n}.norm")):
            hidden = ops.layer_norm(hidden, axes=1, epsilon=epsilon)
    return Model({"main": Function(Graph((x,), (hidden,)), ("y",))}, entries)


def defect(model: Model, name: str, **changes) -> Model:
    def change(node, operands):
        if node.name != name:
            return keep(node, operands)
        attrs = {**node.attrs, **changes}
        return apply_op(Node(node.op, node.inputs, attrs, node.types, node.name, node.source), operands)

    return model.map_graphs(lambda graph: rewrite(graph, change))


@pytest.mark.parametrize("name", ["norm_0", "norm_1", "norm_2"])
def test_an_epsilon_is_found_where_it_is(name):
    report = validate_against(network(), defect(network(), name, epsilon=1e-6))
    place = report.rows[0].place
    assert (place.name, place.op, place.culprit, place.confirmed) == (name, "layer_norm", True, True)
    assert place.line == f"net.py:3{name[-1]}"
    assert place.path == f"blocks.{name[-1]}.norm"
    assert (place.attributes["epsilon"], place.other_attributes) == ("1e-05", {"epsilon": "1e-06"})
    assert place.traps == ["KX121 norm-epsilon"]
    assert "KX121" in str(report)
    assert json.loads(report.to_json())["rows"][0]["place"]["name"] == name


def test_a_weight_is_found_with_the_node_that_reads_it():
    place = validate_against(network(), network(weights=1)).rows[0].place
    assert (place.name, place.weights, place.culprit) == ("linear_1", ["1.weight"], True)


def backend_with(name: str, **changes):
    """A backend with a fault in one op, whatever model it runs."""

    def prepare(model):
        return PREPARE(defect(model, name, **changes))

    return prepare


@pytest.mark.parametrize(("dtype", "unit"), [(DType.FLOAT64, 2.0**-53), (DType.FLOAT32, 2.0**-24)])
def test_a_backends_fault_is_found_in_both_profiles(dtype, unit):
    right, own = retype(network(), DType.FLOAT64), retype(network(), dtype)
    inputs = {"x": np.random.default_rng(1).normal(size=(5, 8)).astype(dtype.numpy)}
    place = find_place(Search(right, own, backend_with("gelu_1", approximate="tanh"), PREPARE, inputs, unit=unit))
    assert (place.name, place.culprit) == ("gelu_1", True)
    assert place.error > 1e-6
    assert place.local_error > 1e-6
    assert place.right.shape == (5, 8)


def test_a_faithful_backend_has_no_place():
    wide = retype(network(), DType.FLOAT64)
    inputs = {"x": np.random.default_rng(1).normal(size=(5, 8))}
    assert find_place(Search(wide, wide, PREPARE, PREPARE, inputs)) is None


def test_a_fault_of_fusion_is_found_by_halving():
    """A backend that is wrong only while no more than one value is an output."""
    wide = retype(network(), DType.FLOAT64)

    def prepare(model):
        faulty = backend_with("norm_1", epsilon=0.1) if len(model.main.output_names) == 1 else PREPARE
        return faulty(model)

    inputs = {"x": np.random.default_rng(1).normal(size=(5, 8))}
    place = find_place(Search(wide, wide, prepare, PREPARE, inputs))
    assert place.name == "norm_1"
    assert "fusion" in place.note


def test_conditioning_is_not_called_a_culprit():
    """Rounding that a subtraction magnifies: no node is wrong by itself."""
    x = placeholder("x", TensorType(DType.FLOAT64, (8,)))
    with emitting("near"):
        near = ops.add(ops.multiply(x, 1e-9), 1.0)
    with emitting("gap"):
        gap = ops.subtract(near, 1.0)
    model = Model({"main": Function(Graph((x,), (gap,)), ("y",))})

    def noisy(subject):
        """Computes each value from rounded neighbours: the first node is off by an ULP, the second inherits it."""
        inner = PREPARE(subject)

        def run(inputs):
            found = inner(inputs)
            if "x" in inputs:
                return {n: a + 2.0**-52 if subject.main.output_types[n].shape == (8,) else a for n, a in found.items()}
            return found

        return run

    place = find_place(Search(model, model, noisy, PREPARE, {"x": np.linspace(0.1, 1, 8)}))
    assert not place.culprit
    assert place.local_error < 1e-12


def test_a_backend_in_another_process_is_searched_too():
    wide = retype(network(depth=1), DType.FLOAT64)
    broken = defect(wide, "norm_0", epsilon=1e-3)
    inputs = {"x": np.random.default_rng(1).normal(size=(2, 8))}
    place = find_place(Search(wide, broken, remote_prepare("numpy", sys.executable, 60.0), PREPARE, inputs, same=False))
    assert (place.name, place.culprit) == ("norm_0", True)
    with pytest.raises(KxchangeError, match="cannot start"):
        remote_prepare("numpy", "no-such-python", 60.0)(wide)(inputs)


def decomposed(model: Model, op: str) -> Model:
    from kxchange.passes.legalize import legalize

    return model.map_graphs(lambda graph: legalize(graph, lambda node: node.op != op, "test"))


def test_graphs_that_differ_are_matched_by_their_numbers():
    other = decomposed(defect(network(), "norm_1", epsilon=1e-3), "gelu")
    place = validate_against(network(), other).rows[0].place
    assert place.name == "norm_1"
    assert place.other_attributes == {"epsilon": "0.001"}


def test_the_repro_repeats_the_finding(tmp_path):
    place = validate_against(network(), defect(network(), "norm_1", epsilon=1e-3)).rows[0].place
    files = write_repro(place, tmp_path / "repro")
    assert {file.name for file in files} >= {"op.kx", "other.kx", "inputs.npz", "expected.npz", "README.md"}
    inputs, expected = (dict(np.load(tmp_path / "repro" / f"{name}.npz")) for name in ("inputs", "expected"))
    op, other = kx.load(tmp_path / "repro" / "op.kx"), kx.load(tmp_path / "repro" / "other.kx")
    assert [node.op for node in op.main.graph.nodes()] == ["layer_norm"]
    x = inputs["x0"]
    by_hand = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(op(**inputs)["y0"], by_hand, rtol=1e-12)
    np.testing.assert_allclose(expected["y0"], by_hand, rtol=1e-12)
    assert np.abs(other(**inputs)["y0"] - by_hand).max() > 1e-6
    assert "kx validate op.kx --against other.kx" in (tmp_path / "repro" / "README.md").read_text()
    assert not validate_against(op, other).ok


def test_the_script_of_the_repro_runs_without_kxchange(tmp_path):
    import subprocess

    place = validate_against(network(), defect(network(), "norm_1", epsilon=1e-3)).rows[0].place
    write_repro(place, tmp_path / "repro")
    script = (tmp_path / "repro" / "run.py").read_text()
    assert "import kxchange" not in script
    command = [sys.executable, "-I", str(tmp_path / "repro" / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "input x0: float64" in done.stdout
    found, right = (dict(np.load(tmp_path / "repro" / f"{name}.npz")) for name in ("found", "expected"))
    assert f"largest difference {np.abs(found['y0'] - right['y0']).max():.6g}" in done.stdout


@pytest.mark.onnx
def test_the_repro_of_a_backend_has_its_own_format(tmp_path):
    import subprocess

    pytest.importorskip("onnxruntime")
    right, own = retype(network(), DType.FLOAT64), network()
    inputs = {"x": np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)}
    wrong = backend_with("gelu_1", approximate="tanh")
    place = find_place(Search(right, own, wrong, PREPARE, inputs, unit=2.0**-24))
    files = write_repro(place, tmp_path / "repro", backend="onnx:unoptimized")
    assert "op.onnx" in [file.name for file in files]
    command = [sys.executable, "-I", str(tmp_path / "repro" / "run.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "op.onnx run again" in done.stdout
