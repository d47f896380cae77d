"""ONNX files into the language: names, dims, parameters and their roles, shapes that dissolve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import kxchange as kx
from kxchange.errors import CaptureError, FormatError, UnsupportedOpError
from kxchange.model import Role

pytestmark = pytest.mark.onnx
RNG = np.random.default_rng(7)
F = TensorProto.FLOAT


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def build(
    nodes: Sequence[Any],
    inputs: dict[str, Any],
    outputs: Sequence[str],
    tensors: dict[str, Any] | None = None,
    opset: int = 18,
) -> onnx.ModelProto:
    """A model; inputs by name: dims of a float tensor, or (element type, dims)."""
    infos = []
    for name, given in inputs.items():
        kind, dims = given if isinstance(given, tuple) else (F, given)
        infos.append(helper.make_tensor_value_info(name, kind, dims))
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (tensors or {}).items()]
    graph = helper.make_graph(list(nodes), "g", infos, results, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node with operands and results separated by blanks; "-" leaves one out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=attributes.pop("name", ""), **attributes)


def ops_of(model: Any) -> list[str]:
    return [item.op for item in model.main.graph.nodes() if item.op not in ("parameter", "full", "constant")]


def i64(*values: int) -> Any:
    return np.array(values, np.int64)


# ------------------------------------------------------------------------------------------------ names and dims


def test_names_of_inputs_outputs_and_dims_are_kept() -> None:
    model = kx.capture(build([node("Relu", "ids", "scores")], {"ids": ["batch", "seq", 4]}, ["scores"]))
    assert model.input_names == ("ids",)
    assert model.output_names == ("scores",)
    assert model.dims == ("batch", "seq")
    assert str(model.main.output_types["scores"]) == "float32[batch, seq, 4]"


def test_unnamed_dims_get_names_and_odd_ones_are_spelled_otherwise() -> None:
    model = kx.capture(build([node("Relu", "x", "y")], {"x": [None, "a b", "a b", "2*n + 1", 3]}, ["y"]))
    assert str(model.main.input_types["x"]) == "float32[x_0, a_b, a_b, 2*n+1, 3]"


def test_an_unnamed_dim_does_not_take_the_name_of_another() -> None:
    model = kx.capture(build([node("Relu", "x", "y")], {"x": [None, "x_0"]}, ["y"]))
    assert str(model.main.input_types["x"]) == "float32[x_0_1, x_0]"


def test_dims_can_be_given() -> None:
    proto = build([node("Relu", "x", "y")], {"x": [2, 3]}, ["y"])
    model = kx.capture(proto, dynamic={"x": ("batch", None)})
    assert str(model.main.input_types["x"]) == "float32[batch, 3]"
    with pytest.raises(FormatError, match="no input 'z'"):
        kx.capture(proto, dynamic={"z": (1,)})


def test_value_info_is_not_believed() -> None:
    proto = build([node("Relu", "x", "a"), node("Abs", "a", "y")], {"x": ["n", 2]}, ["y"])
    proto.graph.value_info.append(helper.make_tensor_value_info("a", TensorProto.INT32, [7]))
    assert str(kx.capture(proto).main.output_types["y"]) == "float32[n, 2]"


def test_node_names_and_module_paths() -> None:
    proto = build([node("Relu", "x", "y", name="/encoder/layer.0/Relu")], {"x": [2]}, ["y"])
    (relu,) = kx.capture(proto).main.graph.nodes()
    assert relu.name == "/encoder/layer.0/Relu"
    assert relu.source is not None
    assert relu.source.path == "encoder.layer.0"


def test_an_input_with_an_initializer_is_none() -> None:
    proto = build([node("Add", "x w", "y")], {"x": ["n", 2], "w": [2]}, ["y"], {"w": np.ones(2, np.float32)})
    model = kx.capture(proto)
    assert model.input_names == ("x",)
    assert list(model.parameters) == ["w"]


def test_capture_takes_no_example_inputs() -> None:
    with pytest.raises(CaptureError, match="no example inputs"):
        kx.capture(build([node("Relu", "x", "y")], {"x": [2]}, ["y"]), np.zeros(2))


def test_an_onnx_ir_model_is_captured() -> None:
    w = normal(4, 3)
    proto = build([node("MatMul", "x w", "y")], {"x": ["n", 4]}, ["y"], {"w": w})
    model = kx.capture(ir.from_proto(proto))
    x = normal(2, 4)
    np.testing.assert_allclose(model(x=x)["y"], x @ w, rtol=1e-5)


# ------------------------------------------------------------------------------------------------ parameters


def layers() -> onnx.ModelProto:
    nodes = [
        node("Conv", "x conv.weight conv.bias", "c", kernel_shape=[1, 1]),
        node("BatchNormalization", "c bn.weight bn.bias bn.mean bn.var", "b"),
        node("GlobalAveragePool", "b", "g"),
        node("Reshape", "g shape", "f"),
        node("Transpose", "fc.weight", "t", perm=[1, 0]),
        node("MatMul", "f t", "m"),
        node("Add", "m fc.bias", "a"),
        node("Mul", "a half", "h"),
        node("Add", "h grid", "y"),
    ]
    tensors = {
        "conv.weight": normal(4, 3, 1, 1),
        "conv.bias": normal(4),
        **{f"bn.{name}": np.abs(normal(4)) + 1 for name in ("weight", "bias", "mean", "var")},
        "fc.weight": normal(5, 4),
        "fc.bias": normal(5),
        "shape": i64(0, -1),
        "half": np.float32(0.5),
        "grid": normal(1, 5),
        "unread": normal(2),
    }
    return build(nodes, {"x": ["n", 3, 2, 2]}, ["y"], tensors)


def test_initializers_become_parameters_with_roles() -> None:
    proto = layers()
    model = kx.capture(proto)
    roles = {name: entry.role for name, entry in model.parameters.items()}
    weights = {"conv.weight", "conv.bias", "bn.weight", "bn.bias", "fc.weight", "fc.bias", "grid"}
    assert {name for name, role in roles.items() if role is Role.PARAMETER} == weights
    assert {name for name, role in roles.items() if role is Role.BUFFER} == {"bn.mean", "bn.var"}
    assert roles["unread"] is Role.CONSTANT
    # What said a shape is part of the graph; a number without axes is a literal.
    assert set(roles) == {t.name for t in proto.graph.initializer} - {"shape", "half"}
    assert all(model.parameters[name].trainable == (role is Role.PARAMETER) for name, role in roles.items())


def test_the_caller_decides_what_is_trainable() -> None:
    model = kx.capture(layers(), trainable=["fc.weight"])
    assert [name for name, entry in model.parameters.items() if entry.trainable] == ["fc.weight"]


def test_layers_are_whole() -> None:
    found = [
        op for op in ops_of(kx.capture(layers())) if op in ("conv", "batch_norm", "linear", "matmul", "permute_dims")
    ]
    assert found == ["conv", "batch_norm", "linear"]


def test_bytes_of_every_element_type() -> None:
    import ml_dtypes

    for dtype in ("float16", "bfloat16", "float64", "int8", "uint16", "uint64", "bool", "complex64", "float8_e4m3fn"):
        values = np.array([[0, 1, 1], [1, 0, 1]]).astype(getattr(ml_dtypes, dtype, dtype))
        for raw in (True, False):
            kind = helper.np_dtype_to_tensor_dtype(values.dtype)
            flat = values.tobytes() if raw else values.ravel()
            try:
                tensor = helper.make_tensor("w", kind, values.shape, flat, raw=raw)
            except (TypeError, ValueError):
                continue
            proto = build([node("Identity", "w", "y"), node("Relu", "x", "z")], {"x": [1]}, ["y", "z"])
            proto.graph.initializer.append(tensor)
            found = kx.capture(proto)(x=np.zeros(1, np.float32))["y"]
            assert found.dtype == values.dtype
            np.testing.assert_array_equal(found.astype(np.complex128), values.astype(np.complex128))


@pytest.mark.parametrize(("kind", "low"), [(TensorProto.INT4, -8), (TensorProto.UINT4, 0)])
def test_four_bit_integers_are_unpacked(kind: int, low: int) -> None:
    values = [low, low + 3, low + 15, low + 7, low + 1]
    tensor = helper.make_tensor("w", kind, [5], values)
    proto = build([node("DequantizeLinear", "w scale", "y")], {"x": [1]}, ["y"], {"scale": np.float32(1)}, opset=21)
    proto.graph.initializer.append(tensor)
    np.testing.assert_array_equal(kx.capture(proto)(x=np.zeros(1, np.float32))["y"], values)


def test_large_weights_stay_in_the_file(tmp_path: Path) -> None:
    w = normal(2048, 2600)
    path = tmp_path / "big.onnx"
    onnx.save(build([node("MatMul", "x w", "y")], {"x": ["n", 2048]}, ["y"], {"w": w}), path)
    model = kx.load(path)
    found = model.array("w")
    np.testing.assert_array_equal(found, w)
    assert not found.flags.writeable
    assert not found.flags.owndata


# ------------------------------------------------------------------------------------------------ shapes


def test_a_shape_computation_dissolves() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("Gather", "s zero", "n", axis=0),
        node("Gather", "s one", "t", axis=0),
        node("Mul", "n t", "nt"),
        node("Unsqueeze", "nt first", "u"),
        node("Concat", "u rest", "shape", axis=0),
        node("Reshape", "x shape", "y"),
    ]
    tensors = {"zero": np.array(0, np.int64), "one": np.array(1, np.int64), "first": i64(0), "rest": i64(-1)}
    model = kx.capture(build(nodes, {"x": ["n", "t", 6]}, ["y"], tensors))
    assert ops_of(model) == ["reshape"]
    assert str(model.main.output_types["y"]) == "float32[n*t, 6]"
    assert not model.parameters
    for n, t in ((1, 1), (2, 5), (7, 3)):
        x = normal(n, t, 6)
        np.testing.assert_array_equal(model(x=x)["y"], x.reshape(-1, 6))


def test_sizes_halved_in_floats_are_sizes() -> None:
    nodes = [
        node("Shape", "x", "s", start=2),
        node("Cast", "s", "f", to=F),
        node("Mul", "f half", "g"),
        node("Floor", "g", "h"),
        node("Cast", "h", "i", to=TensorProto.INT64),
        node("Concat", "lead i", "sizes", axis=0),
        node(
            "Resize",
            "x - - sizes",
            "y",
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    tensors = {"half": np.float32(0.5), "lead": i64(1, 2)}
    model = kx.capture(build(nodes, {"x": [1, 2, "h", "w"]}, ["y"], tensors))
    assert str(model.main.output_types["y"]) == "float32[1, 2, h//2, w//2]"
    assert model(x=normal(1, 2, 5, 8))["y"].shape == (1, 2, 2, 4)


def test_the_usual_expand_dissolves() -> None:
    """PyTorch's expand: -1 keeps a size, told by a comparison that no size can meet."""
    nodes = [
        node("Shape", "x", "s"),
        node("Equal", "s minus", "e"),
        node("Where", "e ones s", "shape"),
        node("Expand", "v shape", "y"),
    ]
    tensors = {"minus": i64(-1, -1), "ones": i64(1, 1), "v": np.float32([[1, 2, 3]])}
    model = kx.capture(build(nodes, {"x": ["n", 3]}, ["y"], tensors))
    assert ops_of(model) == ["broadcast_to"]
    assert str(model.main.output_types["y"]) == "float32[n, 3]"


