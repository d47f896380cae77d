"""Models as JAX users write them: Linen, NNX, Equinox and plain functions of a tree of parameters.

Each entry gives what `kx.capture` takes; `test_jax_zoo.py` says what must come of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

Inputs = dict[str, np.ndarray]


@dataclass
class Recipe:
    """One call of `kx.capture`.

    Attributes:
        source: What is captured.
        params: Leading arguments that are parameters.
        inputs: Makes inputs at the given sizes.
        sizes: The sizes of the examples, and others at which it is run.
        options: Of `kx.capture`.
        counts: Ops that must stand in the graph exactly so often.
    """

    source: Any
    inputs: Callable[..., Inputs]
    sizes: tuple[dict[str, int], ...]
    params: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


ZOO: dict[str, Callable[[], Recipe]] = {}
RNG = np.random.default_rng(7)


def entry(function: Callable[[], Recipe]) -> Callable[[], Recipe]:
    ZOO[function.__name__.replace("_", "-")] = function
    return function


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def tokens(high: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, high, shape).astype(np.int32)


def randomized(tree: Any, seed: int = 1) -> Any:
    """Random values for a tree of shapes: biases and statistics are not 0 and 1; keys, and integers, are 0."""
    generator = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        drawn = generator.standard_normal(leaf.shape) / math.sqrt(max(1, leaf.shape[0] if leaf.shape else 1))
        return jnp.asarray(np.abs(drawn) + 0.5 if len(leaf.shape) == 1 else drawn, leaf.dtype)

    return jax.tree.map(draw, tree)


def linen(module: Any, example: Inputs, **options: Any) -> tuple[Any, tuple[Any, ...]]:
    """A module, and variables of the shapes that its `init` gives; its cache is empty."""
    shapes = jax.eval_shape(partial(module.init, **options), jax.random.key(0), *example.values())
    empty = partial(jax.tree.map, lambda leaf: jnp.zeros(leaf.shape, leaf.dtype))
    return module, ({name: empty(v) if name == "cache" else randomized(v) for name, v in shapes.items()},)


def random_nnx(make: Callable[[Any], Any]) -> Any:
    """A module made without computing its initial values."""
    graph, state = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    return nnx.merge(graph, randomized(state))


def images(size: int, channels: int = 3) -> Callable[..., Inputs]:
    return lambda n: {"image": floats(n, size, size, channels)}


BATCHES = ({"n": 2}, {"n": 1}, {"n": 3})
SEQUENCES = ({"n": 2, "t": 6}, {"n": 1, "t": 3}, {"n": 3, "t": 9})


# Linen


class ResBlock(nn.Module):
    features: int
    strides: int = 1

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9)
        y = nn.Conv(self.features, (3, 3), (self.strides, self.strides), use_bias=False)(x)
        y = nn.relu(norm()(y))
        y = norm(scale_init=nn.initializers.zeros)(nn.Conv(self.features, (3, 3), use_bias=False)(y))
        if x.shape != y.shape:
            x = norm(name="norm_proj")(nn.Conv(self.features, (1, 1), (self.strides,) * 2, use_bias=False)(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, image: Any, train: bool = False) -> Any:
        x = nn.Conv(8, (7, 7), (2, 2), padding=[(3, 3), (3, 3)], use_bias=False)(image)
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
        x = nn.max_pool(x, (3, 3), strides=(2, 2), padding="SAME")
        for stage in range(2):
            x = ResBlock(8 * 2**stage, 1 + (stage > 0))(x, train)
        return nn.Dense(5)(jnp.mean(x, axis=(1, 2)))


@entry
def linen_resnet() -> Recipe:
    module, params = linen(ResNet(), images(32)(2))
    counts = {"conv": 6, "batch_norm": 6, "relu": 5, "max_pool": 1, "linear": 1, "mean": 1}
    return Recipe(module, images(32), BATCHES, params, counts=counts)


class ViT(nn.Module):
    @nn.compact
    def __call__(self, image: Any) -> Any:
        x = nn.Conv(16, (4, 4), (4, 4), padding="VALID")(image)
        n, h, w, c = x.shape
        x = x.reshape(n, h * w, c)
        cls = self.param("cls", nn.initializers.zeros, (1, 1, c))
        x = jnp.concatenate([jnp.tile(cls, (n, 1, 1)), x], axis=1)
        x = x + self.param("position", nn.initializers.normal(0.02), (1, h * w + 1, c))
        for _ in range(2):
            y = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=2, deterministic=True)(y, y)
            y = nn.gelu(nn.Dense(32)(nn.LayerNorm()(x)))
            x = x + nn.Dropout(0.1, deterministic=True)(nn.Dense(16)(y))
        return nn.Dense(7, name="head")(nn.LayerNorm(name="encoder_norm")(x)[:, 0])


@entry
def linen_vit() -> Recipe:
    module, params = linen(ViT(), images(16)(2))
    counts = {"scaled_dot_product_attention": 2, "layer_norm": 5, "gelu": 2, "linear": 5, "conv": 1, "softmax": 0}
    return Recipe(module, images(16), BATCHES, params, counts=counts)


class CachedDecoder(nn.Module):
    """One step of decoding with Flax's own cache."""

    @nn.compact
    def __call__(self, token: Any) -> Any:
        x = nn.Embed(11, 8)(token)
        for _ in range(2):
            y = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=2, decode=True, deterministic=True)(y)
            x = x + nn.Dense(8)(nn.gelu(nn.Dense(16)(nn.LayerNorm()(x))))
        return nn.Dense(11)(x)


