"""Damaged and hostile ONNX files: a typed refusal that says what and where, and nothing left behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from bounded import bounded
from onnx import TensorProto, helper

import kxchange as kx
from kxchange.errors import FormatError, KxchangeError, LimitError, UnknownFormatError, UnsupportedOpError

pytestmark = pytest.mark.onnx
X = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])


def model(
    nodes: list[Any],
    initializers: list[Any] = None,
    functions: list[Any] = None,
    domains: tuple[str, ...] = (),  # noqa: B006
) -> onnx.ModelProto:
    if functions is None:
        functions = []
    if initializers is None:
        initializers = []
    graph = helper.make_graph(nodes, "g", [X], [Y], initializers)
    imports = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)


def external(location: str, **fields: Any) -> TensorProto:
    """A float [2, 2] tensor whose data lie elsewhere."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **fields}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


ADD = helper.make_node("Add", ["x", "w"], ["y"], name="add")


def saved(folder: Path, tensor: TensorProto) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(model([ADD], [tensor]).SerializeToString())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Any:
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    (tmp_path / "w.bin").write_bytes(b"\0" * 64 + values.tobytes())
    return values


def test_external_data_are_read(tmp_path: Path, data: Any) -> None:
    lifted = kx.load(saved(tmp_path, external("w.bin", offset=64, length=16)))
    np.testing.assert_array_equal(lifted.array("w"), data)
    x = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(lifted(x=x)["y"], x + data)


def test_external_data_in_a_sub_folder(tmp_path: Path, data: Any) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "w.bin").write_bytes(data.tobytes())
    np.testing.assert_array_equal(kx.load(saved(tmp_path, external("sub/w.bin"))).array("w"), data)


@pytest.mark.parametrize(
    "location",
    ["../w.bin", "a/../../w.bin", "/etc/hostname", "sub/../w.bin", "", "w.bin\0x", "C:\\w.bin", "*/_ORT_MEM_ADDR_/*"],
)
def test_paths_out_of_the_folder(tmp_path: Path, data: Any, location: str) -> None:
    inner = tmp_path / "inner"
    (inner / "sub").mkdir(parents=True)
    with pytest.raises(FormatError, match=r"m\.onnx.*'w'"):
        kx.load(saved(inner, external(location)))


@pytest.mark.parametrize(
    "kind", ["symlink", "symlinked folder", "hard link", "named pipe", "folder", "device", "missing"]
)
def test_places_that_are_no_plain_files(tmp_path: Path, data: Any, kind: str) -> None:
    target, inner = tmp_path / "w.bin", tmp_path / "inner"
    inner.mkdir()
    location = "v.bin"
    if kind == "symlink":
        (inner / location).symlink_to(target)
    elif kind == "symlinked folder":
        (inner / "d").symlink_to(tmp_path)
        location = "d/w.bin"
    elif kind == "hard link":
        os.link(target, inner / location)
    elif kind == "named pipe":
        os.mkfifo(inner / location)
    elif kind == "folder":
        (inner / location).mkdir()
    elif kind == "device":
        (inner / location).symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="'w'"):
        kx.load(saved(inner, external(location, offset=64, length=16)))


def test_links_are_followed_on_request(tmp_path: Path, data: Any) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "v.bin").symlink_to(tmp_path / "w.bin")
    path = saved(inner, external("v.bin", offset=64, length=16))
    np.testing.assert_array_equal(kx.load(path, follow_links=True).array("w"), data)


@pytest.mark.parametrize(
    "fields",
    [
        {"offset": -4},
        {"offset": 70},
        {"offset": 2**63},
        {"offset": "1e3"},
        {"length": 15},
        {"length": 2**62},
        {"checksum": "0" * 40},
        {"unknown": 1},
    ],
)
def test_wrong_fields(tmp_path: Path, data: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError, match="'w'"):
        kx.load(saved(tmp_path, external("w.bin", **fields)))


def test_a_right_checksum_passes(tmp_path: Path, data: Any) -> None:
    digest = hashlib.sha1((tmp_path / "w.bin").read_bytes()).hexdigest()
    assert kx.load(saved(tmp_path, external("w.bin", offset=64, checksum=digest))).array("w").shape == (2, 2)


