"""Whole Keras models from their files: wiring, masks, sharing, nesting, both file formats."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
import pytest

keras = pytest.importorskip("keras")
L = keras.layers
K = keras.ops

pytestmark = pytest.mark.keras
MODELS: dict[str, Callable[[], Any]] = {}
TOKENS = 9


def model(make: Callable[[], Any]) -> Callable[[], Any]:
    MODELS[make.__name__] = make
    return make


def tokens(name: str = "tokens") -> Any:
    return keras.Input((None,), dtype="int32", name=name)


@model
def sequential() -> Any:
    return keras.Sequential([keras.Input((6,)), L.Dense(5, "relu"), L.BatchNormalization(), L.Dense(2)])


@model
def shared_layer() -> Any:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    dense = L.Dense(3, name="both")
    return keras.Model([left, right], [dense(left), L.Subtract()([dense(left), dense(right)])])


@model
def shared_model() -> Any:
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3), L.LayerNormalization()], name="inner")
    x = keras.Input((4,), name="x")
    y = inner(x)
    return keras.Model(x, L.Concatenate()([y, inner(L.ReLU()(x))]))


@model
def nested_models() -> Any:
    a = keras.Input((4,), name="a")
    deepest = keras.Model(a, [L.Dense(3, name="one")(a), L.Dense(2, name="two")(a)], name="deepest")
    b = keras.Input((4,), name="b")
    one, two = deepest(b)
    middle = keras.Model(b, {"sum": L.Dense(2, name="three")(one), "two": two}, name="middle")
    c = keras.Input((4,), name="c")
    found = middle(c)
    return keras.Model(c, L.Add()([found["sum"], found["two"]]), name="outer")


@model
def named_outputs() -> Any:
    x = keras.Input((4,), name="x")
    return keras.Model({"x": x}, {"probability": L.Dense(3, "softmax")(x), "score": [L.Dense(1)(x), L.Dense(2)(x)]})


@model
def nested_outputs() -> Any:
    x = keras.Input((4,), name="x")
    inner = keras.Model(x, [L.Dense(2, name="p")(x), L.Dense(3, name="q")(x)], name="inner")
    z = keras.Input((4,), name="z")
    return keras.Model(z, inner(z))


@model
def spatial_dropout() -> Any:
    x = keras.Input((5, 4), name="x")
    return keras.Model(x, L.Dense(2)(L.SpatialDropout1D(0.2)(x)))


@model
def masked_lstm() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, L.LSTM(4, return_sequences=True)(x))


@model
def masked_last() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, [L.LSTM(4)(x), L.GRU(3)(x), L.SimpleRNN(3, go_backwards=True)(x)])


@model
def masked_backwards() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, L.GRU(4, return_sequences=True, go_backwards=True)(x))


@model
def masked_bidirectional() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    x = L.Bidirectional(L.LSTM(4, return_sequences=True))(x)
    return keras.Model(t, [x, L.Bidirectional(L.GRU(3))(x)])


@model
def masked_states() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    x, h, c = L.LSTM(4, return_sequences=True, return_state=True)(x)
    return keras.Model(t, [L.LSTM(4)(x, initial_state=[h, c]), h, c])


@model
def masked_cells() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, L.RNN([L.LSTMCell(3), L.GRUCell(4)], return_sequences=True)(x))


@model
def masked_odd_cell() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, L.LSTM(3, activation="softmax", return_sequences=True)(x))


@model
def masked_pool() -> Any:
    t = tokens()
    x = L.Dense(4)(L.Dropout(0.2)(L.Embedding(TOKENS, 6, mask_zero=True)(t)))
    return keras.Model(t, L.GlobalAveragePooling1D()(x))


@model
def masked_merges() -> Any:
    s, t = tokens("s"), tokens("t")
    table = L.Embedding(TOKENS, 6, mask_zero=True)
    a, b = table(s), table(t)
    added = L.LSTM(3)(L.Add()([a, b]))
    joined = L.LSTM(3)(L.Concatenate()([a, b]))
    longer = L.LSTM(3)(L.Concatenate(axis=1)([a, b]))
    return keras.Model([s, t], [added, joined, longer, L.Maximum()([a, b])])


@model
def masking_layer() -> Any:
    x = keras.Input((None, 3), name="x")
    return keras.Model(x, L.LSTM(4, return_sequences=True)(L.Masking(0.0)(x)))


@model
def masked_softmax() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 1, mask_zero=True)(t)
    return keras.Model(t, L.Softmax(axis=1)(x, mask=K.expand_dims(K.not_equal(t, 0), -1)))


@model
def attention_block() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6)(t)
    y = L.MultiHeadAttention(2, 3)(x, x)
    x = L.LayerNormalization(epsilon=1e-6)(x + y)
    return keras.Model(t, L.MultiHeadAttention(2, 3, value_dim=5, output_shape=7)(x, x, use_causal_mask=True))


@model
def attention_masked() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    y = L.MultiHeadAttention(2, 3)(x, x)
    z = L.MultiHeadAttention(2, 3)(y, x, use_causal_mask=True)
    return keras.Model(t, [y, z])


@model
def attention_dropout_masked() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    return keras.Model(t, L.MultiHeadAttention(2, 3, dropout=0.1)(x, x))


@model
def attention_scores() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6)(t)
    return keras.Model(t, list(L.MultiHeadAttention(2, 3, use_bias=False)(x, x, return_attention_scores=True)))


@model
def attention_window() -> Any:
    x = keras.Input((None, 6), name="x")
    return keras.Model(x, L.MultiHeadAttention(2, 3, sliding_window=2, use_gate=True)(x, x))


@model
def attention_axes() -> Any:
    x = keras.Input((3, 4, 6), name="x")
    return keras.Model(x, [L.MultiHeadAttention(2, 3)(x, x), L.MultiHeadAttention(2, 3, attention_axes=(2,))(x, x)])


@model
def attention_mask_given() -> Any:
    x, m = keras.Input((4, 6), name="x"), keras.Input((4, 4), dtype="bool", name="m")
    return keras.Model([x, m], L.MultiHeadAttention(2, 3)(x, x, attention_mask=m))


@model
def grouped_attention() -> Any:
    t = tokens()
    x = L.Embedding(TOKENS, 6, mask_zero=True)(t)
    y = L.GroupQueryAttention(3, 4, 2)(x, x)
    return keras.Model(t, L.GroupQueryAttention(3, 4, 2, use_gate=True)(y, x, use_causal_mask=True))


@model
def attention_layers_masked() -> Any:
    s, t = tokens("s"), tokens("t")
    table = L.Embedding(TOKENS, 6, mask_zero=True)
    q, v = table(s), table(t)
    return keras.Model(
        [s, t], [L.Attention()([q, v]), L.AdditiveAttention()([q, v]), L.Attention()([q, q], use_causal_mask=True)]
    )


@model
def time_distributed_model() -> Any:
    a = keras.Input((5, 4), name="a")
    inner = keras.Model(a, L.Dense(3)(L.GRU(4)(a)), name="inner")
    x = keras.Input((None, 5, 4), name="x")
    return keras.Model(x, L.TimeDistributed(inner)(x))


@model
def residual_network() -> Any:
    x = keras.Input((None, None, 3), name="image")
    y = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    y = L.ReLU(6.0)(L.BatchNormalization()(y))
    z = L.DepthwiseConv2D(3, padding="same")(y)
    z = L.Activation("hard_swish")(L.BatchNormalization()(z))
    y = L.Add()([y, L.Conv2D(8, 1)(z)])
    squeezed = L.GlobalAveragePooling2D(keepdims=True)(y)
    y = L.Multiply()([y, L.Conv2D(8, 1, activation="hard_sigmoid")(squeezed)])
    return keras.Model(x, L.Dense(4, "softmax")(L.GlobalAveragePooling2D()(y)))


@model
def encoder_decoder() -> Any:
    s, t = tokens("source"), tokens("target")
    table = L.Embedding(TOKENS, 6, mask_zero=True)
    _, h, c = L.LSTM(4, return_state=True)(table(s))
    y = L.LSTM(4, return_sequences=True)(table(t), initial_state=[h, c])
    return keras.Model([s, t], L.TimeDistributed(L.Dense(TOKENS, "softmax"))(y))


def randomize(net: Any, rng: np.random.Generator) -> None:
    for variable in net.variables:
        if variable.dtype.startswith("float"):
            positive = "variance" in variable.path
            variable.assign(
                rng.uniform(0.2, 1.2, variable.shape) * (1 if positive else rng.choice([-1, 1], variable.shape))
            )


def example(tensor: Any, batch: int, length: int, rng: np.random.Generator) -> np.ndarray:
    shape = tuple(size or (batch if axis == 0 else length) for axis, size in enumerate(tensor.shape))
    if tensor.dtype == "bool":
        return rng.random(shape) < 0.6
    if tensor.dtype == "int32":
        return (rng.integers(1, TOKENS, shape) * (rng.random(shape) < 0.6)).astype("int32")
    array = rng.standard_normal(shape)
    if len(shape) == 3:
        array[:, ::3] = 0
    return array.astype(tensor.dtype)


@pytest.fixture(autouse=True)
def float64() -> Any:
    for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
        setting("float64")
    keras.utils.clear_session()
    yield
    for setting in (keras.config.set_floatx, keras.config.set_dtype_policy):
        setting("float32")


def flat(tree: Any) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(tree)]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", MODELS)
def test_model_from_its_file(name: str, suffix: str, tmp_path: Path) -> None:
    from kxchange_keras.load import load

    rng = np.random.default_rng(1)
    net = MODELS[name]()
    randomize(net, rng)
    net.save(tmp_path / f"net{suffix}")
    loaded = load(tmp_path / f"net{suffix}")
    if not isinstance(net, keras.Sequential):
        assert list(loaded.input_names) == [t.name for t in net.inputs]
    expected_sizes = sorted(np.size(v) for v in net.variables if "seed_generator" not in v.path)
    assert sorted(p.array.size for p in loaded.parameters.values()) == expected_sizes
    for batch, length in ((3, 5), (2, 7)):
        arrays = [example(tensor, batch, length, rng) for tensor in net.inputs]
        given = (
            dict(zip([t.name for t in net.inputs], arrays, strict=True))
            if not isinstance(net, keras.Sequential) and isinstance(net.input, dict)
            else arrays
        )
        wanted = flat(net(given if len(arrays) > 1 or isinstance(given, dict) else arrays[0], training=False))
        found = list(loaded(**dict(zip(loaded.input_names, arrays, strict=True))).values())
        assert [x.shape for x in found] == [x.shape for x in wanted]
        for ours, theirs in zip(found, wanted, strict=True):
            close = 1e-6 if "attention" in name else 1e-11  # TensorFlow's attention scales by a float32
            assert np.abs(ours - theirs).max(initial=0) <= close * max(1.0, np.abs(theirs).max(initial=0))


@pytest.mark.parametrize("name", MODELS)
def test_capture_gives_what_the_file_gives(name: str, tmp_path: Path) -> None:
    import kxchange as kx

    rng = np.random.default_rng(2)
    net = MODELS[name]()
    randomize(net, rng)
    net.save(tmp_path / "net.keras")
    loaded, captured = kx.load(tmp_path / "net.keras"), kx.capture(net)
    seeds = {name for name, entry in captured.parameters.items() if entry.role == "state"}
    assert [n for n in captured.parameters if n not in seeds] == list(loaded.parameters)
    assert len(seeds) == sum("seed_generator" in v.path for v in net.variables)
    assert captured.output_names == loaded.output_names
    arrays = [example(tensor, 2, 4, rng) for tensor in net.inputs]
    first, second = (list(m(**dict(zip(m.input_names, arrays, strict=True))).values()) for m in (loaded, captured))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["residual_network", "masked_bidirectional", "nested_models"])
def test_captured_model_is_its_source(name: str) -> None:
    import kxchange as kx

    net = MODELS[name]()
    randomize(net, np.random.default_rng(0))
    report = kx.validate(kx.capture(net), backends="numpy", cases=2, processes=False)
    assert report.ok, str(report)