@entry
def linen_decoder_with_cache() -> Recipe:
    module = CachedDecoder()
    _, (variables,) = linen(module, {"token": tokens(11, 2, 6)})
    options = {"mutable": ["cache"], "dynamic": False}
    counts = {"layer_norm": 4, "gelu": 2, "dynamic_update_slice": 4}
    return Recipe(module, lambda n: {"token": tokens(11, n, 1)}, ({"n": 2},), (variables,), options, counts)


class RelativeEncoder(nn.Module):
    """T5: buckets of relative positions, RMS norm, gated GELU."""

    @nn.compact
    def __call__(self, ids: Any, mask: Any) -> Any:
        x = nn.Embed(13, 16)(ids)
        t = ids.shape[1]
        distance = jnp.arange(t)[None, :] - jnp.arange(t)[:, None]
        bucket = jnp.where(distance > 0, 4, 0)
        far = 2 + (jnp.log(jnp.maximum(jnp.abs(distance), 1) / 2 + 1e-6) / jnp.log(8.0) * 2).astype(jnp.int32)
        bucket += jnp.where(jnp.abs(distance) < 2, jnp.abs(distance), jnp.minimum(far, 3))
        bias = nn.Embed(8, 2, name="bias")(bucket).transpose(2, 0, 1)[None]
        bias = bias + jnp.where(mask[:, None, None, :] > 0, 0.0, -1e9)
        for layer in range(2):
            y = nn.RMSNorm(name=f"norm_{layer}")(x)
            q, k, v = (nn.DenseGeneral((2, 8), use_bias=False, name=f"{n}_{layer}")(y) for n in "qkv")
            weights = nn.softmax(jnp.einsum("bqhd,bkhd->bhqk", q, k) + bias)
            y = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
            x = x + nn.DenseGeneral(16, axis=(-2, -1), use_bias=False, name=f"o_{layer}")(y)
            y = nn.RMSNorm(name=f"ff_norm_{layer}")(x)
            y = nn.gelu(nn.Dense(24, use_bias=False)(y)) * nn.Dense(24, use_bias=False)(y)
            x = x + nn.Dense(16, use_bias=False)(y)
        return x


def ids_and_mask(n: int, t: int) -> Inputs:
    mask = (RNG.random((n, t)) < 0.7).astype(np.int32)
    mask[:, 0] = 1
    return {"ids": tokens(13, n, t), "mask": mask}


@entry
def linen_t5_encoder() -> Recipe:
    module, params = linen(RelativeEncoder(), ids_and_mask(2, 6))
    options = {"dynamic": {"ids": ("batch", "seq"), "mask": ("batch", "seq")}}
    counts = {"rms_norm": 4, "scaled_dot_product_attention": 2, "gelu": 2}
    return Recipe(module, ids_and_mask, SEQUENCES, params, options, counts)