def test_a_key_twice(tmp_path: Path, data: Any) -> None:
    tensor = external("w.bin", offset=64)
    tensor.external_data.add(key="location", value="other.bin")
    with pytest.raises(FormatError, match="twice"):
        kx.load(saved(tmp_path, tensor))


def test_external_data_of_a_sparse_tensor_and_of_a_constant(tmp_path: Path, data: Any) -> None:
    sparse = onnx.SparseTensorProto(values=external("../w.bin"), dims=[2, 2])
    proto = model([helper.make_node("Constant", [], ["w"], sparse_value=sparse), ADD])
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(FormatError):
        kx.load(tmp_path / "m.onnx")
    proto = model([ADD])
    proto.graph.sparse_initializer.append(sparse)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(FormatError):
        kx.load(tmp_path / "m.onnx")


def test_external_data_of_a_model_in_memory() -> None:
    with pytest.raises(FormatError, match="no folder"):
        kx.capture(model([ADD], [external("w.bin")]))


def refused(proto: onnx.ModelProto, match: str, error: type[KxchangeError] = FormatError) -> None:
    with bounded(), pytest.raises(error, match=match):
        kx.capture(proto)


def test_undefined_names() -> None:
    refused(model([helper.make_node("Add", ["x", "nowhere"], ["y"], name="add")]), "Add 'add' reads 'nowhere'")


def test_cycles() -> None:
    nodes = [helper.make_node("Add", ["x", "b"], ["a"]), helper.make_node("Add", ["a", "x"], ["b"])]
    refused(model([*nodes, helper.make_node("Identity", ["b"], ["y"])]), "cycle")


def test_a_name_defined_twice() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])]
    refused(model(nodes), "defined already")


def test_an_output_that_nothing_makes() -> None:
    refused(model([helper.make_node("Relu", ["x"], ["z"])]), "reads 'y'")


def function(name: str, calls: list[str]) -> onnx.FunctionProto:
    nodes = [helper.make_node(call, ["a"], ["b"], domain="own") for call in calls]
    return helper.make_function("own", name, ["a"], ["b"], nodes, [helper.make_opsetid("own", 1)])


def test_functions_that_call_each_other() -> None:
    functions = [function("F", ["G"]), function("G", ["F"])]
    nodes = [helper.make_node("F", ["x"], ["y"], domain="own")]
    refused(model(nodes, functions=functions, domains=("own",)), "calls itself")


def test_functions_that_grow_exponentially() -> None:
    functions = []
    for level in range(40):
        call = f"F{level + 1}"
        body = [helper.make_node(call, ["a"], ["t"], domain="own"), helper.make_node(call, ["t"], ["b"], domain="own")]
        if level == 39:
            body = [helper.make_node("Relu", ["a"], ["b"])]
        imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 18)]
        functions.append(helper.make_function("own", f"F{level}", ["a"], ["b"], body, imports))
    proto = model([helper.make_node("F0", ["x"], ["y"], domain="own")], functions=functions, domains=("own",))
    with pytest.raises(LimitError, match="more than"):
        kx.capture(proto)


def test_unknown_domains_and_operators() -> None:
    nodes = [
        helper.make_node("Foo", ["x"], ["a"], domain="who", name="one"),
        helper.make_node("Bar", ["a"], ["y"], name="two"),
    ]
    with pytest.raises(UnsupportedOpError) as caught:
        kx.capture(model(nodes))
    assert {blocker.op for blocker in caught.value.blockers} == {"Foo", "Bar"}
    assert "'who' is not imported" in str(caught.value)
    assert "Bar 'two'" in str(caught.value)


def test_all_blockers_at_once_with_their_places() -> None:
    nodes = [helper.make_node("Foo", ["x"], ["a"], name="one"), helper.make_node("Foo", ["x"], ["b"], name="two")]
    nodes += [helper.make_node("Bar", ["a"], ["c"], name="three"), helper.make_node("Add", ["b", "c"], ["y"])]
    with pytest.raises(UnsupportedOpError) as caught:
        kx.capture(model(nodes))
    places = {blocker.op: blocker.places for blocker in caught.value.blockers}
    assert places == {"Foo": ("Foo 'one'", "Foo 'two'"), "Bar": ("Bar 'three'",)}


