"""Models built as `tf.Module`, saved as SavedModel, captured, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from corpus import corpus  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange import ops  # noqa: E402
from kxchange.dims import symbol  # noqa: E402
from kxchange.errors import InputError, UnsupportedOpError, WriteError  # noqa: E402
from kxchange.graph import Graph, parameter, placeholder  # noqa: E402
from kxchange.model import Function, Model, Parameter, Role  # noqa: E402
from kxchange.types import DType, TensorType  # noqa: E402
from kxchange_tensorflow.build import held_weights  # noqa: E402

pytestmark = pytest.mark.tensorflow

GENERATOR = np.random.default_rng(3)
HOSTILE = "a b/../é'); import os #"


def small_model() -> Model:
    """Two functions that share a weight under a hostile name, with a buffer, a tied name and one that nothing reads."""
    weight = GENERATOR.standard_normal((4, 3)).astype(np.float32)
    mean = GENERATOR.standard_normal((3,)).astype(np.float32)
    parameters = [
        Parameter(HOSTILE, weight),
        Parameter("norm.mean", mean, role=Role.BUFFER),
        Parameter("tied", weight, alias_of=HOSTILE),
        Parameter("unread", np.zeros((2,), np.float32)),
    ]
    functions = {}
    for name in ("main", "doubled"):
        x = placeholder("x", TensorType(DType.FLOAT32, (symbol("batch"), symbol("seq"), 4)))
        y = ops.subtract(
            ops.matmul(x, parameter(HOSTILE, parameters[0].type)), parameter("norm.mean", parameters[1].type)
        )
        y = ops.add(y, y) if name == "doubled" else y
        functions[name] = Function(Graph((x,), (ops.reshape(y, shape=(symbol("batch"), symbol("seq") * 3)),)), ("y",))
    return Model(functions, parameters)


def example(batch: int = 2, seq: int = 5) -> Any:
    return GENERATOR.standard_normal((batch, seq, 4)).astype(np.float32)


def expected(model: Model, x: Any) -> Any:
    """By hand, in float64."""
    y = x.astype(np.float64) @ model.array(HOSTILE) - model.array("norm.mean")
    return y.reshape(len(x), -1)


def test_a_built_module_computes_and_trains() -> None:
    model, x = small_model(), example()
    net = model.to("tensorflow")
    np.testing.assert_allclose(net(x), expected(model, x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.functions["doubled"](x=x), 2 * expected(model, x), rtol=1e-5, atol=1e-6)
    assert len(net.variables) == 3 and len(net.trainable_variables) == 2
    assert net.parameters["tied"] is net.parameters[HOSTILE]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(net(x))
    gradient = tape.gradient(loss, net.parameters[HOSTILE])
    np.testing.assert_allclose(gradient, np.repeat(x.sum((0, 1))[:, None], 3, 1), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="missing"):
        net()


def test_held_weights() -> None:
    model = small_model()
    found = held_weights(model)
    assert list(found) == list(model.parameters)
    assert all(np.array_equal(found[name], model.array(name)) for name in found)


def test_a_saved_model_opens_in_tensorflow_and_here(tmp_path: Path) -> None:
    model, x = small_model(), example()
    files = kx.save(model, tmp_path / "net", to="tensorflow")
    assert {"saved_model.pb", "variables.index"} <= {file.name for file in files}
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    assert set(loaded.signatures) == {"serving_default", "doubled"}
    for shape in ((2, 5), (1, 1), (3, 7)):
        x = example(*shape)
        found = loaded.signatures["serving_default"](x=tf.constant(x))["y"]
        np.testing.assert_allclose(found, expected(model, x), rtol=1e-5, atol=1e-6)
    back = kx.load(tmp_path / "net")
    assert set(back.functions) == {"serving_default", "doubled"}
    np.testing.assert_allclose(back(x=x)["y"], expected(model, x), rtol=1e-5, atol=1e-6)
    weights = [p.array for p in back.parameters.values()]
    assert any(np.array_equal(w, model.array(HOSTILE)) for w in weights)
    assert [path.name for path in tmp_path.iterdir()] == ["net"]


def test_what_is_no_saved_model_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "precious.txt").write_text("x")
    with pytest.raises(WriteError, match="will not be replaced"):
        kx.save(small_model(), tmp_path / "net", to="tensorflow")
    assert [path.name for path in tmp_path.rglob("*")] == ["net", "precious.txt"]


class Net(tf.Module):
    """A module as users write it: a loop, a branch, attributes, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = [tf.Variable(GENERATOR.standard_normal((4, 4)), name="w")]
        self.offset = tf.Variable(GENERATOR.standard_normal((4,)), trainable=False)

    @tf.function
    def __call__(self, x: Any) -> Any:
        total = tf.zeros_like(x)
        for step in tf.range(3):
            total = total + tf.cast(step, x.dtype) * tf.matmul(x, self.layer[0])
        scaled = tf.cond(tf.reduce_sum(x) > 0, lambda: total * 2.0, lambda: total - self.offset)
        return {"total": scaled, "shape": tf.shape(x)[0]}