class UNet(nn.Module):
    """A denoiser: time embedding, group norms, skip connections, attention in the middle, nearest upsampling."""

    @nn.compact
    def __call__(self, image: Any, time: Any) -> Any:
        frequencies = jnp.exp(-math.log(10000) * jnp.arange(4) / 3)
        angles = time[:, None] * frequencies[None]
        emb = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        emb = nn.Dense(16)(nn.swish(nn.Dense(16)(emb)))
        x = nn.Conv(8, (3, 3))(image)
        skips = [x]
        x = self.block(x, emb, 8)
        skips.append(x)
        x = nn.Conv(16, (3, 3), (2, 2))(x)
        x = self.block(x, emb, 16)
        n, h, w, c = x.shape
        y = nn.GroupNorm(4)(x).reshape(n, h * w, c)
        x = x + nn.MultiHeadDotProductAttention(2, deterministic=True)(y, y).reshape(n, h, w, c)
        x = self.block(x, emb, 16)
        x = jax.image.resize(x, (n, h * 2, w * 2, c), "nearest")
        x = nn.Conv(8, (3, 3))(x)
        for skip in reversed(skips):
            x = self.block(jnp.concatenate([x, skip], axis=-1), emb, 8)
        return nn.Conv(3, (3, 3))(nn.swish(nn.GroupNorm(4)(x)))

    def block(self, x: Any, emb: Any, width: int) -> Any:
        y = nn.Conv(width, (3, 3))(nn.swish(nn.GroupNorm(4)(x)))
        y = y + nn.Dense(width)(nn.swish(emb))[:, None, None, :]
        y = nn.Conv(width, (3, 3))(nn.swish(nn.GroupNorm(4)(y)))
        return y + (x if x.shape[-1] == width else nn.Conv(width, (1, 1))(x))


@entry
def linen_unet() -> Recipe:
    def inputs(n: int) -> Inputs:
        return {"image": floats(n, 8, 8, 3), "time": (999 * RNG.random(n)).astype(np.float32)}

    module, params = linen(UNet(), inputs(2))
    counts = {"group_norm": 12, "scaled_dot_product_attention": 1, "conv": 16}
    return Recipe(module, inputs, BATCHES, params, counts=counts)


class ConvNeXt(nn.Module):
    @nn.compact
    def __call__(self, image: Any) -> Any:
        x = nn.LayerNorm(epsilon=1e-6)(nn.Conv(8, (4, 4), (4, 4))(image))
        for index in range(2):
            y = nn.Conv(8, (7, 7), feature_group_count=8)(x)
            y = nn.Dense(8)(nn.gelu(nn.Dense(32)(nn.LayerNorm(epsilon=1e-6)(y)), approximate=False))
            x = x + self.param(f"gamma_{index}", nn.initializers.constant(1e-6), (8,)) * y
        return nn.Dense(5)(nn.LayerNorm(epsilon=1e-6)(x.mean((1, 2))))


@entry
def linen_convnext() -> Recipe:
    module, params = linen(ConvNeXt(), images(32)(2))
    counts = {"conv": 3, "layer_norm": 4, "gelu": 2, "linear": 5}
    return Recipe(module, images(32), BATCHES, params, counts=counts)


class Bidirectional(nn.Module):
    @nn.compact
    def __call__(self, x: Any, lengths: Any) -> Any:
        y = nn.Bidirectional(nn.RNN(nn.LSTMCell(4)), nn.RNN(nn.LSTMCell(4)))(x, seq_lengths=lengths)
        return nn.Dense(2)(y)


@entry
def linen_bidirectional_lstm() -> Recipe:
    def inputs(n: int, t: int) -> Inputs:
        return {"x": floats(n, t, 3), "lengths": RNG.integers(1, t + 1, n).astype(np.int32)}

    module, params = linen(Bidirectional(), inputs(2, 5))
    options = {"dynamic": {"x": ("batch", "time", None), "lengths": ("batch",)}}
    return Recipe(module, inputs, SEQUENCES, params, options, {"scan": 2})


