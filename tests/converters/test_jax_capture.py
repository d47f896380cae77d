"""Models of Flax Linen, Flax NNX and Equinox, captured: in float64 they are what JAX computes, at sizes never seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")
nn = pytest.importorskip("flax.linen")
nnx = pytest.importorskip("flax.nnx")
eqx = pytest.importorskip("equinox")

import jax.numpy as jnp  # noqa: E402

import kxchange as kx  # noqa: E402
from kxchange.model import Model, Role  # noqa: E402

pytestmark = pytest.mark.jax

RNG = np.random.default_rng(0)
Arrays = dict[str, np.ndarray]


@dataclass
class Example:
    """A captured model, and what JAX computes for it in float64.

    Attributes:
        model: What `capture` gave.
        truth: ``inputs by name -> outputs`` on float64 inputs with x64 on; None where the source then has casts to
            float32 left: its jaxpr is run in float64 instead.
        inputs: Makes inputs of the model at the given sizes.
        sizes: Several sets of sizes that differ from those of the example.
        ops: Ops that the graph must have whole.
    """

    model: Model
    truth: Callable[[Arrays], Any] | None
    inputs: Callable[..., Arrays]
    sizes: tuple[dict[str, int], ...]
    ops: frozenset[str] = frozenset()


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def widened(tree: Any) -> Any:
    """Floating leaves in float64."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def randomized(tree: Any, seed: int = 1) -> Any:
    """Leaves of the same types with values that are not the initial ones: statistics and biases are no longer 0 and 1."""
    generator = np.random.default_rng(seed)

    def draw(leaf: Any) -> Any:
        drawn = 0.3 * generator.standard_normal(leaf.shape)
        return jnp.asarray(np.abs(drawn) + 0.5 if leaf.ndim == 1 else drawn, leaf.dtype)

    return jax.tree.map(lambda x: draw(x) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def relative_rmse(got: np.ndarray, wanted: np.ndarray) -> float:
    scale = float(np.sqrt(np.mean(np.square(wanted))))
    return float(np.sqrt(np.mean(np.square(got - wanted)))) / scale


def linen(module: Any, *inputs: np.ndarray, dynamic: Any = None, **kwargs: Any) -> tuple[Model, Any]:
    """A captured Linen module with random variables, and its function in float64."""
    variables = randomized(module.init(jax.random.key(0), *inputs, **kwargs))
    model = kx.capture(module, variables, *inputs, dynamic=dynamic, **kwargs)

    def truth(arrays: Mapping[str, np.ndarray]) -> Any:
        return module.apply(widened(variables), *arrays.values(), **kwargs)

    return model, truth


def in_float64(function: Callable[[Arrays], Any]) -> Callable[[Arrays], Arrays]:
    """The function with x64 on; leaves of its output tree by position."""

    def run(arrays: Arrays) -> Arrays:
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            wide = {
                name: jnp.asarray(a, jnp.float64) if a.dtype.kind == "f" else jnp.asarray(a)
                for name, a in arrays.items()
            }
            leaves = jax.tree.leaves(function(wide))
            return {str(position): np.asarray(leaf) for position, leaf in enumerate(leaves)}

    return run


class LinenMLP(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in (16, 8):
            x = nn.Dense(width)(x)
            x = nn.gelu(x, approximate=width == 8)
        return {"logits": nn.log_softmax(nn.Dense(3)(nn.LayerNorm()(x)))}


def linen_mlp() -> Example:
    model, truth = linen(LinenMLP(), floats(2, 5))
    sizes = ({"n": 1}, {"n": 7})
    return Example(
        model, truth, lambda n: {"x": floats(n, 5)}, sizes, frozenset({"gelu", "layer_norm", "log_softmax", "linear"})
    )


class LinenCNN(nn.Module):
    train: bool = False

    @nn.compact
    def __call__(self, image: Any) -> Any:
        x = nn.Conv(8, (3, 3), strides=(2, 2))(image)
        x = nn.BatchNorm(use_running_average=not self.train)(x)
        x = nn.relu(x)
        x = nn.max_pool(x, (3, 3), (2, 2), padding="SAME")
        x = nn.Conv(8, (3, 3), feature_group_count=4, kernel_dilation=2)(x)
        x = nn.GroupNorm(num_groups=2)(x)
        x = nn.silu(x)
        x = nn.avg_pool(x, (2, 2), (1, 1), padding="SAME", count_include_pad=False)
        x = nn.ConvTranspose(6, (3, 3), strides=(2, 2))(x)
        return nn.Dense(4)(nn.Dropout(0.5, deterministic=True)(x.mean(axis=(1, 2))))


def linen_cnn() -> Example:
    model, truth = linen(LinenCNN(), floats(2, 16, 16, 3))
    return Example(
        model,
        truth,
        lambda n: {"image": floats(n, 16, 16, 3)},
        ({"n": 1}, {"n": 3}),
        frozenset({"conv", "max_pool", "silu"}),
    )


def linen_cnn_any_size() -> Example:
    model, truth = linen(LinenCNN(), floats(2, 16, 20, 3), dynamic={"image": ("n", "h", "w", None)})
    sizes = ({"n": 1, "h": 17, "w": 12}, {"n": 3, "h": 9, "w": 30})
    return Example(model, truth, lambda n, h, w: {"image": floats(n, h, w, 3)}, sizes)


class LinenEncoder(nn.Module):
    @nn.compact
    def __call__(self, tokens: Any, mask: Any) -> Any:
        x = nn.Embed(23, 12)(tokens)
        positions = self.param("positions", nn.initializers.normal(), (16, 12))
        x = x + positions[: tokens.shape[1]]
        keep = nn.make_attention_mask(mask, mask)
        for _ in range(2):
            y = nn.LayerNorm(use_fast_variance=False)(x)
            y = nn.MultiHeadDotProductAttention(num_heads=3, deterministic=True)(y, mask=keep)
            x = x + y
            y = nn.RMSNorm()(x)
            y = nn.Dense(24)(y)
            x = x + nn.Dense(12)(nn.gelu(y))
        return x


def tokens_and_mask(n: int, length: int) -> Arrays:
    mask = RNG.random((n, length)) < 0.8
    mask[:, 0] = True
    return {"tokens": RNG.integers(0, 23, (n, length)).astype(np.int32), "mask": mask}


def linen_encoder() -> Example:
    example = tokens_and_mask(2, 6)
    module, inputs = LinenEncoder(), list(example.values())
    variables = randomized(module.init(jax.random.key(0), *inputs))
    dynamic = {"tokens": ("batch", "seq"), "mask": ("batch", "seq")}
    model = kx.capture(module, variables, *inputs, dynamic=dynamic, constraints=["seq <= 16"])
    return Example(
        model,
        lambda arrays: module.apply(widened(variables), *arrays.values()),
        tokens_and_mask,
        ({"n": 1, "length": 3}, {"n": 3, "length": 16}),
        frozenset({"scaled_dot_product_attention", "gelu", "layer_norm", "rms_norm"}),
    )


class LinenRecurrent(nn.Module):
    cell: Any

    @nn.compact
    def __call__(self, x: Any) -> Any:
        carry, y = nn.RNN(self.cell(6), return_carry=True)(x)
        return y, nn.RNN(self.cell(5), reverse=True, keep_order=True)(y), carry


def recurrent(cell: Any) -> Example:
    model, _ = linen(LinenRecurrent(cell), floats(2, 4, 3), dynamic={"x": ("batch", "time", None)})
    sizes = ({"n": 1, "t": 7}, {"n": 3, "t": 1})
    return Example(model, None, lambda n, t: {"x": floats(n, t, 3)}, sizes, frozenset({"scan"}))


class NnxNet(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.stem = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(8, 8, rngs=rngs), nnx.Linear(8, 4, rngs=rngs)])

    def __call__(self, image: Any, scale: float = 2.0) -> Any:
        x = nnx.relu(self.norm(self.stem(image)))
        x = nnx.max_pool(x, (2, 2), (2, 2)).mean(axis=(1, 2))
        for layer in self.layers:
            x = self.dropout(nnx.silu(layer(x)))
        return x * scale


def nnx_truth(module: Any, **kwargs: Any) -> Callable[[Arrays], Any]:
    graph, state = nnx.split(module)

    def run(arrays: Arrays) -> Any:
        wide = nnx.merge(graph, widened(state))
        wide.eval()
        return wide(*arrays.values(), **kwargs)

    return run


def randomize_nnx(module: Any) -> Any:
    graph, state, rest = nnx.split(module, nnx.Not(nnx.RngState), ...)
    return nnx.merge(graph, randomized(state), rest)


def nnx_cnn() -> Example:
    module = randomize_nnx(NnxNet(nnx.Rngs(0)))
    model = kx.capture(module, floats(2, 8, 8, 3), scale=0.5)
    truth = nnx_truth(module, scale=0.5)
    return Example(
        model, truth, lambda n: {"image": floats(n, 8, 8, 3)}, ({"n": 1}, {"n": 5}), frozenset({"conv", "silu"})
    )


class NnxDecoder(nnx.Module):
    def __init__(self, rngs: Any) -> None:
        self.embed = nnx.Embed(19, 8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)
        self.norm = nnx.LayerNorm(8, rngs=rngs)
        self.up, self.down = nnx.Linear(8, 16, rngs=rngs), nnx.Linear(16, 8, rngs=rngs)

    def __call__(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        causal = nnx.make_causal_mask(tokens)
        x = x + self.attention(self.norm(x), mask=causal)
        x = x + self.down(nnx.gelu(self.up(x)))
        return self.embed.attend(x)


def nnx_decoder() -> Example:
    module = randomize_nnx(NnxDecoder(nnx.Rngs(0)))
    tokens = RNG.integers(0, 19, (2, 5)).astype(np.int32)
    model = kx.capture(module, tokens, dynamic={"tokens": ("batch", "seq")})
    return Example(
        model,
        None,
        lambda n, t: {"tokens": RNG.integers(0, 19, (n, t)).astype(np.int32)},
        ({"n": 1, "t": 9}, {"n": 3, "t": 2}),
        frozenset({"scaled_dot_product_attention", "gelu", "layer_norm"}),
    )


class EquinoxCNN(eqx.Module):
    conv: Any
    norm: Any
    pool: Any
    heads: list[Any]

    def __init__(self, key: Any) -> None:
        keys = jax.random.split(key, 4)
        self.conv = eqx.nn.Conv2d(3, 8, 3, padding=1, key=keys[0])
        self.norm = eqx.nn.GroupNorm(4, 8)
        self.pool = eqx.nn.MaxPool2d(2, 2)
        self.heads = [eqx.nn.Linear(8, 5, key=keys[1]), eqx.nn.Linear(8, 2, key=keys[2])]

    def __call__(self, image: Any) -> Any:
        x = self.pool(jax.nn.relu(self.norm(self.conv(image)))).mean(axis=(1, 2))
        return [head(x) for head in self.heads]


def equinox(module: Any, shape: tuple[int, ...], name: str) -> Example:
    arrays, static = eqx.partition(module, eqx.is_array)
    arrays = randomized(arrays)
    module = eqx.combine(arrays, static)
    model = kx.capture(module, floats(2, *shape), vmap=True)

    def truth(given: Arrays) -> Any:
        return jax.vmap(eqx.combine(widened(arrays), static))(*given.values())

    return Example(model, truth, lambda n: {name: floats(n, *shape)}, ({"n": 1}, {"n": 6}), frozenset())


def equinox_mlp() -> Example:
    return equinox(eqx.nn.MLP(4, 3, 8, 2, activation=jax.nn.gelu, key=jax.random.key(0)), (4,), "x")


def equinox_cnn() -> Example:
    return equinox(EquinoxCNN(jax.random.key(0)), (3, 8, 8), "image")


EXAMPLES: dict[str, Callable[[], Example]] = {
    "linen-mlp": linen_mlp,
    "linen-cnn": linen_cnn,
    "linen-cnn-any-size": linen_cnn_any_size,
    "linen-encoder": linen_encoder,
    "linen-lstm": lambda: recurrent(nn.OptimizedLSTMCell),
    "linen-gru": lambda: recurrent(nn.GRUCell),
    "nnx-cnn": nnx_cnn,
    "nnx-decoder": nnx_decoder,
    "equinox-mlp": equinox_mlp,
    "equinox-cnn": equinox_cnn,
}


@pytest.fixture(scope="module", params=list(EXAMPLES))
def example(request: pytest.FixtureRequest) -> Example:
    return EXAMPLES[request.param]()


def wide_inputs(arrays: Arrays) -> Arrays:
    return {name: a.astype(np.float64) if a.dtype.kind == "f" else a for name, a in arrays.items()}


def by_source(model: Model) -> Callable[[Arrays], Arrays]:
    return kx.converters()["jax"].source(model.origin, model, float64=True)


def check_outputs(got: Arrays, wanted: Arrays) -> None:
    assert len(got) == len(wanted)
    for result, truth in zip(got.values(), wanted.values(), strict=True):
        assert result.shape == truth.shape and result.dtype == truth.dtype == np.float64
        assert relative_rmse(result, truth) <= 1e-12


def test_numpy_in_float64_is_jax_in_float64(example: Example) -> None:
    for sizes in example.sizes:
        inputs = wide_inputs(example.inputs(**sizes))
        truth = by_source(example.model) if example.truth is None else in_float64(example.truth)
        check_outputs(kx.run(example.model, inputs, dtype="float64"), truth(inputs))


def test_the_source_runs_in_its_own_type_and_in_float64(example: Example) -> None:
    inputs = example.inputs(**example.sizes[0])
    own = kx.converters()["jax"].source(example.model.origin, example.model)(inputs)
    wide = by_source(example.model)(wide_inputs(inputs))
    assert list(own) == list(wide) == list(example.model.output_names)
    for name, result in own.items():
        assert result.dtype == np.float32
        assert 0 < relative_rmse(result, wide[name]) <= 1e-5
    if example.truth is not None:
        check_outputs(wide, in_float64(example.truth)(wide_inputs(inputs)))


def test_composites_come_back_whole(example: Example) -> None:
    assert example.ops <= {node.op for node in example.model.main.graph.nodes()}


def test_round_trip_keeps_names_bytes_and_behaviour(example: Example) -> None:
    model = example.model
    net = model.to("jax")
    inputs = example.inputs(**example.sizes[0])
    again = kx.capture(
        net, **inputs, dynamic={n: tuple(map(str, t.shape)) if t.rank else None for n, t in symbolic(model)}
    )
    assert list(again.parameters) == list(model.parameters)
    for name, entry in model.parameters.items():
        other = again.parameters[name]
        assert (other.type, other.role, other.trainable) == (entry.type, entry.role, entry.trainable)
        assert other.array.tobytes() == entry.array.tobytes()
    assert again.output_names == model.output_names
    wide = wide_inputs(example.inputs(**example.sizes[1]))
    first, second = (kx.run(m, wide, dtype="float64") for m in (model, again))
    for name, result in first.items():
        assert relative_rmse(second[name], result) <= 1e-12


def symbolic(model: Model) -> list[tuple[str, Any]]:
    return list(model.main.input_types.items())


def test_names_and_roles_of_linen() -> None:
    model = EXAMPLES["linen-cnn"]().model
    roles = {name: entry.role for name, entry in model.parameters.items()}
    assert roles["params.Conv_0.kernel"] is Role.PARAMETER
    assert roles["batch_stats.BatchNorm_0.mean"] is Role.BUFFER
    assert not model.parameters["batch_stats.BatchNorm_0.var"].trainable
    assert model.input_names == ("image",)
    assert str(model.main.input_types["image"]) == "float32[batch, 16, 16, 3]"
    node = next(node for node in model.main.graph.nodes() if node.op == "conv")
    assert node.source is not None
    assert (node.source.file, node.source.path) == ("test_jax_capture.py", "Conv_0")


def test_names_of_nnx_and_equinox() -> None:
    names = list(EXAMPLES["nnx-cnn"]().model.parameters)
    assert {"stem.kernel", "norm.mean", "layers.0.kernel", "layers.1.bias"} <= set(names)
    assert not any("rngs" in name for name in names)
    model = EXAMPLES["equinox-cnn"]().model
    assert list(model.parameters)[:2] == ["conv.weight", "conv.bias"]
    assert {"heads.0.weight", "heads.1.bias"} <= set(model.parameters)
    assert model.output_names == ("output_0", "output_1")


class TwoStates(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        a, b = (self.variable("cache", name, jnp.zeros, (3,)) for name in "ab")
        y = x @ self.param("w", nn.initializers.ones, (3, 3)) + a.value - b.value
        a.value, b.value = y[0], y[0] * 2
        return y


def test_states_that_begin_as_one_array_are_written_apart() -> None:
    module, start, x = TwoStates(), jnp.zeros(3), floats(2, 3)
    variables = {"params": {"w": jnp.asarray(floats(3, 3))}, "cache": {"a": start, "b": start}}
    model = kx.capture(module, variables, x, mutable=["cache"], dynamic=False)
    y, written = module.apply(variables, x, mutable=["cache"])
    found = model(x=x)
    np.testing.assert_allclose(found["output_0"], y, rtol=1e-5)
    for name in "ab":
        np.testing.assert_allclose(found[f"cache.{name}.next"], written["cache"][name], rtol=1e-5)


def test_a_normalized_convolution_with_bias_comes_back_whole() -> None:
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            return nn.relu(nn.BatchNorm(use_running_average=True)(nn.Conv(4, (3, 3))(x)))

    model, _ = linen(Net(), floats(2, 5, 5, 3))
    found = Counter(node.op for node in model.main.graph.nodes())
    assert (found["conv"], found["batch_norm"], found["relu"]) == (1, 1, 1)


class EquinoxStateful(eqx.Module):
    conv: Any
    norm: Any

    def __init__(self, key: Any) -> None:
        self.conv = eqx.nn.Conv1d(2, 3, 3, key=key)
        self.norm = eqx.nn.BatchNorm(3, "batch", mode="batch")

    def __call__(self, x: Any, state: Any) -> tuple[Any, Any]:
        return self.norm(self.conv(x), state)


def test_the_state_of_an_equinox_module_is_its_buffers() -> None:
    module, start = eqx.nn.make_with_state(EquinoxStateful)(jax.random.key(0))
    x, axes = floats(4, 2, 6), {"axis_name": "batch", "in_axes": (0, None), "out_axes": (0, None)}
    wanted, state = jax.vmap(module, **axes)(x, start)
    trained = kx.capture(module, x, start, vmap="batch", training=True, dynamic=False)
    found = trained(x=x)
    np.testing.assert_allclose(found["output_0"], wanted, rtol=1e-4, atol=1e-5)
    for name, after in zip(sorted(trained.main.updates), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(found[name], after, rtol=1e-4, atol=1e-6)
    assert trained.parameters["state.1.0"].role is Role.BUFFER
    model = kx.capture(module, x, state, vmap=True)
    assert (model.input_names, model.output_names, model.main.updates) == (("x",), ("output_0",), {})
    assert "batch_norm" in {node.op for node in model.main.graph.nodes()}
    wanted = jax.vmap(eqx.nn.inference_mode(module), **axes)(x[:3], state)[0]
    np.testing.assert_allclose(model(x=x[:3])["output_0"], wanted, rtol=1e-4, atol=1e-5)
