"""Keras models that are code: subclasses and custom layers as users write them. Each gives a model and its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as L

K: Any = keras.ops
Case = tuple[Any, tuple[Any, ...], dict[str, Any]]
"""A model, positional example inputs, and `dynamic`."""
MODELS: dict[str, Callable[[], Case]] = {}


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    MODELS[make.__name__] = make
    return make


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def whole(high: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.int32)


class Perceptron(keras.Model):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.blocks = [L.Dense(8, activation="relu") for _ in range(depth)]
        self.norm, self.drop, self.out = L.BatchNormalization(), L.Dropout(0.5), L.Dense(4)

    def call(self, x: Any, training: bool | None = None) -> Any:
        for block in self.blocks:
            x = block(x)
        x = self.drop(self.norm(x, training=training), training=training)
        return self.out(x * 2 if training else x)


@case
def perceptron() -> Case:
    return Perceptron(3), (floats(3, 5),), {}


class EinsumAttention(L.Layer):
    """Weights of its own, a causal mask of the sequence's length, softmax by hand."""

    def __init__(self, heads: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.dim = heads, dim

    def build(self, shape: Any) -> None:
        width = shape[-1]
        for name in ("wq", "wk", "wv"):
            setattr(self, name, self.add_weight(shape=(width, self.heads, self.dim), name=name))
        self.wo = self.add_weight(shape=(self.heads, self.dim, width), name="wo")

    def call(self, x: Any) -> Any:
        q, k, v = (K.einsum("btd,dhe->bhte", x, w) for w in (self.wq, self.wk, self.wv))
        scores = K.matmul(q, K.swapaxes(k, -1, -2)) / K.sqrt(K.cast(self.dim, x.dtype))
        steps = K.arange(K.shape(x)[1])
        scores = K.where(steps[:, None] >= steps[None, :], scores, -1e9)
        return K.einsum("bhte,hed->btd", K.matmul(K.softmax(scores), v), self.wo)


class TransformerBlock(L.Layer):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attend, self.native = EinsumAttention(2, 4), L.MultiHeadAttention(2, 4)
        self.first, self.second = L.LayerNormalization(), L.LayerNormalization()
        self.feed = keras.Sequential([L.Dense(16, "gelu"), L.Dense(8)])

    def call(self, x: Any) -> Any:
        h = self.first(x)
        x = x + self.attend(h) + self.native(h, h)
        return x + self.feed(self.second(x))


class LanguageModel(keras.Model):
    """Tied output embedding, a positional table sliced to the sequence, a weight used only beside other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = L.Embedding(11, 8)
        self.blocks = [TransformerBlock(name=f"block_{i}") for i in range(2)]
        self.scale = self.add_weight(shape=(8,), name="scale", initializer="ones")
        self.positions = self.add_weight(shape=(32, 8), name="positions")

    def call(self, ids: Any) -> Any:
        x = self.embed(ids) + self.positions[: K.shape(ids)[1]]
        for block in self.blocks:
            x = block(x)
        x = x * (self.scale * 2)
        return {"logits": K.matmul(x, K.transpose(self.embed.embeddings)), "pooled": K.mean(x, axis=1)}


@case
def language_model() -> Case:
    return LanguageModel(), (whole(11, 2, 6),), {"ids": ("batch", "seq")}


class Rotary(L.Layer):
    """Rotary positions as a language model has them: frequencies of the length, halves turned."""

    def call(self, x: Any) -> Any:
        length, half = K.shape(x)[1], x.shape[-1] // 2
        inverse = 1.0 / (10000 ** (K.arange(0, half, dtype="float32") / half))
        angle = K.expand_dims(K.cast(K.arange(length), "float32"), -1) * K.expand_dims(inverse, 0)
        cos, sin = (K.concatenate([f(angle)] * 2, axis=-1)[None, :, None, :] for f in (K.cos, K.sin))
        a, b = K.split(x, 2, axis=-1)
        return x * cos + K.concatenate([-b, a], axis=-1) * sin


class CachedMask(L.Layer):
    """Keeps a mask in itself once it has made one, and adds it to scores."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self._mask = size, None

    def mask(self) -> Any:
        if self._mask is None:
            self._mask = np.tril(np.ones((self.size, self.size), dtype="float32"))
        return K.convert_to_tensor(self._mask)

    def call(self, scores: Any) -> Any:
        rows, columns = scores.shape[-2], scores.shape[-1]
        return scores + (1.0 - self.mask()[:rows, :columns]) * -1e9


class Decoder(keras.Model):
    """The parts of a large language model: grouped heads, RMS norm, gated feed-forward, reversible embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = L.ReversibleEmbedding(13, 16, tie_weights=True)
        self.norm, self.last = L.RMSNormalization(), L.RMSNormalization()
        self.q = L.EinsumDense("btd,dhe->bthe", output_shape=(None, 4, 4), bias_axes=None)
        self.k = L.EinsumDense("btd,dhe->bthe", output_shape=(None, 2, 4), bias_axes=None)
        self.v = L.EinsumDense("btd,dhe->bthe", output_shape=(None, 2, 4), bias_axes="he")
        self.o = L.EinsumDense("bthe,hed->btd", output_shape=(None, 16), bias_axes=None)
        self.rotary, self.cached = Rotary(), CachedMask(64)
        self.gate, self.up, self.down = (L.Dense(n, use_bias=False) for n in (24, 24, 16))

    def call(self, inputs: Any, training: bool = False) -> Any:
        ids, keep = inputs["token_ids"], inputs["padding_mask"]
        x = self.embed(ids) * K.cast(math.sqrt(16), "float32")
        h = self.norm(x)
        q, k, v = self.rotary(self.q(h)), self.rotary(self.k(h)), self.v(h)
        k, v = K.repeat(k, 2, axis=2), K.repeat(v, 2, axis=2)
        scores = K.einsum("bthe,bshe->bhts", q, k) * (4**-0.5)
        scores = self.cached(scores) + (1.0 - K.cast(keep, scores.dtype))[:, None, None, :] * -1e9
        x = x + self.o(K.einsum("bhts,bshe->bthe", K.softmax(scores, axis=-1), v))
        h = self.last(x)
        x = x + self.down(K.silu(self.gate(h)) * self.up(h))
        return self.embed(x, reverse=True)


@case
def decoder() -> Case:
    keep = np.ones((2, 6), np.int32)
    keep[0, 4:] = 0
    sizes = ("batch", "seq")
    return (
        Decoder(),
        ({"token_ids": whole(13, 2, 6), "padding_mask": keep},),
        dict.fromkeys(("token_ids", "padding_mask"), sizes),
    )


class Scaled(L.Layer):
    """`add_weight` in `build`, and a buffer that is no weight to train."""

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(shape[-1],), initializer="uniform", name="gain")
        self.shift = self.add_weight(shape=(shape[-1],), initializer="uniform", name="shift", trainable=False)

    def call(self, x: Any) -> Any:
        return x * K.softplus(self.gain) + self.shift


class Residual(L.Layer):
    def __init__(self, filters: int, strides: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.one = L.Conv2D(filters, 3, strides, "same", use_bias=False)
        self.two = L.Conv2D(filters, 3, padding="same", groups=2)
        self.norms = [L.BatchNormalization(), L.GroupNormalization(2)]
        self.short = L.Conv2D(filters, 1, strides) if strides > 1 else None

    def call(self, x: Any, training: bool | None = None) -> Any:
        y = keras.activations.relu(self.norms[0](self.one(x), training=training))
        y = self.norms[1](self.two(y))
        return K.relu(y + (x if self.short is None else self.short(x)))


class Network(keras.Model):
    """Nested subclasses, lists of layers, global pooling by hand."""

    def __init__(self) -> None:
        super().__init__(name="network")
        self.stem = keras.Sequential([L.Conv2D(4, 3, padding="same"), Scaled()], name="stem")
        self.stages = [Residual(4), Residual(8, 2)]
        self.head = Perceptron(1)

    def call(self, image: Any, training: bool = False) -> Any:
        x = self.stem(image)
        for stage in self.stages:
            x = stage(x, training=training)
        return self.head(K.mean(x, axis=(1, 2)), training=training)


@case
def residual_network() -> Case:
    return Network(), (floats(2, 8, 8, 3),), {}


class GateCell(L.Layer):
    """A cell of one's own, for `keras.layers.RNN`."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.state_size = self.output_size = units
        self.gate, self.new = L.Dense(units, "sigmoid"), L.Dense(units, "tanh")

    def build(self, shape: Any) -> None:
        self.gate.build((shape[0], shape[-1] + self.state_size))
        self.new.build((shape[0], shape[-1] + self.state_size))
        self.built = True

    def call(self, x: Any, states: Any, training: bool | None = None) -> Any:
        h = states[0]
        z = self.gate(K.concatenate([x, h], axis=-1))
        h = (1 - z) * h + z * self.new(K.concatenate([x, h], axis=-1))
        return h, [h]


class Unrolled(keras.Model):
    """The steps of a cell in a Python loop over a sequence of fixed length."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.native = GateCell(5), L.GRUCell(4)
        self.loop = L.RNN(GateCell(3), return_sequences=True, go_backwards=True)
        self.both = L.Bidirectional(L.LSTM(2))

    def call(self, x: Any) -> Any:
        h, g = K.zeros((K.shape(x)[0], 5)), K.zeros((K.shape(x)[0], 4))
        for step in range(x.shape[1]):
            h, _ = self.cell(x[:, step], [h])
        del g
        return h, self.loop(x), self.both(x)


@case
def unrolled() -> Case:
    return Unrolled(), (floats(2, 4, 3),), {}


class Masked(keras.Model):
    """A mask that goes through a custom layer into a recurrent one."""

    class Keep(L.Layer):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.supports_masking = True

        def call(self, x: Any, mask: Any = None) -> Any:
            return x if mask is None else x * K.cast(K.expand_dims(mask, -1), x.dtype)

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.keep, self.rnn = L.Embedding(9, 4, mask_zero=True), self.Keep(), L.LSTM(3)
        self.cell = L.RNN(GateCell(3), return_sequences=True)

    def call(self, ids: Any) -> Any:
        x = self.keep(self.embed(ids))
        return {"last": self.rnn(x), "steps": self.cell(x)}


@case
def masked() -> Case:
    return Masked(), (np.array([[3, 2, 0, 0], [1, 5, 4, 0]], np.int32),), {"ids": ("batch", "length")}


class Loops(keras.Model):
    """Control flow of `keras.ops`."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(4)

    def call(self, x: Any) -> Any:
        carry, steps = K.scan(
            lambda c, row: (K.tanh(c + self.dense(row)), c), K.zeros_like(x[:, 0]), K.swapaxes(x, 0, 1)
        )
        count, grown = K.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * 1.5), (0, carry))
        summed = K.fori_loop(0, 3, lambda i, y: y + K.cast(i, "float32"), grown)
        bright = K.cond(K.sum(x) > 0, lambda: summed * 2, lambda: summed - 1)
        return bright, steps, K.map(lambda row: K.sum(row, axis=0), x), K.cast(count, "float32")


