"""Keras models as people have them: what went wrong with one of them once, each with a model that has it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

keras = pytest.importorskip("keras")

import kxchange as kx  # noqa: E402

L = keras.layers
K = keras.ops
pytestmark = pytest.mark.keras


def array(item: Any) -> Any:
    return np.asarray(K.convert_to_numpy(item))


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class Keyed(keras.Model):
    """Its outputs are a dict whose keys are not in the order of the alphabet."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = L.Dense(4), L.Dense(2)

    def call(self, x: Any) -> Any:
        return {"wide": self.wide(x), "narrow": self.narrow(x)}


def test_outputs_in_a_dict_keep_their_keys() -> None:
    from kxchange_keras.source import run_source

    net, x = Keyed(), normal(3, 5)
    own = net(x)
    model = kx.capture(net, x)
    for found in (model(x=x), run_source(model.origin, model)({"x": x})):
        assert {key: value.shape for key, value in found.items()} == {"wide": (3, 4), "narrow": (3, 2)}
        for key, value in own.items():
            np.testing.assert_allclose(found[key], array(value), rtol=1e-5, atol=1e-6)


def test_outputs_of_a_graph_in_a_dict_keep_their_keys() -> None:
    from kxchange_keras.source import run_source

    given = keras.Input((5,), name="x")
    net = keras.Model(given, {"wide": L.Dense(4)(given), "narrow": L.Dense(2)(given)})
    model, x = kx.capture(net), normal(3, 5)
    found, source = model(x=x), run_source(model.origin, model)({"x": x})
    for key, value in net(x).items():
        np.testing.assert_allclose(found[key], array(value), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(source[key], array(value))


def test_a_layer_in_two_models_of_a_file(tmp_path: Path) -> None:
    """Keras stores its weights once and cannot read the file again itself."""
    inner = keras.Sequential([keras.Input((6,)), L.Dense(6, activation="elu"), L.Dense(6)], name="encoder")
    first = keras.Input((6,))
    middle = keras.Model(first, [inner(first), L.Dense(3)(first)], name="middle")
    second = keras.Input((6,), name="x")
    net = keras.Model(second, L.Concatenate()([inner(second), *middle(second)]))
    net.save(tmp_path / "net.keras")
    model, x = kx.load(tmp_path / "net.keras"), normal(2, 6)
    np.testing.assert_allclose(next(iter(model(x=x).values())), array(net(x)), rtol=1e-5, atol=1e-6)
    tied = {name: entry.alias_of for name, entry in model.parameters.items() if entry.alias_of}
    assert len(model.parameters) - len(tied) == 6 and len(tied) == 4
    assert all(name.endswith(first.rpartition("encoder/")[2]) for name, first in tied.items())


def test_sorting_and_arguments_come_back_from_keras(tmp_path: Path) -> None:
    """`argmax` and `top_k` are written with `keras.ops.view`."""
    given = keras.Input((7,), name="x")
    values, places = K.top_k(given, 3)
    model = kx.capture(keras.Model(given, [values, places, K.argmax(given, axis=-1)]))
    kx.save(model, tmp_path / "net.keras")
    again, x = kx.load(tmp_path / "net.keras"), normal(4, 7)
    for found, own in zip(again(x=x).values(), model(x=x).values(), strict=True):
        np.testing.assert_array_equal(found, own)


tensorflow_only = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="its code calls TensorFlow")


def direct(body: Any) -> Any:
    """A model with a layer whose code calls TensorFlow, between layers of Keras."""

    class Direct(L.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 4), name="w")
            self.steps = self.add_weight(shape=(), name="steps", trainable=False, initializer="zeros")

        def call(self, x: Any) -> Any:
            return body(self, x)

    given = keras.Input((3,), name="x")
    return keras.Model(given, L.Dense(2, name="last")(Direct(name="direct")(L.Dense(3, name="first")(given))))


@tensorflow_only
def test_code_that_calls_tensorflow() -> None:
    import tensorflow as tf

    net, x = direct(lambda self, x: tf.nn.elu(tf.matmul(tf.nn.l2_normalize(x, axis=-1), self.w))), normal(5, 3)
    model = kx.capture(net, x)
    assert model.dims == ("batch",) and model.provenance["through"] == "a graph of TensorFlow"
    assert [*model.parameters] == [v.path for v in net.variables]
    for rows in (1, 7):
        x = normal(rows, 3, seed=rows)
        found = model(**{model.input_names[0]: x})
        np.testing.assert_allclose(next(iter(found.values())), array(net(x)), rtol=1e-5, atol=1e-6)


@tensorflow_only
@pytest.mark.parametrize("what", ["random", "drawn", "written", "python", "size"])
def test_code_that_calls_tensorflow_and_cannot_be_taken(what: str) -> None:
    import tensorflow as tf

    rng = np.random.default_rng()

    def body(self: Any, x: Any) -> Any:
        if what == "drawn":
            return tf.matmul(x, self.w) + rng.normal(size=4).astype("float32")
        if what == "size":
            return tf.matmul(x, self.w) * (2.0 if x.shape[0] == 5 else 1.0)
        if what == "random":
            return tf.matmul(x, self.w) + tf.random.normal([4])
        if what == "written":
            self.steps.value.assign_add(tf.reduce_sum(tf.abs(x)))
            return tf.matmul(x, self.w) + self.steps
        return tf.ensure_shape(tf.numpy_function(lambda y: y, [tf.matmul(x, self.w)], tf.float32), [None, 4])

    with pytest.raises(kx.KxchangeError):
        kx.capture(direct(body), normal(5, 3))


def test_the_scaling_layer_of_an_architecture_of_keras(tmp_path: Path) -> None:
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    given = keras.Input((4,), name="x")
    net = keras.Model(given, CustomScaleLayer(0.2)([given, L.Dense(4)(given)]))
    net.save(tmp_path / "net.keras")
    model, x = kx.load(tmp_path / "net.keras"), normal(3, 4)
    np.testing.assert_allclose(next(iter(model(x=x).values())), array(net(x)), rtol=1e-5, atol=1e-6)