def test_a_size_used_as_data_is_a_full() -> None:
    nodes = [node("Shape", "x", "s", end=1), node("Cast", "s", "f", to=F), node("Div", "x f", "y")]
    model = kx.capture(build(nodes, {"x": ["n", 3]}, ["y"]))
    assert ops_of(model) == ["divide"]
    full = next(item for item in model.main.graph.nodes() if item.op == "full")
    assert str(full.attrs["value"]) == "n"
    x = normal(4, 3)
    np.testing.assert_allclose(model(x=x)["y"], x / 4)


def test_an_attention_mask_of_any_length() -> None:
    nodes = [
        node("Shape", "x", "n", start=1, end=2),
        node("Squeeze", "n", "k"),
        node("Range", "zero k one", "r"),
        node("Unsqueeze", "r last", "c"),
        node("LessOrEqual", "r c", "m"),
        node("Where", "m x low", "y"),
    ]
    tensors = {"zero": np.array(0, np.int64), "one": np.array(1, np.int64), "last": i64(1), "low": np.float32(-9)}
    model = kx.capture(build(nodes, {"x": ["b", "n", "n"]}, ["y"], tensors))
    x = normal(2, 5, 5)
    np.testing.assert_array_equal(model(x=x)["y"], np.where(np.tri(5, dtype=bool), x, np.float32(-9)))