class ScannedLayers(nn.Module):
    """`nn.scan` over layers with `nn.remat`: parameters have a leading axis of layers."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        class Layer(nn.Module):
            @nn.compact
            def __call__(self, carry: Any, _: Any) -> Any:
                return carry + nn.Dense(8)(nn.relu(nn.LayerNorm()(carry))), None

        stacked = nn.scan(nn.remat(Layer), variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return stacked()(x, None)[0]


@entry
def linen_scanned_layers() -> Recipe:
    module, params = linen(ScannedLayers(), {"x": floats(2, 8)})
    return Recipe(module, lambda n: {"x": floats(n, 8)}, BATCHES, params, counts={"scan": 1})


class WaveNet(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        for power in range(3):
            y = nn.Conv(8, (2,), padding="CAUSAL", kernel_dilation=(2**power,))(x)
            x = x + nn.Conv(4, (1,))(jnp.tanh(y[..., :4]) * nn.sigmoid(y[..., 4:]))
        return x


@entry
def linen_wavenet() -> Recipe:
    def inputs(n: int, t: int) -> Inputs:
        return {"x": floats(n, t, 4)}

    module, params = linen(WaveNet(), inputs(2, 9))
    return Recipe(module, inputs, SEQUENCES, params, {"dynamic": {"x": ("batch", "time", None)}}, {"conv": 6})


# NNX


class NnxBlock(nnx.Module):
    def __init__(self, width: int, rngs: Any) -> None:
        self.norm1, self.norm2 = nnx.RMSNorm(width, rngs=rngs), nnx.RMSNorm(width, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, width, use_bias=False, decode=False, rngs=rngs)
        self.gate, self.up = (nnx.Linear(width, 2 * width, use_bias=False, rngs=rngs) for _ in range(2))
        self.down = nnx.Linear(2 * width, width, use_bias=False, rngs=rngs)

    def __call__(self, x: Any, mask: Any) -> Any:
        x = x + self.attention(self.norm1(x), mask=mask)
        y = self.norm2(x)
        return x + self.down(nnx.silu(self.gate(y)) * self.up(y))


class NnxTransformer(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.embed = nnx.Embed(17, 8, rngs=rngs)
        self.blocks = nnx.List([NnxBlock(8, rngs) for _ in range(2)])
        self.norm = nnx.RMSNorm(8, rngs=rngs)

    def __call__(self, ids: Any) -> Any:
        x = self.embed(ids)
        mask = nnx.make_causal_mask(ids)
        for block in self.blocks:
            x = block(x, mask)
        return self.embed.attend(self.norm(x))


@entry
def nnx_transformer() -> Recipe:
    module = random_nnx(NnxTransformer)
    counts = {"rms_norm": 5, "scaled_dot_product_attention": 2, "silu": 2}
    options = {"dynamic": {"ids": ("batch", "seq")}}
    return Recipe(module, lambda n, t: {"ids": tokens(17, n, t)}, SEQUENCES, (), options, counts)


class NnxCached(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.embed = nnx.Embed(17, 8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=True, rngs=rngs)
        self.head = nnx.Linear(8, 17, rngs=rngs)

    def __call__(self, token: Any) -> Any:
        return self.head(self.attention(self.embed(token)))


@entry
def nnx_decoder_with_cache() -> Recipe:
    module = NnxCached(nnx.Rngs(0))
    module.attention.init_cache((2, 6, 8))
    return Recipe(module, lambda n: {"token": tokens(17, n, 1)}, ({"n": 2},), (), {"dynamic": False})


class NnxRecurrent(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.lstm = nnx.RNN(nnx.OptimizedLSTMCell(3, 4, rngs=rngs))
        self.gru = nnx.RNN(nnx.GRUCell(4, 5, rngs=rngs))

    def __call__(self, x: Any) -> Any:
        return self.gru(self.lstm(x))


@entry
def nnx_lstm_and_gru() -> Recipe:
    module = random_nnx(NnxRecurrent)
    options = {"dynamic": {"x": ("batch", "time", None)}}
    return Recipe(module, lambda n, t: {"x": floats(n, t, 3)}, SEQUENCES, (), options, {"scan": 2})


class NnxResNet(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.stem = nnx.Conv(3, 8, (3, 3), use_bias=False, rngs=rngs)
        self.norms = nnx.List([nnx.BatchNorm(8, rngs=rngs) for _ in range(3)])
        self.convs = nnx.List([nnx.Conv(8, 8, (3, 3), use_bias=False, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, image: Any) -> Any:
        x = nnx.relu(self.norms[0](self.stem(image)))
        y = nnx.relu(self.norms[1](self.convs[0](x)))
        x = nnx.relu(x + self.norms[2](self.convs[1](y)))
        return nnx.log_softmax(self.head(jnp.mean(x, axis=(1, 2))))


@entry
def nnx_resnet() -> Recipe:
    counts = {"conv": 3, "batch_norm": 3, "relu": 3, "linear": 1, "log_softmax": 1}
    return Recipe(random_nnx(NnxResNet), images(8), BATCHES, counts=counts)


@entry
def nnx_batch_norm_in_training() -> Recipe:
    module = random_nnx(NnxResNet)
    return Recipe(module, images(8), ({"n": 4},), options={"training": True, "dynamic": False})


# Equinox


def equinox(make: Callable[[Any], Any], inputs: Callable[..., Inputs], counts: dict[str, int]) -> Recipe:
    shapes = eqx.filter_eval_shape(make, jax.random.key(0))
    arrays, static = eqx.partition(shapes, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    return Recipe(eqx.combine(randomized(arrays), static), inputs, BATCHES, (), {"vmap": True}, counts)


class EquinoxAttention(eqx.Module):
    attention: Any
    norm: Any
    mlp: Any

    def __init__(self, key: Any) -> None:
        first, second = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(2, 8, key=first)
        self.norm = eqx.nn.LayerNorm(8)
        self.mlp = eqx.nn.MLP(8, 8, 16, 1, activation=jax.nn.gelu, key=second)

    def __call__(self, x: Any) -> Any:
        y = jax.vmap(self.norm)(x)
        x = x + self.attention(y, y, y)
        return x + jax.vmap(self.mlp)(jax.vmap(self.norm)(x))


@entry
def equinox_attention() -> Recipe:
    counts = {"layer_norm": 2, "scaled_dot_product_attention": 1, "gelu": 1}
    return equinox(EquinoxAttention, lambda n: {"x": floats(n, 5, 8)}, counts)


class EquinoxLSTM(eqx.Module):
    cell: Any
    head: Any

    def __init__(self, key: Any) -> None:
        first, second = jax.random.split(key)
        self.cell, self.head = eqx.nn.LSTMCell(3, 4, key=first), eqx.nn.Linear(4, 2, key=second)

    def __call__(self, x: Any) -> Any:
        start = jnp.zeros(4), jnp.zeros(4)
        (hidden, _), _ = lax.scan(lambda carry, row: (self.cell(row, carry), None), start, x)
        return self.head(hidden)


@entry
def equinox_lstm() -> Recipe:
    return equinox(EquinoxLSTM, lambda n: {"x": floats(n, 5, 3)}, {"scan": 1, "linear": 1})


class EquinoxCNN(eqx.Module):
    layers: list[Any]

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 3)
        self.layers = [
            eqx.nn.Conv2d(3, 8, 3, stride=2, padding=1, key=keys[0]),
            eqx.nn.GroupNorm(2, 8),
            jax.nn.silu,
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.ConvTranspose2d(8, 4, 2, stride=2, key=keys[1]),
            eqx.nn.AvgPool2d(2, 2),
            jnp.ravel,
            eqx.nn.Linear(16, 3, key=keys[2]),
            jax.nn.softmax,
        ]

    def __call__(self, image: Any) -> Any:
        for layer in self.layers:
            image = layer(image)
        return image


@entry
def equinox_cnn() -> Recipe:
    counts = {"conv": 1, "conv_transpose": 1, "silu": 1, "softmax": 1, "group_norm": 1, "max_pool": 1, "avg_pool": 1}
    return equinox(EquinoxCNN, lambda n: {"image": floats(n, 3, 8, 8)}, counts)


# Functions of a tree of parameters


def dense(n: int, m: int) -> dict[str, Any]:
    return {"w": floats(n, m) / math.sqrt(n), "b": floats(m)}


def gpt2(params: Any, ids: Any) -> Any:
    """By hand, as in small repositories."""

    def gelu(x: Any) -> Any:
        return 0.5 * x * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def softmax(x: Any) -> Any:
        e = jnp.exp(x - jnp.max(x, axis=-1, keepdims=True))
        return e / jnp.sum(e, axis=-1, keepdims=True)

    def norm(x: Any, g: Any, b: Any) -> Any:
        mean, variance = jnp.mean(x, axis=-1, keepdims=True), jnp.var(x, axis=-1, keepdims=True)
        return g * (x - mean) / jnp.sqrt(variance + 1e-5) + b

    t = ids.shape[-1]
    x = params["wte"][ids] + params["wpe"][jnp.arange(t)]
    mask = (1 - jnp.tri(t, dtype=x.dtype)) * -1e10
    for block in params["blocks"]:
        y = norm(x, **block["ln_1"]) @ block["qkv"]["w"] + block["qkv"]["b"]
        q, k, v = (a.reshape(*a.shape[:-1], 2, 4).swapaxes(-2, -3) for a in jnp.split(y, 3, axis=-1))
        y = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(4) + mask) @ v
        x = x + y.swapaxes(-2, -3).reshape(x.shape) @ block["out"]["w"] + block["out"]["b"]
        y = gelu(norm(x, **block["ln_2"]) @ block["up"]["w"] + block["up"]["b"])
        x = x + y @ block["down"]["w"] + block["down"]["b"]
    return norm(x, **params["ln_f"]) @ params["wte"].T


@entry
def plain_gpt2() -> Recipe:
    def norm() -> dict[str, Any]:
        return {"g": 1 + 0.1 * floats(8), "b": floats(8)}

    blocks = [
        {
            "ln_1": norm(),
            "ln_2": norm(),
            "qkv": dense(8, 24),
            "out": dense(8, 8),
            "up": dense(8, 32),
            "down": dense(32, 8),
        }
        for _ in range(2)
    ]
    params = {"wte": floats(19, 8), "wpe": floats(16, 8), "blocks": blocks, "ln_f": norm()}
    options = {"dynamic": {"ids": ("batch", "seq")}, "constraints": ["seq <= 16"]}
    counts = {"layer_norm": 5, "gelu": 2, "scaled_dot_product_attention": 2}
    return Recipe(gpt2, lambda n, t: {"ids": tokens(19, n, t)}, SEQUENCES, (params,), options, counts)


def llama(params: Any, ids: Any, start: Any, keys: Any, values: Any) -> Any:
    """RMS norms in float32, rotary positions, grouped heads, a cache, layers by `scan`."""

    def norm(x: Any, weight: Any) -> Any:
        return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6) * weight

    n, t = ids.shape
    positions = start + jnp.arange(t)
    angles = positions[:, None] * (10000.0 ** (-jnp.arange(0, 4, 2) / 4))[None]
    cos, sin = (jnp.tile(f(angles), (1, 2))[None, :, None, :] for f in (jnp.cos, jnp.sin))

    def rotate(x: Any) -> Any:
        first, second = jnp.split(x, 2, axis=-1)
        return x * cos + jnp.concatenate([-second, first], axis=-1) * sin

    def layer(x: Any, given: Any) -> Any:
        p, k_cache, v_cache = given
        y = norm(x, p["norm"])
        q = rotate(jnp.einsum("btd,dhk->bthk", y, p["q"]))
        k = rotate(jnp.einsum("btd,dhk->bthk", y, p["k"]))
        v = jnp.einsum("btd,dhk->bthk", y, p["v"])
        k_cache = lax.dynamic_update_slice(k_cache, k, (0, start, 0, 0))
        v_cache = lax.dynamic_update_slice(v_cache, v, (0, start, 0, 0))
        visible = jnp.arange(k_cache.shape[1])[None, :] <= positions[:, None]
        y = jax.nn.dot_product_attention(q, k_cache, v_cache, mask=visible[None, None])
        x = x + jnp.einsum("bthk,hkd->btd", y, p["o"])
        y = norm(x, p["ff_norm"])
        x = x + (jax.nn.silu(y @ p["gate"]) * (y @ p["up"])) @ p["down"]
        return x, (k_cache, v_cache)

    x, caches = lax.scan(layer, params["embed"][ids], (params["layers"], keys, values))
    return norm(x, params["norm"]) @ params["head"], caches


@entry
def plain_llama_with_cache() -> Recipe:
    count, width = 2, 8
    layers = {
        "norm": 1 + 0.1 * floats(count, width),
        "ff_norm": 1 + 0.1 * floats(count, width),
        "q": floats(count, width, 4, 4) / 3,
        "k": floats(count, width, 2, 4) / 3,
        "v": floats(count, width, 2, 4) / 3,
        "o": floats(count, 4, 4, width) / 3,
        "gate": floats(count, width, 12) / 3,
        "up": floats(count, width, 12) / 3,
        "down": floats(count, 12, width) / 3,
    }
    params = {"embed": floats(19, width), "layers": layers, "norm": 1 + 0.1 * floats(width), "head": floats(width, 19)}

    def inputs(n: int, t: int) -> Inputs:
        start = np.int32(2)
        cache = (count, n, 12, 2, 4)
        return {"ids": tokens(19, n, t), "start": start, "keys": floats(*cache), "values": floats(*cache)}

    dynamic = {"ids": ("batch", "seq"), "keys": {1: "batch"}, "values": {1: "batch"}}
    options = {"dynamic": dynamic, "constraints": ["seq <= 12"]}
    return Recipe(llama, inputs, SEQUENCES, (params,), options, {"scan": 1})


def recurrence(params: Any, x: Any) -> Any:
    """A diagonal linear recurrence by `associative_scan`."""
    decay = jax.nn.sigmoid(params["decay"])
    steps = jnp.broadcast_to(decay, x.shape)

    def combine(first: Any, second: Any) -> Any:
        return first[0] * second[0], second[0] * first[1] + second[1]

    _, states = lax.associative_scan(combine, (steps, x @ params["b"]), axis=1)
    return states @ params["c"] + x * params["d"]


@entry
def plain_linear_recurrence() -> Recipe:
    params = {"decay": floats(4), "b": floats(4, 4), "c": floats(4, 4), "d": floats(4)}
    return Recipe(recurrence, lambda n: {"x": floats(n, 9, 4)}, BATCHES, (params,))


def mixture(params: Any, x: Any) -> Any:
    """The best two of four experts for each token."""
    weights, chosen = lax.top_k(jax.nn.softmax(x @ params["router"]), 2)
    weights = weights / weights.sum(-1, keepdims=True)
    combine = (jax.nn.one_hot(chosen, 4) * weights[..., None]).sum(-2)
    hidden = jax.nn.relu(jnp.einsum("btd,edh->bteh", x, params["up"]))
    return jnp.einsum("bteh,ehd,bte->btd", hidden, params["down"], combine)


@entry
def plain_mixture_of_experts() -> Recipe:
    params = {"router": floats(6, 4), "up": floats(4, 6, 8), "down": floats(4, 8, 6)}
    counts = {"softmax": 1, "top_k": 1}
    options = {"dynamic": {"x": ("batch", "seq", None)}}
    return Recipe(mixture, lambda n, t: {"x": floats(n, t, 6)}, SEQUENCES, (params,), options, counts)


def message_passing(params: Any, nodes: Any, senders: Any, receivers: Any) -> Any:
    """A graph network on an edge list."""
    for layer in params["layers"]:
        messages = jax.nn.relu(nodes[senders] @ layer["w"] + layer["b"])
        total = jax.ops.segment_sum(messages, receivers, num_segments=nodes.shape[0])
        degree = jnp.zeros(nodes.shape[0]).at[receivers].add(1.0)
        nodes = nodes + total / jnp.maximum(degree, 1.0)[:, None]
    return jax.ops.segment_max(nodes, jnp.zeros(nodes.shape[0], jnp.int32), 1)[0], nodes


@entry
def plain_graph_network() -> Recipe:
    def inputs(n: int, e: int) -> Inputs:
        return {"nodes": floats(n, 4), "senders": tokens(n, e), "receivers": tokens(n, e)}

    params = {"layers": [dense(4, 4), dense(4, 4)]}
    options = {"dynamic": {"nodes": ("n", None), "senders": ("e",), "receivers": ("e",)}}
    return Recipe(message_passing, inputs, ({"n": 5, "e": 9}, {"n": 3, "e": 2}), (params,), options)


def quantizer(params: Any, x: Any) -> Any:
    """The nearest entry of a codebook, with a straight-through gradient."""
    distance = (x**2).sum(-1, keepdims=True) - 2 * x @ params["codes"].T + (params["codes"] ** 2).sum(-1)
    index = jnp.argmin(distance, axis=-1)
    chosen = jnp.take(params["codes"], index, axis=0)
    return x + lax.stop_gradient(chosen - x), index


@entry
def plain_vector_quantizer() -> Recipe:
    return Recipe(
        quantizer, lambda n: {"x": floats(n, 5, 4)}, BATCHES, ({"codes": floats(9, 4)},), counts={"argmin": 1}
    )


def windows(params: Any, image: Any) -> Any:
    """Shifted windows of attention, as in Swin."""
    n, h, w, c = image.shape
    x = jnp.roll(image, (-1, -1), (1, 2)).reshape(n, h // 4, 4, w // 4, 4, c).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(-1, 16, c)
    q, k, v = jnp.split(x @ params["qkv"], 3, axis=-1)
    y = jax.nn.softmax(q @ k.transpose(0, 2, 1) * c**-0.5 + params["bias"]) @ v
    y = y.reshape(n, h // 4, w // 4, 4, 4, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
    return jnp.roll(y, (1, 1), (1, 2))


@entry
def plain_shifted_windows() -> Recipe:
    params = {"qkv": floats(6, 18), "bias": floats(16, 16)}
    return Recipe(windows, images(8, 6), BATCHES, (params,), counts={"scaled_dot_product_attention": 1})


@jax.custom_jvp
def clipped(x: Any) -> Any:
    return jnp.clip(x, -1, 1)


clipped.defjvps(lambda tangent, _answer, _x: tangent)


@jax.checkpoint
def heavy(w: Any, x: Any) -> Any:
    return jnp.sin(x @ w)


def mixed(params: Any, x: Any) -> Any:
    """What wraps functions: vmap, jit, remat, custom derivatives."""
    x = jax.vmap(partial(heavy, params["a"]))(x)
    low = jax.named_call(lambda v: v @ params["b"], name="product")(x)
    total = lax.fori_loop(0, 3, lambda i, s: s + clipped(low) / (i + 1), jnp.zeros_like(low))
    return jax.jit(lambda v: lax.cond(v.sum() > 0, jnp.sin, jnp.cos, v))(total)


@entry
def plain_transformations() -> Recipe:
    params = {"a": floats(4, 4), "b": floats(4, 4)}
    return Recipe(mixed, lambda n: {"x": floats(n, 3, 4)}, BATCHES, (params,))


def bert(params: Any, ids: Any, mask: Any, types: Any) -> Any:
    """An encoder as ported by hand: post-norm, exact GELU, pooled first token."""

    def norm(p: Any, x: Any) -> Any:
        return jax.nn.standardize(x, axis=-1, epsilon=1e-12) * p["g"] + p["b"]

    def project(p: Any, x: Any) -> Any:
        return x @ p["w"] + p["b"]

    def heads(x: Any) -> Any:
        return x.reshape(*x.shape[:2], 2, -1)

    x = params["words"][ids] + params["positions"][: ids.shape[1]] + params["types"][types]
    x = norm(params["norm"], x)
    for p in params["layers"]:
        q, k, v = (heads(project(p[name], x)) for name in "qkv")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
        scores = jnp.where(mask[:, None, None, :].astype(bool), scores, jnp.finfo(scores.dtype).min)
        y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), v)
        x = norm(p["norm1"], x + project(p["o"], y.reshape(x.shape)))
        y = jax.nn.gelu(project(p["up"], x), approximate=False)
        x = norm(p["norm2"], x + project(p["down"], y))
    return x, jnp.tanh(project(params["pool"], x[:, 0]))


@entry
def plain_bert() -> Recipe:
    def norm() -> dict[str, Any]:
        return {"g": 1 + 0.1 * floats(8), "b": floats(8)}

    layers = [
        {
            **{name: dense(8, 8) for name in "qkvo"},
            "norm1": norm(),
            "norm2": norm(),
            "up": dense(8, 16),
            "down": dense(16, 8),
        }
        for _ in range(2)
    ]
    params = {"words": floats(13, 8), "positions": floats(16, 8), "types": floats(2, 8), "norm": norm()}
    params |= {"layers": layers, "pool": dense(8, 8)}

    def inputs(n: int, t: int) -> Inputs:
        return {**ids_and_mask(n, t), "types": tokens(2, n, t)}

    shape = ("batch", "seq")
    options = {"dynamic": {"ids": shape, "mask": shape, "types": shape}, "constraints": ["seq <= 16"]}
    counts = {"layer_norm": 5, "gelu": 2, "scaled_dot_product_attention": 2, "linear": 13}
    return Recipe(bert, inputs, SEQUENCES, (params,), options, counts)