@case
def loops() -> Case:
    return Loops(), (floats(3, 5, 4),), {}


class Patches(L.Layer):
    """Tokens of an image, a class token broadcast over the batch, sizes by reshape."""

    def __init__(self, size: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.width = size, width

    def build(self, shape: Any) -> None:
        self.project = L.Dense(self.width)
        self.project.build((None, self.size * self.size * shape[-1]))
        self.token = self.add_weight(shape=(1, 1, self.width), name="token")
        count = (shape[1] // self.size) * (shape[2] // self.size)
        self.positions = L.Embedding(count + 1, self.width)
        self.positions.build((count + 1,))

    def call(self, x: Any) -> Any:
        b, h, w, c = K.shape(x)
        n, m, s = h // self.size, w // self.size, self.size
        x = K.transpose(K.reshape(x, (b, n, s, m, s, c)), (0, 1, 3, 2, 4, 5))
        x = self.project(K.reshape(x, (b, n * m, s * s * c)))
        token = K.broadcast_to(self.token, (b, 1, self.width))
        return K.concatenate([token, x], axis=1) + self.positions(K.arange(n * m + 1))


@case
def functional_with_custom_layers() -> Case:
    """A graph of layers, some of them code: captured without example inputs."""
    image = keras.Input((8, 8, 3), name="image")
    x = Patches(4, 6)(image)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 3)(x, x))
    x = L.Lambda(lambda t: t[:, 0] * 2.0)(x)
    return keras.Model(image, L.Dense(3, "softmax")(Scaled()(x))), (), {}