def test_a_module_is_captured() -> None:
    net, x = Net(), GENERATOR.standard_normal((3, 4))
    model = kx.capture(net, tf.constant(x))
    assert list(model.parameters) == ["layer.0", "offset"]
    assert [p.trainable for p in model.parameters.values()] == [True, False]
    assert str(model.main.input_types["x"]) == "float64[batch, 4]"
    for sign in (1, -1):
        data = sign * np.abs(GENERATOR.standard_normal((5, 4)))
        own, found = net(tf.constant(data)), model(x=data)
        np.testing.assert_allclose(found["total"], own["total"], rtol=1e-12)
        assert found["shape"] == 5
    assert "while_loop" in {node.op for node in model.main.graph.nodes()}


def test_private_apis() -> None:
    from kxchange_tensorflow.private import captures, module_variables

    net = Net()
    assert [path for _, path in module_variables(net)] == ["layer.0", "offset"]
    concrete = net.__call__.get_concrete_function(tf.TensorSpec([None, 4], tf.float64))
    assert {id(outer) for outer, _ in captures(concrete)} == {id(net.layer[0].handle), id(net.offset.handle)}


def test_what_is_not_allowed_is_refused_by_name() -> None:
    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def reads(x: Any) -> Any:
        return tf.strings.to_number(tf.io.read_file("secret")) + tf.random.normal([]) + x

    with pytest.raises(UnsupportedOpError) as caught:
        kx.capture(reads)
    assert {blocker.op for blocker in caught.value.blockers} >= {"ReadFile", "RandomStandardNormal"}


@pytest.mark.parametrize("kind", ["mlp", "convolutional", "recurrent", "attention"])
def test_keras_exports(kind: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras exports SavedModels under its TensorFlow backend")
    layers = keras.layers
    stacks = {
        "mlp": [keras.Input((8,)), layers.Dense(16, "relu"), layers.BatchNormalization(), layers.Dense(3, "softmax")],
        "convolutional": [
            keras.Input((None, None, 3)),
            layers.Conv2D(8, 3, 2, "same"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.AveragePooling2D(2, padding="same"),
            layers.GlobalMaxPooling2D(),
        ],
        "recurrent": [keras.Input((None, 4)), layers.LSTM(6, return_sequences=True), layers.GRU(3)],
    }
    if kind == "attention":
        x = keras.Input((None, 8))
        net = keras.Model(x, layers.LayerNormalization()(layers.MultiHeadAttention(2, 4)(x, x) + x))
    else:
        net = keras.Sequential(stacks[kind])
    net.export(str(tmp_path / "net"), verbose=False)
    model = kx.load(tmp_path / "net")
    assert [p.trainable for p in model.parameters.values()].count(True) == len(net.trainable_variables)
    shape = [size or 11 for size in net.inputs[0].shape[1:]]
    data = GENERATOR.standard_normal((3, *shape)).astype(np.float32)
    (found,) = model(**{model.input_names[0]: data}).values()
    np.testing.assert_allclose(found, np.asarray(net(data, training=False)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", ["dev_helloworld_float_tflite", "dev_tract_keras_savedmodel"])
def test_a_tflite_file_runs_in_its_interpreter(source: str, tmp_path: Path) -> None:
    entry = corpus(source)
    path = tmp_path / "net.tflite"
    kx.save(kx.load(entry.path), path)
    interpreter = tf.lite.Interpreter(str(path))
    (given,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    back = kx.load(path)
    for case in entry.cases():
        (array,), (expected,) = case.inputs.values(), case.outputs.values()
        interpreter.resize_tensor_input(given["index"], array.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], array)
        interpreter.invoke()
        np.testing.assert_allclose(interpreter.get_tensor(result["index"]), expected, atol=1e-6)
        (found,) = back(**{back.input_names[0]: array}).values()
        np.testing.assert_allclose(found, expected, atol=1e-6)