def test_newer_opsets_are_not_guessed() -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])])
    proto.opset_import[0].version = 999
    refused(proto, "999")


def test_unknown_attributes_and_wrong_kinds() -> None:
    with pytest.raises(UnsupportedOpError, match="no attribute 'alpha'"):
        kx.capture(model([helper.make_node("Relu", ["x"], ["y"], alpha=1.0)]))
    with pytest.raises(UnsupportedOpError, match="wrong kind"):
        kx.capture(model([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=[1, 2])]))
    with pytest.raises(UnsupportedOpError, match="needs the attribute 'to'"):
        kx.capture(model([helper.make_node("Cast", ["x"], ["y"])]))


def test_too_many_and_too_few_inputs() -> None:
    with pytest.raises(UnsupportedOpError, match="takes 1 inputs and has 2"):
        kx.capture(model([helper.make_node("Relu", ["x", "x"], ["y"])]))
    with pytest.raises(UnsupportedOpError, match="takes 2 inputs"):
        kx.capture(model([helper.make_node("Add", ["x", ""], ["y"])]))


def test_type_mismatch() -> None:
    nodes = [helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64), helper.make_node("Add", ["x", "i"], ["y"])]
    with pytest.raises(UnsupportedOpError, match="int64"):
        kx.capture(model(nodes))


@pytest.mark.parametrize("raw", [b"", b"\0" * 15, b"\0" * 17])
def test_raw_data_of_another_size(raw: bytes) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], raw_data=raw)
    refused(model([ADD], [tensor]), "'w'")


def test_typed_data_of_another_count() -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 2], float_data=[1.0])
    lifted = model([ADD], [tensor])
    refused(lifted, "takes 4 numbers in float_data and has 1")


@pytest.mark.parametrize("dims", [[-1, 2], [2**62, 2**62], [1] * 65, [2**40, 0, 2**40]])
def test_impossible_shapes(dims: list[int]) -> None:
    refused(model([ADD], [TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)]), "'w'")


def test_strings_are_refused_by_name() -> None:
    refused(model([ADD], [helper.make_tensor("w", TensorProto.STRING, [1], [b"a"])]), "'w'.*no string tensors")


def test_sparse_indices_outside() -> None:
    values = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    proto = model([ADD])
    proto.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("i", TensorProto.INT64, [1], [4]), [2, 2])
    )
    refused(proto, "outside")


def test_sparse_initializers_are_written_out() -> None:
    values = helper.make_tensor("w", TensorProto.FLOAT, [2], [5.0, 7.0])
    proto = model([ADD])
    places = helper.make_tensor("i", TensorProto.INT64, [2, 2], [0, 1, 1, 0])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 2]))
    np.testing.assert_array_equal(kx.capture(proto).array("w"), [[0, 5], [7, 0]])


def test_huge_results_are_not_made() -> None:
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [2**40])
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("ReduceSum", ["c"], ["t"], keepdims=0)]
    nodes.append(helper.make_node("Add", ["x", "t"], ["y"]))
    lifted = kx.capture(model(nodes, [shape]))
    with pytest.raises(LimitError):
        lifted(x=np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("cut", [0, 1, 7, 40, 100])
def test_truncated_files(tmp_path: Path, cut: int) -> None:
    data = model([ADD], [onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(data[: len(data) - cut] if cut else data[:3])
    with pytest.raises((FormatError, UnknownFormatError)):
        loaded = kx.load(tmp_path / "m.onnx")
        assert loaded is None


def test_a_mutated_file_never_crashes(tmp_path: Path) -> None:
    data = bytearray(model([ADD], [onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), "w")]).SerializeToString())
    rng = np.random.default_rng(0)
    for _ in range(300):
        mutated = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            mutated[place] = rng.integers(0, 256)
        (tmp_path / "m.onnx").write_bytes(mutated)
        with contextlib.suppress(KxchangeError):
            kx.load(tmp_path / "m.onnx")


def test_names_are_data(tmp_path: Path) -> None:
    name = "__import__('os').system('touch x')\n\x1b[31m"
    tensor = onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32), name)
    lifted = kx.capture(model([helper.make_node("MatMul", ["x", name], ["y"], name=name)], [tensor]))
    assert list(lifted.parameters) == [name]
    lifted(x=np.eye(2, dtype=np.float32))