class Doubled(L.Dense):
    """A layer of Keras with another `call`."""

    def call(self, x: Any) -> Any:
        return K.multiply(super().call(x), 2.0)


class Renamed(L.Dense):
    """A layer of Keras that changes nothing."""

    def __init__(self, width: int = 3, **kwargs: Any) -> None:
        super().__init__(width, activation="relu", **kwargs)


@case
def several_inputs() -> Case:
    class Ranker(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item, self.cross = Doubled(3), Renamed(), L.Dot(axes=-1)

        def call(self, user: Any, item: Any, weight: float = 0.5, training: bool = False) -> Any:
            u, i = self.user(user), self.item(item)
            return [self.cross([u, i]), (u * weight, None)]

    return Ranker(), (floats(2, 4), floats(2, 5, seed=1)), {}


@case
def mixed_precision() -> Case:
    class Half(keras.Model):
        def __init__(self) -> None:
            super().__init__(dtype="mixed_float16")
            self.one, self.two = L.Dense(4, dtype="mixed_float16"), Scaled(dtype="mixed_float16")
            self.last = L.Dense(2, dtype="float32")

        def call(self, x: Any) -> Any:
            return self.last(self.two(self.one(x)))

    return Half(), (floats(2, 4),), {}


@case
def counter() -> Case:
    """A state that a call writes."""

    class Counting(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.steps = self.add_weight(shape=(), initializer="zeros", name="steps", trainable=False)

        def call(self, x: Any) -> Any:
            self.steps.assign_add(1.0)
            return x * self.steps

    return Counting(), (floats(2, 3),), {}


def randomized(net: Any, seed: int = 3) -> None:
    """Weights that no two places share; variances stay positive."""
    rng = np.random.default_rng(seed)
    for variable in net.variables:
        if "seed" not in variable.path and "steps" not in variable.path:
            variable.assign(np.abs(rng.normal(0.4, 0.3, variable.shape)) + 0.05)
