"""Keras models that are code: subclasses and custom layers, traced at the level of `keras.ops`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import keras_code_models as zoo  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.dims import evaluate  # noqa: E402
from kxchange.errors import CaptureError, UnsupportedOpError  # noqa: E402

L = keras.layers
K = keras.ops
pytestmark = pytest.mark.keras
BACKEND = keras.backend.backend()
NAMED = frozenset({"counter"})
"""Models whose source keeps a state: it does not give the same twice."""


def captured(name: str) -> tuple[Any, Any, Any]:
    """A model of the zoo, captured, and its own runner."""
    from kxchange_keras.capture import capture
    from kxchange_keras.source import run_source

    keras.utils.clear_session()
    net, args, dynamic = zoo.MODELS[name]()
    if args:
        net(*args)
    zoo.randomized(net)
    model = capture(net, *args, dynamic=dynamic or None)
    return net, model, run_source(model.origin, model)


def resized(array: Any, sizes: dict[str, int], shape: Any, rng: Any) -> Any:
    """An array of the same kind at other sizes."""
    wanted = tuple(evaluate(dim, sizes) for dim in shape)
    if array.dtype.kind == "f":
        return rng.normal(size=wanted).astype(array.dtype)
    return rng.integers(0, int(array.max()) + 1, wanted).astype(array.dtype)


@pytest.mark.parametrize("name", [name for name in zoo.MODELS if name not in NAMED])
def test_a_model_that_is_code(name: str) -> None:
    net, model, source = captured(name)
    rng = np.random.default_rng(5)
    for sizes in ({name: 2 + place for place, name in enumerate(model.dims)}, dict.fromkeys(model.dims, 5)):
        inputs = {
            key: resized(model.origin.examples.arrays[key], sizes, type.shape, rng)
            for key, type in model.functions["main"].input_types.items()
        }
        found = model(**inputs)
        for key, own in source(inputs).items():
            assert found[key].dtype == own.dtype and found[key].shape == own.shape
            limit = 2e-2 if name == "mixed_precision" else 2e-5
            assert np.abs(found[key] - own).max(initial=0) <= limit * max(1.0, np.abs(own).max(initial=0))
    kept = [p.array.tobytes() for name, p in model.parameters.items() if p.role != "state"]
    assert kept == [np.asarray(K.convert_to_numpy(v)).tobytes() for v in net.variables if "seed" not in v.path]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend(backend: str) -> None:
    if BACKEND != "tensorflow":
        pytest.skip("run from the TensorFlow session")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", __file__, "-p", "no:cacheprovider", "-m", "not slow"]
    done = subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


def test_layers_stay_whole_and_weights_keep_their_names() -> None:
    _, model, _ = captured("language_model")
    nodes = model.functions["main"].graph.nodes()
    counts = Counter(node.op for node in nodes)
    assert (counts["layer_norm"], counts["scaled_dot_product_attention"], counts["gelu"]) == (4, 2, 2)
    assert {"block_0/einsum_attention/wq", "embedding/embeddings", "scale", "positions"} <= set(model.parameters)
    assert model.dims == ("batch", "seq") and model.output_names == ("logits", "pooled")
    where = next(str(node.source) for node in nodes if node.op == "where")
    assert "keras_code_models.py:" in where and "block_0/einsum_attention" in where


def test_a_written_variable_is_an_output() -> None:
    _, model, source = captured("counter")
    assert model.functions["main"].updates == {"steps.next": "steps"}
    before = float(model.parameters["steps"].array)
    x = np.ones((2, 3), np.float32)
    found = model(x=x)
    assert np.allclose(found["output_0"], before + 1) and found["steps.next"] == before + 1
    assert np.allclose(next(iter(source({"x": x}).values())), before + 1)


def test_the_model_is_left_as_it_was() -> None:
    class Remembering(L.Layer):
        kept: Any = None

        def call(self, x: Any) -> Any:
            if self.kept is None:
                self.kept = K.ones((x.shape[-1],)) * 2
            self.add_loss(K.mean(x))
            return x * self.kept

    layer, x = Remembering(), np.ones((2, 3), np.float32)
    before = (
        keras.Layer.__call__,
        keras.Operation.__call__,
        keras.src.backend.numpy.add,
        keras.src.backend.Variable.value,
    )
    model = kx.capture(layer, x)
    after = (
        keras.Layer.__call__,
        keras.Operation.__call__,
        keras.src.backend.numpy.add,
        keras.src.backend.Variable.value,
    )
    assert before == after
    assert np.array_equal(K.convert_to_numpy(layer(x)), model(x=x)["output_0"])
    assert not any("Symbolic" in type(item).__name__ for item in vars(layer).values())


def code(body: Any) -> Any:
    """A layer whose `call` is a function."""

    class Code(L.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 8), name="w", initializer="uniform")

        def call(self, x: Any) -> Any:
            return body(self, x)

    return Code(name="mine")


def refused(body: Any, match: str, error: type = CaptureError) -> None:
    with pytest.raises(error, match=match) as found:
        kx.capture(code(body), np.ones((2, 4, 5), np.float32), dynamic={"x": ("batch", "seq", None)})
    assert "mine" in str(found.value) and "test_keras_code.py:" in str(found.value)


def native(self: Any, x: Any) -> Any:
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.nn.relu(x)
    if BACKEND == "torch":
        import torch

        return torch.relu(x)
    import jax.numpy as jnp

    return jnp.maximum(x, 0)


BAD: dict[str, tuple[Any, str]] = {
    **(
        {}
        if BACKEND == "tensorflow"
        else {"a function of the backend": (native, "only keras.ops and layers take them")}
    ),
    "NumPy": (lambda self, x: np.tanh(x), "mine"),
    "a loop over a symbolic size": (lambda self, x: sum(x[:, i] for i in range(x.shape[1])), "the size seq"),
    "a size as an int": (lambda self, x: x * int(x.shape[1]), "the size seq"),
    "a size as a float": (lambda self, x: x / float(K.shape(x)[1]), "the size seq"),
    "NumPy of a size": (lambda self, x: x + np.arange(x.shape[1])[:, None], "the size seq"),
    "a branch on values": (lambda self, x: x if K.sum(x) > 0 else -x, "branch"),
    "a branch on a size": (lambda self, x: x if x.shape[1] == 3 else -x, "whether the size seq is 3"),
    "a weight as an array": (lambda self, x: x @ K.convert_to_tensor(K.convert_to_numpy(self.w)), "mine"),
    "random numbers": (lambda self, x: x + keras.random.normal((5,), seed=1), "random numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_names_layer_and_line(name: str) -> None:
    refused(*BAD[name])


def test_every_blocker_is_named_at_once() -> None:
    def body(self: Any, x: Any) -> Any:
        return K.vander(x[0, 0])[0, 0] + K.cast(K.nonzero(x)[0][0], "float32") * 0

    refused(body, r"(?s)Vander", UnsupportedOpError)


def test_sizes_are_data_and_branches_are_constraints() -> None:
    def body(self: Any, x: Any) -> Any:
        y = x / K.cast(K.shape(x)[1], "float32")
        return y[:, :3] if x.shape[1] > 3 else y

    x = np.ones((2, 4, 5), np.float32)
    model = kx.capture(code(body), x, dynamic={"x": ("batch", "seq", None)})
    assert [str(c).partition(" (")[0] for c in model.constraints] == ["seq >= 4"]
    assert np.allclose(model(x=np.ones((1, 8, 5), np.float32))["output_0"], np.full((1, 3, 5), 1 / 8))


def test_drawing_outside_of_keras_is_seen() -> None:
    rng = np.random.default_rng()
    with pytest.raises(CaptureError, match="not the same when it is called again"):
        kx.capture(code(lambda self, x: x + rng.normal(size=5).astype("float32")), np.ones((2, 4, 5), np.float32))


def test_a_model_that_was_never_called_needs_inputs() -> None:
    with pytest.raises(CaptureError, match="example inputs"):
        kx.capture(zoo.Perceptron(1))


def test_training_layers_are_refused() -> None:
    """Dropout and batch statistics that the source asks for also at inference are no identity."""
    x = keras.Input((4,), name="x")
    with pytest.raises(UnsupportedOpError, match="training=True"):
        kx.capture(keras.Model(x, L.Dropout(0.5)(x, training=True)))


def test_private_apis() -> None:
    from kxchange_keras import private

    assert {name for _, name, _ in private.backend_functions()} >= {"add", "convert_to_tensor", "rnn", "normal", "relu"}
    assert len(list(private.symbol_tests())) > 5 and len(list(private.node_makers())) == 2
    assert any("value" in vars(kind) for kind in private.variable_classes())
    assert all(hasattr(module, "standardize_shape") for module in private.shape_readers())
    assert isinstance(K.ones(3), private.tensor_class()) and private.call_training() is None
    assert private.flat_layers(zoo.Perceptron(1))