def test_constant_of_shape_slice_split_and_tile_of_symbolic_sizes() -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "c"),
        node("Add", "x c", "a"),
        node("Slice", "a one end axis", "b"),
        node("Tile", "b twice", "y"),
    ]
    tensors = {"one": i64(1), "end": i64(2**63 - 1), "axis": i64(0), "twice": i64(2, 1)}
    model = kx.capture(build(nodes, {"x": ["n", 2]}, ["y"], tensors))
    assert str(model.main.output_types["y"]) == "float32[2*n-2, 2]"
    x = normal(4, 2)
    np.testing.assert_array_equal(model(x=x)["y"], np.tile(x[1:], (2, 1)))


def test_same_padding_of_a_symbolic_size() -> None:
    nodes = [node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[2], kernel_shape=[3])]
    model = kx.capture(build(nodes, {"x": [1, 1, "n"]}, ["y"], {"w": np.ones((1, 1, 3), np.float32)}))
    for n in (4, 5, 6, 7):  # trap C03
        assert model(x=np.ones((1, 1, n), np.float32))["y"].shape == (1, 1, -(-n // 2))


def test_a_shape_that_only_the_data_tell_is_refused_with_its_input() -> None:
    proto = build([node("Reshape", "x shape", "y")], {"x": ["n", 4], "shape": (TensorProto.INT64, [2])}, ["y"])
    with pytest.raises(UnsupportedOpError, match=r"shape must be known.*'shape'.*constants="):
        kx.capture(proto)
    model = kx.capture(proto, constants={"shape": i64(-1, 2)})
    assert model.input_names == ("x",)
    assert model(x=normal(3, 4))["y"].shape == (6, 2)


def test_data_dependent_sizes_are_symbols_of_their_own() -> None:
    nodes = [node("NonZero", "x", "i"), node("Transpose", "i", "y", perm=[1, 0])]
    model = kx.capture(build(nodes, {"x": ["n", 3]}, ["y"]))
    assert str(model.main.output_types["y"]) == "int64[nonzero_0, 2]"
    np.testing.assert_array_equal(model(x=np.eye(3, dtype=np.float32))["y"], [[0, 0], [1, 1], [2, 2]])


def test_lifting_twice_gives_the_same() -> None:
    first, second = (repr([(n.op, n.name, n.types) for n in kx.capture(layers()).main.graph.nodes()]) for _ in range(2))
    assert first == second


# ------------------------------------------------------------------------------------------------ round trips


def described(model: Any) -> Any:
    """All of a graph that two files of one model must have in common."""
    nodes = [(n.op, n.name, n.types, dict(n.attrs), str(n.source)) for n in model.main.graph.nodes()]
    entries = [(p.name, p.type, p.role, p.trainable, p.alias_of) for p in model.parameters.values()]
    return nodes, entries, model.input_names, model.output_names, model.constraints, model.metadata


def test_what_we_write_we_read_back(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.onnx" for number in range(3)]
    onnx.save(layers(), files[0])
    models = [kx.load(files[0])]
    for file in files[1:]:
        models[-1].save(file)
        models.append(kx.load(file))
    assert described(models[1]) == described(models[2])
    assert files[1].read_bytes() == files[2].read_bytes()
    for name, entry in models[0].parameters.items():
        np.testing.assert_array_equal(models[2].array(name), entry.array)
    x = normal(2, 3, 2, 2)
    np.testing.assert_allclose(models[2](x=x)["y"], models[0](x=x)["y"], rtol=1e-5)


def recurrent(direction: str) -> onnx.ModelProto:
    count = 2 if direction == "bidirectional" else 1
    tensors = {"w": normal(count, 16, 3), "r": normal(count, 16, 4), "b": normal(count, 32)}
    nodes = [node("LSTM", "x w r b", "y h c", hidden_size=4, direction=direction)]
    return build(nodes, {"x": ["t", "n", 3]}, ["y", "h", "c"], tensors)


def resized(model: onnx.ModelProto, tmp_path: Path) -> Any:
    """The model read, written, and read again, with the outputs of both for one image."""
    first = kx.capture(model)
    first.save(tmp_path / "m.onnx")
    second, x = kx.load(tmp_path / "m.onnx"), normal(1, 2, 21, 13)
    np.testing.assert_allclose(second(x=x)["y"], first(x=x)["y"], rtol=1e-5, atol=1e-6)
    assert second.main.output_types["y"].shape == first.main.output_types["y"].shape
    np.testing.assert_allclose(kx.run(first, {"x": x}, backend="onnx")["y"], first(x=x)["y"], rtol=1e-4, atol=1e-5)
    return first


def test_sizes_that_a_strided_convolution_gives_are_read_back(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "c v", "d", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Shape", "c", "s"),
        node("Resize", "d - - s", "y", mode="linear", coordinate_transformation_mode="half_pixel"),
    ]
    weights = {"w": normal(3, 2, 3, 3), "v": normal(3, 3, 3, 3)}
    model = resized(build(nodes, {"x": [1, 2, "h", "w_"]}, ["y"], weights), tmp_path)
    assert str(model.main.output_types["y"].shape[2]) == "(h-1)//2+1"


@pytest.mark.parametrize("mode", ["cubic", "linear", "nearest"])
def test_a_scale_of_one_and_a_half_of_a_symbolic_size(tmp_path: Path, mode: str) -> None:
    scales = {"s": np.array([1, 1, 1.5, 1.5], np.float32)}
    resize = node("Resize", "x - s", "y", mode=mode, coordinate_transformation_mode="half_pixel")
    resized(build([resize], {"x": [1, 2, "h", "w"]}, ["y"], scales), tmp_path)


@pytest.mark.parametrize("size", [1, 2, 9])
def test_a_division_that_truncates_what_may_be_negative(size: int) -> None:
    """``Div`` of integers truncates: of ``h - 2`` by 4 it is 0 for a size of 1, not -1."""
    nodes = [
        node("Shape", "x", "s"),
        node("Sub", "s two", "less"),
        node("Div", "less four", "part"),
        node("Add", "part two", "n"),
        node("ConstantOfShape", "n", "y"),
    ]
    model = kx.capture(build(nodes, {"x": ["h"]}, ["y"], {"two": i64(2), "four": i64(4)}))
    assert model(x=np.zeros(size, np.float32))["y"].shape == (int((size - 2) / 4) + 2,)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_a_recurrent_layer_comes_back_as_one(tmp_path: Path, direction: str) -> None:
    first = kx.capture(recurrent(direction))
    first.save(tmp_path / "m.onnx")
    second = kx.load(tmp_path / "m.onnx")
    count = 2 if direction == "bidirectional" else 1
    assert ops_of(second).count("lstm") == count
    assert not {"cond", "scan"} & set(ops_of(second))
    for t in (0, 1, 3):
        x = normal(t, 2, 3)
        for name, wanted in first(x=x).items():
            np.testing.assert_allclose(second(x=x)[name], wanted, rtol=1e-5, atol=1e-6)
